"""Settings of inference in a tuned model's folder (`telly.json`), and the head beside them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from telly.disk import write_json
from telly.errors import ModelError
from telly.models.embedding import EmbeddingConfig, EmbeddingHead, Role
from telly.models.embedding_writer import write_embedding_modules
from telly.models.folder import TELLY_FILE, read_telly_file
from telly.models.load import resolve
from telly.runs.folder import HEAD_FILE
from telly.tasks import AnySpec, get_spec
from telly.tasks.options import TaskOptions

SECTION = "usage"
"""Key of `telly.json` under which the settings are."""
EMBEDDING_SECTION = "embedding"
"""Key of `telly.json` under which it says how texts are embedded."""


@dataclass(frozen=True)
class InferenceConfig:
    """Settings of inference, the same as in the evaluation of the tuned model.

    Attributes:
        task: task that the model was tuned for.
        max_tokens: length limit by column.
        classes: names of the classes by index, for tasks with classes.
        options: the task's own options; by default those of its preset.
        threshold: minimum cosine of two functions that are clones, for models that compare by cosine.
        precision: precision of evaluation, `fp32` or `bf16`.
    """

    task: str
    max_tokens: dict[str, int]
    classes: tuple[str, ...] = ()
    options: TaskOptions | None = None
    threshold: float | None = None
    precision: str = "fp32"

    @property
    def task_options(self) -> TaskOptions:
        """The task's own options, defaults filled in."""
        return get_spec(self.task).options() if self.options is None else self.options

    def write(self, folder: Path, embedding: EmbeddingConfig | None = None, **extra: Any) -> None:
        """Write `telly.json` into a model's folder.

        Args:
            folder: folder of the model.
            embedding: how texts are embedded, for human readers; `telly.models.embedding_folder` reads it from the
                files that `telly.models.embedding_writer` writes. None for a model that generates text.
            extra: additional facts for human readers, such as `variant`; not read back.
        """
        values = {name: value for name, value in asdict(self).items() if name != "options"}
        sections = {SECTION: values | asdict(self.task_options) | extra}
        if embedding is not None:
            sections[EMBEDDING_SECTION] = embedding.to_dict()
        write_json(folder / TELLY_FILE, sections)

    @classmethod
    def read(cls, model: str) -> InferenceConfig | None:
        """Read the settings of a tuned model; None if telly did not tune it.

        Args:
            model: a run's folder, a model folder, a hub id or the embedded model.

        Raises:
            ModelError: the file is damaged.
        """
        folder = Path(resolve(model))
        content = read_telly_file(folder)
        section = content.get(SECTION)
        if section is None:
            return None
        try:
            if EMBEDDING_SECTION not in content:  # earlier versions had `pooling` as a fact, which was always the mean
                section = {name: value for name, value in section.items() if name != "pooling"}
            values = {name: section[name] for name in cls.__dataclass_fields__ if name in section}
            values["classes"] = tuple(section.get("classes", ()))
            values["options"] = get_spec(section["task"]).options_of(section)
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{folder / TELLY_FILE}: cannot be read as a tuned model's inference settings ({error}); tune it again"
            ) from None


def write_embedding(
    folder: Path, spec: AnySpec, config: InferenceConfig, embedding: EmbeddingHead, hidden_size: int
) -> None:
    """Write how a tuned model embeds texts, in the layout of sentence-transformers.

    Its queries and documents are the columns of the task's embedding roles. Without roles every text is a document.

    Args:
        folder: folder of the model.
        spec: the task.
        config: settings of inference.
        embedding: the modules after the encoder.
        hidden_size: size of a hidden state.
    """
    roles = spec.embedding_roles(config.task_options)
    columns = {} if roles is None else {"query": roles.query, "document": roles.document}
    longest = max(config.max_tokens.values())
    limits: dict[Role, int] = {
        "query": config.max_tokens.get(columns.get("query", ""), longest),
        "document": config.max_tokens.get(columns.get("document", ""), longest),
    }
    # both sides of a task on one kind of text get the prompt of that kind
    prompts = {role: embedding.config.prompt(spec.role_of(column)) for role, column in columns.items()}
    write_embedding_modules(folder, embedding, hidden_size, limits, prompts)


def save_head(head: nn.Module, folder: Path) -> None:
    """Write the weights of a task's head beside its model."""
    save_file({name: p.detach().cpu().contiguous() for name, p in head.state_dict().items()}, folder / HEAD_FILE)


def load_head(model: str, head: nn.Module) -> None:
    """Load the weights of a tuned model's head into a new one.

    Raises:
        ModelError: there are no weights, or they have other shapes.
    """
    file = Path(resolve(model)) / HEAD_FILE
    try:
        head.load_state_dict(load_file(file))
    except (OSError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"{file}: cannot be read as this model's head ({first}); tune it again") from None
