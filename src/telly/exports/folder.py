"""The folder of an export: written completely or not at all, with a model card and telly.json."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from telly.disk import folder_lock, whole_folder
from telly.errors import ConfigError
from telly.inference.tuned_model import TunedModel
from telly.runs.parts import EmbeddingInfo


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        folder: folder of the exported model.
        difference: largest absolute difference between components of its embeddings and telly's, on `CHECK_TEXTS`.
        loss: loss of quality by 8-bit weights, as a sentence; None without them.
    """

    folder: Path
    difference: float
    loss: str | None = None

    @property
    def agreement(self) -> str:
        """Agreement of its embeddings with telly's, in words."""
        return agreement(self.difference)


def agreement(difference: float) -> str:
    """Describe the largest difference between components of embeddings."""
    return "equal bit for bit" if difference == 0 else f"equal to {difference:.0e}"


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Yield a folder to write into, which becomes `output` on success.

    Raises:
        ConfigError: `output` is a file or not empty, or another process writes to it.
        DataError: the folder cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"--output: {output} exists already; expected a new or empty folder")
    with folder_lock(output), whole_folder(output) as partial:
        yield partial


def embedding_info(model: TunedModel) -> EmbeddingInfo:
    """How a model embeds texts, for its card."""
    return EmbeddingInfo.of(model.module.embedding, model.prompts.by_column)


def write_inference_config(model: TunedModel, folder: Path) -> None:
    """Write `telly.json`, which says how embeddings are computed, as beside a run's model."""
    model.config.write(folder, model.embedding)
