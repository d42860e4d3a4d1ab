"""Texts on which models are compared and probed."""

from __future__ import annotations

import random

import numpy as np

from telly.data.readers import column_names, read
from telly.data.schema import CODE, Schema, source_column
from telly.errors import DataError
from telly.mining.mutations import mutant_of
from telly.mining.variants import variants_of
from telly.tasks import get_spec

MIN_TEXTS = 50
"""Minimum number of texts for a meaningful result."""
VARIANTS = 2
"""Of every function and of its mutant, beside themselves."""


def code_texts(
    data: str | None, limit: int, *, task: str | None = None, split: str | None = None, seed: int = 0
) -> list[str]:
    """The code of some data, each text once, at most `limit` drawn at random, in their order.

    Args:
        data: file, folder or hub data set; None is the test split of the task's embedded sample, or of that of search.
        limit: how many at most.
        task: whose layout the data have; its column of code is read. None: any data with a column of code.
        split: which part of a folder.
        seed: of the drawing.

    Raises:
        ConfigError: there is no such task.
        DataError: there are fewer than `MIN_TEXTS`, or the data cannot be read.
    """
    schema = CODE if task is None else get_spec(task).schema
    source = data or str(get_spec(task or "search").sample.files()["test"])
    column = next((c.name for c in schema.columns if c.name in {"code", "left", "context"}), schema.columns[0].name)
    found = list(dict.fromkeys(read(source, schema, split=split)[column]))
    _check_enough(len(found), f"{source}: distinct texts in {column}")
    return _drawn(found, limit, seed)


def labelled_texts(data: str | None, limit: int, *, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts with a label of what each does: data in POJ-104's layout, else families made from Python functions.

    A family is a function and rewrites of it that keep what it does. Its mutant, nearly the same text with another
    behaviour, has a family of its own, so that the words of a text do not tell which family it belongs to.

    Raises:
        DataError: there are fewer than `MIN_TEXTS`, or the data cannot be read.
    """
    schema = get_spec("clone-retrieval").schema
    if data is not None and _has_all(data, schema):
        found = read(data, schema)
        rows = list(zip(found["code"], found["label"], strict=True))
    else:
        rows = _families(code_texts(data, limit, seed=seed), limit, seed)
    labels = list(dict.fromkeys(label for _, label in rows))
    counts = len(rows) / max(1, len(labels))
    chosen = set(_drawn(labels, max(2, int(limit / max(1.0, counts))), seed))
    indices = {label: i for i, label in enumerate(labels)}
    kept = [(text, indices[label]) for text, label in rows if label in chosen]
    _check_enough(len(kept), f"{data or 'the sample'}: texts with others that do the same")
    return [text for text, _ in kept], [label for _, label in kept]


def _families(codes: list[str], limit: int, seed: int) -> list[tuple[str, str]]:
    """Texts with labels: of every function that has enough variants its own family and its mutant's."""
    rng = random.Random(seed)
    rows: list[tuple[str, str]] = []
    for index, code in enumerate(codes):
        mutant = mutant_of(code, rng)
        if mutant is None or len(rows) >= limit:
            continue
        families = [[text, *variants_of(text, VARIANTS, rng)] for text in (code, mutant)]
        if all(len(family) == VARIANTS + 1 for family in families):
            rows += [(text, f"{index} {side}") for side, family in enumerate(families) for text in family]
    return rows


def _has_all(data: str, schema: Schema) -> bool:
    """Whether the data have all columns of a schema."""
    names = column_names(data)
    return all(source_column(column, names, {}) for column in schema.columns)


def _drawn(items: list[str], limit: int, seed: int) -> list[str]:
    chosen = np.random.default_rng(seed).permutation(len(items))[:limit]
    return [items[i] for i in sorted(chosen)]


def _check_enough(count: int, what: str) -> None:
    if count < MIN_TEXTS:
        raise DataError(f"{what}: found {count}; expected at least {MIN_TEXTS}")
