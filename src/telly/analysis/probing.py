"""Probes: which properties of code the states of every layer encode (the paper's RQ1).

Every model runs once over the texts of all probes; what they need of all layers' states is cached, and every probe,
layer, mode, seed and control reads from there. Baselines are the first model's architecture with random weights, a
bag of tokens (fixed random embeddings of the tokens in place of states, through the same probe), and the most frequent
answer.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from telly.analysis import PROBING_FILE
from telly.analysis.fitting import Fitter, Metrics, Split
from telly.analysis.layers import ExtractionRequest, LayerExtractor, layer_names, prepare
from telly.analysis.probes.skipped import SkippedTexts
from telly.disk import write_json
from telly.metrics.estimate import student_quantile
from telly.models.embedding_folder import load_embedding_tokenizer, read_embedding_config
from telly.models.load import load_config, load_model, model_from_config

RANDOM_WEIGHTS = "random weights"


@dataclass(frozen=True)
class ProbeItems:
    """A probe's data for one tokenizer.

    Attributes:
        encodings: token ids of every text.
        token_positions: for probes of tokens, positions in every text; None for probes of whole texts.
        fitter: fitter with the labels of the items: the picked tokens in order, or the texts.
        skipped: texts that could not be used, and why.
    """

    encodings: list[list[int]]
    token_positions: list[list[int]] | None
    fitter: Fitter
    skipped: tuple[SkippedTexts, ...]


@dataclass(frozen=True)
class Probe:
    """A probe: its data and its metric.

    Attributes:
        name: its name.
        metric: the main metric.
        items: function that makes the data from settings, tokenizer and maximum number of tokens.
    """

    name: str
    metric: str
    items: Callable[[ProbeConfig, Any, int], ProbeItems]


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of probing.

    Attributes:
        models: folders, hub ids or embedded models; a run's folder stands for its tuned model.
        probes: names of the probes.
        data: file, folder or hub data set with the texts; None means the embedded sample.
        language: language of the code.
        limit: maximum number of texts per probe.
        max_tokens: maximum number of tokens per text; longer texts are truncated.
        seeds: number of fits per probe, each with another split.
        hard: draw negatives of the syntactic probe from ASTs of similar size.
        tokens_per_text: maximum number of tokens per text for the lexical probe.
    """

    models: tuple[str, ...]
    probes: tuple[str, ...]
    data: str | None = None
    language: str = "python"
    limit: int = 1000
    max_tokens: int = 256
    seeds: int = 3
    hard: bool = False
    tokens_per_text: int = 16


@dataclass(frozen=True)
class Spread:
    """Mean over seeds with its 95 % interval by Student's t, clipped to [0, 1], the range of all scores."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Compute the spread of one value per seed; a single seed gives no interval."""
        mean = statistics.mean(values)
        if len(values) < 2:
            return cls(mean, mean, mean)
        half = student_quantile(0.05, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
        return cls(mean, max(0.0, mean - half), min(1.0, mean + half))


@dataclass(frozen=True)
class LayerScore:
    """Scores of one layer, or of one baseline.

    Attributes:
        layer: its name.
        metrics: metrics by name, over the seeds.
        control: the main metric on the control task, with shuffled labels; None for the most frequent answer.
    """

    layer: str
    metrics: dict[str, Spread]
    control: Spread | None


@dataclass(frozen=True)
class ModelScore:
    """Scores of a probe on one model.

    Attributes:
        model: its name, or `random weights`.
        layers: scores of every layer alone.
        weighted: metrics of all layers mixed.
        weights: mean weight of every layer in the mix, over the seeds.
        above_baselines: whether the best layer's interval is above the mean of every baseline.
    """

    model: str
    layers: tuple[LayerScore, ...]
    weighted: dict[str, Spread]
    weights: tuple[float, ...]
    above_baselines: bool


@dataclass(frozen=True)
class ProbeResult:
    """Scores of one probe on all models.

    Attributes:
        probe: its name.
        metric: the main metric.
        texts: number of texts used.
        items: number of labelled items: tokens, texts or pairs.
        skipped: texts that could not be used, and why.
        models: scores by model, random weights last.
        baselines: the most frequent answer, and the bag of tokens.
    """

    probe: str
    metric: str
    texts: int
    items: int
    skipped: tuple[SkippedTexts, ...]
    models: tuple[ModelScore, ...]
    baselines: tuple[LayerScore, ...]


def run_probes(probes: Sequence[Probe], config: ProbeConfig, extractor: LayerExtractor) -> list[ProbeResult]:
    """Fit probes on every model of the settings, on random weights, and on the baselines.

    Raises:
        DataError: a probe has fewer than 50 usable texts.
        ModelError: a model cannot be loaded or has no stack of layers.
        CacheError: the states do not fit on the disk.
    """
    first_items: list[ProbeItems] = []
    hidden = 0
    measured: list[list[tuple[str, _Fits]]] = [[] for _ in probes]
    for name in (*config.models, RANDOM_WEIGHTS):
        source = config.models[0] if name == RANDOM_WEIGHTS else name
        stack, longest = prepare(_model(name, source), config.max_tokens)
        tokenizer = load_embedding_tokenizer(source, read_embedding_config(source))
        # Random weights use the first model's tokenizer, so the items are the same.
        same = bool(first_items) and source == config.models[0]
        items = first_items if same else [probe.items(config, tokenizer, longest) for probe in probes]
        requests = [ExtractionRequest(entry.encodings, entry.token_positions) for entry in items]
        with extractor.bar(f"probes of {name}", "probe") as progress:
            for i, states in enumerate(extractor.states(f"layers of {name}", stack, tokenizer, requests)):
                measured[i].append((name, _Fits.of(items[i].fitter, states, config.seeds)))
                hidden = hidden or states.shape[-1]
                if progress is not None:
                    progress(i + 1, len(probes))
        first_items = first_items or items
    return [_result(probe, first_items[i], measured[i], config.seeds, hidden) for i, probe in enumerate(probes)]


def _result(probe: Probe, items: ProbeItems, measured: list[tuple[str, _Fits]], seeds: int, hidden: int) -> ProbeResult:
    bag = _Fits.of(items.fitter, bag_of_tokens(items, hidden), seeds, weighted=False)
    majority = [items.fitter.majority(Split.of(items.fitter.groups, seed)) for seed in range(seeds)]
    baselines = (
        LayerScore("most frequent", _spreads(majority), None),
        *bag.scores(["bag of tokens"], probe.metric),
    )
    return ProbeResult(
        probe.name,
        probe.metric,
        len(items.encodings),
        len(items.fitter.groups),
        items.skipped,
        _model_scores(measured, baselines, probe.metric),
        baselines,
    )


@dataclass(frozen=True)
class _Fits:
    """Results of fitting with every seed: metrics by layer, metrics of the control task, and of the layer mix."""

    layerwise: list[list[Metrics]]
    control: list[list[Metrics]]
    weighted: list[tuple[Metrics, list[float]]]

    @classmethod
    def of(cls, fitter: Fitter, states: torch.Tensor, seeds: int, *, weighted: bool = True) -> _Fits:
        plain, control, mixed = [], [], []
        for seed in range(seeds):
            split = Split.of(fitter.groups, seed)
            plain.append(fitter.layerwise(states, split, seed, control=False))
            control.append(fitter.layerwise(states, split, seed, control=True))
            if weighted:
                mixed.append(fitter.weighted(states, split, seed))
        return cls(plain, control, mixed)

    def scores(self, names: list[str], metric: str) -> list[LayerScore]:
        return [
            LayerScore(
                name,
                _spreads([seed[i] for seed in self.layerwise]),
                Spread.of([seed[i][metric] for seed in self.control]),
            )
            for i, name in enumerate(names)
        ]


def _model_scores(
    measured: list[tuple[str, _Fits]], baselines: tuple[LayerScore, ...], metric: str
) -> tuple[ModelScore, ...]:
    scored = {name: (fits.scores(layer_names(len(fits.layerwise[0]) - 1), metric), fits) for name, fits in measured}
    to_beat = [baseline.metrics[metric].mean for baseline in baselines]
    to_beat += [layer.metrics[metric].mean for layer in scored[RANDOM_WEIGHTS][0]]
    return tuple(
        ModelScore(
            name,
            tuple(layers),
            _spreads([metrics for metrics, _ in fits.weighted]),
            tuple(np.mean([weights for _, weights in fits.weighted], axis=0).tolist()),
            name != RANDOM_WEIGHTS and max(layer.metrics[metric].low for layer in layers) > max(to_beat),
        )
        for name, (layers, fits) in scored.items()
    )


def bag_of_tokens(items: ProbeItems, hidden: int) -> torch.Tensor:
    """Baseline states: fixed random embeddings of the tokens, or their mean over a text.

    Returns:
        [items, 1, hidden].
    """
    vocabulary = 1 + max(max(ids) for ids in items.encodings)
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(vocabulary, hidden, generator=generator)
    if items.token_positions is None:
        return torch.stack([embeddings[ids].mean(dim=0) for ids in items.encodings])[:, None]
    picked = [
        ids[position]
        for ids, positions in zip(items.encodings, items.token_positions, strict=True)
        for position in positions
    ]
    return embeddings[picked][:, None]


def _model(name: str, source: str) -> nn.Module:
    if name != RANDOM_WEIGHTS:
        return load_model(source)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return model_from_config(load_config(source), device="cpu")


def _spreads(by_seed: list[Metrics]) -> dict[str, Spread]:
    return {name: Spread.of([metrics[name] for metrics in by_seed]) for name in by_seed[0]}


def write_results(results: Sequence[ProbeResult], folder: Path, metadata: dict[str, Any]) -> None:
    """Write `probing.json`, with metadata (settings, provenance), and `probing.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / PROBING_FILE, metadata | {"probes": [asdict(result) for result in results]})
    with (folder / "probing.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["probe", "model", "mode", "layer", "metric", "mean", "low", "high", "weight", "control"])
        for result in results:
            for model in result.models:
                for layer, weight in zip(model.layers, model.weights, strict=True):
                    control = None if layer.control is None else layer.control.mean
                    for metric, s in layer.metrics.items():
                        shown = control if metric == result.metric else None
                        rows.writerow([result.probe, model.model, "layer", layer.layer, metric, s.mean, s.low, s.high,
                                       weight, shown])  # fmt: skip
                for metric, s in model.weighted.items():
                    rows.writerow(
                        [result.probe, model.model, "mixed", "all", metric, s.mean, s.low, s.high, None, None]
                    )
            for baseline in result.baselines:
                for metric, s in baseline.metrics.items():
                    rows.writerow([result.probe, baseline.layer, "baseline", None, metric, s.mean, s.low, s.high, None,
                                   None])  # fmt: skip
