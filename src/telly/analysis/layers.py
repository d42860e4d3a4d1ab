"""States of all layers from one pass of the model, in an activation cache.

A cached token is the concatenation of its states in all layers: embeddings first, then every block. Probes and
comparisons read from the cache, so the model runs once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from telly.data.sequences import Rows, SequenceTable
from telly.errors import CacheError
from telly.freezing.activation_cache import ActivationCache, CacheLayout
from telly.freezing.build import Progress, fill_cache
from telly.freezing.fingerprint import CacheKey, prefix_digests
from telly.freezing.states import StateDtype
from telly.models.stack import LayerStack, capture_all, find_stack

READ_ROWS = 1024
"""Number of sequences whose states are read at once."""


class Pooling(StrEnum):
    """Pooling of a sequence's states.

    Attributes:
        TOKENS: the states of all tokens.
        MEAN: the mean over real tokens.
        FIRST: the states of the first token.
        LAST: the states of the last real token.
        PADDED_MEAN: the mean over all positions of the sequence padded to a fixed length, as in the paper's scripts.
        PICKED: the mean over real tokens, followed by the states of the tokens in the request.
    """

    TOKENS = "tokens"
    MEAN = "mean"
    FIRST = "first"
    LAST = "last"
    PADDED_MEAN = "padded mean"
    PICKED = "picked"


def layer_names(layers: int) -> list[str]:
    """Names of embeddings and layers: `emb`, `1` .. `L`."""
    return ["emb", *(str(layer) for layer in range(1, layers + 1))]


@dataclass(frozen=True)
class LayersRequest:
    """All layers' states of some sequences: what to cache and where.

    Attributes:
        stack: the layers of a model in eval mode.
        table: the distinct sequences.
        pad_id: id to pad batches with.
        root: folder of all activation caches.
        pooling: pooling of a sequence's states.
        dtype: precision of the cached states.
        budget: maximum bytes on disk; None means 90 % of the free space.
        padded_to: length for `PADDED_MEAN`.
        token_positions: for `PICKED`, the positions to keep per sequence beside its mean, in a table of as many rows.
    """

    stack: LayerStack
    table: SequenceTable
    pad_id: int
    root: Path
    pooling: Pooling = Pooling.MEAN
    dtype: StateDtype = StateDtype.FP32
    budget: int | None = None
    padded_to: int = 0
    token_positions: SequenceTable | None = None

    @property
    def hidden(self) -> int:
        """Width of one layer's states."""
        return self.stack.hidden_size

    @property
    def width(self) -> int:
        """Values of a cached token: the states of all layers."""
        return (len(self.stack) + 1) * self.hidden

    @property
    def layout(self) -> CacheLayout:
        """Positions of all rows on disk; a pooled sequence is one token."""
        lengths = np.ones(len(self.table), dtype=np.int64)
        if self.pooling is Pooling.TOKENS:
            lengths = self.table.lengths
        elif self.token_positions is not None:
            lengths = 1 + self.token_positions.lengths
        return CacheLayout.of(lengths, self.dtype.bytes_per_token(self.width))

    def key(self) -> CacheKey:
        """The key of this request's cache."""
        layers = len(self.stack)
        pooling = str(self.pooling)
        if self.pooling is Pooling.PADDED_MEAN:
            pooling += f" of {self.padded_to}"
        if self.token_positions is not None:
            pooling += f" {self.token_positions.fingerprint()}"
        prefix = prefix_digests(self.stack)[layers]
        return CacheKey.of(self.stack, layers, prefix, self.table, self.dtype, states=f"all layers, {pooling}")

    @torch.no_grad()
    def compute_rows(self, rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.uint8]]:
        """Run the model once on a batch of rows and encode the states, each [tokens, bytes per token]."""
        device = next(self.stack.model.parameters()).device
        batch = self.table.pad(rows, self.pad_id)
        if self.pooling is Pooling.PADDED_MEAN:
            batch = _pad_to(batch, self.padded_to, self.pad_id)
        batch = {name: value.to(device) for name, value in batch.items()}
        states = torch.cat([s.float() for s in capture_all(self.stack, **batch)], dim=-1)  # [rows, tokens, width]
        lengths = self.table.lengths[rows]
        return [self.dtype.to_bytes(self._pooled(int(row), states[i], int(lengths[i]))) for i, row in enumerate(rows)]

    def _pooled(self, row: int, states: torch.Tensor, length: int) -> torch.Tensor:
        """Pool a sequence's padded states [tokens, width] to [tokens or one, width]."""
        match self.pooling:
            case Pooling.TOKENS:
                return states[:length]
            case Pooling.MEAN:
                return states[:length].mean(dim=0, keepdim=True)
            case Pooling.FIRST:
                return states[:1]
            case Pooling.LAST:
                return states[length - 1 : length]
            case Pooling.PADDED_MEAN:
                return states.mean(dim=0, keepdim=True)
            case Pooling.PICKED:
                assert self.token_positions is not None
                picked = states[torch.from_numpy(self.token_positions[row].astype(np.int64))]
                return torch.cat([states[:length].mean(dim=0, keepdim=True), picked])


def _pad_to(batch: dict[str, torch.Tensor], length: int, pad_id: int) -> dict[str, torch.Tensor]:
    padding = length - batch["input_ids"].shape[1]
    fill = {"input_ids": pad_id, "attention_mask": 0}
    return {name: nn.functional.pad(value, (0, padding), value=fill[name]) for name, value in batch.items()}


@dataclass(frozen=True)
class LayerStates:
    """All layers' states of some sequences, read from their activation cache.

    Attributes:
        cache: the complete cache of a `LayersRequest`.
        hidden: width of one layer's states.
    """

    cache: ActivationCache
    hidden: int

    @property
    def names(self) -> list[str]:
        """The layers' names."""
        return layer_names(self.cache.hidden // self.hidden - 1)

    def batch(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """States [rows, longest, layers + 1, hidden] and the attention mask [rows, longest]."""
        batch = self.cache.batch(rows)
        states = batch["states"]
        return states.view(*states.shape[:2], len(self.names), self.hidden), batch["attention_mask"]

    def items(self, rows: Rows, token_indices: Sequence[Sequence[int]] | None = None) -> torch.Tensor:
        """Cached tokens of some rows, in their order, [tokens, layers + 1, hidden].

        Args:
            rows: row indices.
            token_indices: indices of cached tokens per row; None means the first, a pooled sequence's only one.
        """
        parts = []
        for start in range(0, len(rows), READ_ROWS):
            states, _ = self.batch(rows[start : start + READ_ROWS])
            if token_indices is None:
                parts.append(states[:, 0].clone())  # a view would keep the whole batch in memory
            else:
                batch_indices = token_indices[start : start + READ_ROWS]
                parts += [states[i, list(indices)] for i, indices in enumerate(batch_indices)]
        return torch.cat(parts)


def layer_states(request: LayersRequest, progress: Progress | None = None) -> LayerStates:
    """Run the model over the sequences once, or open the cache of an earlier call.

    Raises:
        CacheError: the disk or the budget has no room for all states.
    """
    cache, _ = fill_cache(
        request.root,
        request.key(),
        request.layout,
        request.compute_rows,
        width=request.width,
        tokens=request.table.lengths,
        budget=request.budget,
        progress=progress,
    )
    if not cache.complete:
        raise CacheError(
            f"{cache.folder}: the states of all layers do not fit; use fewer or shorter sequences, or a larger budget"
        )
    return LayerStates(cache, request.hidden)


@dataclass(frozen=True)
class ExtractionRequest:
    """Texts whose states to extract: the mean over each text's real tokens, or the states of some of its tokens.

    Attributes:
        encodings: token ids of every text.
        token_positions: positions of the tokens to extract, per text; None extracts the means.
    """

    encodings: Sequence[Sequence[int]]
    token_positions: Sequence[Sequence[int]] | None = None


class BarFactory(Protocol):
    """A factory of progress bars."""

    def __call__(self, title: str, unit: str = "token", /) -> AbstractContextManager[Progress | None]:
        """Open a bar; the result is called with the amount done and the total amount."""


def no_progress(_title: str, _unit: str = "token") -> AbstractContextManager[None]:
    """Show no bar."""
    return nullcontext()


@dataclass(frozen=True)
class LayerExtractor:
    """Extracts the states of all layers, in one pass that is cached.

    Attributes:
        root: folder of all activation caches.
        bar: factory of progress bars.
    """

    root: Path
    bar: BarFactory = no_progress

    def states(
        self,
        title: str,
        stack: LayerStack,
        tokenizer: Any,
        requests: Sequence[ExtractionRequest],
        *,
        padded_to: int = 0,
    ) -> Iterator[torch.Tensor]:
        """Extract all layers' states for several requests, from one pass over the distinct texts of all of them.

        Args:
            title: title of the progress bar.
            stack: the layers of a model in eval mode.
            tokenizer: gives the padding id.
            requests: texts and positions; one tensor is computed per request, when the iterator reaches it.
            padded_to: length to pad texts to; if given, means include the padding.

        Yields:
            [texts or picked tokens, layers + 1, hidden].

        Raises:
            ValueError: `padded_to` is combined with token positions.
        """
        if padded_to and any(entry.token_positions is not None for entry in requests):
            raise ValueError("means over padding and picked tokens cannot come from one pass")
        # Texts of several requests are often the same: they are encoded once, and each request refers to table rows.
        table, rows = SequenceTable.of(ids for entry in requests for ids in entry.encodings)
        rows_of_request = np.split(rows, np.cumsum([len(entry.encodings) for entry in requests])[:-1])
        token_positions = _positions_per_row(requests, rows_of_request, len(table))
        pooling = Pooling.PADDED_MEAN if padded_to else Pooling.MEAN if token_positions is None else Pooling.PICKED
        positions_table = None if token_positions is None else SequenceTable.ragged(token_positions)
        request = LayersRequest(
            stack,
            table,
            tokenizer.pad_token_id or 0,
            self.root,
            pooling,
            padded_to=padded_to,
            token_positions=positions_table,
        )
        with self.bar(title) as progress:
            states = layer_states(request, progress)
        for entry, indices in zip(requests, rows_of_request, strict=True):
            if entry.token_positions is None or token_positions is None:
                yield states.items(indices)
            else:  # the mean is cached token 0 of every row
                yield states.items(indices, [
                    [1 + token_positions[row].index(position) for position in positions]
                    for row, positions in zip(indices.tolist(), entry.token_positions, strict=True)
                ])  # fmt: skip


def _positions_per_row(
    requests: Sequence[ExtractionRequest], rows_of_request: Sequence[npt.NDArray[np.int64]], count: int
) -> list[list[int]] | None:
    """Sorted union of the requested token positions per row, or None if no request asks for tokens."""
    if all(entry.token_positions is None for entry in requests):
        return None
    union: list[set[int]] = [set() for _ in range(count)]
    for entry, indices in zip(requests, rows_of_request, strict=True):
        if entry.token_positions is not None:
            for row, positions in zip(indices.tolist(), entry.token_positions, strict=True):
                union[row].update(positions)
    return [sorted(positions) for positions in union]


def prepare(model: nn.Module, max_tokens: int) -> tuple[LayerStack, int]:
    """Move a model to its device in eval mode.

    Returns:
        the model's layers, and the maximum length of text: `max_tokens`, or less if the model has fewer positions.
    """
    stack = find_stack(model.to("cuda" if torch.cuda.is_available() else "cpu").eval())
    return stack, min(max_tokens, stack.position_limit or max_tokens)
