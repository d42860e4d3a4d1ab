"""How often the verdicts of `telly report` are wrong, by simulation: methods whose true difference is known.

`python benchmarks/error_rates.py`  simulates 1,000 comparisons of every kind (some minutes), writes
`benchmarks/results/error-rates.json` and renews the table of docs/metrics.md; `--table` only renews it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.table import made_now, publish, told  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.metrics.estimate import Estimate, difference_of  # noqa: E402
from telly.metrics.interval import mean_statistic  # noqa: E402
from telly.metrics.significance import LEVEL, Runs, bootstrap_runs  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "error-rates.json"
PAGE = ROOT / "docs" / "metrics.md"
EXAMPLES, RESAMPLES = 300, 1000
SEEDS = (1, 2, 3, 5)
TRAINING = (0.0, 0.5, 2.0, 4.0)
"""Variance that training gives the difference of two runs, of that which the choice of test examples gives."""
SPREAD = 0.3
"""Standard deviation of a score over examples."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000, help="comparisons of every kind")
    parser.add_argument("--table", action="store_true", help="simulate nothing; renew the page from the result")
    options = parser.parse_args()
    if not options.table:
        write_json(RESULT, simulate(options.simulations))
    publish(RESULT, PAGE, {"error-rates": render})


def simulate(simulations: int) -> dict[str, Any]:
    """Rates of wrong verdicts by the variance of training and the number of seeds."""
    found = []
    for training in TRAINING:
        for seeds in SEEDS:
            rng = np.random.default_rng([int(10 * training), seeds])
            different = similar = 0
            for number in range(simulations):
                estimate = compare(rng, seeds, training, number)
                different += estimate.p() < LEVEL
                similar += estimate.p_above(0.0) < LEVEL  # as if a loss of just the margin were moved to 0
            found.append({"training": training, "seeds": seeds, "different": different / simulations,
                          "similar": similar / simulations})  # fmt: skip
            print(found[-1], flush=True)
    return {
        **made_now(f"python benchmarks/error_rates.py --simulations {simulations}"),
        "simulations": simulations,
        "examples": EXAMPLES,
        "rates": found,
    }


def compare(rng: np.random.Generator, seeds: int, training: float, number: int) -> Estimate:
    """The estimated difference of two methods that are equal on average over examples and runs.

    Examples are hard or easy for both methods. Half of the variance of a difference over examples belongs to the
    methods, the other half to the single runs.
    """
    hard = rng.normal(1, SPREAD, EXAMPLES)
    shift = SPREAD * (training / EXAMPLES) ** 0.5
    runs: dict[str, Runs] = {}
    for method in ("system", "base"):
        level = hard + rng.normal(0, SPREAD / 2**0.5, EXAMPLES)
        runs[method] = {
            seed: {"m": mean_statistic(level + rng.normal(0, shift) + rng.normal(0, SPREAD / 2**0.5, EXAMPLES))}
            for seed in range(seeds)
        }
    found = bootstrap_runs(runs, RESAMPLES, seed=number)
    return difference_of(found["system", "m"], found["base", "m"])


def render(result: dict[str, Any]) -> str:
    """One row per variance of training, one column per number of seeds."""
    seeds = list(dict.fromkeys(rate["seeds"] for rate in result["rates"]))
    heads = [f"{count} seed{'s' if count > 1 else ''}" for count in seeds]
    lines = [f"| variance of training / of examples | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for training in dict.fromkeys(rate["training"] for rate in result["rates"]):
        cells = [f"{rate['different']:.1%}, {rate['similar']:.1%}" for rate in result["rates"]
                 if rate["training"] == training]  # fmt: skip
        lines.append(f"| {training:g} | {' | '.join(cells)} |")
    text = (
        f"Percentage of {result['simulations']:,} simulated comparisons (on {result['examples']} examples) that call "
        "equal methods different (nominally 5%), and that call a loss of exactly the margin similar or better "
        "(nominally 2.5%)."
    )
    return told(lines, text, result)


if __name__ == "__main__":
    main()
