"""Runs written by hand: two tasks, base and several K, three seeds, a failed run, a probe and a comparison."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from telly.metrics.bleu import bleu_statistics
from telly.metrics.interval import Floats, mean_statistic
from telly.metrics.per_example import statistic_from_rows, write_per_example
from telly.runs.folder import SCORES_FILE
from telly.training.clocks import CLOCKS

QUERIES = 400
SEEDS = (0, 1, 2)
SEARCH = {"base": (0.0, 60.0), "6-frozen": (0.01, 36.0), "9": (-0.002, 9.0), "11": (-0.09, 3.0)}
"""By variant: how much better a query is found than with base, and seconds of an epoch."""
GENERATE = {"base": (0.0, 90.0), "9": (-0.03, 22.0)}
BASE_PARAMETERS = 7_778_688
PER_LAYER = 444_864


PEFT_METHODS = {"lora": 147_456, "bitfit": 26_112}
"""Trained parameters of the peers where no layer is frozen as a whole."""


def variant_of(name: str) -> tuple[int | None, bool, str]:
    """K, whether the store is used, and what is trained of the other layers."""
    if name == "head-only":
        return 12, True, name
    first, _, rest = name.partition("-")
    if not first.isdecimal():
        return None, False, "full" if name == "base" else name
    return int(first), rest != "frozen", rest if rest in PEFT_METHODS else "full"


def record(task: str, name: str, seed: int, seconds: float, test: Mapping[str, float], metric: str) -> dict[str, Any]:
    """A finished run's record."""
    k, cached, method = variant_of(name)
    trained = BASE_PARAMETERS if k is None else (12 - k) * PER_LAYER
    if method in PEFT_METHODS:
        trained = PEFT_METHODS[method] * (12 - (k or 0)) // 12
    clocks = dict.fromkeys(CLOCKS, 0.4) | {"train": 3 * seconds, "evaluate": 12.0, "prefix": 14.0 if cached else 0.5}
    value = test[metric]
    epochs = [
        {"epoch": i, "step": 40 * i, "seconds": seconds, "train_loss": 1 / i,
         "valid": {metric: value * (0.9 + 0.04 * min(i, 2) - 0.01 * (i == 3))}} for i in (1, 2, 3)
    ]  # fmt: skip
    config = {"task": task, "model": "telly-mini", "data": None, "valid": None, "test": None, "columns": {},
              "limit": None, "eval_limit": None, "freeze": "base" if k in (None, 12) else str(k), "cache": cached,
              "cache_dtype": "bf16", "learning_rate": 2e-4, "epochs": 3, "batch_size": 32, "seed": seed,
              "metric": metric, "output": f"runs/{task}-{name}-{seed}"}  # fmt: skip
    if method != "full":  # as older records have it, the others do not say that all weights are trained
        config |= {"method": method, "learning_rate": 2e-3, "lora_rank": 8 if method == "lora" else None}
    data = {part: {"examples": count, "distinct_sequences": count, "tokens": 99 * count, "fingerprint": f"{part}{task}"}
            for part, count in (("train", 4000), ("valid", 200), ("test", QUERIES))}  # fmt: skip
    versions = {"telly": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.7"}
    return {
        "config": config,
        "command": ["/usr/bin/telly", "tune", task, "--freeze", config["freeze"], "--seed", str(seed)],
        "format": 1,
        "status": "finished",
        "error": None,
        "started": f"2026-11-2{seed}T10:00:00+00:00",
        "provenance": {"versions": versions, "commit": "0123456789abcdef", "dirty": False, "processor": "Two Cores",
                       "cpus": 2},
        "device": {"type": "cpu", "threads": 2, "processes": 1},
        "data": data,
        "model": {"name": "telly-mini", "fingerprint": f"with a new pooler {seed}", "layers_fingerprint": "f00d",
                  "parameters": BASE_PARAMETERS},
        "plan": {"variant": config["freeze"], "k": k, "trainable": trained, "total": BASE_PARAMETERS},
        "cache": {"used": cached},
        "clocks": clocks,
        "wall_seconds": sum(clocks.values()),
        "store_wait_seconds": 0.1 if cached else None,
        "sessions": [],
        "peak_memory_bytes": 900_000_000 + trained * 16,
        "epochs": epochs,
        "best_epoch": 2,
        "metric": metric,
        "test": dict(test),
        "tested_on": "test",
        "scores": SCORES_FILE,
        "baselines": {"untuned": {name: 0.8 * value for name, value in test.items()}},
    }  # fmt: skip


def write_run(folder: Path, content: dict[str, Any], scores: Mapping[str, Floats] | None = None) -> Path:
    """A run's folder with its record and scores."""
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")
    if scores:
        write_per_example(folder / SCORES_FILE, scores)
    return folder


def search_scores(better: float, seed: int) -> dict[str, Floats]:
    """Reciprocal ranks and hits; the same queries are hard for every system."""
    hardness = np.random.default_rng(7).normal(0.6, 1.0, QUERIES)
    own = np.random.default_rng([seed, int(1000 * (better + 1))]).normal(0, 0.02, QUERIES)
    ranks = np.floor(np.exp(np.clip(hardness - 2 * better + own, 0, 5)))
    statistics = {"mrr": mean_statistic(1 / ranks)}
    statistics |= {f"recall@{k}": mean_statistic((ranks <= k).astype(float)) for k in (1, 5, 10)}
    return {name: statistic.rows for name, statistic in statistics.items()}


def generate_scores(better: float, seed: int) -> dict[str, Floats]:
    """Corpus BLEU and exact match of made-up answers, in which a share of words is wrong."""
    rng, words = np.random.default_rng(seed), [f"w{i}" for i in range(40)]
    references = [" ".join(np.random.default_rng(i).choice(words, 12)) for i in range(150)]
    given = [" ".join(w if rng.random() > 0.12 - better / 2 else "x" for w in r.split()) for r in references]
    exact = mean_statistic(np.array([100.0 * (g == r) for g, r in zip(given, references, strict=True)]))
    return {"bleu": bleu_statistics(given, references), "exact_match": exact.rows}


def values_of_rows(scores: Mapping[str, Floats]) -> dict[str, float]:
    """The metrics that the rows give."""
    return {name: statistic_from_rows(name, rows).value for name, rows in scores.items()}


def write_all(folder: Path) -> Path:
    """All runs, a failed one, one that is still running, a probe and a comparison; returns the folder."""
    for task, variants, scorer, metric in (
        ("search", SEARCH, search_scores, "mrr"),
        ("generate", GENERATE, generate_scores, "bleu"),
    ):
        for name, (better, seconds) in variants.items():
            for seed in SEEDS:
                scores = scorer(better, seed)
                content = record(task, name, seed, seconds * (1 + seed / 50), values_of_rows(scores), metric)
                write_run(folder / f"{task}-{name}-s{seed}", content, scores)
    failed = record("search", "9", 3, 9.0, {"mrr": 0.99}, "mrr")
    failed |= {"status": "failed", "error": "TrainingError: loss is nan at step 7", "test": None, "scores": None}
    write_run(folder / "search-9-s3", failed)
    running = failed | {"status": "running", "error": None}
    write_run(folder / "search-9-s4", running)
    write_analyses(folder)
    return folder


def write_analyses(folder: Path) -> None:
    """What `telly probe` and `telly compare` leave, for a model of four layers."""
    layers = ["emb", "1", "2", "3", "4"]
    models = [_probed("telly-mini", layers, 0.9, True), _probed("random weights", layers, 0.6, False)]
    baselines = [{"layer": name, "metrics": {"accuracy": _spread(value)}, "control": None}
                 for name, value in (("most frequent", 0.5), ("bag of tokens", 0.7))]  # fmt: skip
    probe = {"probe": "lexical", "metric": "accuracy", "texts": 100, "items": 900, "skipped": [], "models": models,
             "baselines": baselines}  # fmt: skip
    settings = {"models": ["telly-mini"], "probes": ["lexical"], "data": None, "limit": 100, "hard": True}
    (folder / "probing").mkdir()
    (folder / "probing" / "probing.json").write_text(json.dumps({"settings": settings, "probes": [probe]}))
    rsa = [{"layer": name, "rsa": {"pearson": 1 - i / 20, "spearman": 0.9, "low": 0.98 - i / 20, "high": 1.0},
            "cka": 0.95, "procrustes": 0.1 * i} for i, name in enumerate(layers)]  # fmt: skip
    matrix = [[1 - abs(i - j) / 5 for i in range(5)] for j in range(5)]
    compared = {"other": "runs/search-base-s0", "layers": rsa, "matrix": matrix, "remarks": ["a remark"]}
    settings = {"model": "telly-mini", "others": ["runs/search-base-s0"], "resamples": 200}
    content = {"settings": settings, "model": "telly-mini", "names": layers, "texts": 100, "form": "mean",
               "comparisons": [compared]}  # fmt: skip
    (folder / "comparison").mkdir()
    (folder / "comparison" / "compare.json").write_text(json.dumps(content))


def _spread(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}


def _probed(name: str, layers: list[str], best: float, above: bool) -> dict[str, Any]:
    scored = [{"layer": layer, "metrics": {"accuracy": _spread(best - 0.05 * abs(i - 2))}, "control": _spread(0.3)}
              for i, layer in enumerate(layers)]  # fmt: skip
    weights = [0.1, 0.2, 0.4, 0.2, 0.1]
    return {"model": name, "layers": scored, "weighted": {"accuracy": _spread(best)}, "weights": weights,
            "above_baselines": above}  # fmt: skip
