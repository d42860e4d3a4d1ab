"""The run record: one JSON file with everything needed to check or repeat a run. Needs no torch."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from telly.disk import write_json
from telly.errors import DataError
from telly.freezing.variants import Method, Variant
from telly.runs.folder import RunFolder
from telly.runs.parts import (
    AdviceInfo,
    CacheReport,
    DeviceInfo,
    EmbeddingInfo,
    EpochInfo,
    ModelInfo,
    PlanInfo,
    RecordedConfig,
    Session,
    SplitInfo,
    TeacherInfo,
    UntunedComparison,
)
from telly.runs.provenance import Provenance, current_provenance
from telly.settings.renamed import current_names

RECORD_FORMAT = 2
"""Version of the file's format. Format 2 has `method`, `data_warnings`, `cache_wait_seconds` and `caches` in place of
format 1's `top`, `cautions`, `store_wait_seconds` and `stores`; both are read."""
BASELINES_VERSION = 3
"""Version of the computation of baselines, raised with every change, so that scores of another version are not reused.
In version 2 BM25 leaves out stop words and tokenizes words of any script; version 3 has more metrics of rankings."""
Status = Literal["running", "finished", "failed", "interrupted"]


class RecordFormatError(DataError):
    """The record was written in a format that this version of telly does not know."""


@dataclass
class RunRecord:
    """Settings and results of a run. Values that are not known (yet) are None or empty.

    Attributes:
        config: the resolved settings.
        command: the command line.
        format: version of the file's format.
        status: state of the run; only `finished` means that the results are those of the whole run.
        error: reason for which the run failed or was interrupted.
        full_disk: true if it failed because the disk was full.
        started: UTC time in ISO format.
        provenance: versions, commit and machine.
        device: device and processes.
        data: size and identity of the data by split.
        model: the model that the run started from.
        teacher: the model that training was directed towards; None without one.
        embedding: how texts are embedded; None for a task that generates text. Records of earlier versions have None,
            and their embeddings are the mean of all tokens, without prompts and compared by cosine.
        plan: summary of the freeze plan.
        cache: use of activation caches.
        clocks: seconds by clock; they sum to `wall_seconds` (see `docs/measuring.md`).
        wall_seconds: seconds from start to end of the last session.
        cache_wait_seconds: seconds for which training waited for cached states.
        sessions: earlier, interrupted sessions of the same run.
        resumed_from_step: step of the checkpoint from which the last session continued.
        peak_memory_bytes: peak memory of the whole run.
        peak_memory_train_bytes: peak memory of training.
        epochs: results of every epoch.
        data_warnings: warnings about the data and the model, in sentences.
        best_epoch: epoch with the best validation metric; its weights were saved.
        metric: the metric by which the best epoch was chosen.
        test: test metrics of the best epoch's weights.
        test_truncated: the same of the first dimensions of the embeddings alone, by their number (Matryoshka).
        tested_on: split of the test metrics: `test`, or `valid` if there was no test data.
        scores: name of the file with per-example test statistics (`telly.metrics.per_example`); None if there is none.
        verdict: comparison of the tuned model with the untuned one; None if there is none (yet).
        baselines: test metrics of methods without a trained model, by name.
        baselines_version: version of the computation of `baselines`.
        advice: the choice of K, with `freeze = auto`.
    """

    config: RecordedConfig
    command: list[str] = field(default_factory=lambda: list(sys.argv))
    format: int = RECORD_FORMAT
    status: Status = "running"
    error: str | None = None
    full_disk: bool = False
    started: str = field(default_factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    provenance: Provenance = field(default_factory=current_provenance)
    device: DeviceInfo | None = None
    data: dict[str, SplitInfo] = field(default_factory=dict)
    model: ModelInfo | None = None
    teacher: TeacherInfo | None = None
    embedding: EmbeddingInfo | None = None
    plan: PlanInfo | None = None
    cache: CacheReport | None = None
    clocks: dict[str, float] = field(default_factory=dict)
    wall_seconds: float | None = None
    cache_wait_seconds: float | None = None
    sessions: list[Session] = field(default_factory=list)
    resumed_from_step: int | None = None
    peak_memory_bytes: int | None = None
    peak_memory_train_bytes: int | None = None
    epochs: list[EpochInfo] = field(default_factory=list)
    data_warnings: list[str] = field(default_factory=list)
    best_epoch: int | None = None
    metric: str | None = None
    test: dict[str, float] | None = None
    test_truncated: dict[int, dict[str, float]] = field(default_factory=dict)
    tested_on: str | None = None
    scores: str | None = None
    verdict: UntunedComparison | None = None
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    baselines_version: int = BASELINES_VERSION
    advice: AdviceInfo | None = None

    @property
    def k(self) -> int | None:
        """K, or None if no layer is frozen as a whole."""
        return None if self.plan is None else self.plan.k

    @property
    def trainable(self) -> int | None:
        """Number of trained parameters."""
        return None if self.plan is None else self.plan.trainable

    @property
    def method(self) -> Method:
        """Tuning method of the layers that were not frozen."""
        return self.config.method

    @property
    def is_base(self) -> bool:
        """True if everything was trained: the reference of comparisons."""
        return self.k is None and self.method is Method.FULL

    @property
    def uses_cache(self) -> bool:
        """True if batches came from activation caches."""
        return self.cache is not None and self.cache.used

    @property
    def variant(self) -> str:
        """`base`, `K=9 cached`, `K=9 frozen`, `lora` or `K=9 cached, lora`."""
        return str(Variant(self.k, self.method, self.uses_cache))

    @property
    def tested_split(self) -> SplitInfo | None:
        """Size and identity of the split that `test` was measured on."""
        return self.data.get(self.tested_on or "")

    @property
    def epoch_seconds(self) -> float | None:
        """Median training seconds of an epoch, evaluation and saving not included."""
        return statistics.median(epoch.seconds for epoch in self.epochs) if self.epochs else None

    @property
    def convergence_seconds(self) -> float | None:
        """Training seconds up to the end of the best epoch."""
        if self.best_epoch is None:
            return None
        return float(sum(epoch.seconds for epoch in self.epochs if epoch.epoch <= self.best_epoch))

    @property
    def total_seconds(self) -> float | None:
        """Wall time of all sessions together."""
        if self.wall_seconds is None:
            return None
        return self.wall_seconds + sum(session.wall_seconds or 0.0 for session in self.sessions)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        verdict = self.verdict and asdict(self.verdict) | {"sentence": self.verdict.sentence}
        return asdict(self) | {"config": dict(self.config.values), "verdict": verdict}

    @classmethod
    def read(cls, file: Path) -> RunRecord:
        """Read a run's record, see `parse`.

        Raises:
            DataError: the file cannot be read, is not a record, or has a format that this version does not know.
        """
        try:
            text = file.read_bytes()
        except OSError as error:
            raise DataError(_unreadable(file, error)) from None
        return cls.parse(text, file)

    @classmethod
    def parse(cls, text: str | bytes, origin: Path | str) -> RunRecord:
        """Make a record from its JSON. Unknown keys are ignored; what an older record does not have keeps its default.

        Args:
            text: JSON of the record.
            origin: file or URL of the JSON, for errors.

        Raises:
            RecordFormatError: it has a format that this version does not know.
            DataError: it is not a record.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise DataError(_unreadable(origin, error)) from None
        if not isinstance(content, dict) or not isinstance(content.get("config"), dict) or "status" not in content:
            raise DataError(
                f"{origin}: expected the record of a run with `config` and `status`; found another JSON file"
            )
        read = _READERS.get(str(content.get("format")))
        if read is None:
            raise RecordFormatError(
                f"{origin}: record of format {content.get('format')!r}, this version reads {' and '.join(_READERS)}; "
                "read it with the version of telly that wrote it, or run it again"
            )
        try:
            values = read(content)
            return _adapter().validate_python(values | {"config": RecordedConfig.from_values(values["config"])})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{origin}: {where}: {first['msg']} (found {str(first['input'])[:80]!r}); run it again or remove it"
            ) from None

    def save(self, folder: Path) -> None:
        """Write the record into a run's folder."""
        write_json(RunFolder(folder).record, self.to_dict() | {"epoch_seconds": self.epoch_seconds})


def _from_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """A record of format 1 in the keys of format 2."""
    values: dict[str, Any] = _renamed(
        content, {"cautions": "data_warnings", "store_wait_seconds": "cache_wait_seconds"}
    )
    values["config"] = current_names(content["config"])
    for name in ("device", "model", "plan", "cache"):
        values[name] = values.get(name) or None  # format 1 had an empty object until the value was known
    values["cache"] = report = _renamed(values["cache"], {"stores": "caches"})
    if isinstance(report, dict) and isinstance(report.get("caches"), dict):
        builds = report["caches"].items()
        report["caches"] = {split: _renamed(build, {"stored_rows": "cached_rows"}) for split, build in builds}
    return {"baselines_version": 1} | values | {"format": RECORD_FORMAT}


def _renamed(values: Any, names: dict[str, str]) -> Any:
    """A JSON object with renamed keys; other JSON values are left to validation."""
    if not isinstance(values, dict):
        return values
    return {names.get(name, name): value for name, value in values.items()}


_READERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"1": _from_format_1, str(RECORD_FORMAT): dict}
"""Conversions of a record's JSON to the values of the present format, by the record's format."""


@cache
def _adapter() -> TypeAdapter[RunRecord]:
    return TypeAdapter(RunRecord)


def _unreadable(origin: Path | str, error: Exception) -> str:
    return f"{origin}: cannot be read as a run's record ({error}); run it again or remove it"
