"""How fast probing is: one pass of each model for everything, against one pass for each probe.

`python benchmarks/analysis.py`  all four probes of the embedded model and of random weights on the sample, 13 layers,
both modes, three seeds; then a pass of the embedded model for each probe, which gives the states of all its layers.
Writes `benchmarks/results/analysis.json` and the table of docs/analysis.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmarks.table import made_by, made_now, publish  # noqa: E402
from telly.analysis.layers import LayerExtractor, prepare  # noqa: E402
from telly.analysis.probes.table import PROBES  # noqa: E402
from telly.analysis.probing import ProbeConfig, ProbeItems, run_probes  # noqa: E402
from telly.data.sequences import SequenceTable  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.models.load import load_model, load_tokenizer  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "analysis.json"
MODELS = 2
"""The embedded one and random weights."""
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns")
    parser.add_argument(
        "--table", action="store_true", help="measure nothing; renew the page from the committed result"
    )
    options = parser.parse_args()
    if not options.table:
        write_json(RESULT, measure(options.rounds))
    publish(RESULT, ROOT / "docs" / "analysis.md", {"speed": render})


def measure(rounds: int) -> dict[str, Any]:
    config = ProbeConfig((EMBEDDED,), tuple(PROBES))
    whole, passes = [], []
    again: dict[str, list[float]] = {name: [] for name in PROBES}
    for _ in range(rounds):
        found, passed = all_probes(config)
        whole.append(found)
        passes.append(passed)
        for name, seconds in single_passes(config).items():
            again[name].append(seconds)
    return {
        **made_now(f"python benchmarks/analysis.py --rounds {rounds}"),
        "threads": torch.get_num_threads(),
        "seeds": config.seeds,
        "models": MODELS,
        "whole_seconds": whole,
        "pass_seconds": passes,
        "single_pass_seconds": again,
    }


def all_probes(config: ProbeConfig) -> tuple[float, float]:
    """Seconds of `telly probe` for everything, and those of them in which the models ran and states were written."""
    passes: list[float] = []

    @contextmanager
    def clock(_title: str, unit: str = "token") -> Iterator[Callable[[int, int], None]]:
        started = time.perf_counter()
        yield lambda _done, _total: None
        if unit == "token":
            passes.append(time.perf_counter() - started)

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run_probes(list(PROBES.values()), config, LayerExtractor(Path(folder), clock))
        return time.perf_counter() - started, sum(passes)


@torch.no_grad()
def single_passes(config: ProbeConfig) -> dict[str, float]:
    """Seconds of one pass of the model over each probe's texts, with the states of all layers and nothing stored."""
    model, longest = prepare(load_model(EMBEDDED), config.max_tokens)
    tokenizer = load_tokenizer(EMBEDDED)
    found = {}
    for name, probe in PROBES.items():
        items: ProbeItems = probe.items(config, tokenizer, longest)
        table, _ = SequenceTable.of(items.encodings)
        order = table.lengths.argsort(kind="stable")
        started = time.perf_counter()
        for at in range(0, len(order), BATCH):
            model(**table.pad(order[at : at + BATCH], tokenizer.pad_token_id), output_hidden_states=True)
        found[name] = time.perf_counter() - started
    return found


def render(result: dict[str, Any]) -> str:
    seeds, models = result["seeds"], result["models"]
    whole, once = (statistics.median(result[name]) for name in ("whole_seconds", "pass_seconds"))
    single = sum(statistics.median(seconds) for seconds in result["single_pass_seconds"].values())
    fits = whole - once
    each = models * single
    rows = [
        ("one pass per model (telly)", once, once + fits),
        (f"one pass per model and probe ({len(PROBES)} probes)", each, each + fits),
    ]
    lines = ["| | models, s | ratio | with fits, s | ratio |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {name} | {runs:,.0f} | {runs / once:.1f}x | {total:,.0f} | {total / whole:.1f}x |"
        for name, runs, total in rows
    ]
    origin = (
        f"Medians of {len(result['whole_seconds'])}; {models} models, {seeds} seeds. Passes per probe: one model "
        f"without storing states, times {models}. `{result['command']}`, {result['threads']} threads; {made_by(result)}"
    )
    return "\n".join([*lines, "", origin])


if __name__ == "__main__":
    main()
