"""States of all layers from one pass of the model, stored as the frozen layers' states are.

A token of the store is the concatenation of what all layers give for it: embeddings first, then every block. Probes and
comparisons read from there; the model runs once for all of them.
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
from telly.freezing.build import Parent, Progress, Report, build_cache
from telly.freezing.fingerprint import CacheKey, attention_kernel, prefix_digests
from telly.freezing.states import StateDtype
from telly.models.load import position_limit
from telly.models.stack import LayerStack, capture_all, find_stack

READ_ROWS = 1024
"""Sequences whose states are read at once."""


class Pooling(StrEnum):
    """What is kept of a sequence's states.

    Attributes:
        TOKENS: every token's.
        MEAN: the mean over real tokens.
        FIRST: the first token's.
        LAST: the last real token's.
        PADDED_MEAN: the mean over all positions of the sequence padded to a fixed length, as the paper's scripts have
            it.
        PICKED: the mean over real tokens, and after it some tokens', as the request says.
    """

    TOKENS = "tokens"
    MEAN = "mean"
    FIRST = "first"
    LAST = "last"
    PADDED_MEAN = "padded mean"
    PICKED = "picked"


def layer_names(layers: int) -> list[str]:
    """`emb`, `1` .. `L`."""
    return ["emb", *(str(number) for number in range(1, layers + 1))]


@dataclass(frozen=True)
class LayersRequest:
    """All layers' states of some sequences; a `telly.freezing.build.Request`.

    Attributes:
        model: a model with a stack of layers, in eval mode.
        table: the distinct sequences.
        pad_id: id to pad batches with.
        root: folder of all stores.
        form: what is kept.
        dtype: precision of the stored states.
        budget: most bytes to take on disk; None means 90 % of what is free.
        padded_to: length for `PADDED_MEAN`.
        token_positions: for `PICKED`, positions to keep of every sequence beside its mean, in a table of as many rows.
    """

    model: nn.Module
    table: SequenceTable
    pad_id: int
    root: Path
    form: Pooling = Pooling.MEAN
    dtype: StateDtype = StateDtype.FP32
    budget: int | None = None
    padded_to: int = 0
    token_positions: SequenceTable | None = None

    @property
    def stack(self) -> LayerStack:
        """The model's layers."""
        return find_stack(self.model)

    @property
    def hidden(self) -> int:
        """Width of one layer's states."""
        config: Any = self.model.config
        return int(config.hidden_size)

    @property
    def width(self) -> int:
        """Values of a stored token: all layers'."""
        return (len(self.stack) + 1) * self.hidden

    @property
    def layout(self) -> CacheLayout:
        """Where every row lies; a pooled sequence is one token."""
        lengths = np.ones(len(self.table), dtype=np.int64)
        if self.form is Pooling.TOKENS:
            lengths = self.table.lengths
        elif self.token_positions is not None:
            lengths = 1 + self.token_positions.lengths
        return CacheLayout.of(lengths, self.dtype.bytes_per_token(self.width))

    @property
    def estimated_bytes(self) -> int:
        """Exact size of the complete store."""
        return int(self.layout.lengths.sum()) * self.dtype.bytes_per_token(self.width)

    def choose_source(self) -> tuple[CacheKey, Parent | None]:
        """Always computed from tokens."""
        layers = len(self.stack)
        form = f"{self.form} of {self.padded_to}" if self.form is Pooling.PADDED_MEAN else str(self.form)
        if self.token_positions is not None:
            form += f" {self.token_positions.fingerprint()}"
        key = CacheKey(
            prefix=prefix_digests(self.model)[layers],
            layer=layers,
            sequences=self.table.fingerprint(),
            mask="padding" if self.table.prefix_lengths is None else "prefix",
            dtype=self.dtype.value,
            compute="fp32",
            attention=attention_kernel(self.stack),
            states=f"all layers, {form}",
        )
        return key, None

    @torch.no_grad()
    def compute_rows(self, rows: npt.NDArray[np.int64], parent: Parent | None) -> list[npt.NDArray[np.uint8]]:
        """One pass for a batch of rows; each [tokens, bytes of a token]."""
        device = next(self.model.parameters()).device
        batch = self.table.pad(rows, self.pad_id)
        if self.form is Pooling.PADDED_MEAN:
            batch = _pad_to(batch, self.padded_to, self.pad_id)
        batch = {name: value.to(device) for name, value in batch.items()}
        states = torch.cat([s.float() for s in capture_all(self.stack, **batch)], dim=-1)  # [rows, tokens, width]
        lengths = self.table.lengths[rows]
        return [self.dtype.to_bytes(self._kept(int(row), states[i], int(lengths[i]))) for i, row in enumerate(rows)]

    def _kept(self, row: int, states: torch.Tensor, length: int) -> torch.Tensor:
        """[tokens or one, width] of a sequence's padded states [tokens, width]."""
        match self.form:
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
    missing = length - batch["input_ids"].shape[1]
    fill = {"input_ids": pad_id, "attention_mask": 0}
    return {name: nn.functional.pad(value, (0, missing), value=fill[name]) for name, value in batch.items()}


@dataclass(frozen=True)
class LayerStates:
    """All layers' states of some sequences, read from their store.

    Attributes:
        store: a complete store of a `LayersRequest`.
        hidden: width of one layer's states.
    """

    store: ActivationCache
    hidden: int

    @property
    def names(self) -> list[str]:
        """The layers' names."""
        return layer_names(self.store.hidden // self.hidden - 1)

    def batch(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        """States [rows, longest, layers + 1, hidden] and the attention mask [rows, longest]."""
        found = self.store.batch(rows)
        states = found["states"]
        return states.view(*states.shape[:2], len(self.names), self.hidden), found["attention_mask"]

    def items(self, rows: Rows, places: Sequence[Sequence[int]] | None = None) -> torch.Tensor:
        """Stored tokens of some rows, in their order, [tokens, layers + 1, hidden].

        Args:
            rows: numbers of rows.
            places: which of every row's stored tokens; None is the first, which is all of a pooled sequence.
        """
        parts = []
        for start in range(0, len(rows), READ_ROWS):
            states, _ = self.batch(rows[start : start + READ_ROWS])
            if places is None:
                parts.append(states[:, 0].clone())
            else:
                parts += [states[i, list(chosen)] for i, chosen in enumerate(places[start : start + READ_ROWS])]
        return torch.cat(parts)


def layer_states(request: LayersRequest, progress: Progress | None = None, report: Report | None = None) -> LayerStates:
    """Run the model over the sequences, once, or open what an earlier call has stored.

    Raises:
        CacheError: the disk or the budget has no room for all states.
    """
    store = build_cache(request, progress, report).store
    if not store.complete:
        raise CacheError(
            f"{store.folder}: the states of all layers do not fit; use fewer or shorter sequences, or a larger budget"
        )
    return LayerStates(store, request.hidden)


@dataclass(frozen=True)
class ExtractionRequest:
    """Texts whose states are wanted: their means over real tokens, or some tokens' of each.

    Attributes:
        encodings: token ids of every text.
        token_positions: positions of the tokens to give, for every text; None gives the means.
    """

    encodings: Sequence[Sequence[int]]
    token_positions: Sequence[Sequence[int]] | None = None


class Bar(Protocol):
    """Makes a progress bar."""

    def __call__(self, title: str, unit: str = "token", /) -> AbstractContextManager[Progress | None]:
        """The bar, as a function of what is done and of all there is to do."""


def no_bar(_title: str, _unit: str = "token") -> AbstractContextManager[None]:
    """Shows nothing."""
    return nullcontext()


@dataclass(frozen=True)
class LayerExtractor:
    """Where the states of a pass are stored, and whom to tell about it.

    Attributes:
        root: folder of all stores.
        bar: makes progress bars.
        report: told in a sentence what a person should know.
    """

    root: Path
    bar: Bar = no_bar
    report: Report | None = None

    def states(
        self, title: str, model: nn.Module, tokenizer: Any, wanted: Sequence[ExtractionRequest], *, padded_to: int = 0
    ) -> Iterator[torch.Tensor]:
        """All layers' states for everything that is wanted, from one pass over the distinct texts of it all.

        Args:
            title: of the progress bar.
            model: in eval mode.
            tokenizer: tells what to pad with.
            wanted: what the states are of; one tensor is given for each, when it is asked for.
            padded_to: a length; then all means are over texts padded to it, padding included.

        Yields:
            [texts or picked tokens, layers + 1, hidden].
        """
        if padded_to and any(entry.token_positions is not None for entry in wanted):
            raise ValueError("means over padding and picked tokens cannot come from one pass")
        table, rows = SequenceTable.of(ids for entry in wanted for ids in entry.encodings)
        of_entry = np.split(rows, np.cumsum([len(entry.encodings) for entry in wanted])[:-1])
        token_positions = _all_picks(wanted, of_entry, len(table))
        form = Pooling.PADDED_MEAN if padded_to else Pooling.MEAN if token_positions is None else Pooling.PICKED
        kept = None if token_positions is None else SequenceTable.ragged(token_positions)
        pad_id = tokenizer.pad_token_id or 0
        request = LayersRequest(model, table, pad_id, self.root, form, padded_to=padded_to, token_positions=kept)
        with self.bar(title) as progress:
            states = layer_states(request, progress, self.report)
        for entry, numbers in zip(wanted, of_entry, strict=True):
            if entry.token_positions is None or token_positions is None:
                yield states.items(numbers)
            else:  # the mean comes first
                yield states.items(numbers, [
                    [1 + token_positions[row].index(position) for position in chosen]
                    for row, chosen in zip(numbers.tolist(), entry.token_positions, strict=True)
                ])  # fmt: skip


def _all_picks(
    wanted: Sequence[ExtractionRequest], of_entry: Sequence[npt.NDArray[np.int64]], count: int
) -> list[list[int]] | None:
    """Of every one of `count` rows all the positions that are asked for, in order; None where none ever is."""
    if all(entry.token_positions is None for entry in wanted):
        return None
    found: list[set[int]] = [set() for _ in range(count)]
    for entry, numbers in zip(wanted, of_entry, strict=True):
        if entry.token_positions is not None:
            for row, chosen in zip(numbers.tolist(), entry.token_positions, strict=True):
                found[row].update(chosen)
    return [sorted(positions) for positions in found]


def ready(model: nn.Module, max_tokens: int) -> tuple[nn.Module, int]:
    """The model on its device in eval mode, and the length of text it can take, at most `max_tokens`."""
    limit = position_limit(model) or max_tokens
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), min(max_tokens, limit)
