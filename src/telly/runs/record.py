"""The run record: one JSON file with everything needed to trust a run or to redo it."""

from __future__ import annotations

import datetime as dt
import json
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from telly.disk import write_json
from telly.errors import DataError
from telly.freezing.variants import Method, Variant
from telly.runs.folder import RunFolder
from telly.runs.provenance import provenance
from telly.settings.renamed import current_names

RECORD_FORMAT = 1
BASELINES_VERSION = 2
"""Raised whenever a baseline's computation changes, so that scores of another version are not taken over. 2: BM25
leaves out stop words and knows the words of any script."""
Status = Literal["running", "finished", "failed", "interrupted"]


@dataclass
class RunRecord:
    """What a run was and what came of it. What is not known is None and shown as a dash.

    Attributes:
        status: only `finished` means that the results are those of the whole run.
        full_disk: whether it failed because no more could be written.
        model: its name, parameters, and digests of the weights it started from: of all, and of embeddings and layers
            alone, which do not change with the seed as a new pooler does.
        clocks: seconds by name; they sum to `wall_seconds` (see `docs/measuring.md`).
        sessions: clocks and wall time of earlier, interrupted sessions of the same run.
        epochs: by epoch: its training seconds, training loss and validation metrics.
        test: test metrics of the best epoch's weights.
        tested_on: the split they are of; `valid` where there was no test data, and then they flatter.
        cautions: what the data made a reader should know, in sentences.
        scores: the file beside the record with the test scores of every example (`metrics/kept.py`); None where none
            are kept.
        baselines: test metrics of methods without a trained model, by name.
        baselines_version: the version of their computation.
        advice: how K was chosen, where the run was to choose it itself.
    """

    config: dict[str, Any]
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    format: int = RECORD_FORMAT
    status: Status = "running"
    error: str | None = None
    full_disk: bool = False
    started: str = field(default_factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    provenance: dict[str, Any] = field(default_factory=provenance)
    device: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    clocks: dict[str, float] = field(default_factory=dict)
    wall_seconds: float | None = None
    store_wait_seconds: float | None = None
    sessions: list[dict[str, Any]] = field(default_factory=list)
    resumed_from_step: int | None = None
    peak_memory_bytes: int | None = None
    peak_memory_train_bytes: int | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    best_epoch: int | None = None
    metric: str | None = None
    test: dict[str, float] | None = None
    tested_on: str | None = None
    scores: str | None = None
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    baselines_version: int = BASELINES_VERSION
    advice: dict[str, Any] | None = None

    @property
    def method(self) -> Method:
        """What was trained of the layers that were not frozen."""
        return Method(self.config.get("method") or Method.FULL)

    @property
    def is_base(self) -> bool:
        """Whether everything was trained: what others are compared with."""
        return self.plan.get("k") is None and self.method is Method.FULL

    @property
    def variant(self) -> str:
        """`base`, `K=9 cached`, `K=9 frozen`, `lora` or `K=9 cached, lora`."""
        return str(Variant(self.plan.get("k"), self.method, bool(self.cache.get("used"))))

    @property
    def epoch_seconds(self) -> float | None:
        """Median training seconds of an epoch, evaluation and saving not included."""
        seconds: list[float] = sorted(epoch["seconds"] for epoch in self.epochs)
        if not seconds:
            return None
        middle = len(seconds) // 2
        return seconds[middle] if len(seconds) % 2 else (seconds[middle - 1] + seconds[middle]) / 2

    @property
    def convergence_seconds(self) -> float | None:
        """Training seconds up to the end of the best epoch."""
        if self.best_epoch is None:
            return None
        return float(sum(epoch["seconds"] for epoch in self.epochs if epoch["epoch"] <= self.best_epoch))

    @property
    def total_seconds(self) -> float | None:
        """Wall time of all sessions together."""
        if self.wall_seconds is None:
            return None
        return self.wall_seconds + sum(session.get("wall_seconds") or 0.0 for session in self.sessions)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return asdict(self)

    @classmethod
    def read(cls, file: Path) -> RunRecord:
        """Read a run's record, see `parse`.

        Raises:
            DataError: the file cannot be read, is not a record, or has a format that this version does not know.
        """
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(_unreadable(file, error)) from None
        return cls.parse(text, file)

    @classmethod
    def parse(cls, text: str | bytes, origin: Path | str) -> RunRecord:
        """Make a record from its JSON. What an older record does not have keeps its default.

        Args:
            text: the JSON.
            origin: where it is from, for errors.

        Raises:
            DataError: it is not a record, or has a format that this version does not know.
        """
        try:
            found = json.loads(text)
        except ValueError as error:
            raise DataError(_unreadable(origin, error)) from None
        if not isinstance(found, dict) or not isinstance(found.get("config"), dict) or "status" not in found:
            raise DataError(
                f"{origin}: expected the record of a run with `config` and `status`; found another JSON file"
            )
        if found.get("format") != RECORD_FORMAT:
            raise DataError(f"{origin}: record of format {found.get('format')!r}, this version reads {RECORD_FORMAT}")
        known: dict[str, Any] = {one.name: found[one.name] for one in fields(cls) if one.name in found}
        return cls(**{"baselines_version": 1} | known | {"config": current_names(found["config"])})

    def save(self, folder: Path) -> None:
        """Write the record into a run's folder."""
        write_json(RunFolder(folder).record, self.to_dict() | {"epoch_seconds": self.epoch_seconds})


def _unreadable(origin: Path | str, error: Exception) -> str:
    return f"{origin}: cannot be read as a run's record ({error}); run it again or remove it"
