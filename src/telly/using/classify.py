"""Classes of functions by a tuned classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from telly.data.sequences import SequenceTable
from telly.freezing.source import RowSource
from telly.models.modes import encode_texts
from telly.tasks.classify import ClassifyModel, ClassifyTask
from telly.using.index import CodeLocation
from telly.using.places import functions_below
from telly.using.search import Say
from telly.using.tuned import Tuned, choose, load_tuned

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
    tuned = load_tuned(choice.model, (TASK,), needs_tuning=True, say=say)
    say(choice.line)
    return classes_by(tuned, functions_below(Path(path)))


def classes_by(tuned: Tuned, places: Sequence[CodeLocation]) -> list[ClassifiedFunction]:
    """The classes of functions by a model that is loaded."""
    task, module = tuned.task, tuned.module
    if not isinstance(task, ClassifyTask) or not isinstance(module, ClassifyModel) or tuned.usage is None:
        raise TypeError(f"expected a classifier, found a model for {task.name}")
    codes = [place.function.code for place in places]
    table, rows = SequenceTable.of(encode_texts(tuned.tokenizer, codes, tuned.code_tokens))
    probabilities = task.probabilities(module, RowSource(table, tuned.tokenizer.pad_token_id), rows, tuned.autocast)
    names = tuned.usage.classes
    return [
        ClassifiedFunction(place, names[int(share.argmax())], dict(zip(names, share.tolist(), strict=True)))
        for place, share in zip(places, probabilities, strict=True)
    ]
