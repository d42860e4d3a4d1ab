"""Declarations of the data that a repository provides for a task; `telly.mining.repository.rows` writes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class MinedRows(StrEnum):
    """Layouts of mined data.

    Attributes:
        DESCRIPTIONS: JSON lines with a function's description and its code.
        LINES: JSON lines with a context and the line that follows it.
        PAIRS: functions, and lists of pairs of them with labels, as BigCloneBench has them.
    """

    DESCRIPTIONS = "descriptions"
    LINES = "lines"
    PAIRS = "pairs"


@dataclass(frozen=True)
class MiningTarget:
    """Data that is mined for a task.

    Attributes:
        rows: the layout of the files.
        description: column of descriptions, if the layout has one.
        documented: whether functions need a description.
        cuts: whether functions need lines that can be completed.
        languages: languages of the data; () for all.
        max_functions: maximum number of functions if the user sets no limit; None for no maximum.
    """

    rows: MinedRows
    description: str = "description"
    documented: bool = True
    cuts: bool = False
    languages: tuple[str, ...] = ()
    max_functions: int | None = None


def described(column: str) -> MiningTarget:
    """Functions with their descriptions under a task's name for them."""
    return MiningTarget(MinedRows.DESCRIPTIONS, column)
