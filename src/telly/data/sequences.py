"""Distinct token sequences in one ragged table.

Every text of a data set is encoded once; equal encodings share a row. Tasks refer to sequences by row index, so
the activation cache needs one entry per distinct sequence, however many pairs are built from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

Rows = Sequence[int] | npt.NDArray[np.int64]


class SequenceTable:
    """Token ids of `n` sequences, un-padded: `ids` [total tokens] and `offsets` [n + 1].

    `prefix_lengths` [n], where it is not None, is the length of each sequence's bidirectional prefix: its tokens attend
    to each other, later tokens to them and to their own past (`telly.models.prefix_lm`). `prompt_lengths` [n], where it
    is not None, is the number of tokens at the start of each sequence that pooling leaves out (`telly.models.modes`).
    """

    def __init__(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        prefix_lengths: npt.NDArray[np.int64] | None = None,
        prompt_lengths: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if offsets[0] != 0 or offsets[-1] != len(ids):
            raise ValueError(f"offsets must run from 0 to {len(ids)}, found {offsets[0]} to {offsets[-1]}")
        for name, lengths in (("prefix_lengths", prefix_lengths), ("prompt_lengths", prompt_lengths)):
            if lengths is not None and len(lengths) != len(offsets) - 1:
                raise ValueError(f"{name} must have {len(offsets) - 1} entries, one per sequence, found {len(lengths)}")
        self.ids = ids
        self.offsets = offsets
        self.prefix_lengths = prefix_lengths
        self.prompt_lengths = prompt_lengths
        self._fingerprint: str | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> npt.NDArray[np.int32]:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @classmethod
    def of(cls, encodings: Iterable[Iterable[int]]) -> tuple[SequenceTable, npt.NDArray[np.int64]]:
        """A table of the distinct encodings, and the row index of each encoding, [encodings]."""
        builder = SequenceTableBuilder()
        rows = [builder.add(ids) for ids in encodings]
        return builder.build(), np.asarray(rows, dtype=np.int64)

    @classmethod
    def ragged(
        cls,
        rows: Sequence[Sequence[int] | npt.NDArray[np.int32]],
        prefix_lengths: npt.NDArray[np.int64] | None = None,
        prompt_lengths: npt.NDArray[np.int64] | None = None,
    ) -> SequenceTable:
        """A table with one row per given row, even if rows are equal."""
        ids = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]) if rows else np.zeros(0, dtype=np.int32)
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        return cls(ids, offsets, prefix_lengths, prompt_lengths)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens per sequence, [n]."""
        return np.diff(self.offsets)

    def fingerprint(self) -> str:
        """A digest of all ids and boundaries; computed once, since a table is not changed after it is made.

        `prompt_lengths` is not part of it: pooling reads it, and no hidden state depends on it.
        """
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            digest.update(np.ascontiguousarray(self.offsets).data)
            digest.update(np.ascontiguousarray(self.ids).data)
            if self.prefix_lengths is not None:
                digest.update(np.ascontiguousarray(self.prefix_lengths).data)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def pad(self, rows: Rows, pad_id: int) -> dict[str, torch.Tensor]:
        """The sequences `rows` as `input_ids` and `attention_mask`, each [len(rows), longest], padded on the right."""
        sequences = [self[int(row)] for row in rows]
        width = max(len(ids) for ids in sequences)
        input_ids = np.full((len(sequences), width), pad_id, dtype=np.int64)
        mask = np.zeros((len(sequences), width), dtype=np.int64)
        for i, ids in enumerate(sequences):
            input_ids[i, : len(ids)] = ids
            mask[i, : len(ids)] = 1
        batch = {"input_ids": torch.from_numpy(input_ids), "attention_mask": torch.from_numpy(mask)}
        return batch | self.mask_inputs(rows)

    def mask_inputs(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Inputs of the model's mask besides the padding: `prefix_lengths` [len(rows)], or none."""
        return (
            {}
            if self.prefix_lengths is None
            else {"prefix_lengths": torch.from_numpy(self.prefix_lengths[np.asarray(rows)])}
        )

    def pooling_inputs(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Inputs of pooling besides the padding: `prompt_lengths` [len(rows)], or none."""
        if self.prompt_lengths is None:
            return {}
        return {"prompt_lengths": torch.from_numpy(self.prompt_lengths[np.asarray(rows)])}

    def save(self, folder: Path) -> None:
        """Write the table as `.npy` files into a folder."""
        if self.prefix_lengths is not None or self.prompt_lengths is not None:
            raise ValueError("a table with `prefix_lengths` or `prompt_lengths` is not written; encode the data again")
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "ids.npy", self.ids)
        np.save(folder / "offsets.npy", self.offsets)

    @classmethod
    def load(cls, folder: Path) -> SequenceTable:
        """Open a saved table; the ids stay on disk, memory-mapped."""
        ids = np.load(folder / "ids.npy", mmap_mode="r", allow_pickle=False)
        return cls(ids, np.load(folder / "offsets.npy", allow_pickle=False))


class RaggedRows:
    """Row indices of every example, any number each: `values` [total] and `offsets` [examples + 1].

    `sources` [total] is the position of every value among those that `of` was given, of which `where` leaves some out.
    """

    def __init__(
        self,
        values: npt.NDArray[np.int64],
        offsets: npt.NDArray[np.int64],
        sources: npt.NDArray[np.int64] | None = None,
    ) -> None:
        if offsets[0] != 0 or offsets[-1] != len(values):
            raise ValueError(f"offsets must run from 0 to {len(values)}, found {offsets[0]} to {offsets[-1]}")
        self.values = values
        self.offsets = offsets
        self.sources = np.arange(len(values)) if sources is None else sources

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> RaggedRows:
        """The rows of a sequence per example."""
        lists = list(rows)
        values = np.asarray([row for rows_of_one in lists for row in rows_of_one], dtype=np.int64)
        return cls(values, np.cumsum([0, *map(len, lists)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Rows per example, [examples]."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> npt.NDArray[np.int64]:
        """The example of every value, [total]."""
        return np.repeat(np.arange(len(self)), self.counts)

    def pick(self, examples: Rows) -> npt.NDArray[np.int64]:
        """The values of some examples, in their order, [sum of their counts]."""
        parts = [self.values[self.offsets[i] : self.offsets[i + 1]] for i in np.asarray(examples)]
        return np.concatenate(parts) if parts else self.values[:0]

    def where(self, kept: npt.NDArray[np.bool_]) -> RaggedRows:
        """The same without the values for which `kept` [total] is false."""
        counts = np.bincount(self.owners[kept], minlength=len(self))
        return RaggedRows(self.values[kept], np.concatenate([[0], np.cumsum(counts)]), self.sources[kept])


class SequenceTableBuilder:
    """Builder of a table of distinct sequences: equal encodings get the same row index."""

    def __init__(self) -> None:
        self._rows: dict[tuple[bytes, int | None, int | None], int] = {}
        self._chunks: list[npt.NDArray[np.int32]] = []
        self._prefix_lengths: list[int | None] = []
        self._prompt_lengths: list[int | None] = []

    def add(self, ids: Iterable[int], prefix_length: int | None = None, prompt_length: int | None = None) -> int:
        """Add one encoding and return its row index.

        Give `prefix_length` for all encodings or for none, and likewise `prompt_length`.
        """
        chunk = np.fromiter(ids, dtype=np.int32)
        if not len(chunk):
            raise ValueError("an encoding must have at least one token")
        # Digests instead of the ids themselves, which would be kept a second time. 16 bytes cannot collide by chance.
        key = (hashlib.blake2b(chunk.tobytes(), digest_size=16).digest(), prefix_length, prompt_length)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = len(self._chunks)
            self._chunks.append(chunk)
            self._prefix_lengths.append(prefix_length)
            self._prompt_lengths.append(prompt_length)
        return row

    def build(self) -> SequenceTable:
        """The table of all distinct encodings, in order of first occurrence."""
        return SequenceTable.ragged(self._chunks, _given(self._prefix_lengths), _given(self._prompt_lengths))


def _given(lengths: list[int | None]) -> npt.NDArray[np.int64] | None:
    """Lengths as an array; None if no encoding has one."""
    return np.asarray(lengths, dtype=np.int64) if any(length is not None for length in lengths) else None
