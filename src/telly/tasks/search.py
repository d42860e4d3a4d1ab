"""Code search: find the function that a sentence describes.

Mean of the last layer's states over real tokens, cosine similarity, in-batch negatives with a temperature (the paper's
setting; InfoNCE, van den Oord et al. 2018). Evaluation ranks every query against all candidates of the split.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from telly.data.schema import SCHEMAS
from telly.data.sequences import Rows, SequenceTableBuilder
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.bm25 import bm25_ranks
from telly.metrics.retrieval import ranks_of_targets, retrieval_metrics
from telly.models.modes import encode_texts
from telly.models.pooling import mean_pool
from telly.tasks.base import Encoded, Preset

ENCODE_BATCH = 1000
EVAL_TOKENS = 4096


class SearchTask:
    """Query to code, both encoded by one shared encoder."""

    name = "search"
    summary = "code search: find the function that a sentence describes"
    schema = SCHEMAS["search"]
    preset = Preset(
        max_tokens={"query": 128, "code": 256},
        batch_size=128,
        learning_rate=2e-5,
        epochs=10,
        metric="mrr",
        temperature=0.05,
    )
    metrics = dict.fromkeys(("mrr", "recall@1", "recall@5", "recall@10"), True)

    def encode(self, dataset: Any, tokenizer: Any, max_tokens: dict[str, int]) -> Encoded:
        """Tokenise queries and code into one table; equal texts share a row."""
        builder = SequenceTableBuilder()
        rows: dict[str, list[int]] = {"query": [], "code": []}
        for start in range(0, len(dataset), ENCODE_BATCH):
            texts = dataset[start : start + ENCODE_BATCH]
            for column, found in rows.items():
                found += [builder.add(ids) for ids in encode_texts(tokenizer, texts[column], max_tokens[column])]
        return Encoded(builder.build(), {column: np.asarray(found, dtype=np.int64) for column, found in rows.items()})

    def build(self, split: SplitModel, temperature: float | None) -> SearchModel:
        """The encoder with the contrastive loss."""
        return SearchModel(split, temperature or self.preset.temperature or 1.0)

    def collate(self, source: RowSource, data: Encoded, numbers: Rows) -> dict[str, Any]:
        """Queries and code of some examples, and their row numbers, by which duplicates are known."""
        picked = {column: rows[np.asarray(numbers)] for column, rows in data.rows.items()}
        batch: dict[str, Any] = {column: source.batch(rows) for column, rows in picked.items()}
        return batch | {f"{column}_rows": torch.from_numpy(rows) for column, rows in picked.items()}

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast
    ) -> dict[str, float]:
        """MRR and recall of every query against the split's distinct functions."""
        if not isinstance(model, SearchModel):
            raise TypeError(f"expected a SearchModel, found {type(model).__name__}")
        codes, targets = np.unique(data.rows["code"], return_inverse=True)
        with autocast:
            candidates = embed_rows(model, source, codes)
            queries = embed_rows(model, source, data.rows["query"])
        ranks = ranks_of_targets(queries, candidates, torch.from_numpy(targets).to(queries.device))
        return retrieval_metrics(ranks)

    def baselines(self, dataset: Any) -> dict[str, dict[str, float]]:
        """BM25 over identifiers split into words."""
        codes = list(dict.fromkeys(dataset["code"]))
        number = {code: i for i, code in enumerate(codes)}
        targets = torch.tensor([number[code] for code in dataset["code"]])
        return {"bm25": retrieval_metrics(bm25_ranks(list(dataset["query"]), codes, targets))}


class SearchModel(nn.Module):
    """Encoder and loss.

    Args:
        split: the frozen or fully trained encoder.
        temperature: divides the cosine similarities.
    """

    def __init__(self, split: SplitModel, temperature: float) -> None:
        super().__init__()
        self.split = split
        self.temperature = temperature

    def embed(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Unit vectors of a batch of tokens or states, [batch, hidden]."""
        states = self.split(**batch).last_hidden_state  # [batch, tokens, hidden]
        return F.normalize(mean_pool(states, batch["attention_mask"]), dim=-1)

    def forward(
        self,
        query: dict[str, torch.Tensor],
        code: dict[str, torch.Tensor],
        query_rows: torch.Tensor,
        code_rows: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """In-batch contrastive loss. A pair that repeats another's query or code is no negative of it.

        With several processes the negatives are those of the global batch, so the loss and the averaged gradient are
        those of one process with that batch.
        """
        queries, codes = gather_with_gradient(self.embed(query)), gather_with_gradient(self.embed(code))
        query_rows, code_rows = gather_with_gradient(query_rows), gather_with_gradient(code_rows)
        logits = queries @ codes.T / self.temperature  # [global batch, global batch]
        same = (query_rows[:, None] == query_rows[None]) | (code_rows[:, None] == code_rows[None])
        same.fill_diagonal_(False)
        loss = F.cross_entropy(logits.masked_fill(same, float("-inf")), torch.arange(len(logits), device=logits.device))
        scale = dist.get_world_size() if _distributed() else 1
        # DDP divides the gradient by the number of processes; the value that is reported stays as it is.
        return {"loss": loss + (scale - 1) * (loss - loss.detach())}


def gather_with_gradient(local: torch.Tensor) -> torch.Tensor:
    """All processes' rows in order of rank, [processes x batch, ...]; gradient flows to this process's own rows."""
    if not _distributed():
        return local
    parts = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, local.detach().contiguous())
    parts[dist.get_rank()] = local
    return torch.cat(parts)


def embed_rows(model: SearchModel, source: RowSource, rows: Rows) -> torch.Tensor:
    """Unit vectors of some rows in their order, [rows, hidden]; computed in batches of similar length."""
    rows = np.asarray(rows)
    device = next(p for p in model.parameters() if p.requires_grad).device
    lengths = source.table.lengths[rows]
    order = np.argsort(-lengths, kind="stable")
    vectors: list[torch.Tensor] = []
    start = 0
    while start < len(order):
        count = max(1, EVAL_TOKENS // int(lengths[order[start]]))
        picked = rows[order[start : start + count]]
        vectors.append(model.embed({name: value.to(device) for name, value in source.batch(picked).items()}).float())
        start += count
    found = torch.cat(vectors)
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.from_numpy(order)] = torch.arange(len(order))
    return found[back.to(device)]


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
