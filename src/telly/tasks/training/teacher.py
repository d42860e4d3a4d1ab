"""Training towards a teacher: the embeddings that another model gives to the training texts, or its scores.

The teacher runs before training, so its forward costs nothing in a step (`telly.tuning.teacher`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.sequences import Rows
from telly.models.embedding import Similarity
from telly.processes import mean_over_processes
from telly.tasks.options import SCORES, TeacherSettings
from telly.tasks.training.global_batch import for_all_processes, gather_ragged, gather_with_gradient


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

    def batch(self, queries: Rows, documents: Rows, negatives: Rows | None = None) -> dict[str, torch.Tensor]:
        """The teacher's embeddings of a training batch.

        Args:
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


class TeacherLoss(nn.Module):
    """Distance of the student's embeddings or scores from the teacher's; added to the loss of the task.

    With `embeddings` it is 1 - cosine, the mean over queries and over documents (EmbedDistill, Kim et al. 2023). Where
    the sizes differ, a linear layer maps the student's embeddings to the teacher's size; it is trained and not saved
    with the model. With `scores` it is the Kullback-Leibler divergence of the student's distribution over the
    candidates of a batch from the teacher's, the mean over queries (Hofstätter et al. 2020).

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
            teacher: the teacher's embeddings, as `TeacherTargets.batch` gives them.
        """
        negatives = documents[:0] if negatives is None else negatives
        student = {"queries": queries, "documents": documents, "negatives": negatives}
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


def _scores(embeddings: dict[str, torch.Tensor], similarity: Similarity) -> torch.Tensor:
    """Scores of all processes' queries and candidates, [pairs, pairs + negatives]."""
    documents = torch.cat([gather_with_gradient(embeddings["documents"]), gather_ragged(embeddings["negatives"])])
    return similarity.scores(gather_with_gradient(embeddings["queries"]), documents).float()
