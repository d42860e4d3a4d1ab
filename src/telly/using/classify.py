"""Classes of functions, by a tuned classifier."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from telly.inference.tuned_model import TunedModel
from telly.using.choice import choose
from telly.using.index import CodeLocation
from telly.using.locations import functions_below

logger = logging.getLogger(__name__)

TASK = "classify"


@dataclass(frozen=True)
class ClassifiedFunction:
    """A function and its class.

    Attributes:
        location: the function.
        label: the most probable class.
        probabilities: probabilities of all classes, by name.
    """

    location: CodeLocation
    label: str
    probabilities: dict[str, float]


def classify(path: Path | str, *, model: str | None = None) -> list[ClassifiedFunction]:
    """Classify every function of a file or folder.

    Args:
        path: a folder, FILE, FILE:FUNCTION or FILE:LINE.
        model: a run's folder. [default: the newest run of classify]

    Raises:
        ConfigError: there is no tuned model; without one there are no classes.
        DataError: there is no such path, or it has no functions.
    """
    choice = choose(TASK, model)
    tuned = TunedModel.load(choice.model, TASK)
    logger.info(choice.message)
    return classes_by(tuned, functions_below(Path(path)))


def classes_by(tuned: TunedModel, locations: Sequence[CodeLocation]) -> list[ClassifiedFunction]:
    """Classify functions with a loaded model."""
    predictions = tuned.classify([location.function.code for location in locations])
    return [
        ClassifiedFunction(location, prediction.label, prediction.probabilities)
        for location, prediction in zip(locations, predictions, strict=True)
    ]
