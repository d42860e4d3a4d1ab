"""Tiny random models of every family, offline, from configs alone, and tokenizers and data for them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import datasets
import tokenizers
import torch
import transformers
from torch import nn

from telly.tasks import get_spec, get_task
from telly.tasks.training.base import Encoded, TaskModel
from tiny_families import TABLE, VOCAB, tiny_config

CONFIGS: dict[str, Callable[[], transformers.PretrainedConfig]] = {
    model_type: partial(tiny_config, model_type) for model_type in TABLE
}
FAMILIES = (
    "roberta", "bert", "distilbert", "modernbert", "t5", "gpt2", "gpt_bigcode", "qwen2", "llama", "starcoder2",
)  # fmt: skip
"""Families on which everything is tested; tests/models/test_families.py tests freezing and replay on all of them."""
WRITERS = tuple(family for family in FAMILIES if family not in {"distilbert", "modernbert"})
"""Families that can write; the two others' attention keeps no key/value cache."""


def tiny_model(family: str, seed: int = 0, *, is_generative: bool = False) -> nn.Module:
    """A model whose weights are far from trivial: norms and biases are drawn as well, dropout is on in train mode."""
    from telly.models.load import model_from_config

    torch.manual_seed(seed)
    model = model_from_config(CONFIGS[family](), device="cpu", is_generative=is_generative)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.3 if parameter.dim() > 1 else 0.1
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(noise + (1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0))
    return model.eval()


def tiny_tokenizer(*, modes: bool = False, placeholder: bool = False) -> transformers.PreTrainedTokenizerFast:
    """Words w5 .. w96, each with its number as id, ids as RoBERTa's; `<s> text </s>` as the template.

    With `modes` ids 5 to 7 are UniXcoder's mode tokens, with `placeholder` the next is its `<mask0>`.
    """
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    if modes:
        special += ["<encoder-only>", "<decoder-only>", "<encoder-decoder>"]
    if placeholder:
        special += ["<mask0>"]
    words = special + [f"w{i}" for i in range(len(special), VOCAB)]
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    model.post_processor = tokenizers.processors.TemplateProcessing("<s> $A </s>", None, [("<s>", 0), ("</s>", 2)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=model, bos_token="<s>", cls_token="<s>", pad_token="<pad>", eos_token="</s>",
        sep_token="</s>", unk_token="<unk>", mask_token="<mask>", extra_special_tokens=special[5:],
    )  # fmt: skip


def tiny_dataset(task: str, examples: int = 12, seed: int = 0, *, negatives: bool = False) -> datasets.Dataset:
    """Random words, or labels, in the columns of a task; every label occurs, and some functions occur twice.

    With `negatives` the i-th example has i % 3 hard negatives, some of which are functions of other examples.
    """
    rng = random.Random(seed)
    columns: dict[str, list[Any]] = {}
    for column in get_spec(task).schema.columns:
        if column.kind == "label":
            columns[column.name] = [str(i % 2) for i in range(examples)]
        else:
            texts = [
                " ".join(f"w{rng.randrange(8, VOCAB)}" for _ in range(rng.randrange(2, 9))) for _ in range(examples)
            ]
            columns[column.name] = [*texts[:-2], *texts[:2]]
    if negatives:
        codes = columns["code"]
        columns["negatives"] = [[f"w9 w{20 + i}", codes[(i + 3) % examples]][: i % 3] for i in range(examples)]
    return datasets.Dataset.from_dict(columns)


TINY_TOKENS = 12


def tiny_encoded(
    task: str, config: transformers.PretrainedConfig, seed: int = 0, *, negatives: bool = False
) -> Encoded:
    """A small training split of a task as a model gets it."""
    limits = dict.fromkeys(get_spec(task).preset.max_tokens, TINY_TOKENS)
    train = {"train": tiny_dataset(task, seed=seed, negatives=negatives)}
    return get_task(task).encode(train, tiny_tokenizer(), limits, config)["train"]


def tiny_task_model(task: str, encoder: Any, data: Encoded) -> TaskModel:
    """A task's model in its most parameters: a temperature, or a head for two functions."""
    options = get_spec(task).options_of({"temperature": 0.05, "head": "pair"})
    model: TaskModel = get_task(task).build(encoder, len(data.classes), options)
    return model


class Given(nn.Module):
    """Stands in for an encoder: token id i gives the i-th row of a table. Counts the rows of every batch it gets."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)
        self.batches: list[int] = []

    @property
    def hidden_size(self) -> int:
        return self.rows.shape[1]

    @property
    def device(self) -> torch.device:
        return self.rows.device

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        self.batches.append(len(input_ids))
        return SimpleNamespace(last_hidden_state=self.rows[input_ids])


def padded_batch(seed: int = 0, lengths: tuple[int, ...] = (11, 7, 3), pad_id: int = 1) -> dict[str, torch.Tensor]:
    """Random ids above the special ones, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCAB, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.where(mask == 1, ids, pad_id), "attention_mask": mask}
