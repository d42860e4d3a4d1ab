"""`freeze = auto`: a run that takes its K from the advice made when it begins."""

from __future__ import annotations

import logging

from telly.advice.advise import ADVICE_FILE, advise
from telly.runs.folder import RunFolder
from telly.runs.parts import AdviceInfo
from telly.runs.record import RunRecord
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tuning import run

logger = logging.getLogger(__name__)


def tune(config: TuneConfig, *, resume: bool = False, overwrite: bool = False) -> RunRecord:
    """Tune a model on a task, and evaluate it on the test data.

    With `freeze="auto"` the run takes the K that `advise` chooses; the advice is written into the run's folder, and a
    resumed run reads it from there.

    Example:
        >>> import telly
        >>> record = telly.tune(telly.TuneConfig(task="search", freeze="9"))
        >>> record.test["mrr"]

    Args:
        config: settings of the run.
        resume: continue an interrupted run in the same folder.
        overwrite: replace an earlier run in the same folder.

    Returns:
        the run's record: settings, metrics, times, memory.

    Raises:
        TellyError: as `telly.tuning.run.tune` and `advise`.
    """
    return run.tune(config, resume=resume, overwrite=overwrite, advisor=_advisor)


def _advisor(config: ResolvedConfig, reuse: bool) -> AdviceInfo:
    folder = RunFolder(config.output).advice
    advice = advise(config, output=folder, reuse=reuse)
    for sentence in (*advice["reason"], *advice["risk"]):
        logger.info("advice: %s", sentence)
    summary = {name: advice[name] for name in ("variant", "reason", "risk", "tolerance", "seconds")}
    return AdviceInfo(**summary, file=f"{folder.name}/{ADVICE_FILE}")
