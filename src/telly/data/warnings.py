"""Warnings about readable data before training: splits that share rows, labels that teach nothing.

One pass over the columns of each split, with 8 bytes per text kept. Texts are compared as they are; `telly data
validate` compares them without regard to white space, and names files and lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from telly.data.judged import JudgedQueries
from telly.data.schema import Schema, shorten
from telly.metrics.labels import same_but_for_form

if TYPE_CHECKING:
    from datasets import Dataset

TRAIN = "train"
IMBALANCE = 0.95
"""Fraction of the rows above which one label deserves a warning."""
BATCH = 10_000
MAX_NAMED_CLASSES = 5
MULTIPLIER = np.int64(0x9E3779B97F4A7C1)
"""Odd, so that multiplying digests by it loses none of their bits."""

Digests = npt.NDArray[np.int64]


def warnings_about(datasets: Mapping[str, Dataset | JudgedQueries], schema: Schema) -> list[str]:
    """Warnings about the splits before training, one sentence each.

    Args:
        datasets: the data by split as `telly.data.readers.read` gives it. Other splits are compared with `train`,
            where it is among them.
        schema: the task's schema; its columns are those of the data.
    """
    judged = {name: dataset for name, dataset in datasets.items() if isinstance(dataset, JudgedQueries)}
    splits = {name: _SplitContents(dataset, schema) for name, dataset in datasets.items() if name not in judged}
    warnings = [text for name, split in splits.items() for text in _label_warnings(name, split)]
    train = splits.get(TRAIN)
    for name, split in splits.items():
        if train is not None and name != TRAIN:
            warnings += _overlap_warnings(name, split, train, schema)
            warnings += _class_warnings(name, split, train, schema)
        if name != TRAIN and schema.candidates is not None:
            warnings += _candidate_warnings(name, split, schema.candidates)
    for name, dataset in judged.items():
        warnings += [f"{name}: {warning}" for warning in dataset.warnings]
        if train is not None:
            warnings += _shared_query_warnings(name, dataset, train, schema)
    return warnings


class _SplitContents:
    """Digests of the texts and counts of the labels of one split."""

    def __init__(self, dataset: Dataset, schema: Schema) -> None:
        texts = [column.name for column in schema.columns if column.kind == "text"]
        labels = [column.name for column in schema.columns if column.kind == "label"]
        self.rows = len(dataset)
        self.labels: dict[str, Counter[str]] = {name: Counter() for name in labels}
        self.texts: dict[str, Digests] = {name: np.empty(self.rows, dtype=np.int64) for name in texts}
        start = 0
        for batch in _batches(dataset):
            stop = start + len(batch[schema.names[0]])
            for name, digests in self.texts.items():
                digests[start:stop] = list(map(hash, batch[name]))
            for name, counts in self.labels.items():
                counts.update(batch[name])
            start = stop

    def identity(self, schema: Schema) -> Digests:
        """Digests by which rows are compared, [rows]: of the unordered pair, the key column, or all texts."""
        if schema.unordered is not None:
            left, right = (self.texts[name] for name in schema.unordered)
            # The smaller digest first, so that (a, b) and (b, a) are the same pair.
            return _joined(np.minimum(left, right), np.maximum(left, right))
        return self.texts[schema.key] if schema.key else _joined(*self.texts.values())


def _batches(dataset: Dataset) -> Iterator[dict[str, Any]]:
    for table in dataset.with_format("arrow").iter(batch_size=BATCH):
        yield table.to_pydict()


def _joined(*columns: Digests) -> Digests:
    """One digest per row, which depends on the order of the columns; integers wrap around, as a hash may."""
    joined = columns[0]
    for column in columns[1:]:
        joined = joined * MULTIPLIER + column
    return joined


def _candidate_warnings(name: str, split: _SplitContents, column: str) -> Iterator[str]:
    if len(np.unique(split.texts[column])) == 1:
        yield f"{name}: has one distinct function, which every query finds first, so its scores say nothing; add others"


def _label_warnings(name: str, split: _SplitContents) -> Iterator[str]:
    for column, counts in split.labels.items():
        if not counts:
            continue
        for forms in same_but_for_form(counts):
            yield f"{name}: {column!r} has {forms_message(forms)}"
        (label, count), *other_labels = counts.most_common(2)
        if not other_labels:
            yield (
                f"{name}: {column!r} is {shorten(label)!r} in all {count:,} rows, so there is nothing to tell apart; "
                "add rows of another class"
            )
        elif count > IMBALANCE * split.rows:
            yield (
                f"{name}: {column!r} is {shorten(label)!r} in {_fraction(count, split.rows)}; "
                "do not go by accuracy, and consider more rows of the other classes"
            )


def forms_message(forms: Sequence[str]) -> str:
    """Message about labels that differ in their spelling alone."""
    shown = ", ".join(repr(shorten(form)) for form in forms)
    return f"{shown}, which are {len(forms)} classes though they look like one; write them in the same way"


def _overlap_warnings(name: str, split: _SplitContents, train: _SplitContents, schema: Schema) -> Iterator[str]:
    shared = int(np.isin(split.identity(schema), train.identity(schema)).sum())
    noun = "pairs" if schema.unordered else "rows"
    if shared:
        what = f"have a {schema.key} that also occurs" if schema.key else "also occur"
        yield (
            f"{name}: {_fraction(shared, split.rows, noun)} {what} in {TRAIN}; take them out of one of the two "
            f"(`telly data validate --task {schema.task}` lists them)"
        )
    if schema.unordered is not None:
        train_texts = np.concatenate([train.texts[column] for column in schema.unordered])
        left, right = (np.isin(split.texts[column], train_texts) for column in schema.unordered)
        both = int((left & right).sum())
        if both:
            yield (
                f"{name}: in {_fraction(both, split.rows, noun)} both functions also occur in {TRAIN}; these say "
                "little about functions that are new, so split by function, repository or functionality"
            )


def _shared_query_warnings(name: str, dataset: JudgedQueries, train: _SplitContents, schema: Schema) -> Iterator[str]:
    """A warning if queries of a collection are in the training data; that its documents are there is usual."""
    query, _ = schema.query_and_candidates
    shared = int(np.isin([hash(text) for text in dataset.queries[query]], train.texts[query]).sum())
    if shared:
        queries = _fraction(shared, len(dataset), "queries")
        yield f"{name}: {queries} also occur in {TRAIN}; take them out of one of the two"


def _class_warnings(name: str, split: _SplitContents, train: _SplitContents, schema: Schema) -> Iterator[str]:
    for column, counts in split.labels.items():
        train_labels = train.labels[column]
        if schema.open_labels:
            shared = sum(label in train_labels for label in counts)
            if shared:
                yield (
                    f"{name}: {shared:,} of {len(counts):,} labels also occur in {TRAIN}; these say little "
                    "about problems that are new, so split by label"
                )
            continue
        new = sorted(label for label in counts if label not in train_labels)
        if new:
            shown = ", ".join(repr(shorten(label)) for label in new[:MAX_NAMED_CLASSES])
            more = f" and {len(new) - MAX_NAMED_CLASSES:,} more" if len(new) > MAX_NAMED_CLASSES else ""
            yield (
                f"{name}: {TRAIN} has no row of {column} {shown}{more}, which therefore cannot be predicted; "
                f"add rows of it to {TRAIN}, or take it out of {name}"
            )


def _fraction(count: int, total: int, noun: str = "rows") -> str:
    return f"{count:,} of {total:,} {noun} ({100 * count / total:.1f} %)"
