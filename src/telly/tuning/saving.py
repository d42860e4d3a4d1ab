"""The folder that a run leaves behind, and what a reader of it has to know."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from telly.errors import ModelError
from telly.models.load import quiet_transformers, resolve
from telly.models.onestack import OneStack
from telly.tuning.session import Run

HEAD_FILE = "head.safetensors"
USAGE_FILE = "telly.json"


@dataclass(frozen=True)
class Usage:
    """What a tuned model's folder says about its use.

    Attributes:
        task: what it was tuned for.
        max_tokens: length limit by column.
        classes: names of the classes by number, where the task has classes.
        head: which head, where the task has a choice.
        threshold: from where on two functions are clones, where they are compared by cosine.
        beams: size of the beam, where the task writes text.
        precision: of evaluation, `fp32` or `bf16`.
    """

    task: str
    max_tokens: dict[str, int]
    classes: tuple[str, ...] = ()
    head: str | None = None
    threshold: float | None = None
    beams: int | None = None
    precision: str = "fp32"


def save_model(run: Run, module: nn.Module, tokenizer: Any, classes: tuple[str, ...]) -> None:
    """Write a folder that plain transformers loads, swapped in as a whole; a new head lies in a file of its own."""
    folder, partial = run.output / "model", run.output / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model: Any = module.split.model  # type: ignore[union-attr]
    model = model.encoder if isinstance(model, OneStack) else model
    head = getattr(module, "head", None)
    buffers = dict(module.named_buffers(recurse=False))
    threshold = buffers["threshold"].item() if "threshold" in buffers else None
    with quiet_transformers():
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    usage = {
        "task": run.task.name,
        "class": type(model).__name__,
        "pooling": None if run.task.writes else "mean",
        "max_tokens": run.config.max_tokens,
        "variant": run.config.freeze,
        "classes": list(classes),
        "head": run.config.head,
        "threshold": threshold,
        "beams": run.config.beams,
        "precision": run.config.precision,
    }
    if head is not None:
        save_file({name: p.detach().cpu().contiguous() for name, p in head.state_dict().items()}, partial / HEAD_FILE)
    (partial / USAGE_FILE).write_text(json.dumps({"usage": usage}, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def read_usage(model: str) -> Usage | None:
    """How a tuned model is used; None where it was not tuned by telly.

    Args:
        model: a run's folder, a model folder, a hub id or the embedded model.

    Raises:
        ModelError: the file that says it is damaged.
    """
    file = Path(resolve(model)) / USAGE_FILE
    if not file.is_file():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8")).get("usage")
        if found is None:
            return None
        known = {name: found[name] for name in Usage.__dataclass_fields__ if name in found}
        return Usage(**known | {"classes": tuple(found.get("classes", ()))})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{file}: cannot be read as what a run says about its model ({error}); tune it again"
        ) from None


def load_head(model: str, head: nn.Module) -> None:
    """Put the weights of a tuned model's head into a new one.

    Raises:
        ModelError: there is none, or it has another shape.
    """
    file = Path(resolve(model)) / HEAD_FILE
    try:
        head.load_state_dict(load_file(file))
    except (OSError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"{file}: cannot be read as this model's head ({first}); tune it again") from None
