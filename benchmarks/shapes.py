"""The models that are measured and the batches they all get."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import RobertaConfig, RobertaModel

from telly.data.sequences import SequenceTableBuilder
from telly.models.folder import EMBEDDED
from telly.models.load import embedded_folder, load_config, quiet_transformers
from telly.pretraining.tokenizer import SPECIAL_TOKENS, train_tokenizer
from telly.tasks import get_spec
from telly.tasks.training.retrieval import RetrievalData

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "benchmarks"
"""Random models and results of partial runs; ignored by git, safe to remove."""

UNIXCODER = {
    "vocab_size": 51416,
    "max_position_embeddings": 1026,
    "type_vocab_size": 10,
    "num_hidden_layers": 12,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-5,
}
TINY = UNIXCODER | {
    "vocab_size": 2000,
    "num_hidden_layers": 6,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}


@dataclass(frozen=True)
class Shape:
    """A model to measure and how much of the sample its whole runs read.

    Attributes:
        config: shape of a model with random weights; None for the embedded model.
        train: training pairs of a whole run.
        evaluate: pairs in each of its validation and test splits.
        batch_size: pairs a step of a whole run.
    """

    name: str
    title: str
    config: dict[str, Any] | None
    train: int
    evaluate: int
    batch_size: int


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("unixcoder", "UniXcoder-base's shape, random weights", UNIXCODER, 80, 20, 8),
        Shape(EMBEDDED, f"the embedded model, {EMBEDDED}", None, 320, 100, 8),
        Shape("tiny", "a tiny model, for `--quick`", TINY, 32, 16, 8),
    )
}


@dataclass(frozen=True)
class Load:
    """What a step reads: a seeded set of distinct pairs without padding, so that every batch has the same size.

    Attributes:
        pairs: pairs a step.
        tokens: tokens of every query and of every code.
        batches: distinct batches; steps go round them.
    """

    pairs: int = 8
    tokens: int = 128
    batches: int = 3

    def encoded(self, vocab_size: int, seed: int = 0) -> RetrievalData:
        """The pairs as sequences of random ids between RoBERTa's start and end tokens."""
        count = self.pairs * self.batches
        rng = np.random.default_rng(seed)
        ids = rng.integers(len(SPECIAL_TOKENS), vocab_size, (2 * count, self.tokens))  # [queries and codes, tokens]
        ids[:, 0], ids[:, -1] = 0, 2
        builder = SequenceTableBuilder()
        rows = np.array([builder.add(row) for row in ids], dtype=np.int64)
        return RetrievalData(builder.build(), {"query": rows[:count], "code": rows[count:]})

    def numbers(self, step: int) -> np.ndarray:
        """Example numbers of a step's batch."""
        first = (step % self.batches) * self.pairs
        return np.arange(first, first + self.pairs)


def model_folder(shape: Shape, cache: Path = CACHE) -> Path | None:
    """The shape's model as a folder, made once; None where the embedded model is not in this checkout."""
    if shape.config is None:
        return embedded_folder() if (embedded_folder() / "config.json").is_file() else None
    digest = hashlib.blake2b(json.dumps(shape.config).encode(), digest_size=4).hexdigest()
    folder = cache / f"{shape.name}-shape-{digest}"
    if not (folder / "config.json").is_file():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        tokenizer = train_tokenizer(_sample_texts(), shape.config["vocab_size"])
        config = RobertaConfig(**shape.config, pad_token_id=1, bos_token_id=0, eos_token_id=2)
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            RobertaModel(config).save_pretrained(partial)
            tokenizer.save_pretrained(partial)
        partial.rename(folder)
    return folder


def depths(folder: Path) -> tuple[int, ...]:
    """The Ks to measure: half of the layers, three quarters, and all but one; 6, 9, 11 of 12."""
    layers = int(load_config(str(folder)).num_hidden_layers)
    return layers // 2, 3 * layers // 4, layers - 1


def _sample_texts() -> Iterator[str]:
    for line in get_spec("search").sample.files()["train"].read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield from (row["query"], row["code"])
