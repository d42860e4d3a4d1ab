"""Batches of pre-training: a docstring/code pair becomes one of four kinds of sequence (UniXcoder, section 3.2).

A batch mixes kinds. They differ in the attention mask alone (`telly.models.prefix_lm`), so one forward pass serves all.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils.rnn import pad_sequence

from telly.models.modes import InputMode, mode_head
from telly.pretraining.config import MixtureRatios, PretrainConfig
from telly.pretraining.corpus import Corpus
from telly.pretraining.tokenizer import SPECIAL_TOKENS

Ids = npt.NDArray[np.int64]

NOT_PREDICTED = -100
REPLACED, UNCHANGED = 0.8, 0.1
"""BERT's treatment of the tokens to predict: 80 % become `<mask>`, 10 % stay, the rest become a random token."""


class SequenceKind(StrEnum):
    """Training objective of a sequence; the names are those of `MixtureRatios`."""

    MASKED = "masked"
    CAUSAL = "causal"
    CODE = "code"
    DOCSTRING = "docstring"


class BatchMaker:
    """Builder of batches from pairs; its random choices depend on the seed and the pairs alone, also in a resumed run.

    Args:
        corpus: the encoded pairs.
        tokenizer: source of the special tokens.
        config: source of the seed.
        ratios: ratios of the kinds of sequence.
        masked_ratio: fraction of the tokens to predict, in sequences of the kind `MASKED`.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: Any, config: PretrainConfig, ratios: MixtureRatios, masked_ratio: float
    ) -> None:
        self._masked_ratio = masked_ratio
        self._corpus, self._tokenizer, self._config = corpus, tokenizer, config
        self._heads = {mode: mode_head(tokenizer, mode) for mode in InputMode}
        self._kinds = list(SequenceKind)
        self._ratios = [float(getattr(ratios, kind.value)) for kind in self._kinds]

    def __call__(self, pairs: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Build a batch.

        Args:
            pairs: rows of code and docstring, [pairs, 2].

        Returns:
            `input_ids`, `attention_mask`, `labels` [pairs, tokens]: all pairs, those of the kind `MASKED` first. Their
            labels are the original ids of the masked tokens, those of the other kinds the next tokens.
            `prefix_lengths` [pairs]: lengths of the bidirectional prefixes.
            `docstring_ids`, `docstring_mask`, `docstring_labels` [masked pairs, tokens]: the docstrings of the pairs of
            the kind `MASKED`, for the contrast, masked as well.
        """
        # Seeded by the batch's own pairs: a resumed run makes the same batch without replaying the ones before.
        rng = np.random.default_rng(zlib.crc32(np.array([self._config.seed, *pairs[:, 0]]).tobytes()))
        kinds = rng.choice(len(self._kinds), size=len(pairs), p=self._ratios)
        order = np.argsort(kinds, kind="stable")  # kind 0 is `MASKED`, so its pairs come first
        pairs, kinds = pairs[order], kinds[order]
        rows = [
            self._sequence(self._kinds[kind], code, docstring, rng)
            for kind, (code, docstring) in zip(kinds, pairs, strict=True)
        ]
        docs = [
            mask_tokens(
                self._framed(InputMode.ENCODER_ONLY, self._corpus.docstrings[row]),
                rng,
                self._masked_ratio,
                self._tokenizer,
            )
            for row in pairs[kinds == 0, 1]
        ]
        batch = self._padded([ids for ids, _, _ in rows])
        batch["labels"] = _stacked([labels for _, labels, _ in rows], NOT_PREDICTED)
        batch["prefix_lengths"] = torch.tensor([prefix_length for _, _, prefix_length in rows])
        if docs:
            padded = self._padded([ids for ids, _ in docs])
            batch |= {"docstring_ids": padded["input_ids"], "docstring_mask": padded["attention_mask"]}
            batch["docstring_labels"] = _stacked([labels for _, labels in docs], NOT_PREDICTED)
        return batch

    def plain(self, pairs: npt.NDArray[np.int64]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Code and docstrings of pairs, encoded as for search, each as `input_ids` and `attention_mask`."""
        code = [self._framed(InputMode.ENCODER_ONLY, self._corpus.code[row]) for row in pairs[:, 0]]
        docs = [self._framed(InputMode.ENCODER_ONLY, self._corpus.docstrings[row]) for row in pairs[:, 1]]
        return self._padded(code), self._padded(docs)

    def _padded(self, sequences: list[Ids]) -> dict[str, torch.Tensor]:
        return {
            "input_ids": _stacked(sequences, self._tokenizer.pad_token_id),
            "attention_mask": _stacked([np.ones_like(ids) for ids in sequences], 0),
        }

    def _framed(self, mode: InputMode, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        return np.concatenate([self._heads[mode], ids, [self._tokenizer.sep_token_id]]).astype(np.int64)

    def _sequence(
        self, kind: SequenceKind, code_row: int, docstring_row: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
        """Ids [tokens], labels [tokens] and length of the bidirectional prefix of one sequence."""
        code = self._corpus.code[code_row]
        if kind is SequenceKind.MASKED:
            ids = self._framed(InputMode.ENCODER_ONLY, code)
            changed, labels = mask_tokens(ids, rng, self._masked_ratio, self._tokenizer)
            return changed, labels, len(ids)
        if kind is SequenceKind.CAUSAL:
            ids = self._framed(InputMode.DECODER_ONLY, code)
            first_target, prefix_length = len(self._heads[InputMode.DECODER_ONLY]), 0
        else:
            docstring = self._corpus.docstrings[docstring_row]
            source, target = (docstring, code) if kind is SequenceKind.CODE else (code, docstring)
            prompt = self._framed(InputMode.ENCODER_DECODER, source)
            ids = np.concatenate([prompt, [self._tokenizer.cls_token_id], target, [self._tokenizer.sep_token_id]])
            first_target, prefix_length = len(prompt) + 1, len(prompt)
        # The label of a position is the token after it; prompts and mode tokens are not predicted.
        labels = np.full(len(ids), NOT_PREDICTED, dtype=np.int64)
        labels[first_target - 1 : -1] = ids[first_target:]
        return ids, labels, prefix_length


def mask_tokens(
    ids: npt.NDArray[np.int64], rng: np.random.Generator, ratio: float, tokenizer: Any
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose tokens to predict, as BERT does: 80 % become `<mask>`, 10 % a random token, 10 % stay.

    Args:
        ids: one sequence, [tokens].
        rng: source of random numbers.
        ratio: fraction of ordinary tokens to predict.
        tokenizer: source of `<mask>` and the vocabulary; special tokens are neither chosen nor drawn.

    Returns:
        changed ids and labels, each [tokens]; labels are `NOT_PREDICTED` at all other tokens.
    """
    first_ordinary = len(SPECIAL_TOKENS)
    chosen = (rng.random(len(ids)) < ratio) & (ids >= first_ordinary)
    treatment = rng.random(len(ids))
    random_ids = rng.integers(first_ordinary, len(tokenizer), len(ids))
    changed = np.where(chosen & (treatment < REPLACED), tokenizer.mask_token_id, ids)
    changed = np.where(chosen & (treatment >= REPLACED + UNCHANGED), random_ids, changed)
    return changed, np.where(chosen, ids, NOT_PREDICTED)


def _stacked(sequences: list[Ids], fill: int) -> torch.Tensor:
    """A tensor [sequences, longest], padded on the right with `fill`."""
    return pad_sequence([torch.from_numpy(ids) for ids in sequences], batch_first=True, padding_value=fill)
