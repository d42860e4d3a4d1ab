"""Which settings matter where, derived from what each one declares that it affects."""

from __future__ import annotations

from telly.declare import EVALUATION, LOCATION, WEIGHTS, Affects, Group, settings_of
from telly.settings.config import TuneConfig
from telly.tasks import get_spec, option_names

SETTINGS = dict(sorted(settings_of(TuneConfig).items(), key=lambda item: list(Group).index(item[1].setting.group)))
"""The settings of a run by name, in the order of help and docs."""
AXES = ("task", "model", "freeze", "method", "cache", "seed")
"""Settings that a study varies and a report compares, rather than settings that they share."""
DATA_FILES = ("data", "valid", "test")
"""Settings whose value names data; where results are compared, the data's own fingerprint stands in for them."""
DATA_SETTINGS = (*DATA_FILES, "columns", "limit", "eval_limit")
"""Settings that choose the data of a run."""


def affecting(*kinds: Affects) -> tuple[str, ...]:
    """The settings that affect any of these."""
    return tuple(name for name, declared in SETTINGS.items() if declared.setting.affects & set(kinds))


RESULT_SETTINGS = affecting(WEIGHTS, EVALUATION)
"""Settings that can change a run's scores."""
BASELINE_SETTINGS = tuple(name for name in affecting(EVALUATION) if name not in ("model", *DATA_FILES))
"""Settings that baselines and the untuned model's scores depend on, beside model and data."""
ADVICE_SETTINGS = tuple(
    name for name, declared in SETTINGS.items() if declared.setting.affects != {LOCATION} and name != "freeze"
)
"""Settings that the advice on K depends on."""
ROW_SETTINGS = tuple(name for name in RESULT_SETTINGS if name not in (*AXES, *DATA_SETTINGS))
"""Settings that tell rows of a report apart, beside what is compared; the data has a fingerprint."""
CARD_SETTINGS = tuple((name, d.setting.label) for name, d in SETTINGS.items() if d.setting.label is not None)
"""Settings that a model card lists, with their labels."""


def lacking(task: str) -> frozenset[str]:
    """The settings that other tasks have and this one has not."""
    return frozenset(option_names()) - frozenset(get_spec(task).option_names)
