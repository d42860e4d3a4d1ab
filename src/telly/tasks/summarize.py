"""Code summarization: a function in, a sentence out. CodeSearchNet's layout; CodeXGLUE's smoothed sentence BLEU."""

from __future__ import annotations

from telly.data.schema import SCHEMAS
from telly.metrics.suites import summarization_statistics
from telly.tasks.base import Preset
from telly.tasks.text_generation import TextGenerationTask


class SummarizeTask(TextGenerationTask):
    """Code to summary."""

    def __init__(self) -> None:
        super().__init__(
            SCHEMAS["summarize"],
            "code",
            "summary",
            Preset(
                max_tokens={"code": 256, "summary": 128},
                batch_size=32,
                learning_rate=5e-5,
                epochs=10,
                metric="bleu",
                beams=10,
            ),
            summarization_statistics,
            ("bleu", "meteor", "rouge_l", "cider"),
        )
