"""Code generation: a description in, a function out. CONCODE's layout; CodeXGLUE's corpus BLEU and exact match."""

from __future__ import annotations

from telly.data.schema import SCHEMAS
from telly.metrics.suites import generation_statistics
from telly.tasks.base import Preset
from telly.tasks.text_generation import TextGenerationTask


class GenerateTask(TextGenerationTask):
    """Description to code."""

    def __init__(self) -> None:
        super().__init__(
            SCHEMAS["generate"],
            "description",
            "code",
            Preset(
                max_tokens={"description": 450, "code": 150},
                batch_size=32,
                learning_rate=5e-5,
                epochs=30,
                metric="bleu",
                beams=3,
            ),
            generation_statistics,
            ("bleu", "exact_match", "edit_similarity"),
        )
