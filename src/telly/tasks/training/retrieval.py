"""Retrieval tasks: find the document that belongs to a query, by in-batch contrast of the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from telly.data.judged import JudgedQueries
from telly.data.sequences import RaggedRows, Rows
from telly.freezing.source import RowSource
from telly.metrics.bm25 import bm25_ranks
from telly.metrics.judgments import Judgments
from telly.metrics.retrieval import dot_products, ranks_of_relevant, retrieval_metrics, retrieval_statistics
from telly.models.embedding import EmbeddingHead
from telly.tasks.options import SearchOptions
from telly.tasks.spec import TaskSpec
from telly.tasks.training.base import NO_PROMPTS, Encoder, Evaluation, Prompts, Task
from telly.tasks.training.contrastive import ContrastiveData, ContrastiveModel, negatives_column, without_answers
from telly.tasks.training.embeddings import embed_rows, encoded_with_negatives
from telly.tasks.training.teacher import GivenScores


@dataclass(frozen=True)
class RetrievalData(ContrastiveData):
    """Queries, each with a document that answers it and with hard negatives; or queries with judgments.

    Attributes:
        candidates: rows of the documents that are ranked for every query, [documents]; equal up to the length limit,
            two may have the same row. None for pairs, whose distinct documents are ranked.
        judgments: relevant candidates of every query; None for pairs.
        answers: rows of the queries that have several documents, and of each of these, [answers, 2], sorted by query;
            None if no query has.
    """

    candidates: npt.NDArray[np.int64] | None = None
    judgments: Judgments | None = None
    answers: npt.NDArray[np.int64] | None = None

    def answers_of(self, queries: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
        """The part of `answers` about some queries, given by their rows."""
        if self.answers is None:
            return None
        starts, ends = (np.searchsorted(self.answers[:, 0], np.unique(queries), side) for side in ("left", "right"))
        return np.concatenate([self.answers[:0], *map(self.answers.__getitem__, map(slice, starts, ends))])

    def ranking(self, document: str) -> tuple[npt.NDArray[np.int64], Judgments]:
        """Rows of the candidates, and which of them are relevant to each query; `document` is the pairs' column."""
        if self.candidates is None or self.judgments is None:
            candidates, targets = np.unique(self.rows[document], return_inverse=True)
            return candidates, Judgments.one_each(targets)
        return self.candidates, self.judgments

    def _arrays(self) -> list[npt.NDArray[np.int64]]:
        if self.candidates is None or self.judgments is None:
            return super()._arrays()
        judgments = self.judgments
        return [*super()._arrays(), self.candidates, judgments.offsets, judgments.documents, judgments.grades]


class RetrievalModel(ContrastiveModel):
    """Encoder and loss."""

    def forward(
        self,
        query: dict[str, torch.Tensor],
        document: dict[str, torch.Tensor],
        query_rows: torch.Tensor,
        document_rows: torch.Tensor,
        negatives: dict[str, torch.Tensor] | None = None,
        negative_rows: torch.Tensor | None = None,
        answers: torch.Tensor | None = None,
        teacher: dict[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Contrastive loss. Pairs with the same query or document are not negatives of each other.

        Args:
            query: batch of tokens or cached states.
            document: batch of the documents that belong to the queries.
            query_rows: row indices, equal for equal queries, [pairs].
            document_rows: row indices, equal for equal documents, [pairs].
            negatives: batch of hard negatives of all pairs; None if there are none in this batch.
            negative_rows: their row indices, [negatives]; None if there are none in any batch.
            answers: row indices of queries and of all documents that answer them, [answers, 2]; None if no query of
                the data has several.
            teacher: the teacher's embeddings of the batch; None without a teacher.
        """
        return self.loss(query, document, [query_rows, document_rows], negatives, negative_rows, answers, teacher)


class RetrievalTask(Task[Encoder, RetrievalModel, RetrievalData, SearchOptions]):
    """Queries to documents, both embedded by one encoder. The task declares their columns as its embedding roles."""

    def __init__(self, spec: TaskSpec[SearchOptions]) -> None:
        super().__init__(spec)
        roles = spec.embedding_roles(spec.options())
        if roles is None:
            raise ValueError(f"{spec.name}: a retrieval task must declare embedding roles")
        self.query, self.document = roles.query, roles.document

    def encode(
        self,
        datasets: Mapping[str, Any],
        tokenizer: Any,
        max_tokens: dict[str, int],
        config: Any,
        prompts: Prompts = NO_PROMPTS,
    ) -> dict[str, RetrievalData]:
        """Tokenise queries, documents and negatives into one table per split; equal texts share a row.

        A split is a data set of pairs or `JudgedQueries`.
        """
        encoded: dict[str, RetrievalData] = {}
        for name, dataset in datasets.items():
            negatives = negatives_column(self.schema, name)
            table, rows, hard = encoded_with_negatives(
                dataset, tokenizer, max_tokens, negatives, self.document, prompts
            )
            if isinstance(dataset, JudgedQueries):
                candidates = rows.pop(self.document)
                encoded[name] = RetrievalData(table, rows, candidates=candidates, judgments=dataset.judgments)
                continue
            hard, warnings = without_answers(hard, rows[self.query], rows[self.document], self.query)
            answers = _several_answers(rows[self.query], rows[self.document])
            scores = self._given_scores(dataset, hard) if name == "train" else None
            encoded[name] = RetrievalData(
                table, rows, negatives=hard, given_scores=scores, warnings=warnings, answers=answers
            )
        return encoded

    def _given_scores(self, dataset: Any, negatives: RaggedRows | None) -> GivenScores | None:
        """A teacher's scores, if the data has any."""
        texts, scores = self.schema.negatives, self.schema.teacher_scores
        if texts is None or scores is None or scores.name not in dataset.column_names:
            return None
        return GivenScores.of(dataset[scores.name], [len(some) for some in dataset[texts.name]], negatives)

    def build(
        self, encoder: Encoder, num_classes: int, options: SearchOptions, embedding: EmbeddingHead | None = None
    ) -> RetrievalModel:
        """The encoder with the contrastive loss."""
        return RetrievalModel(encoder, options, embedding)

    def contrasted(self, data: RetrievalData) -> dict[str, npt.NDArray[np.int64]]:
        """Pairs with the same query or document are not negatives."""
        return {column: data.rows[column] for column in (self.query, self.document)}

    def collate(
        self, source: RowSource, data: RetrievalData, indices: Rows, rng_key: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        """Queries and documents of some examples, and their row indices, which identify duplicates."""
        picked = np.asarray(indices)
        query, document = data.rows[self.query][picked], data.rows[self.document][picked]
        batch: dict[str, Any] = {
            "query": source.batch(query),
            "document": source.batch(document),
            "query_rows": torch.from_numpy(query),
            "document_rows": torch.from_numpy(document),
        }
        if (answers := data.answers_of(query)) is not None:
            batch["answers"] = torch.from_numpy(answers)
        negatives = data.negatives_of(indices)
        if negatives is not None:
            batch["negatives"] = source.batch(negatives) if len(negatives) else None
            batch["negative_rows"] = torch.from_numpy(negatives)
        if data.teacher is not None:
            batch["teacher"] = data.teacher.batch(picked, query, document, negatives)
        return batch

    @torch.no_grad()
    def evaluate(
        self, model: RetrievalModel, source: RowSource, data: RetrievalData, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """Rank all candidates of the split for every query, at last also by the Matryoshka dimensions."""
        candidate_rows, judgments = data.ranking(self.document)
        distinct, places = np.unique(candidate_rows, return_inverse=True)
        with autocast:
            documents = embed_rows(model.embed, source, distinct, model.device)
            queries = embed_rows(model.embed, source, data.rows[self.query], model.device)
        candidates = documents[torch.from_numpy(places).to(documents.device)]
        # `embed` has scaled embeddings to unit length where they are compared by cosine.
        scores = dot_products if model.similarity.normalizes else model.similarity.scores
        ranks = ranks_of_relevant(queries, candidates, judgments, scores)
        evaluation = Evaluation.of(retrieval_statistics(ranks, judgments))
        sizes = model.options.matryoshka if final else ()
        return replace(
            evaluation,
            truncated={
                size: retrieval_metrics(
                    ranks_of_relevant(queries[:, :size], candidates[:, :size], judgments, model.similarity.scores),
                    judgments,
                )
                for size in sizes
            },
        )

    def baselines(self, datasets: Mapping[str, Any], split: str, train: RetrievalData) -> dict[str, dict[str, float]]:
        """BM25 with identifiers split into words."""
        dataset = datasets[split]
        if isinstance(dataset, JudgedQueries):
            queries, documents = dataset.queries[self.query], list(dataset.documents[self.document])
            judgments = dataset.judgments
        else:
            queries, documents = dataset[self.query], list(dict.fromkeys(dataset[self.document]))
            index = {text: i for i, text in enumerate(documents)}
            judgments = Judgments.one_each([index[text] for text in dataset[self.document]])
        return {"bm25": retrieval_metrics(bm25_ranks(list(queries), documents, judgments), judgments)}


def _several_answers(queries: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Distinct pairs of those queries that have several documents, [answers, 2], sorted by query; None if none has."""
    pairs = np.unique(np.stack([queries, documents], axis=1), axis=0)
    _, query, counts = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
    several = pairs[counts[query] > 1]
    return several if len(several) else None
