"""The layer stack of any Hugging Face model: embeddings, an ordered list of blocks, and what comes after.

`capture` reads hidden states with a pre-hook at a block; `replay` starts a forward from hidden states by making the
blocks below return them. Both restore the model, also after an exception, and leave other hooks alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from telly.errors import ModelError, PlanError
from telly.models.execution import (
    Entry,
    Execution,
    Extras,
    Phase,
    execute,
    no_cache,
    states_in,
    states_of,
    with_states,
)
from telly.models.families import Family, family_of, first_position


@dataclass(frozen=True)
class LayerStack:
    """The blocks of a model, and the modules before and after them.

    Attributes:
        model: the whole model.
        path: name of the list of blocks, such as `encoder.layer`.
        blocks: the blocks, bottom first.
        before: modules by name, outside the blocks, that run or are read before the last block has returned: embeddings
            with their norm and dropout, and tables that blocks share. A parameter that belongs to no such module is
            in a `ParameterList`.
        after: the other modules by name: final norm, pooler, heads.
        family: what the model's family needs beyond the common structure.
        hidden_size: width of the hidden states.
        embedding_size: width of the word embeddings, which a model may project to the width of the states.
        tokens_first: True if the blocks take hidden states as [tokens, batch, hidden].
        extras: what every block returns beside the hidden states; None if it returns a tensor.
        entry: the module before the blocks whose output is the first block's input as it is; None if there is none, or
            if it also runs elsewhere.
    """

    model: nn.Module
    path: str
    blocks: tuple[nn.Module, ...]
    before: tuple[tuple[str, nn.Module], ...]
    after: tuple[tuple[str, nn.Module], ...]
    family: Family
    hidden_size: int
    embedding_size: int
    tokens_first: bool
    extras: tuple[Extras | None, ...]
    entry: nn.Module | None

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
        return replace(self, model=owner, path=f"{name}.{self.path}", before=inner[0], after=outer + inner[1])

    @property
    def containers(self) -> list[nn.Module]:
        """The modules that contain the blocks, outermost first.

        Their own forward runs what is before the blocks, which may include a dropout that is no module (BART).
        """
        parts = self.path.split(".")
        return [self.model.get_submodule(".".join(parts[:depth])) for depth in range(len(parts))]

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
        """Maximum number of tokens of a model that has its positions in a table; None without a limit."""
        if self.family.position_setting is not None:
            return int(getattr(self.model.config, self.family.position_setting))
        table = self.family.position_table(self.before)
        return None if table is None else table.num_embeddings - first_position(table)

    def placeholder(self, states: torch.Tensor) -> torch.Tensor:
        """Zeros in the shape of the word embeddings, [batch, tokens, embedding], for a forward that ignores them."""
        return states.new_zeros(*states.shape[:2], self.embedding_size)

    def entering(self, states: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
        """Lay hidden states out as the blocks take them.

        Args:
            states: [batch, tokens, hidden].
            like: what the model itself gave to the block, which may be padded to more tokens, as Longformer's are.
        """
        if like is not None:
            missing = like.shape[0 if self.tokens_first else 1] - states.shape[1]
            states = nn.functional.pad(states, (0, 0, 0, missing)) if missing > 0 else states
        return states.transpose(0, 1) if self.tokens_first else states

    def leaving(self, states: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Hidden states of the blocks as [batch, tokens, hidden], without tokens that the model itself appended."""
        given = next(inputs[name] for name in ("input_ids", "inputs_embeds") if inputs.get(name) is not None)
        return (states.transpose(0, 1) if self.tokens_first else states)[:, : given.shape[1]]


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
        if isinstance(module, nn.ModuleList) and len(module):
            # Lists within the blocks (the experts of a mixture) are smaller than the list of blocks around them.
            candidates.append((sum(p.numel() for p in module.parameters()), name, module))
    if not candidates:
        raise ModelError(
            f"{type(model).__name__} has no list of blocks of one type; expected a stack of transformer layers"
        )
    _, name, blocks = max(candidates, key=lambda candidate: candidate[0])
    path = prefix + name
    types = sorted({type(block).__name__ for block in blocks})
    if len(types) > 1:
        raise ModelError(
            f"{type(model).__name__}: the blocks of {path} are of different types ({', '.join(types)}); expected a "
            "stack of transformer layers of one type"
        )
    execution = execute(model, tuple(blocks))
    if execution is not None and execution.calls != list(range(len(blocks))):
        raise ModelError(
            f"{type(model).__name__} does not run the blocks of {path} once each, in order, so freezing the lower ones "
            "would freeze more than the lower layers; expected a stack of transformer layers"
        )
    before, after = _around(model, path, execution or Execution())
    hidden_size = execution.input_shape[-1] if execution else _declared_hidden_size(model) or 0
    return LayerStack(
        model,
        path,
        tuple(blocks),
        before,
        after,
        family_of(model),
        hidden_size,
        _embedding_size(root) or hidden_size,
        execution is not None and execution.tokens_first,
        tuple(execution.extras) if execution else (None,) * len(blocks),
        execution.entry if execution else None,
    )


def _embedding_size(model: Any) -> int | None:
    """Width of the word embeddings; None if the model does not say where they are."""
    try:
        return int(model.get_input_embeddings().embedding_dim)
    except (AttributeError, NotImplementedError):
        return None


def hidden_size_of(model: nn.Module) -> int:
    """Width of a model's hidden states, by its configuration, or by running the model if that does not say.

    Raises:
        ModelError: as `find_stack`.
    """
    return _declared_hidden_size(model) or find_stack(model).hidden_size


def _declared_hidden_size(model: nn.Module) -> int | None:
    size = getattr(getattr(model, "config", None), "hidden_size", None)
    return None if size is None else int(size)


def _around(
    model: nn.Module, path: str, execution: Execution
) -> tuple[tuple[tuple[str, nn.Module], ...], tuple[tuple[str, nn.Module], ...]]:
    """Siblings of the blocks and of their ancestors, with their names: those used before the blocks, and the others."""
    parts: dict[Phase, list[tuple[str, nn.Module]]] = {Phase.BEFORE: [], Phase.AFTER: []}

    def place(name: str, module: nn.Module, unused: Phase) -> None:
        if execution.is_split(module):
            for child_name, child in module.named_children():
                place(f"{name}.{child_name}", child, unused)
            place_parameters(f"{name}.", module, unused)
        else:
            parts[execution.phase_of(module) or unused].append((name, module))

    def place_parameters(prefix: str, owner: nn.Module, unused: Phase) -> None:
        for name, parameter in owner.named_parameters(recurse=False):
            phase = execution.parameters.get(id(parameter), unused)
            parts[phase].append((prefix + name, nn.ParameterList([parameter])))

    # Walk from the model down to the list of blocks. What does not run at all is placed by the order of registration.
    owner, prefix = model, ""
    for part in path.split("."):
        unused = Phase.BEFORE
        for name, child in owner.named_children():
            if name == part:
                unused = Phase.AFTER
            else:
                place(prefix + name, child, unused)
        place_parameters(prefix, owner, Phase.BEFORE)
        owner, prefix = owner.get_submodule(part), f"{prefix}{part}."
    return tuple(parts[Phase.BEFORE]), tuple(parts[Phase.AFTER])


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
        raise _Captured(states_of(args, kwargs))

    # An exception is the only way to leave a model's forward early without knowing its code.
    if k < len(stack):
        handle = stack.blocks[k].register_forward_pre_hook(stop, with_kwargs=True)
    else:
        handle = stack.blocks[-1].register_forward_hook(_leave)
    try:
        stack.model(**inputs, **no_cache(stack.model))
    except _Captured as captured:
        return stack.leaving(captured.states, inputs)
    finally:
        handle.remove()
    raise ModelError(f"block {k} of {stack.path} did not run; the model's layers were not recognised")


def _leave(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
    raise _Captured(states_in(output))


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
        states.append(states_of(args, kwargs))

    handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in stack.blocks]
    handles.append(stack.blocks[-1].register_forward_hook(_leave))
    try:
        stack.model(**inputs, **no_cache(stack.model))
    except _Captured as captured:
        return [stack.leaving(entry, inputs) for entry in (*states, captured.states)]
    finally:
        for handle in handles:
            handle.remove()
    raise ModelError(f"the last block of {stack.path} did not run; the model's layers were not recognised")


@contextmanager
def replay(stack: LayerStack, k: int, states: torch.Tensor) -> Iterator[None]:
    """Make every forward of the model start at block k from `states`, as long as the context is open.

    Call the model with `inputs_embeds=stack.placeholder(states)`, from which it takes batch size and length, and with
    the attention mask.

    Args:
        stack: the model's layers.
        k: the block that the states enter, 0 .. layers; layers starts after the last block.
        states: [batch, tokens, hidden].
    """
    stack.check_split_point(k)

    def inject(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return with_states(args, kwargs, stack.entering(states, states_of(args, kwargs)))

    # The model's own forward still runs: it builds the attention mask and the tables that the blocks share, and calls
    # every block in turn. The embeddings and the blocks below k return the states as they are.
    overrides = [(stack.entry, _returning(stack.entering(states)))] if stack.entry is not None else []
    overrides += [(block, _skipping(stack, i, states)) for i, block in enumerate(stack.blocks[:k])]
    # The states are injected again at block k, since what runs between embeddings and block k may change them. With
    # k = layers there is no such block.
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


def _skipping(stack: LayerStack, index: int, states: torch.Tensor) -> Callable[..., Any]:
    block, extras = stack.blocks[index], stack.extras[index]
    forward = block.forward

    def skip(*args: Any, **kwargs: Any) -> Any:
        entering = stack.entering(states, states_of(args, kwargs))
        if extras is None:
            return entering
        computed: Sequence[Any] = [None] * len(extras)
        if Entry.COMPUTED in extras:
            # Only the block itself knows what it hands on, unless its family does.
            by_family = stack.family.handed_on(block, states)
            with torch.no_grad():
                computed = by_family or forward(*args, **kwargs)[1:]
        arguments = dict(enumerate(args)) | kwargs
        return (
            entering,
            *(
                arguments[entry] if isinstance(entry, int | str) else value if entry is Entry.COMPUTED else None
                for entry, value in zip(extras, computed, strict=True)
            ),
        )

    return skip


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


def run_from(stack: LayerStack, k: int, states: torch.Tensor, **inputs: Any) -> Any:
    """Compute the model's own output from block k upwards.

    Args:
        stack: the model's stack.
        k: the block that `states` enter.
        states: [batch, tokens, hidden].
        inputs: the model's other inputs, such as `attention_mask` and `labels`.
    """
    with replay(stack, k, states):
        return stack.model(inputs_embeds=stack.placeholder(states), **inputs, **no_cache(stack.model))


def layer_step(stack: LayerStack, low: int, high: int, states: torch.Tensor, **inputs: Any) -> torch.Tensor:
    """Run blocks `low` .. `high` - 1 on hidden states at the input of block `low`, [batch, tokens, hidden]."""
    with replay(stack, low, states):
        return capture(stack, high, inputs_embeds=stack.placeholder(states), **inputs)
