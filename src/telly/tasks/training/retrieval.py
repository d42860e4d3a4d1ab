"""Retrieval tasks: find the document that belongs to a query, by in-batch contrast of the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from telly.data.sequences import Rows
from telly.freezing.source import RowSource
from telly.metrics.bm25 import bm25_ranks
from telly.metrics.retrieval import ranks_of_targets, retrieval_metrics, retrieval_statistics
from telly.models.embedding import EmbeddingHead
from telly.tasks.options import SearchOptions
from telly.tasks.spec import TaskSpec
from telly.tasks.training.base import NO_PROMPTS, Encoded, Encoder, Evaluation, Prompts, Task
from telly.tasks.training.contrastive import ContrastiveModel, in_batch_loss
from telly.tasks.training.embeddings import embed_rows, encoded_texts


class RetrievalModel(ContrastiveModel):
    """Encoder and loss."""

    def forward(
        self,
        query: dict[str, torch.Tensor],
        document: dict[str, torch.Tensor],
        query_rows: torch.Tensor,
        document_rows: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """In-batch contrastive loss. Pairs with the same query or document are not negatives of each other.

        Args:
            query: batch of tokens or cached states.
            document: batch of the documents that belong to the queries.
            query_rows: row indices, equal for equal queries, [pairs].
            document_rows: row indices, equal for equal documents, [pairs].
        """
        same = [query_rows, document_rows]
        return {"loss": in_batch_loss(self.embed(query), self.embed(document), same, self.temperature)}


class RetrievalTask(Task[Encoder, RetrievalModel, Encoded, SearchOptions]):
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
    ) -> dict[str, Encoded]:
        """Tokenise queries and documents into one table per split; equal texts share a row."""
        return {
            name: Encoded(*encoded_texts(dataset, tokenizer, max_tokens, prompts)) for name, dataset in datasets.items()
        }

    def build(
        self, encoder: Encoder, num_classes: int, options: SearchOptions, embedding: EmbeddingHead | None = None
    ) -> RetrievalModel:
        """The encoder with the contrastive loss."""
        return RetrievalModel(encoder, options.temperature, embedding)

    def contrasted(self, data: Encoded) -> dict[str, npt.NDArray[np.int64]]:
        """Pairs with the same query or document are not negatives."""
        return {column: data.rows[column] for column in (self.query, self.document)}

    def collate(self, source: RowSource, data: Encoded, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """Queries and documents of some examples, and their row indices, which identify duplicates."""
        picked = np.asarray(indices)
        query, document = data.rows[self.query][picked], data.rows[self.document][picked]
        return {
            "query": source.batch(query),
            "document": source.batch(document),
            "query_rows": torch.from_numpy(query),
            "document_rows": torch.from_numpy(document),
        }

    @torch.no_grad()
    def evaluate(
        self, model: RetrievalModel, source: RowSource, data: Encoded, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """MRR and recall of every query against the split's distinct documents."""
        documents, targets = np.unique(data.rows[self.document], return_inverse=True)
        with autocast:
            candidates = embed_rows(model.embed, source, documents, model.device)
            queries = embed_rows(model.embed, source, data.rows[self.query], model.device)
        ranks = ranks_of_targets(queries, candidates, torch.from_numpy(targets).to(queries.device))
        return Evaluation.of(retrieval_statistics(ranks))

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Encoded) -> dict[str, dict[str, float]]:
        """BM25 with identifiers split into words."""
        dataset = datasets[split]
        documents = list(dict.fromkeys(dataset[self.document]))
        index = {text: i for i, text in enumerate(documents)}
        targets = torch.tensor([index[text] for text in dataset[self.document]])
        return {"bm25": retrieval_metrics(bm25_ranks(list(dataset[self.query]), documents, targets))}
