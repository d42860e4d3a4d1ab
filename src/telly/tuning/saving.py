"""Saving a run's result: a folder with the model, and one with the adapter alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from telly.disk import whole_folder
from telly.freezing.methods import Adapter
from telly.freezing.split import SplitModel
from telly.freezing.variants import Variant
from telly.models.load import quiet_transformers
from telly.models.modes import mode_of, plain_tokenizer
from telly.models.prefix_lm import checkpoint_part
from telly.runs.inference_config import InferenceConfig, save_head, write_embedding
from telly.tasks.training.base import TaskModel
from telly.tuning.session import Run


def save_model(
    run: Run,
    split: SplitModel,
    module: TaskModel,
    tokenizer: Any,
    classes: tuple[str, ...],
    adapter: Adapter | None = None,
) -> None:
    """Write folders that plain transformers and peft load, each replaced as a whole; a task's head has its own file.

    `model` is for transformers, with adapters merged into it; `adapter` is for peft and has the adapter alone. Unless
    the task generates text, both are also folders of sentence-transformers.
    """
    model = checkpoint_part(split.model)
    head = module.head
    inference_config = _inference_config(run, module, classes)
    embedding = None if run.task.is_generative else module.embedding
    metadata = {"class": type(model).__name__, "variant": Variant(run.config.k, run.config.method).slug}

    def write_telly_files(folder: Path) -> None:
        if head is not None:
            save_head(head, folder)
        if embedding is not None:
            write_embedding(folder, run.task.spec, inference_config, embedding, split.hidden_size)
        inference_config.write(folder, None if embedding is None else embedding.config, **metadata)

    if embedding is not None:
        tokenizer = plain_tokenizer(tokenizer, max(run.config.max_tokens.values()), mode_of(embedding.config))
    if adapter is not None:
        with whole_folder(run.folder.adapter, replace=True) as folder:
            adapter.save(folder)
            if embedding is not None:  # sentence-transformers looks for the tokenizer here; peft needs none
                tokenizer.save_pretrained(folder)
            write_telly_files(folder)
        adapter.merge()  # after it was saved: merging removes the adapter from the model
    with whole_folder(run.folder.model, replace=True) as folder:
        with quiet_transformers():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        write_telly_files(folder)


def _inference_config(run: Run, module: TaskModel, classes: tuple[str, ...]) -> InferenceConfig:
    config = run.config
    threshold = None if module.threshold is None else module.threshold.item()
    return InferenceConfig(run.task.name, config.max_tokens, classes, config.options, threshold, config.precision)
