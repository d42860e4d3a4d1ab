"""The folders that a run leaves behind (the model, and adapters beside it), and what a reader of them has to know."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from telly.errors import ModelError
from telly.freezing.methods import Adapter
from telly.freezing.variants import variant_label
from telly.models.folder import USAGE_FILE
from telly.models.load import quiet_transformers, resolve
from telly.models.prefix_lm import checkpoint_part
from telly.tuning.session import Run

HEAD_FILE = "head.safetensors"


@dataclass(frozen=True)
class InferenceConfig:
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


def save_model(
    run: Run, module: nn.Module, tokenizer: Any, classes: tuple[str, ...], adapter: Adapter | None = None
) -> None:
    """Write folders that plain libraries load, each swapped in as a whole; a new head lies in a file of its own.

    `model` is for transformers, with adapters merged into it; `adapter` is for peft and has them alone.
    """
    model = checkpoint_part(module.split.model)  # type: ignore[union-attr,arg-type]
    head = getattr(module, "head", None)
    usage = _usage(run, module, type(model).__name__, classes)

    def write_own(folder: Path) -> None:
        if head is not None:
            save_file(
                {name: p.detach().cpu().contiguous() for name, p in head.state_dict().items()}, folder / HEAD_FILE
            )
        (folder / USAGE_FILE).write_text(json.dumps({"usage": usage}, indent=1) + "\n", encoding="utf-8")

    if adapter is not None:
        with _swapped_in(run.output / "adapter") as folder:
            adapter.save(folder)
            write_own(folder)
        adapter.merge()
    with _swapped_in(run.output / "model") as folder:
        with quiet_transformers():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        write_own(folder)


def _usage(run: Run, module: nn.Module, model_class: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """What whoever uses the folder has to know beside the weights."""
    buffers = dict(module.named_buffers(recurse=False))
    return {
        "task": run.task.name,
        "class": model_class,
        "pooling": None if run.task.is_generative else "mean",
        "max_tokens": run.config.max_tokens,
        "variant": variant_label(run.config.freeze, run.config.method),
        "classes": list(classes),
        "head": run.config.head,
        "threshold": buffers["threshold"].item() if "threshold" in buffers else None,
        "beams": run.config.beams,
        "precision": run.config.precision,
    }


@contextmanager
def _swapped_in(folder: Path) -> Iterator[Path]:
    """A folder to write into that takes the place of `folder` once the body is done."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def read_inference_config(model: str) -> InferenceConfig | None:
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
        known = {name: found[name] for name in InferenceConfig.__dataclass_fields__ if name in found}
        return InferenceConfig(**known | {"classes": tuple(found.get("classes", ()))})
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
