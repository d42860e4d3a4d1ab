"""The folder that an export makes: whole or not at all, with a card and what telly knows of its use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from telly.disk import folder_lock, whole_folder
from telly.errors import ConfigError
from telly.inference.tuned_model import TunedModel


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes:
        folder: where it is.
        difference: largest difference of a vector's component from telly's own, on the texts it was checked with.
        loss: what 8-bit weights cost, in a sentence; None where there are none.
    """

    folder: Path
    difference: float
    loss: str | None = None

    @property
    def agreement(self) -> str:
        """How far its vectors are those of telly, in words."""
        return agreement(self.difference)


def agreement(difference: float) -> str:
    """A largest difference between components of vectors in words."""
    return "equal bit for bit" if difference == 0 else f"equal to {difference:.0e}"


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `output` if all goes well.

    Raises:
        ConfigError: there is something already, or another process writes there.
        DataError: it cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"--output: {output} exists already; expected a new or empty folder")
    with folder_lock(output), whole_folder(output) as partial:
        yield partial


def write_inference_config(model: TunedModel, folder: Path) -> None:
    """Say in the folder how its vectors are made, as a run's model does."""
    model.config.write(folder, pooling="mean")
