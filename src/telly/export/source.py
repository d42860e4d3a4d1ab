"""The model that is exported: found, loaded, and the vectors it gives within telly, which an export must repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from telly.data.sequences import SequenceTable
from telly.errors import ConfigError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.models.declared import check_pooling
from telly.models.load import load_model, load_tokenizer, position_limit
from telly.models.modes import encode_texts, put_mode_in_template
from telly.tasks import get_task
from telly.tasks.base import Task
from telly.tasks.clone import COSINE
from telly.tasks.embeddings import embed_rows, pooled
from telly.tuning.config import TuneConfig
from telly.tuning.record import RECORD_FILE, RunRecord
from telly.tuning.resolve import resolve
from telly.tuning.saving import InferenceConfig, read_inference_config

ROLES = {"search": ("query", "code"), "clone-retrieval": ("code", "code"), "clone": ("left", "right")}
"""Tasks whose vectors are compared by cosine, and the columns of what is looked for and of what is found."""

CHECK_TEXTS = (
    "Read a file and return its lines",
    "",
    "x",
    "Größe der Menge, 変数, naïve",
    "\tdef total(values):\n\t\treturn sum(values)  # and a new line at the end\n",
    "def longest(rows):\n    best = None\n    for row in rows:\n        best = row\n    return best\n" * 40,
    " ".join(f"word{number}" for number in range(400)),
)
"""Texts on which an export is compared with telly: short, empty, not ASCII, with blanks at both ends, and cut ones."""


class EmbeddingModel(nn.Module):
    """Token ids to vectors of length one, as the tasks with a cosine evaluate them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.split = SplitModel(model, None)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Vectors of a batch, [batch, hidden]; ids and mask are [batch, tokens]."""
        return F.normalize(pooled(self.split, {"input_ids": input_ids, "attention_mask": attention_mask}), dim=-1)


@dataclass(frozen=True)
class Source:
    """A model that gives vectors.

    Attributes:
        name: a run's folder, a model folder, a hub id or the embedded model, as it was given.
        task: whose evaluation the vectors are made for.
        limits: most tokens by column.
        usage: what the model's folder says; None for one that telly did not tune.
        record: of the run; None where the model is not a run's.
        model: the encoder, in float32 and eval mode.
        tokenizer: the model's, as telly uses it.
    """

    name: str
    task: Task
    limits: dict[str, int]
    usage: InferenceConfig | None
    record: RunRecord | None
    model: Any
    tokenizer: Any

    @property
    def query_tokens(self) -> int:
        """Where what is looked for is cut."""
        return self.limits[ROLES[self.task.name][0]]

    @property
    def document_tokens(self) -> int:
        """Where what is found is cut."""
        return self.limits[ROLES[self.task.name][1]]

    def plain_tokenizer(self) -> Any:
        """A tokenizer of its own that needs no telly: it adds the mode tokens and knows the longest limit."""
        tokenizer = load_tokenizer(self.name)
        put_mode_in_template(tokenizer)
        tokenizer.model_max_length = max(self.query_tokens, self.document_tokens)
        return tokenizer

    def token_ids(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Texts as the tasks encode them."""
        return encode_texts(self.tokenizer, list(texts), max_tokens)

    @torch.no_grad()
    def vectors(self, texts: Sequence[str], max_tokens: int) -> torch.Tensor:
        """Vectors of texts as the tasks evaluate them, [texts, hidden]."""
        table = SequenceTable.ragged(self.token_ids(texts, max_tokens))
        model = EmbeddingModel(self.model).eval()
        rows = RowSource(table, self.tokenizer.pad_token_id)
        return embed_rows(lambda batch: model(**batch), rows, np.arange(len(table)), torch.device("cpu"))


def open_source(name: str) -> Source:
    """Find and load what is to be exported.

    Args:
        name: a finished run's folder, a model folder, a hub id or the embedded model. One that was not tuned is taken
            for a model of code search.

    Raises:
        ConfigError: the run is not finished, or its vectors were not trained to be compared by their cosine.
        ModelError: the model cannot be loaded.
        DataError: the run's record cannot be read.
    """
    file = Path(name).expanduser() / RECORD_FILE
    record = RunRecord.read(file) if file.is_file() else None
    if record is not None and record.status != "finished":
        raise ConfigError(f"{name}: the run is {record.status}; expected a finished one. Go on with --resume")
    usage = read_inference_config(name)
    task = usage.task if usage is not None else "search"
    if task not in ROLES or (task == "clone" and usage is not None and usage.head != COSINE):
        found = f"{task} with --head {usage.head}" if usage is not None and usage.head else task
        raise ConfigError(
            f"{name}: is a model of {found}, whose vectors were not trained to be compared by their cosine; expected a "
            f"run of search, clone-retrieval, or clone with --head {COSINE}. Its folder `model` loads in plain "
            "transformers as it is"
        )
    check_pooling(name)
    limits = usage.max_tokens if usage is not None else resolve(TuneConfig(task=task, model=name)).max_tokens
    model = load_model(name)
    most = position_limit(model)
    if most is not None:
        limits = {column: min(tokens, most) for column, tokens in limits.items()}
    return Source(name, get_task(task), limits, usage, record, model, load_tokenizer(name))
