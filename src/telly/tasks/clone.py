"""Clone detection: decide whether two functions do the same.

Two heads. `pair` is the paper's: a classifier over both functions' embeddings (2H -> H -> 2). `cosine` trains the
embeddings themselves (contrastive loss of Hadsell et al. 2006 on the cosine) and decides by a threshold that is chosen
on validation data; its embeddings can be indexed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from telly.data.formats import PAIRS
from telly.data.sample import Sample
from telly.data.schema import Column, Schema
from telly.metrics.answers import AnswerLayout
from telly.mining.target import MinedRows, MiningTarget
from telly.models.similarity import Similarity
from telly.tasks.options import COSINE, PAIR, PairOptions
from telly.tasks.spec import DataExample, EmbeddingRoles, Preset, TaskSpec

if TYPE_CHECKING:
    from telly.metrics.interval import Statistic
    from telly.tasks.training.base import AnyTask

MAX_FUNCTIONS = 10_000
"""Maximum number of mined functions: the cost of comparing all pairs grows with its square."""


class Clone(TaskSpec[PairOptions]):
    """Binary classification of pairs of functions."""

    schema = Schema(
        "clone",
        (
            Column("left", aliases=("func1", "code1", "function1")),
            Column("right", aliases=("func2", "code2", "function2")),
            Column("label", "label", aliases=("is_clone", "clone", "similar", "target"), values=("0", "1")),
        ),
        summary="clone detection: decide whether two functions do the same",
        unordered=("left", "right"),
    )
    sample = Sample("clone", PAIRS)
    preset = Preset({"left": 512, "right": 512}, batch_size=16, learning_rate=5e-5, epochs=10, metric="f1")
    metrics = ("f1", "precision", "recall", "accuracy")
    answers = AnswerLayout("label", ("label", "gold", "answer"), pairs=True, labels=("0", "1"))
    options = PairOptions
    has_threshold = True
    mining = MiningTarget(MinedRows.PAIRS, documented=False, languages=("python",), max_functions=MAX_FUNCTIONS)
    data_example = DataExample(
        "--data DIR --valid DIR --test DIR", "DIR as BigCloneBench has it: data.jsonl, train.txt, valid.txt, test.txt"
    )
    paper_name = "clone-detection"

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
        """Precision, recall, F1 and accuracy of labels."""
        from telly.metrics.classification import clone_statistics

        return clone_statistics(predictions, references)

    def training(self) -> AnyTask:
        """Classification of pairs."""
        from telly.tasks.training.pairs import PairTask

        return PairTask(self)

    def has_head(self, options: PairOptions) -> bool:
        """The pair classifier has parameters; the cosine has none."""
        return options.head == PAIR

    def shares_texts(self, options: PairOptions) -> bool:
        """An option; by default batches share texts with the cosine head only."""
        return bool(options.shared_batches)

    def fixed_similarity(self, options: PairOptions) -> Similarity | None:
        """The cosine, with the head of that name."""
        return Similarity.COSINE if options.head == COSINE else None

    def embedding_roles(self, options: PairOptions) -> EmbeddingRoles | None:
        """Functions on both sides, with the cosine head only."""
        if options.head != COSINE:
            return None
        return EmbeddingRoles("left", "right", "def plus(x, y):\n    return x + y", "def add(a, b):\n    return a + b")
