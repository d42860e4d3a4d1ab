"""The freeze plan: which layers of a model are frozen, as data, and the functions that freeze them.

Telly-K (arXiv 2304.05216): `base` trains every parameter; K freezes the embeddings and blocks 0 .. K-1. The pooler of a
bare encoder, which mean pooling leaves unused, does not count among the trained parameters of Telly-K. How the layers
above K are trained is in `telly.freezing.methods`.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn

from telly.errors import PlanError
from telly.freezing.variants import Method, Variant
from telly.models.stack import LayerStack, find_stack

Status = Literal["frozen", "trained", "mixed"]
TiedHead = Literal["freeze", "untie", "refuse"]


@dataclass(frozen=True)
class LayerStatus:
    """One layer of the plan. Parameters that it shares with an earlier layer are counted in that one only."""

    name: str
    status: Status
    parameters: int
    trainable: int


@dataclass(frozen=True)
class FreezePlan:
    """Which layers of a model are frozen and which are trained.

    Attributes:
        variant: K and method; whether states are cached is not part of a plan.
        k: number of frozen layers, or None if no layer is frozen as a whole. Unlike `variant.k` it is the number of all
            layers if only the head is trained.
        layers: embeddings, blocks bottom first, and what comes after, in this order.
    """

    variant: Variant
    k: int | None
    layers: tuple[LayerStatus, ...]

    @property
    def total(self) -> int:
        """Number of all parameters, each counted once."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable(self) -> int:
        """Number of trained parameters."""
        return sum(layer.trainable for layer in self.layers)

    @property
    def percent(self) -> float:
        """Trained parameters in percent of all."""
        return 100.0 * self.trainable / self.total

    def with_head(self, parameters: int) -> FreezePlan:
        """Add a task's new head, which is trained, to the plan; without parameters there is no head."""
        return self._with_layer("head", parameters, parameters)

    def with_embedding(self, embedding: nn.Module) -> FreezePlan:
        """Add the modules after the pooling, such as Dense layers, to the plan."""
        parameters = list(embedding.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        return self._with_layer("embedding", sum(p.numel() for p in parameters), trained)

    def _with_layer(self, name: str, total: int, trained: int) -> FreezePlan:
        if not total:
            return self
        status: Status = "frozen" if not trained else "trained" if trained == total else "mixed"
        return FreezePlan(self.variant, self.k, (*self.layers, LayerStatus(name, status, total, trained)))

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready data, with the totals."""
        return {**asdict(self), "variant": self.variant.slug, "trainable": self.trainable, "total": self.total}

    def __str__(self) -> str:
        frozen = [layer.name for layer in self.layers if layer.status == "frozen" and layer.parameters]
        what = f"frozen: {', '.join(frozen)}" if frozen else "nothing frozen"
        counts = f"{self.trainable:,} of {self.total:,} parameters trained ({self.percent:.2f} %)"
        return f"{self.variant.slug}: {counts}; {what}"


def variants_of(layers: int) -> list[int | None]:
    """List all variants of a model: None for base, then every K from 0 to layers - 1."""
    return [None, *range(layers)]


def make_plan(model: nn.Module, k: int | None) -> FreezePlan:
    """Plan what K freezes without changing the model; works on the `meta` device.

    Raises:
        PlanError: K is out of range, or nothing would be trained.
    """
    return plan_of(find_stack(model), k)


def plan_of(stack: LayerStack, k: int | None) -> FreezePlan:
    """`make_plan` for a model whose layers are known.

    Raises:
        PlanError: as `make_plan`.
    """
    plan = _plan(stack, k, Variant(k), _frozen_parameters(stack, k))
    if not plan.trainable:
        raise PlanError(f"nothing would be trained: all {plan.total:,} parameters are frozen; choose a smaller K")
    return plan


def plan_as_is(stack: LayerStack, k: int | None, method: Method) -> FreezePlan:
    """Describe the model as it is: what requires a gradient is trained. Adapters are counted with their layer."""
    frozen = {id(p) for p in stack.model.parameters() if not p.requires_grad}
    return _plan(stack, k, Variant(None if method is Method.HEAD_ONLY else k, method), frozen)


def _plan(stack: LayerStack, k: int | None, variant: Variant, frozen: set[int]) -> FreezePlan:
    # A tied head has the embeddings' parameters: `seen` keeps them from being counted twice.
    seen: set[int] = set()
    layers = []
    for name, modules in _layers(stack):
        parameters = [p for module in modules for p in module.parameters() if id(p) not in seen]
        parameters = list({id(p): p for p in parameters}.values())
        seen |= {id(p) for p in parameters}
        total = sum(p.numel() for p in parameters)
        trainable = sum(p.numel() for p in parameters if id(p) not in frozen)
        # The status is that of all parameters, shared ones included: a tied head is frozen with the embeddings.
        ids = {id(p) for module in modules for p in module.parameters()}
        status: Status = "frozen" if ids <= frozen else "mixed" if ids & frozen else "trained"
        layers.append(LayerStatus(name, status, total, trainable))
    return FreezePlan(variant, k, tuple(layers))


def freeze(model: nn.Module, k: int | None, tied_head: TiedHead = "freeze") -> FreezePlan:
    """Freeze a model in place for Telly-K and return the plan. `unfreeze` reverts it.

    Frozen layers get no gradient and stay in eval mode whatever `.train()` is called on: with dropout they would give
    other states each time, so there would be nothing to cache.

    Args:
        model: any model with a stack of blocks; for an encoder-decoder, the stack is the encoder's.
        k: freeze embeddings and blocks 0 .. k-1; None trains everything.
        tied_head: what to do with a head whose weight is the frozen embedding matrix: `freeze` leaves it
            frozen with them, `untie` gives the head a trained copy, `refuse` is an error.

    Raises:
        PlanError: K is out of range, nothing would be trained, or a tied head is refused.
    """
    stack = find_stack(model)
    if k is not None:
        stack.check_layer(k)
    return freeze_layers(stack, k, tied_head)


def freeze_layers(stack: LayerStack, k: int | None, tied_head: TiedHead = "freeze") -> FreezePlan:
    """`freeze` for a model whose layers are known. K = number of layers freezes all of the model.

    Raises:
        PlanError: as `freeze`.
    """
    model = stack.model
    unfreeze(model)  # an earlier plan must not show through
    if k == len(stack):
        model.requires_grad_(False)
        _lock_eval(model)
        return plan_as_is(stack, k, Method.HEAD_ONLY)
    tied = _tied_parameters(stack) if k is not None else []
    if tied and tied_head == "refuse":
        raise PlanError(
            f"{', '.join(name for name, _, _ in tied)}: tied to the embeddings, which K={k} freezes; "
            "choose tied_head='freeze' or 'untie'"
        )
    if tied and tied_head == "untie":
        _untie(model, tied)
    plan = plan_of(stack, k)
    frozen = _frozen_parameters(stack, k)
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) not in frozen)
    for module in frozen_modules(stack, k):
        _lock_eval(module)
    if k is not None:
        for module in stack.containers:
            _lock(module)
    return plan


def unfreeze(model: nn.Module) -> None:
    """Make every parameter trainable again and let `.train()` reach every module."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    locked = [module for module in model.modules() if isinstance(module.__dict__.get("train"), types.MethodType)]
    # A model that runs its blocks itself is locked as well; then what is trained tells the mode.
    mode = model.training or (model in locked and any(module.training for module in model.modules()))
    for module in locked:
        del module.train  # the lock is an instance attribute; below it is the class's own method
    for module in locked:
        module.train(mode)


def train(self: nn.Module, mode: bool = True) -> nn.Module:
    """Replacement of `nn.Module.train` that keeps a frozen module in eval mode, and leaves its parts to themselves.

    A module's parent calls `child.train(mode)`, so the only place to refuse it is the child's own attribute. Pickle and
    `copy.deepcopy` store a bound method as the object and the *name* of its function; so this function must be named
    `train`, else copies of a frozen model would look for an attribute that no module has.
    """
    self.training = False
    for child in self.children():
        child.train(mode)
    return self


def _lock_eval(module: nn.Module) -> None:
    """Put a module and all of its parts into eval mode permanently; `unfreeze` reverts it."""
    for part in module.modules():
        _lock(part)


def _lock(module: nn.Module) -> None:
    """Keep a module in eval mode, but not its parts."""
    module.training = False
    module.train = types.MethodType(train, module)  # type: ignore[method-assign]


def frozen_modules(stack: LayerStack, k: int | None) -> list[nn.Module]:
    """The modules that K freezes: those before the blocks, and blocks 0 .. k-1; none for None."""
    if k is None:
        return []
    stack.check_split_point(k)
    return [*(module for _, module in stack.before), *stack.blocks[:k]]


def _frozen_parameters(stack: LayerStack, k: int | None) -> set[int]:
    frozen = {id(p) for module in frozen_modules(stack, k) for p in module.parameters()}
    if k is not None:
        frozen |= {id(p) for _, module in stack.unused_after for p in module.parameters()}
    return frozen


def _layers(stack: LayerStack) -> Iterable[tuple[str, list[nn.Module]]]:
    yield "embeddings", [module for _, module in stack.before]
    for i, block in enumerate(stack.blocks):
        yield f"layer {i}", [block]
    for name, module in stack.after:
        if next(module.parameters(), None) is not None:
            yield name, [module]


def _tied_parameters(stack: LayerStack) -> list[tuple[str, nn.Module, str]]:
    """Find parameters after the blocks that are the same object as one before them: (name, owner, attribute)."""
    before = {id(p) for _, module in stack.before for p in module.parameters()}
    tied = []
    for root, module in stack.after:
        for prefix, owner in module.named_modules():
            for attribute, parameter in owner.named_parameters(recurse=False):
                if id(parameter) in before:
                    tied.append((".".join(filter(None, (root, prefix, attribute))), owner, attribute))
    return tied


def _untie(model: nn.Module, tied: list[tuple[str, nn.Module, str]]) -> None:
    for _, owner, attribute in tied:
        setattr(owner, attribute, nn.Parameter(getattr(owner, attribute).detach().clone()))
    config = getattr(model, "config", None)
    # Otherwise loading the saved model would tie them again.
    if config is not None and hasattr(config, "tie_word_embeddings"):
        config.tie_word_embeddings = False
