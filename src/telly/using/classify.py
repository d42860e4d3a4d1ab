"""Classes of functions by a tuned classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from telly.inference.tuned_model import TunedModel
from telly.using.choice import choose
from telly.using.index import CodeLocation
from telly.using.places import functions_below
from telly.using.search import Say

TASK = "classify"


@dataclass(frozen=True)
class ClassifiedFunction:
    """A function and its class.

    Attributes:
        place: the function.
        label: the likeliest class.
        probabilities: of all classes by name.
    """

    place: CodeLocation
    label: str
    probabilities: dict[str, float]


def classify(path: Path | str, *, model: str | None = None, say: Say = lambda _line: None) -> list[ClassifiedFunction]:
    """Tell the class of every function of a file or folder.

    Args:
        path: a folder, FILE, FILE:FUNCTION or FILE:LINE.
        model: a run's folder. [default: the newest run of classify]
        say: told what a person should know.

    Raises:
        ConfigError: there is no tuned model; without one there are no classes.
        DataError: there is no such path, or it has no functions.
    """
    choice = choose(TASK, model)
    tuned = TunedModel.load(choice.model, TASK)
    say(choice.line)
    return classes_by(tuned, functions_below(Path(path)))


def classes_by(tuned: TunedModel, places: Sequence[CodeLocation]) -> list[ClassifiedFunction]:
    """Classes of functions by a loaded model."""
    classes = tuned.classify([place.function.code for place in places])
    return [
        ClassifiedFunction(place, found.label, found.probabilities)
        for place, found in zip(places, classes, strict=True)
    ]
