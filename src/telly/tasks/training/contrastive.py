"""Contrastive loss (InfoNCE, van den Oord et al. 2018) with in-batch and hard negatives, over all processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from telly.data.schema import Schema
from telly.data.sequences import RaggedRows, Rows
from telly.models.embedding import EmbeddingHead
from telly.models.similarity import Similarity
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training.base import Encoded, Encoder, TaskModel
from telly.tasks.training.embeddings import in_chunks
from telly.tasks.training.global_batch import for_all_processes, gather_ragged, gather_with_gradient
from telly.tasks.training.teacher import GivenScores, TeacherLoss, TeacherTargets


@dataclass(frozen=True)
class ContrastiveData(Encoded):
    """Examples that are contrasted with each other and with hard negatives.

    Attributes:
        negatives: rows of the hard negatives of every example, any number each; None if no example has any.
        given_scores: a teacher's scores that the data has; None if it has none.
        teacher: what training is directed towards: a teacher's embeddings, or the given scores; None without a teacher.
    """

    negatives: RaggedRows | None = None
    given_scores: GivenScores | None = None
    teacher: TeacherTargets | GivenScores | None = None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Length of every example's longest sequence in tokens, [examples], negatives included."""
        longest = super().lengths
        if self.negatives is not None:
            longest = longest.copy()
            np.maximum.at(longest, self.negatives.owners, self.table.lengths[self.negatives.values])
        return longest

    @property
    def reads(self) -> npt.NDArray[np.int64]:
        """The rows that an epoch reads, negatives included."""
        negatives = [] if self.negatives is None else [self.negatives.values]
        return np.concatenate([super().reads, *negatives])

    @property
    def hard_negatives(self) -> npt.NDArray[np.int64] | None:
        """Hard negatives per example, [examples]."""
        return None if self.negatives is None else self.negatives.counts

    def batch_tokens(self, indices: Rows) -> int:
        """Tokens that a batch of these examples reads, padding and negatives included."""
        rows = self.negatives_of(indices)
        padded = 0 if rows is None or not len(rows) else len(rows) * int(self.table.lengths[rows].max())
        return super().batch_tokens(indices) + padded

    def negatives_of(self, indices: Rows) -> npt.NDArray[np.int64] | None:
        """Rows of the hard negatives of some examples; None if no example of the data has any."""
        return None if self.negatives is None else self.negatives.pick(indices)

    def _arrays(self) -> list[npt.NDArray[np.int64]]:
        negatives = [] if self.negatives is None else [self.negatives.values, self.negatives.offsets]
        scores = [] if self.given_scores is None else self.given_scores.arrays()
        return [*super()._arrays(), *negatives, *scores]


def negatives_column(schema: Schema, split: str) -> str | None:
    """The column of hard negatives to read from a split; only training data has them."""
    return schema.negatives.name if schema.negatives is not None and split == "train" else None


def without_answers(
    negatives: RaggedRows | None, groups: npt.NDArray[np.int64], answers: npt.NDArray[np.int64], group: str
) -> tuple[RaggedRows | None, tuple[str, ...]]:
    """Drop the hard negatives that are right answers.

    The texts of a negative and of an answer may differ beyond the length limit only; the model reads the same then.

    Args:
        negatives: rows of the hard negatives of every example.
        groups: query or label of every example, [examples]; examples of one group have the same right answers.
        answers: row of the right answer of every example, [examples].
        group: what a group is, for the warning.

    Returns:
        the negatives that are left, and a warning if some are not.
    """
    if negatives is None:
        return None, ()
    rows = 1 + max(answers.max(), negatives.values.max())
    wrong = ~np.isin(groups[negatives.owners] * rows + negatives.values, groups * rows + answers)
    dropped = int((~wrong).sum())
    if not dropped:
        return negatives, ()
    warning = (
        f"train: {dropped:,} of {len(wrong):,} negatives are left out, because a row with the same {group} has them as "
        "its right answer, or one that is equal up to the length limit"
    )
    return (negatives.where(wrong) if wrong.any() else None), (warning,)


class HardNegatives(NamedTuple):
    """Hard negatives of a batch, whichever example they belong to.

    Attributes:
        embeddings: [negatives, hidden].
        ids: identities, [negatives]; equal to that of a right answer if it is the same.
    """

    embeddings: torch.Tensor
    ids: torch.Tensor


class ContrastiveModel(TaskModel):
    """An encoder whose embeddings are compared; subclasses define the positive pairs.

    Args:
        encoder: the frozen or fully trained encoder.
        options: settings of the loss.
        embedding: pooling and the modules after it. [default: mean pooling]

    Attributes:
        teacher: the term of the loss that compares with a teacher; None without a teacher.
    """

    def __init__(self, encoder: Encoder, options: ContrastiveOptions, embedding: EmbeddingHead | None = None) -> None:
        super().__init__(encoder, embedding=embedding)
        self.options = options
        self.teacher: TeacherLoss | None = None

    def embed_batch(self, batch: dict[str, torch.Tensor] | None, like: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings of a training batch, in chunks if the settings say so, [batch, hidden].

        Args:
            batch: batch of tokens or cached states; None is an empty one.
            like: embeddings of another batch; only needed for an empty batch.
        """
        if batch is None:
            assert like is not None
            return like[:0]
        return in_chunks(self.embed, batch, self.options.chunk_size)

    def loss(
        self,
        left: dict[str, torch.Tensor],
        right: dict[str, torch.Tensor],
        same: Sequence[torch.Tensor],
        negatives: dict[str, torch.Tensor] | None,
        negative_ids: torch.Tensor | None,
        answers: torch.Tensor | None = None,
        teacher: dict[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """The loss of a batch of pairs.

        Args:
            left: batch of tokens or cached states of the queries.
            right: batch of the right answers.
            same: as for `in_batch_loss`.
            negatives: batch of the hard negatives; None if there are none in this batch.
            negative_ids: identities of the hard negatives; None if there are none in any batch.
            answers: as for `in_batch_loss`.
            teacher: what a teacher gives for the batch, as `ContrastiveData.teacher.batch` gives it; None without one.
        """
        queries, documents = self.embed_batch(left), self.embed_batch(right)
        hard = None
        if negative_ids is not None:
            hard = HardNegatives(self.embed_batch(negatives, like=documents), negative_ids)
        loss = in_batch_loss(queries, documents, same, self.options, hard, self.similarity, answers)
        if teacher is not None:
            assert self.teacher is not None
            loss = loss + self.teacher(queries, documents, None if hard is None else hard.embeddings, teacher)
        return {"loss": loss}


def in_batch_loss(
    left: torch.Tensor,
    right: torch.Tensor,
    same: Sequence[torch.Tensor],
    options: ContrastiveOptions,
    negatives: HardNegatives | None = None,
    similarity: Similarity = Similarity.COSINE,
    answers: torch.Tensor | None = None,
) -> torch.Tensor:
    """Cross-entropy of each left embedding's right partner among all right embeddings and negatives of the batch.

    With several processes the negatives are those of the global batch, so the loss and the averaged gradient are those
    of one process with that batch.

    Args:
        left: embeddings, [pairs, hidden].
        right: embeddings, [pairs, hidden].
        same: identities of the pairs' left and right members (one tensor, if they have the same), each [pairs]; pairs
            with an equal one are not negatives of each other.
        options: settings of the loss.
        negatives: hard negatives, compared with every left embedding, but for those that are the right partner of an
            equal left member.
        similarity: similarity of two embeddings.
        answers: identities of left members and of all that is right for them in the whole data, [answers, 2]; none of
            it is their negative. None if no left member has several right ones, with any number of processes.
    """
    left, right = gather_with_gradient(left), gather_with_gradient(right)
    ids = [gather_with_gradient(values) for values in same]
    equal = [values[:, None] == values[None] for values in ids]
    excluded = torch.stack(equal).any(dim=0)  # [pairs, pairs]
    known = None if answers is None else gather_ragged(answers)
    if known is not None:
        excluded |= _answered(ids[0], ids[-1], known)
    excluded.fill_diagonal_(False)  # the pair itself is the target
    if negatives is not None:
        right = torch.cat([right, gather_ragged(negatives.embeddings)])
        negative_ids = gather_ragged(negatives.ids)
        # A negative of one query is excluded for another if it is the partner of any pair with that other query.
        pairs = torch.stack([ids[0], ids[-1]], dim=1)
        known = pairs if known is None else torch.cat([pairs, known])
        excluded = torch.cat([excluded, _answered(ids[0], negative_ids, known)], dim=1)
    # Matryoshka (Kusupati et al. 2022): the same loss of the first dimensions alone, added to that of all.
    loss = _info_nce(similarity.scores(left, right), excluded, options)
    for size, weight in zip(options.matryoshka, options.weights, strict=True):
        scores = similarity.scores(left[:, :size], right[:, :size])
        loss = loss + weight * _info_nce(scores, excluded, options)
    return for_all_processes(loss)


def _answered(left: torch.Tensor, right: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Which right identities [right] answer which left ones [left], by pairs of both [answers, 2]; [left, right]."""
    is_left, is_right = left[:, None] == answers[:, 0][None], answers[:, 1][:, None] == right[None]
    return (is_left.float() @ is_right.float()) > 0


def _info_nce(scores: torch.Tensor, excluded: torch.Tensor, options: ContrastiveOptions) -> torch.Tensor:
    """InfoNCE from scores and what is excluded from them, [pairs, candidates] each; candidate i is right for pair i."""
    loss = _cross_entropy(scores, excluded, options)
    if options.symmetric:  # the other direction: each document's query among the queries (Radford et al. 2021)
        pairs = len(scores)
        loss = (loss + _cross_entropy(scores[:, :pairs].T, excluded[:, :pairs].T, options)) / 2
    return loss


def _cross_entropy(scores: torch.Tensor, excluded: torch.Tensor, options: ContrastiveOptions) -> torch.Tensor:
    """Mean cross-entropy of the softmax over candidates; the target of row i is candidate i."""
    if options.false_negative_margin is not None:
        # What scores that much more than the right answer is probably right as well (Qwen3-Embedding, 2025).
        found = scores.detach()
        excluded = excluded | (found > found.diagonal()[:, None] + options.false_negative_margin)
    logits = (scores / options.temperature).masked_fill(excluded, float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(scores), device=scores.device))
