"""Code search: find the function that a sentence describes.

Mean of the last layer's states over real tokens, cosine similarity, in-batch negatives with a temperature (the paper's
setting; InfoNCE, van den Oord et al. 2018). Evaluation ranks every query against all candidates of the split.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from telly.data.schema import SCHEMAS
from telly.data.sequences import Rows
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.bm25 import bm25_ranks
from telly.metrics.retrieval import ranks_of_targets, retrieval_metrics, retrieval_statistics
from telly.tasks.base import BaseTask, Encoded, Evaluation, Options, Preset, device_of
from telly.tasks.contrast import ContrastModel, in_batch_loss
from telly.tasks.embeddings import embed_rows, encoded_texts


class SearchTask(BaseTask):
    """Query to code, both encoded by one shared encoder."""

    name = "search"
    schema = SCHEMAS["search"]
    preset = Preset(
        max_tokens={"query": 128, "code": 256},
        batch_size=128,
        learning_rate=2e-5,
        epochs=10,
        metric="mrr",
        temperature=0.05,
    )
    metrics: tuple[str, ...] = ("mrr", "recall@1", "recall@5", "recall@10")

    def encode(
        self, datasets: Mapping[str, Any], tokenizer: Any, max_tokens: dict[str, int], config: Any
    ) -> dict[str, Encoded]:
        """Tokenise queries and code into one table a split; equal texts share a row."""
        return {name: Encoded(*encoded_texts(dataset, tokenizer, max_tokens)) for name, dataset in datasets.items()}

    def build(self, split: SplitModel, train: Encoded, options: Options) -> SearchModel:
        """The encoder with the contrastive loss."""
        return SearchModel(split, options.temperature or self.preset.temperature or 1.0)

    def contrasted(self, data: Encoded) -> dict[str, npt.NDArray[np.int64]]:
        """A pair with the same query or the same code is no negative."""
        return {"query": data.rows["query"], "code": data.rows["code"]}

    def collate(self, source: RowSource, data: Encoded, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """Queries and code of some examples, and their row numbers, by which duplicates are known."""
        picked = {column: rows[np.asarray(indices)] for column, rows in data.rows.items()}
        batch: dict[str, Any] = {column: source.batch(rows) for column, rows in picked.items()}
        return batch | {f"{column}_rows": torch.from_numpy(rows) for column, rows in picked.items()}

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """MRR and recall of every query against the split's distinct functions."""
        if not isinstance(model, SearchModel):
            raise TypeError(f"expected a SearchModel, found {type(model).__name__}")
        codes, targets = np.unique(data.rows["code"], return_inverse=True)
        device = device_of(model)
        with autocast:
            candidates = embed_rows(model.embed, source, codes, device)
            queries = embed_rows(model.embed, source, data.rows["query"], device)
        ranks = ranks_of_targets(queries, candidates, torch.from_numpy(targets).to(queries.device))
        return Evaluation.of(retrieval_statistics(ranks))

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Encoded) -> dict[str, dict[str, float]]:
        """BM25 over identifiers split into words."""
        dataset = datasets[split]
        codes = list(dict.fromkeys(dataset["code"]))
        number = {code: i for i, code in enumerate(codes)}
        targets = torch.tensor([number[code] for code in dataset["code"]])
        return {"bm25": retrieval_metrics(bm25_ranks(list(dataset["query"]), codes, targets))}


class SearchModel(ContrastModel):
    """Encoder and loss."""

    def forward(
        self,
        query: dict[str, torch.Tensor],
        code: dict[str, torch.Tensor],
        query_rows: torch.Tensor,
        code_rows: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """In-batch contrastive loss. A pair that repeats another's query or code is no negative of it."""
        same = [query_rows, code_rows]
        return {"loss": in_batch_loss(self.embed(query), self.embed(code), same, self.temperature)}
