"""Facts about model families that do not follow from the common structure. Most families need no entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

AUTO_CLASSES = {
    "EncoderModel": "AutoModelForTextEncoding",
    "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForCausalLM": "AutoModelForCausalLM",
}
"""Transformers classes by suffix of the architecture's name in `config.json`; the default is `AutoModel`."""

WINDOWS = ("sliding_window", "local_attention", "attention_window", "window_size")
"""Names under which configurations declare the width of local attention."""

HandedOn = Callable[[nn.Module, torch.Tensor], tuple[Any, ...]]


def _unknown(_block: nn.Module, _states: torch.Tensor) -> tuple[Any, ...]:
    return ()


def _position_bias(block: nn.Module, states: torch.Tensor) -> tuple[Any, ...]:
    """T5's block 0 computes the relative position bias, from the number of tokens alone."""
    tokens = states.shape[1]
    attention = block.layer[0].SelfAttention  # type: ignore[index,union-attr]
    return attention.compute_bias(tokens, tokens, device=states.device), None


@dataclass(frozen=True)
class Family:
    """How the parts of a family's models are named, and what replaying cached states needs from them.

    Attributes:
        handed_on: function that computes what a skipped block hands on to later ones beside the hidden states, from the
            block and states [batch, tokens, hidden], where there is a faster way than to run the block.
        position_tables: last name components of learned position embeddings.
        position_setting: name of the setting that limits positions which every layer has in a table of its own.
        pooler: last name component of the module that a bare encoder has after its blocks and telly does not use.
        norm: substring of the class name of a final norm, in lower case.
    """

    handed_on: HandedOn = _unknown
    position_tables: tuple[str, ...] = ("position_embeddings", "embed_positions", "positions_embed", "wpe")
    position_setting: str | None = None
    pooler: str = "pooler"
    norm: str = "norm"

    def is_pooler(self, name: str) -> bool:
        """Check by its name if a module is the pooler."""
        return _last(name) == self.pooler

    def is_norm(self, module: nn.Module) -> bool:
        """Check by its class name if a module is a norm."""
        return self.norm in type(module).__name__.lower()

    def position_table(self, parts: Iterable[tuple[str, nn.Module]]) -> nn.Embedding | None:
        """Find the learned positions among named modules and their parts; None where positions are not a table."""
        for prefix, part in parts:
            for name, module in part.named_modules(prefix=prefix):
                if isinstance(module, nn.Embedding) and _last(name) in self.position_tables:
                    return module
        return None


def first_position(table: nn.Embedding | None) -> int:
    """Index of the first token in a position table.

    RoBERTa counts from after the padding index, BART and OPT from an offset, others from 0.
    """
    if table is None:
        return 0
    return int(getattr(table, "offset", 0 if table.padding_idx is None else table.padding_idx + 1))


def attention_window(config: Any) -> int:
    """The largest number of tokens that a model with local attention declares a token to see; 0 without one."""
    declared = [getattr(config, name, None) for name in WINDOWS]
    sizes = [size for value in declared for size in (value if isinstance(value, list | tuple) else [value])]
    return max((size for size in sizes if isinstance(size, int)), default=0)


def auto_class(architecture: str) -> str:
    """Name of the transformers class that loads a saved architecture with all its weights and no others."""
    return next((auto for suffix, auto in AUTO_CLASSES.items() if architecture.endswith(suffix)), "AutoModel")


def loading_class(model_type: str, architecture: str) -> tuple[str, str]:
    """Module and name of the class with which plain transformers loads a saved architecture."""
    from transformers.models.auto.configuration_auto import model_type_to_module_name
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES,
    )

    if model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        if architecture.endswith("Encoder"):  # BartEncoder, which has no automatic class and is not exported
            module = model_type_to_module_name(model_type)
            return f"transformers.models.{module}.modeling_{module}", architecture
        if architecture.endswith("EncoderModel") and model_type not in MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES:
            return "transformers", architecture
    return "transformers", auto_class(architecture)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


DEFAULT = Family()
T5 = Family(_position_bias)
GPTJ = Family(position_setting="n_positions")
FAMILIES: dict[str, Family] = {
    "t5": T5,
    "mt5": T5,
    "switch_transformers": T5,
    "gptj": GPTJ,
    "codegen": GPTJ,
    "mpt": Family(position_setting="max_seq_len"),
}
"""Families by `config.model_type`."""


def family_of(model: nn.Module) -> Family:
    """Look up the family of a model by `config.model_type`; the default for those without an entry."""
    return FAMILIES.get(str(getattr(getattr(model, "config", None), "model_type", "")), DEFAULT)
