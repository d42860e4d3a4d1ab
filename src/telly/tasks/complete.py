"""Line completion: generate the next line of code. CodeXGLUE's line-level layout and evaluator.

The model reads code from left to right only (UniXcoder's decoder-only mode), and learns the context's tokens as well as
the line's. Long contexts are truncated on the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telly.data.sample import Sample
from telly.data.schema import Column, Schema
from telly.metrics.answers import REFERENCE_KEYS, AnswerLayout
from telly.mining.target import MinedRows, MiningTarget
from telly.tasks.options import Beams, GenerationOptions
from telly.tasks.spec import Preset, TaskSpec

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.tasks.training.base import AnyTask

_HIDDEN = (
    "CodeXGLUE keeps the answers of its test set to itself: score on rows with answers, such as a part of the "
    "training data that you set aside"
)


@dataclass(frozen=True)
class CompleteOptions(GenerationOptions):
    """The paper's beam."""

    beams: Beams = 5


class Complete(TaskSpec[CompleteOptions]):
    """Generation of the next line from a context."""

    schema = Schema(
        "complete",
        (
            Column("context", aliases=("input", "prompt", "prefix")),
            Column("line", aliases=("gt", "completion", "next_line"), if_empty=_HIDDEN),
        ),
        summary="line completion: write the next line of a piece of code",
        key="context",
    )
    sample = Sample("complete")
    preset = Preset(
        {"context": 936, "line": 64}, batch_size=32, learning_rate=2e-5, epochs=10, metric="edit_similarity"
    )
    metrics = ("exact_match", "edit_similarity")
    answers = AnswerLayout("text", (*REFERENCE_KEYS, "gt", "code", "text", "answer"))
    options = CompleteOptions
    is_generative = True
    mining = MiningTarget(MinedRows.LINES, documented=False, cuts=True)
    paper_name = "code-completion"

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """Exact match and edit similarity of lines, literals restored."""
        from telly.metrics.suites import completion_statistics

        return completion_statistics(predictions, references)

    def training(self) -> AnyTask:
        """Text generation from contexts that are truncated on the left."""
        from telly.tasks.training.completion import CompletionTask

        return CompletionTask(self)
