"""Code generation: write the function that a text describes. CONCODE's layout; CodeXGLUE's corpus BLEU, exact match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from telly.data.sample import DESCRIBED_FUNCTIONS
from telly.data.schema import CODE_STRING_NAMES, CODE_TOKEN_NAMES, DOCSTRING_NAMES, Column, Schema
from telly.metrics.answers import REFERENCE_KEYS, AnswerLayout
from telly.mining.target import described
from telly.tasks.options import Beams, GenerationOptions
from telly.tasks.spec import Preset, TaskSpec

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.tasks.training.base import AnyTask

_DESCRIPTIONS = ("nl", *DOCSTRING_NAMES, "text", "prompt", "intent", "query", "comment", "summary")
_COMPLETIONS = ("canonical_solution", "snippet", "completion")


@dataclass(frozen=True)
class GenerateOptions(GenerationOptions):
    """The paper's beam."""

    beams: Beams = 3


class Generate(TaskSpec[GenerateOptions]):
    """Generation of functions from descriptions."""

    schema = Schema(
        "generate",
        (
            Column("description", aliases=_DESCRIPTIONS, prose=True),
            Column("code", aliases=(*CODE_STRING_NAMES, *_COMPLETIONS, *CODE_TOKEN_NAMES)),
        ),
        summary="code generation: write the function that a text describes",
        key="description",
    )
    sample = DESCRIBED_FUNCTIONS
    preset = Preset({"description": 450, "code": 150}, batch_size=32, learning_rate=5e-5, epochs=30, metric="bleu")
    metrics = ("bleu", "exact_match", "edit_similarity")
    answers = AnswerLayout("text", (*REFERENCE_KEYS, "code", "gt", "text", "answer"))
    options = GenerateOptions
    is_generative = True
    mining = described("description")
    paper_name = "code-generation"

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """Corpus BLEU, exact match and edit similarity of code."""
        from telly.metrics.suites import generation_statistics

        return generation_statistics(predictions, references)

    def training(self) -> AnyTask:
        """Text generation."""
        from telly.tasks.training.generation import TextGenerationTask

        return TextGenerationTask(self)
