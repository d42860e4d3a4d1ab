"""Code summarization: describe a function in a sentence. CodeSearchNet's layout; CodeXGLUE's smoothed sentence BLEU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telly.data.sample import DESCRIBED_FUNCTIONS
from telly.data.schema import CODE_TOKENS_FIRST, DOCSTRING_NAMES, Column, Schema
from telly.metrics.answers import REFERENCE_KEYS, AnswerLayout
from telly.mining.target import described
from telly.tasks.options import Beams, GenerationOptions
from telly.tasks.spec import Preset, TaskSpec

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.tasks.training.base import AnyTask


@dataclass(frozen=True)
class SummarizeOptions(GenerationOptions):
    """The paper's beam."""

    beams: Beams = 10


class Summarize(TaskSpec[SummarizeOptions]):
    """Generation of summaries from functions."""

    schema = Schema(
        "summarize",
        (
            CODE_TOKENS_FIRST,
            Column("summary", aliases=("summary", *DOCSTRING_NAMES, "nl", "comment", "query"), prose=True),
        ),
        summary="code summarization: describe a function in a sentence",
        key="code",
    )
    sample = DESCRIBED_FUNCTIONS
    preset = Preset({"code": 256, "summary": 128}, batch_size=32, learning_rate=5e-5, epochs=10, metric="bleu")
    metrics = ("bleu", "meteor", "rouge_l", "cider")
    answers = AnswerLayout(
        "text", (*REFERENCE_KEYS, "docstring_tokens", "docstring", "summary", "text", "answer"), prose=True
    )
    options = SummarizeOptions
    is_generative = True
    mining = described("summary")
    paper_name = "code-summarization"

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """BLEU, METEOR, ROUGE-L and CIDEr of summaries."""
        from telly.metrics.suites import summarization_statistics

        return summarization_statistics(predictions, references)

    def training(self) -> AnyTask:
        """Text generation."""
        from telly.tasks.training.generation import TextGenerationTask

        return TextGenerationTask(self)
