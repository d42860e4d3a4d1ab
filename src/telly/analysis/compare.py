"""Models compared layer by layer on the same texts: what tuning changed (the paper's RQ2)."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from telly.analysis.layers import Form, LayersRequest, LayerStates, layer_states
from telly.analysis.similarity import RESAMPLES, Rsa, debiased_cka, procrustes, rsa
from telly.analysis.texts import code_texts
from telly.data.sequences import SequenceTable
from telly.disk import write_json
from telly.errors import ConfigError
from telly.freezing.build import Progress, Report
from telly.models.load import load_model, load_tokenizer, position_limit
from telly.models.modes import encode_texts
from telly.models.stack import final_norm, find_stack


@dataclass(frozen=True)
class CompareConfig:
    """What is compared, on what.

    Attributes:
        model: folder, hub id or embedded model; a run's folder stands for its tuned model.
        others: the models to compare it with.
        cache_dir: folder of the stores.
        data: where the texts are; None is the embedded sample.
        task: whose layout the data have; its column of code is read.
        split: which part of a folder.
        limit: at most so many distinct texts, drawn by `seed`.
        max_tokens: where texts are cut.
        paper: RSA as the paper's scripts have it: mean over padding too, diagonal included.
        resamples: of the bootstrap behind the interval.
        seed: of the drawing and the bootstrap.
    """

    model: str
    others: tuple[str, ...]
    cache_dir: Path
    data: str | None = None
    task: str = "search"
    split: str | None = None
    limit: int = 5000
    max_tokens: int = 256
    paper: bool = False
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class LayerSimilarity:
    """One layer of two models."""

    layer: str
    rsa: Rsa
    cka: float
    procrustes: float


@dataclass(frozen=True)
class Comparison:
    """A model against another.

    Attributes:
        other: the other model's name.
        layers: similarity of the layers of the same number; empty where the models have different numbers of layers.
        matrix: debiased CKA of every layer (row) with every layer of the other (column).
        remarks: what a reader should know.
    """

    other: str
    layers: tuple[LayerSimilarity, ...]
    matrix: tuple[tuple[float, ...], ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class CompareResult:
    """All comparisons of one model, and on what they were made."""

    model: str
    names: tuple[str, ...]
    texts: int
    form: str
    comparisons: tuple[Comparison, ...]


def compare(
    config: CompareConfig, progress: Callable[[str], Progress] | None = None, report: Report | None = None
) -> CompareResult:
    """Run every model once over the texts, or open its stored states, and compare layer by layer.

    Raises:
        ConfigError: there is nothing to compare with.
        DataError: there are too few distinct texts.
        ModelError: a model cannot be loaded or has no stack of layers.
        StoreError: the pooled states do not fit on the disk.
    """
    if not config.others:
        raise ConfigError("nothing to compare with; name another model with --with")
    texts = code_texts(config.data, config.limit, task=config.task, split=config.split, seed=config.seed)
    first, table, remark = _states(config, config.model, texts, progress, report)
    comparisons = []
    for name in config.others:
        other, other_table, other_remark = _states(config, name, texts, progress, report)
        remarks = [r for r in (remark, other_remark) if r]
        if table.fingerprint() != other_table.fingerprint():
            remarks.append("the models split texts into other tokens; only pooled states are compared")
        comparisons.append(_compared(config, name, first, other, tuple(remarks)))
    form = Form.PADDED_MEAN if config.paper else Form.MEAN
    return CompareResult(config.model, tuple(first.names), len(texts), form.value, tuple(comparisons))


def _states(
    config: CompareConfig,
    name: str,
    texts: list[str],
    progress: Callable[[str], Progress] | None,
    report: Report | None,
) -> tuple[LayerStates, SequenceTable, str | None]:
    model, tokenizer = load_model(name), load_tokenizer(name)
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    longest = min(config.max_tokens, position_limit(model) or config.max_tokens)
    table, rows = SequenceTable.of(encode_texts(tokenizer, texts, longest))
    request = LayersRequest(
        model,
        table,
        tokenizer.pad_token_id or 0,
        config.cache_dir,
        Form.PADDED_MEAN if config.paper else Form.MEAN,
        padded_to=longest if config.paper else 0,
    )
    states = layer_states(request, progress(name) if progress else None, report)
    norm = final_norm(find_stack(model))
    remark = None if norm is None else f"{name}: the last layer's states are those before the final norm ({norm})"
    return _Rows(states, rows), table, remark


class _Rows(LayerStates):
    """Pooled states by text: texts that are cut to the same tokens share a row."""

    def __init__(self, states: LayerStates, rows: Any) -> None:
        super().__init__(states.store, states.hidden)
        self._rows = rows

    def layer(self, number: int, rows: Any = None) -> torch.Tensor:
        return super().layer(number)[self._rows if rows is None else self._rows[rows]]


def _compared(
    config: CompareConfig, name: str, first: LayerStates, other: LayerStates, remarks: tuple[str, ...]
) -> Comparison:
    layers, others = ([s.layer(i) for i in range(len(s.names))] for s in (first, other))
    same = []
    if len(layers) == len(others):
        for layer, x, y in zip(first.names, layers, others, strict=True):
            measured = rsa(x, y, resamples=config.resamples, seed=config.seed, diagonal=config.paper)
            same.append(LayerSimilarity(layer, measured, debiased_cka(x, y), procrustes(x, y)))
    else:
        depths = f"{len(layers) - 1} and {len(others) - 1} layers: only the map of all layers with all is given"
        remarks = (*remarks, depths)
    matrix = tuple(tuple(debiased_cka(x, y) for y in others) for x in layers)
    return Comparison(name, tuple(same), matrix, remarks)


def write_result(result: CompareResult, folder: Path, about: dict[str, Any]) -> None:
    """Write `compare.json`, with what it is about (settings, provenance), and `compare.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "compare.json", about | asdict(result))
    with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["model", "other", "layer", "pearson", "low", "high", "spearman", "cka", "procrustes"])
        for comparison in result.comparisons:
            for entry in comparison.layers:
                found = entry.rsa
                rows.writerow([result.model, comparison.other, entry.layer, found.pearson, found.low, found.high,
                               found.spearman, entry.cka, entry.procrustes])  # fmt: skip


def published() -> dict[str, list[float]]:
    """The paper's RSA of UniXcoder before and after tuning, by task: embeddings and 12 layers."""
    text = resources.files("telly.analysis").joinpath("published/similarity.json").read_text(encoding="utf-8")
    values: dict[str, list[float]] = json.loads(text)
    return values
