"""The parts of a model that run before, in and after its blocks.

They are found by running the model once on a few tokens. The order of registration does not tell: MPNet's table of
relative positions is registered after the blocks that read it, and OPT's final norm before them. To see which modules
run is not enough: DeBERTa reads the weight of a module that never runs. So hooks record which modules run, and a torch
function mode records which parameters are read.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, ClassVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from telly.models.kv_cache import TRIAL_ERRORS

ROWS, TOKENS = 2, 5
"""Shape of the trial batch. No model has blocks of this width, so every axis of the hidden states can be told."""
STATES = "hidden_states"


class Phase(StrEnum):
    """When a module runs, or a parameter is read, for the first time.

    Attributes:
        BEFORE: before the last block has returned. What is read there decides the input of some block.
        AFTER: later.
    """

    BEFORE = "before"
    AFTER = "after"


class Entry(Enum):
    """An entry of the tuple that a block returns, beside the hidden states, that is none of its arguments.

    Attributes:
        UNUSED: no later block receives it.
        COMPUTED: a later block receives it, as T5's receive the relative position bias of the first one.
    """

    UNUSED = "unused"
    COMPUTED = "computed"


Extras = tuple[Entry | int | str, ...]
"""Entries of the tuple that a block returns beside the hidden states; the position or name of an argument that it hands
on."""


@dataclass
class Execution:
    """Record of one forward pass.

    Attributes:
        modules: by id of a module outside the blocks, when it ran first.
        parameters: by id of a parameter that is read while no module that owns it runs, when it was read first.
        entry: the module whose output is the first block's input, if it runs once in the whole pass and gives as many
            tokens as the model was given.
        calls: indices of the blocks in the order in which they ran.
        input_shape: shape of the first block's hidden states.
        extras: what every block returns beside the hidden states; None if it returns a tensor.
    """

    modules: dict[int, Phase] = field(default_factory=dict)
    parameters: dict[int, Phase] = field(default_factory=dict)
    entry: nn.Module | None = None
    calls: list[int] = field(default_factory=list)
    input_shape: tuple[int, ...] = ()
    extras: list[Extras | None] = field(default_factory=list)

    @property
    def tokens_first(self) -> bool:
        """True if the blocks take [tokens, batch, hidden]."""
        return self.input_shape[:2] == (TOKENS, ROWS)

    def phase_of(self, module: nn.Module) -> Phase | None:
        """When a module or what it holds is used first; None if never, or if its parts differ."""
        phases = self._phases(module)
        return next(iter(phases)) if len(phases) == 1 else None

    def is_split(self, module: nn.Module) -> bool:
        """Check if a module that does not run itself holds parts of both phases."""
        return len(self._phases(module)) > 1

    def _phases(self, module: nn.Module) -> set[Phase]:
        if id(module) in self.modules:
            return {self.modules[id(module)]}
        read = {self.parameters[id(p)] for p in module.parameters(recurse=False) if id(p) in self.parameters}
        return read.union(*map(self._phases, module.children()))


def states_of(args: Sequence[Any], kwargs: dict[str, Any]) -> torch.Tensor:
    """The hidden states among the arguments of a block: the first one, or the one of this name."""
    states: torch.Tensor = args[0] if args else kwargs[STATES]
    return states


def with_states(
    args: tuple[Any, ...], kwargs: dict[str, Any], states: torch.Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a block with other hidden states."""
    return ((states, *args[1:]), kwargs) if args else (args, {**kwargs, STATES: states})


def states_in(output: Any) -> torch.Tensor:
    """The hidden states in the output of a block: the output itself, or its first entry."""
    states: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
    return states


def trial_inputs(model: Any, rows: int = ROWS, tokens: int = TOKENS) -> dict[str, torch.Tensor]:
    """Inputs on which every language model runs: token ids, also for the decoder where there is one."""
    device = next(model.parameters()).device
    # Ids that differ, and avoid those of special tokens.
    ids = torch.arange(rows * tokens, device=device).reshape(rows, tokens) % 7 + 3
    inputs = {"input_ids": ids}
    if has_decoder(model):
        inputs["decoder_input_ids"] = ids
    return inputs


def has_decoder(model: Any) -> bool:
    """Check if a model is an encoder-decoder that includes its decoder, and so needs decoder inputs as well."""
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False) and model.can_generate())


def no_cache(model: nn.Module) -> dict[str, bool]:
    """The argument that switches off the key/value cache of a decoder; empty for models without one."""
    keeps_one = hasattr(getattr(model, "config", None), "use_cache")
    # The configuration of a model with several parts leaves it to those of the parts.
    return {"use_cache": False} if keeps_one or "use_cache" in inspect.signature(model.forward).parameters else {}


def has_values(model: nn.Module) -> bool:
    """Check that no parameter is on the `meta` device. Of a model that is built there, some parameters may not be."""
    return not any(p.is_meta for p in model.parameters())


def execute(model: nn.Module, blocks: Sequence[nn.Module]) -> Execution | None:
    """Run a model on a few tokens.

    A model on the `meta` device runs on the CPU with zeros in place of its weights, which take no memory.

    Args:
        model: the whole model. Its weights, its mode, its hooks and the random numbers stay as they were.
        blocks: its blocks, bottom first.

    Returns:
        what ran when, or None if the model failed before its last block returned.
    """
    with contextlib.ExitStack() as weights:
        originals: dict[int, int] = {}
        if not has_values(model):
            originals = weights.enter_context(_zeros(model))
            weights.enter_context(_ZeroProducts())
        recorder = _Recorder(model, blocks)
        with eval_mode(model), torch.no_grad(), recorder.hooks(), recorder, contextlib.suppress(*TRIAL_ERRORS):
            model(**trial_inputs(model), **no_cache(model))
    if not recorder.blocks_done:
        return None
    execution = recorder.execution
    execution.parameters = {originals.get(p, p): phase for p, phase in execution.parameters.items()}
    return execution


@contextlib.contextmanager
def _zeros(model: nn.Module) -> Iterator[dict[int, int]]:
    """Put zeros on the CPU in place of a model's tensors; yields the ids of the tensors by those of their zeros."""
    zeros: dict[int, torch.Tensor] = {}
    tables: list[dict[str, Any]] = [t for module in model.modules() for t in (module._parameters, module._buffers)]
    originals = [dict(table) for table in tables]
    for table in tables:
        for name, tensor in table.items():
            if tensor is not None:
                # One zero, seen as a tensor of the whole shape.
                zero = torch.zeros((), dtype=tensor.dtype, device="cpu").expand(tensor.shape)
                is_parameter = isinstance(tensor, nn.Parameter)
                # Tied weights stay tied.
                table[name] = zeros.setdefault(id(tensor), nn.Parameter(zero, False) if is_parameter else zero)
    try:
        yield {id(zero): original for original, zero in zeros.items()}
    finally:
        for table, tensors in zip(tables, originals, strict=True):
            table.update(tensors)


class _ZeroProducts(TorchFunctionMode):
    """Answers products with the zeros of `_zeros` at once; multiplied out, a large model would take minutes."""

    # By function: the positions of inputs and weight, and the axis of the weight that is the output's last.
    PRODUCTS: ClassVar = {nn.functional.linear: (0, 1, 0), torch.addmm: (1, 2, 1), torch._grouped_mm: (0, 1, 2)}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in self.PRODUCTS:
            position, weight_position, axis = self.PRODUCTS[func]
            inputs, weight = args[position], args[weight_position]
            if not any(weight.stride()):
                return inputs.new_zeros(*inputs.shape[:-1], weight.shape[axis])
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def parameters_read(model: nn.Module) -> Iterator[set[str]]:
    """Yield a set that holds the names of the model's parameters that were read, once the context is left."""
    names: set[str] = set()
    reads = _Reads({id(p): p for p in model.parameters()})
    with reads:
        yield names
    names.update(name for name, p in model.named_parameters(remove_duplicate=False) if id(p) in reads.seen)


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put a model into eval mode while the context is open; then every module has its own mode again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class _Reads(TorchFunctionMode):
    """Records which tensors functions of torch that give a tensor are called with."""

    def __init__(self, tensors: dict[int, nn.Parameter]) -> None:
        super().__init__()
        self.tensors = tensors
        self.seen: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        # A weight's shape, precision or device is asked for without reading its values.
        if any(isinstance(value, torch.Tensor) for value in _flat([result])):
            for value in _flat([*args, *kwargs.values()]):
                if id(value) in self.tensors:
                    self.read(value)
        return result

    def read(self, tensor: nn.Parameter) -> None:
        """Called with every tensor that is read."""
        self.seen.add(id(tensor))


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


class _Recorder(_Reads):
    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module]) -> None:
        within = {id(part) for block in blocks for part in block.modules()}
        below = {id(block) for block in blocks}
        # Modules that contain the blocks always run; what they hold themselves is read directly.
        around = {id(m) for m in model.modules() if below & {id(part) for part in m.modules()}} - below
        self.blocks = blocks
        self.outside = [m for m in model.modules() if id(m) not in within | around]
        in_blocks = {id(p) for block in blocks for p in block.parameters()}
        super().__init__({id(p): p for p in model.parameters() if id(p) not in in_blocks})
        self.owners: dict[int, list[int]] = {}
        for module in self.outside:
            for p in module.parameters(recurse=False):
                self.owners.setdefault(id(p), []).append(id(module))
        self.execution = Execution(extras=[None] * len(blocks))
        self.arguments: dict[int | str, Any] = {}
        self.computed: list[tuple[int, int, torch.Tensor]] = []
        self.blocks_done = False
        self.running: Counter[int] = Counter()
        self.runs: Counter[int] = Counter()
        self.outputs: list[tuple[nn.Module, Any]] = []

    @property
    def phase(self) -> Phase:
        return Phase.AFTER if self.blocks_done else Phase.BEFORE

    def read(self, tensor: nn.Parameter) -> None:
        if not any(self.running[owner] for owner in self.owners.get(id(tensor), ())):
            self.execution.parameters.setdefault(id(tensor), self.phase)

    @contextlib.contextmanager
    def hooks(self) -> Iterator[None]:
        """Watch all modules while the context is open."""
        handles = []
        for module in self.outside:
            handles.append(module.register_forward_pre_hook(self._start))
            handles.append(module.register_forward_hook(self._end))
        for i, block in enumerate(self.blocks):
            handles.append(block.register_forward_pre_hook(self._entering(i), with_kwargs=True))
            handles.append(block.register_forward_hook(self._leaving(i)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        entry = self.execution.entry
        if entry is not None and (self.runs[id(entry)] > 1 or sorted(self.execution.input_shape[:2]) != [ROWS, TOKENS]):
            self.execution.entry = None

    def _start(self, module: nn.Module, _args: Any) -> None:
        self.running[id(module)] += 1
        self.runs[id(module)] += 1
        self.execution.modules.setdefault(id(module), self.phase)

    def _end(self, module: nn.Module, _args: Any, output: Any) -> None:
        self.running[id(module)] -= 1
        if not self.execution.calls:
            self.outputs.append((module, output))

    def _entering(self, i: int) -> Callable[..., None]:
        def enter(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not self.execution.calls:
                states = states_of(args, kwargs)
                self.execution.input_shape = tuple(states.shape)
                # Of nested modules the outermost returns last.
                self.execution.entry = next((m for m, output in reversed(self.outputs) if output is states), None)
                self.outputs.clear()
            self.execution.calls.append(i)
            self.arguments = dict(enumerate(args)) | kwargs
            for block, entry, value in self.computed:
                if any(value is argument for argument in self.arguments.values()):
                    self._set(block, entry, Entry.COMPUTED)

        return enter

    def _leaving(self, i: int) -> Callable[..., None]:
        def leave(_block: nn.Module, _args: Any, output: Any) -> None:
            self.blocks_done = i == len(self.blocks) - 1
            if isinstance(output, torch.Tensor):
                return
            self.execution.extras[i] = (Entry.UNUSED,) * (len(output) - 1)
            for entry, value in enumerate(output[1:]):
                if isinstance(value, torch.Tensor):
                    name = next((name for name, argument in self.arguments.items() if argument is value), None)
                    if name is None:
                        self.computed.append((i, entry, value))
                    else:
                        self._set(i, entry, name)

        return leave

    def _set(self, block: int, entry: int, source: Entry | int | str) -> None:
        extras = list(self.execution.extras[block] or ())
        extras[entry] = source
        self.execution.extras[block] = tuple(extras)
