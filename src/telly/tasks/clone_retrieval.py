"""Clone retrieval: find the other programs that solve the same problem (POJ-104, Mou et al. 2016).

Every program of a batch is paired with another of its label; programs of other labels are the negatives. Evaluation
takes every program as a query and ranks all others: MAP@R, as CodeXGLUE's evaluator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from telly.data.sample import Sample
from telly.data.schema import CODE_STRINGS_FIRST, NEGATIVES, Column, Schema
from telly.metrics.answers import REFERENCE_KEYS, AnswerLayout
from telly.tasks.options import ContrastiveOptions
from telly.tasks.spec import EmbeddingRoles, Preset, TaskSpec

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.tasks.training.base import AnyTask


class CloneRetrieval(TaskSpec[ContrastiveOptions]):
    """Retrieval of programs with the same label.

    The paper only probes with this data; the preset is that of its code search.
    """

    schema = Schema(
        "clone-retrieval",
        (Column("label", "label", aliases=("problem", "problem_id", "target")), CODE_STRINGS_FIRST),
        summary="clone retrieval: find the other programs that solve the same problem",
        key="code",
        negatives=NEGATIVES,
        open_labels=True,
    )
    sample = Sample("clone-retrieval")
    preset = Preset({"code": 400}, batch_size=16, learning_rate=2e-5, epochs=5, metric="map@r")
    metrics = ("map@r",)
    answers = AnswerLayout(
        "ranking", ("answers", "answer", *REFERENCE_KEYS), ("index", "id", "idx", "url"), ranks_examples=True
    )
    options = ContrastiveOptions
    min_batch_size = 2

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """MAP@R and R-precision of rankings."""
        from telly.metrics.ranking import clone_retrieval_statistics

        return clone_retrieval_statistics(predictions, references)

    def training(self) -> AnyTask:
        """In-batch contrast of texts that share a label."""
        from telly.tasks.training.groups import GroupTask

        return GroupTask(self)

    def embedding_roles(self, options: ContrastiveOptions) -> EmbeddingRoles:
        """Programs on both sides."""
        return EmbeddingRoles(
            "code", "code", "int sum(int x, int y) { return x + y; }", "int add(int a, int b) { return a + b; }"
        )
