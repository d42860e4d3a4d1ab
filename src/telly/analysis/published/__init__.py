"""The paper's results, from its appendix and its replication package. The README in this folder names the sources."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

IRREPRODUCIBLE = {("microsoft/unixcoder-base", "generate"): ("bleu",)}
"""Metrics, by model and task, that do not follow from the predictions that the paper published with them."""
IRREPRODUCIBLE_MARK = "\N{DAGGER}"
IRREPRODUCIBLE_NOTE = (
    "BLEU of UniXcoder's code generation cannot be reproduced: CodeXGLUE's evaluator, run on the 13 prediction files "
    "of the paper's replication package, gives 0.74 to 3.50 less than the published values, which are shown."
)


def similarity() -> dict[str, list[float]]:
    """RSA before and after tuning, by task: embeddings and 12 layers."""
    values: dict[str, list[float]] = _read("similarity.json")
    return values


def probing() -> list[dict[str, Any]]:
    """Probes of the pre-trained model, the one tuned for code search, and random weights."""
    rows: list[dict[str, Any]] = _read("probing.json")
    return rows


@dataclass(frozen=True)
class Published:
    """A row of the paper's Telly-K tables, with telly's names of tasks and metrics.

    Attributes:
        model: the hub's name of the model.
        task: a name in `TASKS`.
        dataset: data set that it was tuned on.
        variant: `base`, or K.
        trained_millions: trained parameters, in millions.
        epoch_seconds: time per epoch on the paper's machine.
        convergence_seconds: time up to the best epoch; if the source gives epochs, their number times `epoch_seconds`.
        metrics: metrics by their names in `telly.metrics.table.METRICS`.
        source: place of publication.
    """

    model: str
    task: str
    dataset: str
    variant: str
    trained_millions: float
    epoch_seconds: float
    convergence_seconds: float
    metrics: dict[str, float]
    source: str

    @property
    def irreproducible(self) -> tuple[str, ...]:
        """Filter `metrics` for those that do not follow from the published predictions."""
        return IRREPRODUCIBLE.get((self.model, self.task), ())


def telly_k(task: str | None = None) -> list[Published]:
    """Read base and K = 0 to 11 of every model, task and data set that the paper tuned, or of one task."""
    rows = [Published(**row) for row in _read("telly_k.json")]
    return [row for row in rows if task in (None, row.task)]


def _read(name: str) -> Any:
    return json.loads(resources.files(__name__).joinpath(name).read_text(encoding="utf-8"))
