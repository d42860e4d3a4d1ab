"""The folders that a run leaves behind: the model, and adapters beside it where those were trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from telly.freezing.top import Adapter
from telly.freezing.variants import variant_label
from telly.models.load import quiet_transformers
from telly.models.onestack import checkpoint_part
from telly.tuning.session import Run

HEAD_FILE = "head.safetensors"
USAGE_FILE = "telly.json"


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
        "pooling": None if run.task.writes else "mean",
        "max_tokens": run.config.max_tokens,
        "variant": variant_label(run.config.freeze, run.config.top),
        "classes": list(classes),
        "head": run.config.head,
        "threshold": buffers["threshold"].item() if "threshold" in buffers else None,
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
