"""What may be said of a grid of scores against base: the family of tests is the page, and verdicts make the sentences.

`python benchmarks/verdicts.py`  renews the sentences of docs/pretraining.md from the committed result of
`python benchmarks/quality.py layers`. The page of the paper's study uses the same functions.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.table import publish  # noqa: E402
from telly.freezing.variants import BASE  # noqa: E402
from telly.metrics.estimate import Resampled  # noqa: E402
from telly.metrics.significance import Difference, Verdict, differences  # noqa: E402

LAYERS = ROOT / "benchmarks" / "results" / "quality" / "layers.json"
PAGE = ROOT / "docs" / "pretraining.md"
MARGIN = 0.01
METRIC = "mrr"


@dataclass(frozen=True)
class Said:
    """What is known of one variant's metric against base.

    Attributes:
        variant: its name.
        verdict: of the corrected tests of a page.
        low: lower end of the 95% interval of the difference, as a share of base.
        high: the upper end.
    """

    variant: str
    verdict: Verdict
    low: float
    high: float


def sentences(task: str, metric: str, found: Sequence[Said]) -> str:
    """Which variants have which verdict, and for undecided ones what the intervals do not rule out."""
    parts = []
    for verdict, words in (
        (Verdict.BETTER, "better than base"),
        (Verdict.SIMILAR, f"shown to lose less than {MARGIN:.0%}"),
        (Verdict.WORSE, "worse than base"),
        (Verdict.OPEN, "not decided"),
    ):
        said = [one for one in found if one.verdict is verdict]
        names = ", ".join(one.variant for one in said)
        if len(said) == len(found):
            none = verdict is Verdict.OPEN
            parts.append(f"none of the {len(said)} K is decided" if none else f"all {len(said)} K are {words}")
        elif said:
            parts.append(f"K={names} {'is' if len(said) == 1 else 'are'} {words}")
        if said and verdict is Verdict.OPEN:
            worst, best = min(said, key=lambda one: one.low), max(said, key=lambda one: one.high)
            parts[-1] += (
                f" (95% intervals of the change from {worst.low:+.1%} at K={worst.variant} to {best.high:+.1%} at "
                f"K={best.variant})"
            )
    return f"**{task}** ({metric}): {'; '.join(parts)}."


def over_seeds(scores: Mapping[str, Sequence[float]]) -> dict[str, Difference]:
    """Every variant against base by its runs alone, on the test set as it is; the variants have the same seeds."""
    runs = {name: Resampled(tuple(range(len(found))), np.array(found), np.array([found])) for name, found in
            scores.items()}  # fmt: skip
    return differences({name: (runs[name], runs[BASE], True) for name in scores if name != BASE}, MARGIN)


def render_layers(result: dict[str, Any]) -> str:
    """What the three seeds of every K say against those of base."""
    scores: dict[str, list[float]] = {}
    for run, record in result["runs"].items():
        scores.setdefault(run.split("/")[0], []).append(record["test"][METRIC])
    base = statistics.mean(scores[BASE])
    found = [Said(name, one.verdict, one.interval.low / base, one.interval.high / base) for name, one in
             over_seeds(scores).items()]  # fmt: skip
    spread = (max(scores[BASE]) - min(scores[BASE])) / base
    return (
        f"{sentences('Code search', METRIC, found)} Base's {len(scores[BASE])} seeds differ by up to {spread:.1%}.\n\n"
        f"Paired t-tests over {len(scores[BASE])} seeds, corrected by Holm for {len(found)} K; they cover the variance "
        "of training, not the choice of queries (`python benchmarks/verdicts.py`)."
    )


def main() -> None:
    publish(LAYERS, PAGE, {"layers-verdicts": render_layers})


if __name__ == "__main__":
    main()
