"""Clone retrieval: find the other programs that do the same (POJ-104, Mou et al. 2016).

Every program of a batch is paired with another of its label; the programs of other labels are the negatives. Evaluation
takes every program as a query and ranks all others: MAP@R, as CodeXGLUE's evaluator.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.schema import SCHEMAS
from telly.data.sequences import Rows
from telly.errors import DataError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.interval import mean_statistic
from telly.metrics.retrieval import map_at_r
from telly.metrics.words import words
from telly.tasks.base import BaseTask, Encoded, Evaluation, Options, Preset, device_of
from telly.tasks.contrast import ContrastModel, in_batch_loss
from telly.tasks.embeddings import embed_rows, encoded_texts

BUCKETS = 4096


class CloneRetrievalTask(BaseTask):
    """Program to programs of the same label. The paper probes with this data; the preset is its code search's."""

    name = "clone-retrieval"
    schema = SCHEMAS["clone-retrieval"]
    preset = Preset(
        max_tokens={"code": 400}, batch_size=16, learning_rate=2e-5, epochs=5, metric="map@r", temperature=0.05
    )
    metrics: tuple[str, ...] = ("map@r",)

    def encode(
        self, datasets: Mapping[str, Any], tokenizer: Any, max_tokens: dict[str, int], config: Any
    ) -> dict[str, Encoded]:
        """Tokenise the programs; labels are numbered in each split by itself, since those of test are new."""
        found: dict[str, Encoded] = {}
        for name, dataset in datasets.items():
            classes, labels = np.unique(list(dataset["label"]), return_inverse=True)
            if np.bincount(labels).max() < 2:
                raise DataError(
                    f"{name}: every label stands in one row only; expected at least two programs of a label"
                )
            table, rows = encoded_texts(dataset, tokenizer, max_tokens)
            found[name] = _Programs(table, rows, labels, tuple(map(str, classes)))
        return found

    def build(self, split: SplitModel, train: Encoded, options: Options) -> CloneRetrievalModel:
        """The encoder with the contrastive loss."""
        return CloneRetrievalModel(split, options.temperature or self.preset.temperature or 1.0)

    def contrasted(self, data: Encoded) -> dict[str, npt.NDArray[np.int64]]:
        """Programs of the same label are no negatives."""
        assert data.labels is not None
        return {"label": data.labels}

    def collate(self, source: RowSource, data: Encoded, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """Some programs, and for each another one of its label, drawn anew in every epoch."""
        assert isinstance(data, _Programs) and data.labels is not None
        picked = np.asarray(indices)
        others = np.array([data.partner(int(n), np.random.default_rng([*rng_key, int(n)])) for n in picked])
        rows = data.rows["code"]
        batch: dict[str, Any] = {"left": source.batch(rows[picked]), "right": source.batch(rows[others])}
        return batch | {"labels": torch.from_numpy(data.labels[picked])}

    @torch.no_grad()
    def evaluate(
        self, model: nn.Module, source: RowSource, data: Encoded, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """MAP@R of all programs against all others."""
        if not isinstance(model, CloneRetrievalModel) or data.labels is None:
            raise TypeError(f"expected a CloneRetrievalModel and labels, found {type(model).__name__}")
        with autocast:
            vectors = embed_rows(model.embed, source, data.rows["code"], device_of(model))
        found = map_at_r(vectors, torch.from_numpy(data.labels).to(vectors.device))
        per_query = found.per_query.cpu().numpy()
        return Evaluation.of({"map@r": mean_statistic(per_query[~np.isnan(per_query)])})

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Encoded) -> dict[str, dict[str, float]]:
        """Cosine of word counts."""
        dataset = datasets[split]
        counts = torch.zeros(len(dataset), BUCKETS)
        for i, code in enumerate(dataset["code"]):
            for word in words(code):
                counts[i, hash_of(word)] += 1
        labels = torch.from_numpy(np.unique(list(dataset["label"]), return_inverse=True)[1])
        return {"word counts": {"map@r": map_at_r(F.normalize(counts.log1p(), dim=-1), labels)[0]}}


class _Programs(Encoded):
    """Programs with labels, and which of them share one."""

    def partner(self, number: int, rng: np.random.Generator) -> int:
        """Another example of the same label, each as likely, or the example itself where there is no other."""
        assert self.labels is not None
        order, starts, places = self._by_label
        first, last = starts[self.labels[number]], starts[self.labels[number] + 1]
        if last - first < 2:
            return number
        drawn = int(rng.integers(last - first - 1))
        own = int(places[number] - first)
        return int(order[first + drawn + (drawn >= own)])

    def batch_tokens(self, indices: Rows) -> int:
        """The programs' tokens and about as many of their partners."""
        return 2 * super().batch_tokens(indices)

    @property
    def uses_per_epoch(self) -> float:
        """Every program is read once for itself and, on average, once as a partner."""
        return 2 * super().uses_per_epoch

    @cached_property
    def _by_label(self) -> tuple[npt.NDArray[np.int64], ...]:
        """Examples by label, where each label's begin, and each example's place."""
        assert self.labels is not None
        order = np.argsort(self.labels, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.labels, minlength=len(self.classes)))])
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return order, starts, places


class CloneRetrievalModel(ContrastModel):
    """Encoder and loss."""

    def forward(
        self, left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """In-batch contrastive loss; programs of one label are no negatives of each other."""
        return {"loss": in_batch_loss(self.embed(left), self.embed(right), [labels], self.temperature)}


def hash_of(word: str) -> int:
    """A word's bucket, the same in every process."""
    return zlib.crc32(word.encode()) % BUCKETS
