"""Code search: find the function that a sentence describes.

Embeddings by the model folder's pooling and similarity, in-batch negatives with a temperature (the paper's setting;
InfoNCE, van den Oord et al. 2018). Evaluation ranks the split's distinct functions for every query.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from telly.data.sample import DESCRIBED_FUNCTIONS
from telly.data.schema import CODE_TOKENS_FIRST, DOCSTRING_NAMES, NEGATIVES, TEACHER_SCORES, Column, Schema
from telly.metrics.answers import REFERENCE_KEYS, AnswerLayout
from telly.mining.target import described
from telly.tasks.options import SearchOptions
from telly.tasks.spec import EmbeddingRoles, Preset, TaskSpec

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.tasks.training.base import AnyTask


class Search(TaskSpec[SearchOptions]):
    """Retrieval of functions by sentences, both embedded by one encoder."""

    schema = Schema(
        "search",
        (
            Column("query", aliases=("query", *DOCSTRING_NAMES, "nl", "comment", "summary"), prose=True),
            CODE_TOKENS_FIRST,
        ),
        summary="code search: find the function that a sentence describes",
        key="code",
        candidates="code",
        negatives=NEGATIVES,
        teacher_scores=TEACHER_SCORES,
    )
    sample = DESCRIBED_FUNCTIONS
    preset = Preset({"query": 128, "code": 256}, batch_size=128, learning_rate=2e-5, epochs=10, metric="mrr")
    metrics = ("mrr", "mrr@10", "ndcg@10", "map", "recall@1", "recall@5", "recall@10")
    answers = AnswerLayout("ranking", ("answers", "answer", *REFERENCE_KEYS, "label", "idx"), ("id", "url", "index"))
    options = SearchOptions
    min_batch_size = 2
    mining = described("query")
    paper_name = "code-search"

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """MRR, NDCG, MAP and recall of rankings."""
        from telly.metrics.ranking import search_statistics

        return search_statistics(predictions, references)

    def training(self) -> AnyTask:
        """In-batch contrast of queries and documents."""
        from telly.tasks.training.retrieval import RetrievalTask

        return RetrievalTask(self)

    def embedding_roles(self, options: SearchOptions) -> EmbeddingRoles:
        """Sentences as queries, functions as documents."""
        return EmbeddingRoles("query", "code", "add two numbers", "def add(a, b):\n    return a + b")
