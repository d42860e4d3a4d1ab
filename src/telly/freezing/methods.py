"""Training methods of the layers above the frozen ones: all weights, adapters, or biases alone.

Adapters are those of peft, inserted into the model in place, so that cached states feed them as they feed full layers.
They are saved in peft's format and merged into the weights of the saved model.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from telly.errors import ConfigError, PlanError
from telly.freezing.plan import frozen_modules, plan_as_is, plan_of
from telly.freezing.split import SplitModel
from telly.freezing.variants import ADAPTERS, Lora, Method
from telly.models.prefix_lm import checkpoint_part
from telly.models.stack import LayerStack

BIAS = "bias"


class Adapter:
    """Adapters within a model.

    Args:
        wrapped: the `PeftModel`, whose layers have been replaced in the model itself.
    """

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def save(self, folder: Path) -> None:
        """Write the adapters in the format that `PeftModel.from_pretrained(model, folder)` reads."""
        self._wrapped.save_pretrained(folder, save_embedding_layers=False)  # the default would ask the hub

    def merge(self) -> None:
        """Merge the adapters into the weights in place, and remove them from the model."""
        self._wrapped.merge_and_unload()


def check_method(stack: LayerStack, k: int | None, method: Method, lora: Lora | None = None) -> None:
    """Check that `apply_method` would succeed; works on a model without values (`meta` device).

    Raises:
        ConfigError, PlanError: as `apply_method`.
    """
    if method in ADAPTERS:
        _adapter_config(stack, k, method, lora)
    elif method is Method.BITFIT:
        _biases(stack, k)


def apply_method(split: SplitModel, method: Method, lora: Lora | None = None, seed: int = 0) -> Adapter | None:
    """Restrict training above K to what the method trains; changes model and plan in place.

    Args:
        split: a split model; for `HEAD_ONLY` one with K = number of layers.
        method: what is trained.
        lora: settings of LoRA.
        seed: seed of the adapters' initial weights.

    Returns:
        the adapters, where there are any.

    Raises:
        ConfigError: peft is not installed, or the model has no layer that could get an adapter.
        PlanError: the layers above K have no biases.
    """
    adapter = None
    if method in ADAPTERS:
        config = _adapter_config(split.stack, split.k, method, lora)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that will change
            torch.manual_seed(seed)
            adapter = Adapter(_peft(method).get_peft_model(checkpoint_part(split.model), config))
    elif method is Method.BITFIT:
        biases = {id(p) for p in _biases(split.stack, split.k)}
        for parameter in split.model.parameters():
            parameter.requires_grad_(id(parameter) in biases)
    if method is not Method.FULL:
        split.plan = plan_as_is(split.stack, split.k, method)
    return adapter


def train_modules(embedding: nn.Module, method: Method) -> None:
    """Restrict the training of the modules after the pooling, such as Dense layers, to what a method trains.

    With adapters they are trained as a whole, as the task's head is; peft would not save adapters of theirs.
    """
    for name, parameter in embedding.named_parameters():
        is_bias = name.rpartition(".")[2] == BIAS
        parameter.requires_grad_(method is not Method.HEAD_ONLY and (is_bias or method is not Method.BITFIT))


def count_trained(stack: LayerStack, k: int | None, method: Method, lora: Lora | None = None) -> int:
    """Number of parameters that a method trains above K; works on a model without values (`meta` device).

    Raises:
        ConfigError, PlanError: as `apply_method`.
    """
    if method is Method.FULL:
        return plan_of(stack, k).trainable
    if method is Method.HEAD_ONLY:
        return 0
    if method is Method.BITFIT:
        return sum(p.numel() for p in _biases(stack, k))
    layers = _adapted_layers(stack, k, method, lora)
    if method is Method.LORA:
        rank = (lora or Lora()).rank
        return sum(rank * (inputs + outputs) for inputs, outputs in map(_features, layers.values()))
    # IA3 scales what goes into a feed-forward layer, and what comes out of the other layers.
    feedforward = _feedforward(stack.model)
    return sum(_features(layer)[0 if _matches(name, feedforward) else 1] for name, layer in layers.items())


def _features(layer: nn.Module) -> tuple[int, int]:
    """Input and output width of a linear layer; transformers' `Conv1D` has its weight transposed."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    inputs, outputs = layer.weight.shape  # type: ignore[misc]
    return int(inputs), int(outputs)


def _biases(stack: LayerStack, k: int | None) -> list[nn.Parameter]:
    """All biases above K.

    Raises:
        PlanError: there are none.
    """
    biases = [
        parameter
        for _, module in _above(stack, stack.model, k)
        for name, parameter in module.named_parameters(recurse=False)
        if name == BIAS
    ]
    if not biases:
        where = "" if k is None else f" from layer {k} on"
        model = type(checkpoint_part(stack.model)).__name__
        raise PlanError(
            f"--method {Method.BITFIT}: {model} has no biases{where}; expected a model "
            f"with biases, or --method {Method.LORA}"
        )
    return biases


def _adapter_config(stack: LayerStack, k: int | None, method: Method, lora: Lora | None) -> Any:
    """The configuration for peft, with the names of the modules above K that get an adapter.

    Modules are named one by one, since peft can select layers only in one list per model, and not for every method.

    Raises:
        ConfigError: peft is not installed, has no default for the model's type, or no layer matches.
    """
    from transformers.pytorch_utils import Conv1D

    peft = _peft(method)
    lora = lora or Lora()
    layers = _adapted_layers(stack, k, method, lora)
    transposed = any(isinstance(module, Conv1D) for module in layers.values())
    if method is Method.LORA:
        return peft.LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=_pattern(layers),
            fan_in_fan_out=transposed,
        )
    feedforward = _feedforward(stack.model)
    return peft.IA3Config(
        target_modules=_pattern(layers),
        feedforward_modules=_pattern(name for name in layers if _matches(name, feedforward)),
        fan_in_fan_out=transposed,
    )


def _adapted_layers(stack: LayerStack, k: int | None, method: Method, lora: Lora | None) -> dict[str, nn.Module]:
    """The linear layers above K that get an adapter, by name.

    Raises:
        ConfigError: peft is not installed, has no default for the model's type, or no layer matches.
    """
    from transformers.pytorch_utils import Conv1D

    model = checkpoint_part(stack.model)
    lora = lora or Lora()
    targets = (lora.targets if method is Method.LORA else ()) or _known_targets(model, method)
    layers = {
        name: module
        for name, module in _above(stack, model, k)
        if isinstance(module, nn.Linear | Conv1D) and _matches(name, targets)
    }
    if not layers:
        suffixes = targets if isinstance(targets, str) else ", ".join(targets)
        where = "" if k is None else f" from layer {k} on"
        raise ConfigError(
            f"--method {method}: no linear layer{where} has a name that ends in {suffixes}; expected names as "
            f"{type(model).__name__}.named_modules() gives them (--lora-target)"
        )
    return layers


def _feedforward(model: Any) -> Any:
    """Peft's default feed-forward layers for the model's type."""
    known = _peft(Method.IA3).utils.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
    return known[_model_type(checkpoint_part(model))]


def _known_targets(model: Any, method: Method) -> Any:
    """Peft's default target modules for the model's type: suffixes of names, or one pattern.

    Raises:
        ConfigError: peft has no default.
    """
    utils = _peft(method).utils
    known = (
        utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
        if method is Method.LORA
        else utils.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING
    )
    if _model_type(model) not in known:
        advice = "name the modules with --lora-target" if method is Method.LORA else f"choose --method {Method.LORA}"
        raise ConfigError(
            f"--method {method}: peft does not know where it goes in a model of type {_model_type(model)!r}; it does "
            f"for {', '.join(sorted(known))}. For this model {advice}"
        )
    return known[_model_type(model)]


def _above(stack: LayerStack, model: Any, k: int | None) -> Iterator[tuple[str, nn.Module]]:
    """Modules of `model` (the stack's model or a part of it) that are neither frozen by K nor an unused pooler."""
    below = [*frozen_modules(stack, k), *(module for _, module in stack.unused_after)]
    frozen = {id(part) for module in below for part in module.modules()}
    return ((name, module) for name, module in model.named_modules() if id(module) not in frozen)


def _model_type(model: Any) -> str:
    return str(getattr(model.config, "model_type", ""))


def _matches(name: str, targets: Any) -> bool:
    """Match a module's name with targets as peft does."""
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _pattern(names: Iterable[str]) -> str:
    """A pattern of exactly these names; peft shortens lists of names, which may then match others."""
    return "|".join(map(re.escape, names))


def _peft(method: Method) -> Any:
    try:
        import peft
    except ImportError:
        raise ConfigError(f"--method {method} needs peft: pip install 'telly[peft]'") from None
    return peft
