"""Lists of the settings that matter to scores, baselines, advice, reports and cards, derived from declarations."""

from __future__ import annotations

from telly.declare import EVALUATION, LOCATION, WEIGHTS, Affects, Group, settings_of
from telly.settings.config import TEACHER_SETTINGS, TuneConfig
from telly.tasks import get_spec, option_names
from telly.tasks.options import ContrastiveOptions

SETTINGS = dict(sorted(settings_of(TuneConfig).items(), key=lambda item: list(Group).index(item[1].setting.group)))
"""Settings of a run by name, in the order of help and docs."""
AXES = ("task", "model", "freeze", "method", "cache", "seed")
"""Settings that a study varies and a report compares."""
DATA_FILES = ("data", "valid", "test")
"""Settings that name data; comparisons of results use the fingerprint of the data instead."""
DATA_SETTINGS = (*DATA_FILES, "columns", "limit", "eval_limit")
"""Settings that choose the data of a run."""


def affecting(*aspects: Affects) -> tuple[str, ...]:
    """Names of the settings that affect any of these aspects of a run."""
    return tuple(name for name, declared in SETTINGS.items() if declared.setting.affects & set(aspects))


RESULT_SETTINGS = affecting(WEIGHTS, EVALUATION)
"""Settings that can change a run's scores."""
BASELINE_SETTINGS = tuple(name for name in affecting(EVALUATION) if name not in ("model", *DATA_FILES))
"""Settings, besides model and data, that the scores of baselines and of the untuned model depend on."""
ADVICE_SETTINGS = tuple(
    name for name, declared in SETTINGS.items() if declared.setting.affects != {LOCATION} and name != "freeze"
)
"""Settings that the recommendation of K depends on."""
ROW_SETTINGS = tuple(name for name in RESULT_SETTINGS if name not in (*AXES, *DATA_SETTINGS))
"""Settings that distinguish rows of a report, besides the axes; data is identified by its fingerprint."""
CARD_SETTINGS = tuple((name, d.setting.label) for name, d in SETTINGS.items() if d.setting.label is not None)
"""Settings that a model card lists, with their labels."""


def options_not_of(task: str) -> frozenset[str]:
    """Names of the settings of other tasks that this task does not have."""
    spec = get_spec(task)
    others = frozenset(option_names()) - frozenset(spec.option_names)
    return others if issubclass(spec.options, ContrastiveOptions) else others | frozenset(TEACHER_SETTINGS)
