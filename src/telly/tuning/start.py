"""Starting a run: the choice of K, the state of an interrupted run, and the output folder."""

from __future__ import annotations

import os
from collections.abc import Callable

from telly.config import to_toml
from telly.disk import is_full_disk, write_text
from telly.errors import ConfigError, DataError
from telly.freezing.variants import AUTO, parse_freeze
from telly.runs.folder import RunFolder
from telly.runs.parts import AdviceInfo, EmbeddingInfo, RecordedConfig, Session, SplitInfo, TeacherInfo
from telly.runs.record import RunRecord
from telly.settings.config import ResolvedConfig
from telly.tasks import get_task
from telly.training.clocks import Clocks, PeakMemory
from telly.training.trainer import explained_disk, remove_incomplete_checkpoints
from telly.tuning.session import Run

Advisor = Callable[[ResolvedConfig, bool], AdviceInfo]
"""Chooses the variant of `freeze = auto`. The flag allows it to reuse earlier advice."""


def is_main() -> bool:
    """True in the one process that writes files and messages for all that train together."""
    return os.environ.get("RANK", "0") == "0"


def start(config: ResolvedConfig, resume: bool, overwrite: bool, advisor: Advisor | None) -> Run:
    """Begin a run, or continue an interrupted one; nothing is written yet.

    Raises:
        ConfigError: the output folder holds another run, or there is no advisor for `freeze = auto`.
    """
    clocks, memory = Clocks(), PeakMemory()
    folder = RunFolder(config.output)
    earlier = _earlier_record(folder)
    finished = earlier is not None and earlier.status == "finished"
    advice = None
    if config.freeze == AUTO:
        folder.check_available(resume, overwrite, finished, None)  # before the pilots take their time
        with clocks("advice"):
            config, advice = _advised(config, advisor, reuse=resume or not overwrite)
    if is_main():
        folder.check_available(resume, overwrite, finished, to_toml(config))
        if resume:
            remove_incomplete_checkpoints(folder.checkpoints)
    record = RunRecord(RecordedConfig.of(config), advice=advice)
    if resume and earlier is not None:
        _continue(record, earlier)
    return Run(config, get_task(config.task), folder.path, record, clocks, memory, is_main())


def _continue(record: RunRecord, earlier: RunRecord) -> None:
    """Copy sessions, epochs, baselines, data, embeddings and teacher of an interrupted run with the same settings."""
    record.sessions = [*earlier.sessions, Session(earlier.clocks, earlier.wall_seconds)]
    record.epochs = earlier.epochs
    if earlier.baselines_version == record.baselines_version:
        record.baselines = earlier.baselines
    record.data = earlier.data
    record.embedding = earlier.embedding
    record.teacher = earlier.teacher


def _advised(config: ResolvedConfig, advisor: Advisor | None, *, reuse: bool) -> tuple[ResolvedConfig, AdviceInfo]:
    """The settings with the variant that the advisor chose, and its report."""
    if advisor is None:
        raise ConfigError("freeze: auto needs an advisor here; use telly.tune, or give the K that `telly advise` finds")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "--freeze auto runs its pilots in one process; run `telly advise` first, then this command with its K"
        )
    advice = advisor(config, reuse)
    return config.model_copy(update={"freeze": parse_freeze(advice.variant)}), advice


def has_only_advice(config: ResolvedConfig) -> bool:
    """Check if the output folder holds nothing but advice: the run was interrupted before it began."""
    folder = RunFolder(config.output)
    return config.freeze == AUTO and not folder.settings.exists() and folder.advice.is_dir()


def acquire(
    run: Run,
    data: dict[str, SplitInfo],
    embedding: EmbeddingInfo | None,
    teacher: TeacherInfo | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Acquire the output folder, after settings, model and data have been checked.

    Args:
        run: the run.
        data: description of the data by split, for the record.
        embedding: how the model embeds texts, for the record; None if it generates text.
        teacher: the teacher, for the record; None without one.
        resume: continue an interrupted run.
        overwrite: remove an earlier run in the folder.

    Raises:
        ConfigError: the run to resume had other data, embeddings or another teacher, or the folder cannot be created.
    """
    former = run.record.embedding
    if resume and former is not None and embedding is not None and former.fingerprint != embedding.fingerprint:
        raise ConfigError(
            f"{run.output}: the interrupted run embedded texts otherwise ({former.summary}; now {embedding.summary}); "
            "the model's folder was changed since. Restore it, or start again with --overwrite"
        )
    run.record.embedding = embedding
    known = run.record.teacher
    if resume and known is not None and teacher is not None and known.fingerprint != teacher.fingerprint:
        raise ConfigError(
            f"{run.output}: the interrupted run had another teacher; the files of {run.config.teacher} were changed "
            "since. Restore them, or start again with --overwrite"
        )
    run.record.teacher = teacher
    changed = [name for name, old in run.record.data.items() if old.fingerprint != data[name].fingerprint]
    if resume and changed:
        raise ConfigError(
            f"{run.output}: the interrupted run had other {' and '.join(changed)} data; the files were changed since. "
            "Restore them, or start again with --overwrite"
        )
    run.record.data = data
    if run.main:
        if overwrite and not resume:
            run.folder.remove()
        with explained_disk(run.output):
            _make_folder(run)
            run.folder.remove_partial()
            write_text(run.folder.settings, to_toml(run.config))
    run.acquired = True
    run.save()


def _make_folder(run: Run) -> None:
    try:
        run.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_full_disk(error):
            raise
        raise ConfigError(
            f"{run.output}: cannot be created: {error.strerror or error}; choose another --output"
        ) from None


def _earlier_record(folder: RunFolder) -> RunRecord | None:
    try:
        return RunRecord.read(folder.record)
    except DataError:
        return None
