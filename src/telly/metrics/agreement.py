"""Agreement of predictions and right answers on the spelling of labels and ids: unified, refused or warned about.

A file of `1.0` is as good as one of `1`. But where no prediction could ever be right, because it names other things
than the right answers do, a score of 0 would say nothing about the system that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from telly.errors import DataError
from telly.metrics.answers import AnswerLayout, PredictionEntry, answer_of, graded
from telly.metrics.labels import BINARY, binary_form, form_key, number_form

Pairs = list[tuple[PredictionEntry, PredictionEntry]]
MAX_NAMED = 4  # labels that a message names
SEPARATORS = ",;|"


def in_the_same_terms(
    layout: AnswerLayout, gold: Path, predictions: Path, pairs: Pairs
) -> tuple[Pairs, tuple[str, ...]]:
    """Bring the labels and ids of right answers and predictions into one form, and collect warnings about them.

    Args:
        layout: the layout of the task's files.
        gold: file of the right answers, for messages.
        predictions: file of the predictions, for messages.
        pairs: right answer and prediction of every example.

    Returns:
        The pairs in one form, and warnings for the user.

    Raises:
        DataError: no prediction can be right.
    """
    if layout.form == "label":
        return _labels(gold, predictions, pairs)
    if layout.form == "ranking":
        return _rankings(layout, gold, predictions, pairs)
    tabs = [right.line for right, _ in pairs if "\t" in right.value]
    if not tabs:
        return pairs, ()
    warning = f"{gold}: {len(tabs):,} right answers hold a tab (first on line {tabs[0]}), which is read as white space"
    return pairs, (f"{warning}; the texts before and after it are one reference, not two",)


def _labels(gold: Path, predictions: Path, pairs: Pairs) -> tuple[Pairs, tuple[str, ...]]:
    # The form follows from the right labels alone, so that two systems get the same metrics.
    binary = {binary_form(right.value) for right, _ in pairs} <= BINARY
    form = binary_form if binary else number_form
    warnings = [
        f"{file}: {_named(merged)} are read as the same label"
        for file, entries in (
            (gold, [right for right, _ in pairs]),
            (predictions, [predicted for _, predicted in pairs]),
        )
        for merged in _merged((entry.value.strip() for entry in entries), form)
    ]
    pairs = _with_form(pairs, form)
    right = {entry.value for entry, _ in pairs}
    predicted = [entry for _, entry in pairs if entry.value]  # without empty ones, which are just wrong
    unknown = [entry for entry in predicted if entry.value not in right]
    if predicted and len(unknown) == len(predicted):
        raise DataError(
            f"{predictions}:{predicted[0].line}: no predicted label is among the right ones: predicted are "
            f"{_named({entry.value for entry in predicted})}, right in {gold} are {_named(right)}; expected the same "
            "names in both files"
        )
    if unknown:
        warnings.append(
            f"{predictions}: {len(unknown):,} of {len(pairs):,} predictions are none of the right labels, such as "
            f"{unknown[0].value!r} on line {unknown[0].line}; they count as wrong"
        )
    return pairs, tuple(warnings)


def _rankings(layout: AnswerLayout, gold: Path, predictions: Path, pairs: Pairs) -> tuple[Pairs, tuple[str, ...]]:
    candidates = {word for _, ranking in pairs for word in ranking.value.split()}
    for right, _ in pairs:
        _check_separated(gold, right, candidates)
    if not candidates or _any_ranked(pairs):
        return pairs, (*_other_form_ranked(gold, pairs, candidates), *_self_ranked(layout, predictions, pairs))
    # No right id is in any ranking: the files may spell ids differently, `1` and `1.0`.
    unified = [(_with_number_forms(right), _with_number_forms(predicted)) for right, predicted in pairs]
    if _any_ranked(unified):
        return unified, ()
    first = pairs[0][0]
    return pairs, (
        f"{predictions}: none of the right ids of {gold}, such as {next(iter(graded(first.value)))!r}, is in any "
        "ranking; if that surprises you, see that both files name candidates in the same way",
    )


def _other_form_ranked(gold: Path, pairs: Pairs, candidates: set[str]) -> tuple[str, ...]:
    """A warning if right ids are in no ranking while the same ids in another form are."""
    forms = {form_key(word): word for word in candidates}
    lines = {word: entry.line for entry, _ in pairs for word in graded(entry.value)}
    missed = {word: line for word, line in lines.items() if word not in candidates and form_key(word) in forms}
    if not missed:
        return ()
    word, line = next(iter(missed.items()))
    return (
        f"{gold}: {len(missed):,} right ids are in no ranking and the same in another form are, such as {word!r} on "
        f"line {line} and {forms[form_key(word)]!r}; they count as not found, so write ids in the same way",
    )


def _self_ranked(layout: AnswerLayout, predictions: Path, pairs: Pairs) -> tuple[str, ...]:
    """A warning if rankings hold the example itself, which is no answer and pushes answers down."""
    if not layout.ranks_examples:
        return ()
    self_ranked = [e for right, e in pairs if e.id and e.id in e.value.split() and e.id not in graded(right.value)]
    if not self_ranked:
        return ()
    return (
        f"{predictions}: {len(self_ranked):,} rankings hold the example itself (first on line "
        f"{self_ranked[0].line}), which counts as a wrong answer; leave it out",
    )


def _any_ranked(pairs: Pairs) -> bool:
    """Return whether a right id is in any ranking, including other examples' rankings."""
    candidates = {word for _, ranking in pairs for word in ranking.value.split()}
    return any(word in candidates for right, _ in pairs for word in graded(right.value))


def _check_separated(gold: Path, right: PredictionEntry, candidates: set[str]) -> None:
    """Refuse several right ids in one word, which would never be found."""
    for word in graded(right.value):
        parts = next((word.split(sign) for sign in SEPARATORS if sign in word), [])
        if word not in candidates and len(parts) > 1 and not candidates.isdisjoint(parts):
            raise DataError(
                f"{gold}:{right.line}: {word!r} is no candidate and {parts[0]!r} is one; separate several right ids by "
                "blanks"
            )


def _with_number_forms(entry: PredictionEntry) -> PredictionEntry:
    """A ranking or right answer in which `1.0` is `1`."""
    return replace(entry, value=answer_of({number_form(word): grade for word, grade in graded(entry.value).items()}))


def _with_form(pairs: Pairs, form: Callable[[str], str]) -> Pairs:
    return [
        (replace(right, value=form(right.value)), replace(predicted, value=form(predicted.value)))
        for right, predicted in pairs
    ]


def _merged(labels: Iterable[str], form: Callable[[str], str]) -> list[list[str]]:
    """Groups of different labels that get the same form."""
    groups: dict[str, set[str]] = {}
    for label in labels:
        groups.setdefault(form(label), set()).add(label)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _named(labels: Iterable[str]) -> str:
    """The first few labels in alphabetical order, followed by dots if there are more."""
    ordered: Sequence[str] = sorted(labels)
    return ", ".join(map(repr, ordered[:MAX_NAMED])) + ", ..." * (len(ordered) > MAX_NAMED)
