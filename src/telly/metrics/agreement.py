"""Whether predictions speak of the same labels and ids as the right answers: put into one form, refused or told.

A file of `1.0` is as good as one of `1`. But where no prediction could ever be right, because it names other things
than the right answers do, a score of 0 would say nothing about the system that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from telly.errors import DataError
from telly.metrics.answers import AnswerLayout, PredictionEntry
from telly.metrics.labels import BINARY, binary_form, form_key, number_form

Pairs = list[tuple[PredictionEntry, PredictionEntry]]
NAMED = 4  # how many labels a message names
SEPARATORS = ",;|"


def in_the_same_terms(
    layout: AnswerLayout, gold: Path, predictions: Path, pairs: Pairs
) -> tuple[Pairs, tuple[str, ...]]:
    """Pairs of right answers and predictions whose labels and ids have one form, and what a user should know of them.

    Args:
        layout: what the task's files hold.
        gold: file of the right answers, for messages.
        predictions: file of the predictions, for messages.
        pairs: right answer and prediction of every example.

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
    told = f"{gold}: {len(tabs):,} right answers hold a tab (first on line {tabs[0]}), which is read as white space"
    return pairs, (f"{told}; what stands before and after it is one reference, not two",)


def _labels(gold: Path, predictions: Path, pairs: Pairs) -> tuple[Pairs, tuple[str, ...]]:
    # The form follows from the right labels alone, so that two systems get the same metrics.
    binary = {binary_form(right.value) for right, _ in pairs} <= BINARY
    form = binary_form if binary else number_form
    cautions = [
        f"{file}: {_named(merged)} are read as the same label"
        for file, entries in ((gold, [right for right, _ in pairs]), (predictions, [given for _, given in pairs]))
        for merged in _merged((entry.value.strip() for entry in entries), form)
    ]
    pairs = _with_form(pairs, form)
    right = {entry.value for entry, _ in pairs}
    given = [entry for _, entry in pairs if entry.value]
    unknown = [entry for entry in given if entry.value not in right]
    if given and len(unknown) == len(given):
        raise DataError(
            f"{predictions}:{given[0].line}: no predicted label is among the right ones: predicted are "
            f"{_named({entry.value for entry in given})}, right in {gold} are {_named(right)}; expected the same names "
            "in both files"
        )
    if unknown:
        cautions.append(
            f"{predictions}: {len(unknown):,} of {len(pairs):,} predictions are none of the right labels, such as "
            f"{unknown[0].value!r} on line {unknown[0].line}; they count as wrong"
        )
    return pairs, tuple(cautions)


def _rankings(layout: AnswerLayout, gold: Path, predictions: Path, pairs: Pairs) -> tuple[Pairs, tuple[str, ...]]:
    ranked = {word for _, given in pairs for word in given.value.split()}
    for right, _ in pairs:
        _check_separated(gold, right, ranked)
    if not ranked or _meet(pairs):
        return pairs, (*_named_otherwise(gold, pairs, ranked), *_own(layout, predictions, pairs))
    formed = _with_form(pairs, lambda text: " ".join(map(number_form, text.split())))
    if _meet(formed):
        return formed, ()
    first = pairs[0][0]
    return pairs, (
        f"{predictions}: none of the right ids of {gold}, such as {first.value.split()[0]!r}, is in any ranking; if "
        "that surprises you, see that both files name candidates in the same way",
    )


def _named_otherwise(gold: Path, pairs: Pairs, ranked: set[str]) -> tuple[str, ...]:
    """A caution where right ids are in no ranking and the same ones in another form are."""
    forms = {form_key(word): word for word in ranked}
    right = {word: entry.line for entry, _ in pairs for word in entry.value.split()}
    lost = {word: line for word, line in right.items() if word not in ranked and form_key(word) in forms}
    if not lost:
        return ()
    word, line = next(iter(lost.items()))
    return (
        f"{gold}: {len(lost):,} right ids are in no ranking and the same in another form are, such as {word!r} on line "
        f"{line} and {forms[form_key(word)]!r}; they count as not found, so write ids in the same way",
    )


def _own(layout: AnswerLayout, predictions: Path, pairs: Pairs) -> tuple[str, ...]:
    """A caution where rankings hold the example itself, which is none of its answers and takes a place."""
    if not layout.ranks_examples:
        return ()
    own = [e for right, e in pairs if e.id and e.id in e.value.split() and e.id not in right.value.split()]
    if not own:
        return ()
    return (
        f"{predictions}: {len(own):,} rankings hold the example itself (first on line {own[0].line}), which counts as "
        "a wrong answer; leave it out",
    )


def _meet(pairs: Pairs) -> bool:
    """Whether a right id is in any ranking, be it another example's."""
    ranked = {word for _, given in pairs for word in given.value.split()}
    return any(word in ranked for right, _ in pairs for word in right.value.split())


def _check_separated(gold: Path, right: PredictionEntry, ranked: set[str]) -> None:
    """Refuse several right ids in one word, which would never be found."""
    for word in right.value.split():
        parts = next((word.split(sign) for sign in SEPARATORS if sign in word), [])
        if word not in ranked and len(parts) > 1 and not ranked.isdisjoint(parts):
            raise DataError(
                f"{gold}:{right.line}: {word!r} is no candidate and {parts[0]!r} is one; separate several right ids by "
                "blanks"
            )


def _with_form(pairs: Pairs, form: Callable[[str], str]) -> Pairs:
    return [
        (replace(right, value=form(right.value)), replace(given, value=form(given.value))) for right, given in pairs
    ]


def _merged(labels: Iterable[str], form: Callable[[str], str]) -> list[list[str]]:
    """Groups of different labels that get the same form."""
    groups: dict[str, set[str]] = {}
    for label in labels:
        groups.setdefault(form(label), set()).add(label)
    return [sorted(group) for group in groups.values() if len(group) > 1]


def _named(labels: Iterable[str]) -> str:
    """The first few labels in their order, and whether there are more."""
    found: Sequence[str] = sorted(labels)
    return ", ".join(map(repr, found[:NAMED])) + ", ..." * (len(found) > NAMED)
