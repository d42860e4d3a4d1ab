"""Training towards a teacher: the embeddings that another model gives to the training texts, or its scores.

The teacher runs before training, so its forward costs nothing in a step (`telly.tuning.teacher`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.sequences import RaggedRows, Rows
from telly.models.similarity import Similarity
from telly.processes import mean_over_processes
from telly.tasks.options import SCORES, TeacherSettings
from telly.tasks.training.global_batch import for_all_processes, gather_ragged, gather_with_gradient

GIVEN = "scores"
"""Key of given scores in a batch."""


@dataclass(frozen=True)
class TeacherTargets:
    """A teacher's embeddings of the training texts.

    The student's sequences are those of its own tokenizer, which are cut at its own limits. Texts that are equal to the
    student have the embedding of the first of them.

    Attributes:
        embeddings: embeddings of texts, [texts, teacher's embedding size].
        queries: row of `embeddings` by row of the student's sequence table; -1 for sequences that are no queries.
        documents: the same for documents, negatives among them.
        similarity: similarity by which the teacher compares embeddings.
    """

    embeddings: npt.NDArray[np.float32]
    queries: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    similarity: Similarity = Similarity.COSINE

    def batch(
        self, examples: Rows, queries: Rows, documents: Rows, negatives: Rows | None = None
    ) -> dict[str, torch.Tensor]:
        """The teacher's embeddings of a training batch.

        Args:
            examples: indices of the examples, which do not matter here.
            queries: rows of the student's sequences.
            documents: rows of the right answers.
            negatives: rows of the hard negatives; None if there are none.
        """
        rows = {
            "queries": self.queries[queries],
            "documents": self.documents[documents],
            "negatives": self.documents[negatives if negatives is not None else np.zeros(0, dtype=np.int64)],
        }
        return {name: torch.from_numpy(self.embeddings[picked]) for name, picked in rows.items()}


@dataclass(frozen=True)
class GivenScores:
    """A teacher's scores that the data gives, of every example's right answer and of its own hard negatives.

    Attributes:
        positives: score of every example's right answer, [examples]; 0 for an example without scores.
        negatives: scores of the hard negatives, [negatives]; minus infinity for those of an example without scores.
        positions: positions in `negatives` by example.
    """

    positives: npt.NDArray[np.float32]
    negatives: npt.NDArray[np.float32]
    positions: RaggedRows

    @classmethod
    def of(
        cls, scores: Sequence[Sequence[float]], counts: Sequence[int], negatives: RaggedRows | None
    ) -> GivenScores | None:
        """The scores of a data set; None if no example has any, or none has negatives.

        Args:
            scores: scores of the right answer and then of the negatives of every example; empty if it has none.
            counts: number of negatives that the data gives to every example.
            negatives: the hard negatives, without those that turned out to be right answers.
        """
        if negatives is None or not any(map(len, scores)):
            return None
        positives = np.array([some[0] if len(some) else 0.0 for some in scores], dtype=np.float32)
        given = [some[1:] if len(some) else [-np.inf] * count for some, count in zip(scores, counts, strict=True)]
        flat = np.array([score for some in given for score in some], dtype=np.float32)
        positions = RaggedRows(np.arange(len(negatives.values)), negatives.offsets)
        return cls(positives, flat[negatives.sources], positions)

    def batch(
        self, examples: Rows, queries: Rows, documents: Rows, negatives: Rows | None = None
    ) -> dict[str, torch.Tensor]:
        """The scores of a training batch as `scores`, [pairs, pairs + negatives]; minus infinity for what has none.

        Args:
            examples: indices of the examples.
            queries: rows of the student's sequences, which do not matter here, like those that follow.
            documents: rows of the right answers.
            negatives: rows of the hard negatives.
        """
        picked, pairs = self.positions.pick(examples), len(examples)
        scores = np.full((pairs, pairs + len(picked)), -np.inf, dtype=np.float32)
        np.fill_diagonal(scores, self.positives[examples])
        owners = np.repeat(np.arange(pairs), self.positions.counts[examples])
        scores[owners, pairs + np.arange(len(picked))] = self.negatives[picked]
        return {GIVEN: torch.from_numpy(scores)}

    def arrays(self) -> list[npt.NDArray[np.int64]]:
        """All scores in a form that can be digested."""
        return [scores.astype(np.float64).view(np.int64) for scores in (self.positives, self.negatives)]


class TeacherLoss(nn.Module):
    """Distance of the student's embeddings or scores from the teacher's; added to the loss of the task.

    With `embeddings` it is 1 - cosine, the mean over queries and over documents (EmbedDistill, Kim et al. 2023). Where
    the sizes differ, a linear layer maps the student's embeddings to the teacher's size; it is trained and not saved
    with the model. With `scores` it is the Kullback-Leibler divergence of the student's distribution over the
    candidates of a batch from the teacher's, the mean over queries (Hofstätter et al. 2020). With `GivenScores` the
    candidates of a query are its own right answer and negatives.

    Args:
        settings: target, weight and temperature.
        student_size: size of the student's embeddings.
        teacher_size: size of the teacher's embeddings.
        similarity: the student's similarity.
        teacher_similarity: the teacher's similarity.
        temperature: divides the student's scores.
    """

    def __init__(
        self,
        settings: TeacherSettings,
        student_size: int,
        teacher_size: int,
        *,
        similarity: Similarity = Similarity.COSINE,
        teacher_similarity: Similarity = Similarity.COSINE,
        temperature: float,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.similarity, self.teacher_similarity = similarity, teacher_similarity
        self.temperature = temperature
        needs_projection = settings.target != SCORES and student_size != teacher_size
        self.projection = nn.Linear(student_size, teacher_size) if needs_projection else nn.Identity()

    def forward(
        self,
        queries: torch.Tensor,
        documents: torch.Tensor,
        negatives: torch.Tensor | None,
        teacher: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        """The weighted loss of a batch, a scalar; with several processes that of the global batch.

        Args:
            queries: the student's embeddings, [pairs, size].
            documents: those of the right answers, [pairs, size].
            negatives: those of the hard negatives, [negatives, size]; None if there are none.
            teacher: what `batch` of `TeacherTargets` or of `GivenScores` gives.
        """
        negatives = documents[:0] if negatives is None else negatives
        student = {"queries": queries, "documents": documents, "negatives": negatives}
        if GIVEN in teacher:
            return self.settings.weight * self._of_given_scores(student, teacher[GIVEN])
        distance = self._of_scores if self.settings.target == SCORES else self._of_embeddings
        return self.settings.weight * distance(student, teacher)

    def _of_embeddings(self, student: dict[str, torch.Tensor], teacher: dict[str, torch.Tensor]) -> torch.Tensor:
        distances = {
            name: 1 - F.cosine_similarity(self.projection(embeddings).float(), teacher[name], dim=-1)
            for name, embeddings in student.items()
        }
        sides = distances["queries"], torch.cat([distances["documents"], distances["negatives"]])
        # DDP averages the processes' gradients, and they have unequal numbers of negatives.
        counts = [mean_over_processes(side.new_tensor(float(len(side)))) for side in sides]
        return torch.stack([side.sum() / count for side, count in zip(sides, counts, strict=True)]).mean()

    def _of_scores(self, student: dict[str, torch.Tensor], teacher: dict[str, torch.Tensor]) -> torch.Tensor:
        assert self.settings.temperature is not None
        scores = _scores(student, self.similarity) / self.temperature
        targets = _scores(teacher, self.teacher_similarity) / self.settings.temperature
        loss = F.kl_div(scores.log_softmax(-1), targets.log_softmax(-1), log_target=True, reduction="batchmean")
        return for_all_processes(loss)

    def _of_given_scores(self, student: dict[str, torch.Tensor], given: torch.Tensor) -> torch.Tensor:
        assert self.settings.temperature is not None
        candidates = torch.cat([student["documents"], student["negatives"]])
        scores = self.similarity.scores(student["queries"], candidates).float() / self.temperature
        left_out = given.isneginf()
        log_student = scores.masked_fill(left_out, -torch.inf).log_softmax(-1).masked_fill(left_out, 0.0)
        log_teacher = (given / self.settings.temperature).log_softmax(-1)
        difference = log_teacher.masked_fill(left_out, 0.0) - log_student
        # The mean over this process's queries: each has candidates of its own, so nothing is gathered.
        return (log_teacher.exp() * difference).sum(-1).mean()


def _scores(embeddings: dict[str, torch.Tensor], similarity: Similarity) -> torch.Tensor:
    """Scores of all processes' queries and candidates, [pairs, pairs + negatives]."""
    documents = torch.cat([gather_with_gradient(embeddings["documents"]), gather_ragged(embeddings["negatives"])])
    return similarity.scores(gather_with_gradient(embeddings["queries"]), documents).float()
