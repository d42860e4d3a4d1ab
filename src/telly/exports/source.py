"""The model that is exported, loaded on the CPU, and the texts on which an export must repeat telly's embeddings."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from telly.errors import ConfigError
from telly.inference.tuned_model import TunedModel, read_record
from telly.models.load import quiet_transformers
from telly.models.modes import plain_tokenizer

CHECK_TEXTS = (
    "Read a file and return its lines",
    "",
    "x",
    "Größe der Menge, 変数, naïve",
    "\tdef total(values):\n\t\treturn sum(values)  # and a new line at the end\n",
    "def longest(rows):\n    best = None\n    for row in rows:\n        best = row\n    return best\n" * 40,
    " ".join(f"word{number}" for number in range(400)),
)
"""Texts on which an export is compared with telly: short, empty, not ASCII, with outer white space, and too long."""


class EmbeddingModel(nn.Module):
    """Module from token ids to embeddings, as in the task's evaluation, with a signature for tracing."""

    def __init__(self, model: TunedModel) -> None:
        super().__init__()
        self.module = model.module
        self._model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Embeddings of a batch, [batch, embedding size]; ids and mask are [batch, tokens]."""
        return self._model.embed_batch({"input_ids": input_ids, "attention_mask": attention_mask})


def load_for_export(name: str, truncate_dim: int | None = None) -> TunedModel:
    """Load a model that embeds, in float32 on the CPU.

    Args:
        name: a finished run's folder, a model folder, a hub id or the embedded model. An untuned model is used for code
            search.
        truncate_dim: dimensions to keep of every embedding. [default: all]

    Raises:
        ConfigError: the run is not finished, or its embeddings were not trained to be compared by cosine or have fewer
            dimensions.
        ModelError: the model cannot be loaded.
        DataError: the run's record cannot be read.
    """
    record = read_record(name)
    if record is not None and record.status != "finished":
        raise ConfigError(f"{name}: the run is {record.status}; expected a finished one. Continue it with --resume")
    return TunedModel.load(name, needs="embed", device="cpu", precision="fp32", truncate_dim=truncate_dim)


def save_encoder(model: TunedModel, folder: Path) -> None:
    """Write weights, and a tokenizer that works without telly, into a folder of transformers."""
    with quiet_transformers():
        model.encoder.save_pretrained(folder)
    save_tokenizer(model, folder)


def save_tokenizer(model: TunedModel, folder: Path) -> None:
    """Write a tokenizer that works without telly: it adds the mode tokens and has the larger of both length limits."""
    longest = max(model.role_tokens("query"), model.role_tokens("document"))
    with quiet_transformers():
        plain_tokenizer(model.tokenizer, longest, model.prompts.mode).save_pretrained(folder)
