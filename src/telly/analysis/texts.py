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
"""Number of rewrites of every function and of every mutant, in addition to the text itself."""


def code_texts(
    data: str | None, limit: int, *, task: str | None = None, split: str | None = None, seed: int = 0
) -> list[str]:
    """The distinct code texts of a data set in their order, at most `limit` of them chosen at random.

    Args:
        data: file, folder or hub data set; None is the test split of the task's embedded sample, or of that of search.
        limit: maximum number of texts.
        task: task whose layout the data have, and whose column of code is read; None accepts any data with a column
            of code.
        split: data split to read from a folder.
        seed: seed of the choice.

    Raises:
        ConfigError: there is no such task.
        DataError: there are fewer than `MIN_TEXTS`, or the data cannot be read.
    """
    schema = CODE if task is None else get_spec(task).schema
    source = data or str(get_spec(task or "search").sample.files()["test"])
    column = next((c.name for c in schema.columns if c.name in {"code", "left", "context"}), schema.columns[0].name)
    texts = list(dict.fromkeys(read(source, schema, split=split)[column]))
    _check_enough(len(texts), f"{source}: distinct texts in {column}")
    return _sample(texts, limit, seed)


def labelled_texts(data: str | None, limit: int, *, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts with a label of what each does: data in POJ-104's layout, else families made from Python functions.

    A family is a function and rewrites that preserve its behaviour. Its mutant, nearly the same text with different
    behaviour, has a family of its own, so that the words of a text do not reveal its family.

    Raises:
        DataError: there are fewer than `MIN_TEXTS`, or the data cannot be read.
    """
    schema = get_spec("clone-retrieval").schema
    if data is not None and _has_all(data, schema):
        dataset = read(data, schema)
        rows = list(zip(dataset["code"], dataset["label"], strict=True))
    else:
        rows = _families(code_texts(data, limit, seed=seed), limit, seed)
    labels = list(dict.fromkeys(label for _, label in rows))
    # Whole families are chosen, as many as give about `limit` texts.
    per_label = len(rows) / max(1, len(labels))
    chosen = set(_sample(labels, max(2, int(limit / max(1.0, per_label))), seed))
    indices = {label: i for i, label in enumerate(labels)}
    labelled = [(text, indices[label]) for text, label in rows if label in chosen]
    _check_enough(len(labelled), f"{data or 'the sample'}: texts with others that do the same")
    return [text for text, _ in labelled], [label for _, label in labelled]


def _families(codes: list[str], limit: int, seed: int) -> list[tuple[str, str]]:
    """Labelled texts: two families per function, its own and its mutant's, if both have enough rewrites."""
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
    """Check that the data have all columns of a schema."""
    names = column_names(data)
    return all(source_column(column, names, {}) for column in schema.columns)


def _sample(items: list[str], limit: int, seed: int) -> list[str]:
    chosen = np.random.default_rng(seed).permutation(len(items))[:limit]
    return [items[i] for i in sorted(chosen)]


def _check_enough(count: int, what: str) -> None:
    if count < MIN_TEXTS:
        raise DataError(f"{what}: found {count}; expected at least {MIN_TEXTS}")
