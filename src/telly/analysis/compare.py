"""Layer-by-layer comparison of models on the same texts: what tuning changes (the paper's RQ2)."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from telly.analysis import COMPARE_FILE
from telly.analysis.layers import ExtractionRequest, LayerExtractor, Pooling, layer_names, prepare
from telly.analysis.similarity import RESAMPLES, Rsa, cka_matrix, procrustes, rsa
from telly.analysis.texts import code_texts
from telly.disk import write_json
from telly.errors import ConfigError
from telly.models.embedding_folder import load_embedding_tokenizer, read_embedding_config
from telly.models.load import load_model
from telly.models.modes import encode_texts, mode_of
from telly.models.pooling_mode import PoolingMode


@dataclass(frozen=True)
class CompareConfig:
    """Settings of a comparison.

    Attributes:
        model: folder, hub id or embedded model; a run's folder stands for its tuned model.
        others: models to compare it with.
        data: file, folder or hub data set with the texts; None means the embedded sample.
        task: task whose layout the data have, and whose column of code is read; None accepts any data with a column
            of code.
        split: data split to read from a folder.
        limit: maximum number of distinct texts, sampled with `seed`.
        max_tokens: maximum number of tokens per text; longer texts are truncated.
        paper: compute RSA as in the paper's scripts: mean over padding too, diagonal included.
        resamples: number of bootstrap resamples for the interval.
        seed: seed of sampling and bootstrap.
    """

    model: str
    others: tuple[str, ...]
    data: str | None = None
    task: str | None = None
    split: str | None = None
    limit: int = 5000
    max_tokens: int = 256
    paper: bool = False
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True)
class LayerSimilarity:
    """Similarity of one layer of two models."""

    layer: str
    rsa: Rsa
    cka: float
    procrustes: float


@dataclass(frozen=True)
class ModelComparison:
    """Comparison of a model with another.

    Attributes:
        other: the other model's name.
        layers: similarity of layers with the same index; empty if the models have different numbers of layers.
        matrix: debiased CKA of every layer (row) with every layer of the other (column).
        remarks: remarks for the reader, such as different tokenizers.
    """

    other: str
    layers: tuple[LayerSimilarity, ...]
    matrix: tuple[tuple[float, ...], ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class CompareResult:
    """All comparisons of one model, with their settings."""

    model: str
    names: tuple[str, ...]
    texts: int
    form: str
    comparisons: tuple[ModelComparison, ...]


def compare(config: CompareConfig, extractor: LayerExtractor) -> CompareResult:
    """Run every model once over the texts, or open its cached states, and compare layer by layer.

    Raises:
        ConfigError: there is nothing to compare with.
        DataError: there are too few distinct texts.
        ModelError: a model cannot be loaded or has no stack of layers.
        CacheError: the pooled states do not fit on the disk.
    """
    if not config.others:
        raise ConfigError("nothing to compare with; name another model with --with")
    texts = code_texts(config.data, config.limit, task=config.task, split=config.split, seed=config.seed)
    first = _pooled(config, config.model, texts, extractor)
    # A generator: only one other model's states are in memory at a time.
    others = (_pooled(config, name, texts, extractor) for name in config.others)
    comparisons = tuple(_compare_layers(config, first, other) for other in others)
    form = Pooling.PADDED_MEAN if config.paper else Pooling.MEAN
    return CompareResult(config.model, tuple(first.names), len(texts), form.value, comparisons)


@dataclass(frozen=True)
class _Pooled:
    """A model's pooled states: one tensor per layer, [texts, hidden]."""

    name: str
    layers: tuple[torch.Tensor, ...]
    encodings: list[list[int]]
    remarks: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return layer_names(len(self.layers) - 1)


def _pooled(config: CompareConfig, name: str, texts: list[str], extractor: LayerExtractor) -> _Pooled:
    stack, longest = prepare(load_model(name), config.max_tokens)
    declared = read_embedding_config(name)
    tokenizer = load_embedding_tokenizer(name, declared)
    encodings = encode_texts(tokenizer, texts, longest, mode_of(declared))
    padded_to = longest if config.paper else 0
    (states,) = extractor.states(
        f"layers of {name}", stack, tokenizer, [ExtractionRequest(encodings)], padded_to=padded_to
    )
    norm = stack.final_norm
    remarks = [] if norm is None else [f"{name}: the last layer's states are those before the final norm ({norm})"]
    if declared.pooling != (PoolingMode.MEAN,) or any(declared.prompts.values()):
        prompts = " and prompts" if any(declared.prompts.values()) else ""
        remarks.append(
            f"{name}: means over all tokens are compared, without prompts; its folder declares the pooling "
            f"{declared.pooling_name}{prompts}"
        )
    return _Pooled(name, states.unbind(dim=1), encodings, tuple(remarks))


def _compare_layers(config: CompareConfig, first: _Pooled, other: _Pooled) -> ModelComparison:
    remarks = list(dict.fromkeys((*first.remarks, *other.remarks)))
    if first.encodings != other.encodings:
        remarks.append("the models split texts into other tokens; only pooled states are compared")
    matrix = cka_matrix(first.layers, other.layers)
    by_layer = []
    if len(first.layers) == len(other.layers):
        for i, (layer, x, y) in enumerate(zip(first.names, first.layers, other.layers, strict=True)):
            similarity = rsa(x, y, resamples=config.resamples, seed=config.seed, diagonal=config.paper)
            by_layer.append(LayerSimilarity(layer, similarity, matrix[i][i], procrustes(x, y)))
    else:
        depths = f"{len(first.layers) - 1} and {len(other.layers) - 1} layers"
        remarks.append(f"{depths}: only the map of all layers with all is given")
    return ModelComparison(other.name, tuple(by_layer), matrix, tuple(remarks))


def write_result(result: CompareResult, folder: Path, metadata: dict[str, Any]) -> None:
    """Write `compare.json`, with metadata (settings, provenance), and `compare.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / COMPARE_FILE, metadata | asdict(result))
    with (folder / "compare.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["model", "other", "layer", "pearson", "low", "high", "spearman", "cka", "procrustes"])
        for comparison in result.comparisons:
            for entry in comparison.layers:
                similarity = entry.rsa
                rows.writerow([result.model, comparison.other, entry.layer, similarity.pearson, similarity.low,
                               similarity.high, similarity.spearman, entry.cka, entry.procrustes])  # fmt: skip
