"""The layer stack of any Hugging Face model: embeddings, an ordered list of blocks, and what comes after.

`capture` reads hidden states with a pre-hook at a block; `replay` starts a forward from hidden states by making the
blocks below return them. Both restore the model, also after an exception, and leave other hooks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from telly.errors import ModelError, PlanError
from telly.models.families import Family, family_of, first_position


@dataclass(frozen=True)
class LayerStack:
    """The blocks of a model, and the modules before and after them.

    Attributes:
        model: the whole model.
        path: name of the list of blocks, such as `encoder.layer`.
        blocks: the blocks, bottom first.
        before: modules by name that run before the blocks: embeddings and their norm and dropout.
        after: modules by name that come after the blocks: final norm, pooler, heads.
        family: what the model's family needs beyond the common structure.
    """

    model: nn.Module
    path: str
    blocks: tuple[nn.Module, ...]
    before: tuple[tuple[str, nn.Module], ...]
    after: tuple[tuple[str, nn.Module], ...]
    family: Family

    def __len__(self) -> int:
        return len(self.blocks)

    def check_layer(self, k: int) -> None:
        """Check that 0 <= k < number of layers.

        Raises:
            PlanError: it is not.
        """
        if not 0 <= k < len(self):
            raise PlanError(f"K must be between 0 and {len(self) - 1} for a model of {len(self)} layers, found {k}")

    def check_split_point(self, k: int) -> None:
        """Check that 0 <= k <= number of layers, where the latter means the last block's output.

        Raises:
            PlanError: it is not.
        """
        if k != len(self):
            self.check_layer(k)

    def within(self, owner: nn.Module, name: str) -> LayerStack:
        """Describe the same blocks as part of a model that holds this stack's model as its first child.

        Args:
            owner: the larger model.
            name: name of this stack's model in it.
        """
        inner = [tuple((f"{name}.{part}", module) for part, module in parts) for parts in (self.before, self.after)]
        outer = tuple((other, child) for other, child in owner.named_children() if other != name)
        return LayerStack(owner, f"{name}.{self.path}", self.blocks, inner[0], outer + inner[1], self.family)

    @property
    def unused_after(self) -> list[tuple[str, nn.Module]]:
        """The pooler of a bare encoder, which nothing that telly trains reads; empty where a head reads it."""
        bare = getattr(self.model, "base_model", self.model) is self.model
        return [(name, module) for name, module in self.after if bare and self.family.is_pooler(name)]

    @property
    def final_norm(self) -> str | None:
        """Name of the norm that the model applies after the last block, if it has one."""
        return next((name for name, module in self.after if self.family.is_norm(module)), None)

    @property
    def position_limit(self) -> int | None:
        """Maximum number of tokens of a model with learned positions; None where positions are not a table."""
        table = self.family.position_table(self.before)
        return None if table is None else table.num_embeddings - first_position(table)


def find_stack(model: nn.Module) -> LayerStack:
    """Find the blocks by structure: the `ModuleList` of one block type with the most parameters.

    For an encoder-decoder it is the encoder's stack: every decoder block attends to the encoder's output, so no
    decoder block could be frozen with constant inputs.

    Raises:
        ModelError: the model has no list of two or more blocks of one type.
    """
    root = model.get_encoder() if getattr(getattr(model, "config", None), "is_encoder_decoder", False) else model  # type: ignore[operator]
    prefix = next((f"{name}." for name, module in model.named_modules() if module is root and name), "")
    candidates: list[tuple[int, str, nn.ModuleList]] = []
    for name, module in root.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) and len({type(block) for block in module}) == 1:
            # Lists within the blocks (the experts of a mixture) are smaller than the list of blocks around them.
            candidates.append((sum(p.numel() for p in module.parameters()), name, module))
    if not candidates:
        raise ModelError(
            f"{type(model).__name__} has no list of blocks of one type; expected a stack of transformer layers"
        )
    _, name, blocks = max(candidates, key=lambda candidate: candidate[0])
    path = prefix + name
    before, after = _around(model, path)
    return LayerStack(model, path, tuple(blocks), before, after, family_of(model))


def _around(model: nn.Module, path: str) -> tuple[tuple[tuple[str, nn.Module], ...], tuple[tuple[str, nn.Module], ...]]:
    """Siblings of the blocks and of their ancestors, with their names: registered before the blocks, and after them."""
    # Walk from the model down to the list of blocks. Modules are registered in the order in which they run, so at every
    # level the siblings up to the path's child come before the blocks, and the rest after.
    before: list[tuple[str, nn.Module]] = []
    after: list[tuple[str, nn.Module]] = []
    family = family_of(model)
    owner, prefix = model, ""
    for part in path.split("."):
        passed = False
        for name, child in owner.named_children():
            if name == part:
                passed = True
            elif passed and name not in family.shared_dropouts:
                after.append((prefix + name, child))
            else:
                before.append((prefix + name, child))
        owner, prefix = owner.get_submodule(part), f"{prefix}{part}."
    return tuple(before), tuple(after)


class _Captured(Exception):  # noqa: N818 - it is a jump, not an error
    def __init__(self, states: torch.Tensor) -> None:
        self.states = states


def capture(stack: LayerStack, k: int, **inputs: torch.Tensor) -> torch.Tensor:
    """Run embeddings and blocks 0 .. k-1 and return the input of block k; the layers above do not run.

    Args:
        stack: the model's stack.
        k: which block's input, 0 .. layers - 1; layers means the last block's output, before a final norm.
        inputs: the model's inputs, such as `input_ids` and `attention_mask`.

    Returns:
        hidden states, [batch, tokens, hidden].
    """
    stack.check_split_point(k)

    def stop(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Captured(args[0] if args else kwargs["hidden_states"])

    # An exception is the only way to leave a model's forward early without knowing its code.
    if k < len(stack):
        handle = stack.blocks[k].register_forward_pre_hook(stop, with_kwargs=True)
    else:
        handle = stack.blocks[-1].register_forward_hook(_leave)
    try:
        stack.model(**inputs, **no_cache(stack.model))
    except _Captured as captured:
        return captured.states
    finally:
        handle.remove()
    raise ModelError(f"block {k} of {stack.path} did not run; the model's layers were not recognised")


def _leave(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    raise _Captured(output[0] if isinstance(output, tuple) else output)


def capture_all(stack: LayerStack, **inputs: torch.Tensor) -> list[torch.Tensor]:
    """Run the model once and return the states of the embeddings and of every block; what comes after does not run.

    The last entry is the last block's output, before a final norm where the model has one (`LayerStack.final_norm`).

    Args:
        stack: the model's stack.
        inputs: the model's inputs, such as `input_ids` and `attention_mask`.

    Returns:
        hidden states, layers + 1 of [batch, tokens, hidden].
    """
    states: list[torch.Tensor] = []

    def enter(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states.append(args[0] if args else kwargs["hidden_states"])

    handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in stack.blocks]
    handles.append(stack.blocks[-1].register_forward_hook(_leave))
    try:
        stack.model(**inputs, **no_cache(stack.model))
    except _Captured as captured:
        return [*states, captured.states]
    finally:
        for handle in handles:
            handle.remove()
    raise ModelError(f"the last block of {stack.path} did not run; the model's layers were not recognised")


@contextmanager
def replay(stack: LayerStack, k: int, states: torch.Tensor) -> Iterator[None]:
    """Make every forward of the model start at block k from `states`, as long as the context is open.

    Call the model with `inputs_embeds=states`, from which it takes batch size and length, and with the attention mask.

    Args:
        stack: the model's layers.
        k: the block that the states enter, 0 .. layers; layers starts after the last block.
        states: [batch, tokens, hidden].
    """
    stack.check_split_point(k)

    def inject(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if args:
            return (states, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": states}

    # The model's own forward still runs: it builds the attention mask, then calls what is before the blocks, and every
    # block in turn. So embeddings and their norm return the states as they are (a dropout among them, in eval mode,
    # changes nothing), and the blocks below k pass them on in their family's form.
    overrides = [(module, _returning(states)) for _, module in stack.before if _has_parameters(module)]
    overrides += [(block, _skipping(stack.family, block, states)) for block in stack.blocks[:k]]
    # The states are injected again at block k, since a model may combine the outputs of modules before the blocks:
    # GPT-2 adds those of two embeddings, other decoders scale them. With k = layers there is no such block.
    entered = stack.blocks[k : k + 1]
    handles = [block.register_forward_pre_hook(inject, with_kwargs=True, prepend=True) for block in entered]
    try:
        with _overridden(overrides):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _returning(states: torch.Tensor) -> Callable[..., torch.Tensor]:
    return lambda *_args, **_kwargs: states


def _skipping(family: Family, block: nn.Module, states: torch.Tensor) -> Callable[..., Any]:
    def skip(_hidden: torch.Tensor | None = None, *args: Any, **_kwargs: Any) -> Any:
        return family.pass_through(block, states, args)

    return skip


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


@contextmanager
def _overridden(overrides: list[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Replace the modules' forward while the context is open; an earlier override is restored."""
    # An instance attribute hides the class's `forward`. None records that there was none, so that it is deleted again.
    originals: list[tuple[nn.Module, Any]] = []
    try:
        for module, forward in overrides:
            originals.append((module, module.__dict__.get("forward")))
            module.forward = forward
        yield
    finally:
        for module, forward in reversed(originals):
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def no_cache(model: nn.Module) -> dict[str, bool]:
    """The argument that switches off the key/value cache of a decoder; empty for models without one."""
    return {"use_cache": False} if hasattr(getattr(model, "config", None), "use_cache") else {}


def run_from(stack: LayerStack, k: int, states: torch.Tensor, **inputs: Any) -> Any:
    """Compute the model's own output from block k upwards.

    Args:
        stack: the model's stack.
        k: the block that `states` enter.
        states: [batch, tokens, hidden].
        inputs: the model's other inputs, such as `attention_mask` and `labels`.
    """
    with replay(stack, k, states):
        return stack.model(inputs_embeds=states, **inputs, **no_cache(stack.model))


def layer_step(stack: LayerStack, low: int, high: int, states: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """Run blocks `low` .. `high` - 1 on hidden states at the input of block `low`, [batch, tokens, hidden]."""
    with replay(stack, low, states):
        return capture(stack, high, inputs_embeds=states, **inputs)
