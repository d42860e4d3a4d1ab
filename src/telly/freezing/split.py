"""A frozen model in two parts: the prefix that runs once, and the suffix that is trained from cached states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from telly.errors import CacheError, ModelError
from telly.freezing.plan import FreezePlan, TiedHead, freeze_layers, frozen_modules
from telly.models.execution import eval_mode, has_decoder, has_values, no_cache, parameters_read, trial_inputs
from telly.models.families import attention_window
from telly.models.kv_cache import TRIAL_ERRORS
from telly.models.stack import LayerStack, capture, find_stack, layer_step, replay, run_from

CHECK_LENGTHS = (7, 3)
"""Lengths of the rows of the trial batch: odd, so that a model that pads its input to a window pads them."""
MAX_CHECK_WINDOW = 128
"""Largest attention window that the first row is made longer than: ModernBERT's. Wider ones take too long on a CPU."""
CHECK_TOLERANCE = 1e-4


class SplitModel(nn.Module):
    """A model frozen below block K that accepts token ids or cached states.

    `split(input_ids=..., attention_mask=...)` is the model's own forward; `split(states=..., attention_mask=...)`
    starts at block K. Both give the same output, of the model's own type. The model is frozen in place.

    Args:
        model: any model with a stack of blocks.
        k: freeze embeddings and blocks 0 .. k-1. None freezes nothing, so there are no states to start from. The
            number of layers freezes all of the model, to train a task's new head alone; the states are then the last
            block's output.
        tied_head: as `telly.freeze`.
        stack: the model's layers, if they are known.

    Attributes:
        stack: the model's layers.
        plan: what is frozen and trained.
        k: number of frozen layers, or None.
        replay_parameters: names of the parameters that are read when the model starts from states. A frozen one among
            them, such as a table that all blocks share, cannot be released.

    Raises:
        PlanError: as `telly.freeze`.
        ModelError: replaying does not give the model's own output, so its states must not be cached.
    """

    def __init__(
        self,
        model: nn.Module,
        k: int | None,
        tied_head: TiedHead = "freeze",
        stack: LayerStack | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.stack = stack or find_stack(model)
        self.plan: FreezePlan = freeze_layers(self.stack, k, tied_head)
        self.k = k
        self.replay_parameters: frozenset[str] = frozenset()
        self._released: Path | None = None
        if self.k is not None:
            self._check()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    def forward(self, states: torch.Tensor | None = None, **inputs: Any) -> Any:
        """The model's output from `input_ids` or from `states`, [batch, tokens, hidden]."""
        if states is None:
            self._need_prefix()
            return self.model(**inputs, **no_cache(self.model))
        return run_from(self.stack, self._need_k(), states, **inputs)

    @torch.no_grad()
    def prefix(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Compute the input of block K, or the last block's output, [batch, tokens, hidden]; no gradient."""
        self._need_prefix()
        return capture(self.stack, self._need_k(), **inputs)

    @torch.no_grad()
    def step(self, low: int, states: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        """Run blocks `low` .. K-1 on hidden states at the input of block `low`, [batch, tokens, hidden]."""
        self._need_prefix()
        if low == self._need_k():
            return states
        return layer_step(self.stack, low, self._need_k(), states, **inputs)

    def encode(self, states: torch.Tensor | None = None, **inputs: torch.Tensor) -> torch.Tensor:
        """Last hidden states of an encoder-decoder's encoder, from `input_ids` or `states`, [batch, tokens, hidden]."""
        encoder = self.model.get_encoder()  # type: ignore[operator]
        if states is None:
            self._need_prefix()
            output = encoder(**inputs)
        else:
            with replay(self.stack, self._need_k(), states):
                output = encoder(inputs_embeds=self.stack.placeholder(states), **inputs)
        encoded: torch.Tensor = output.last_hidden_state
        return encoded

    @property
    def hidden_size(self) -> int:
        """Width of the states."""
        return self.stack.hidden_size

    def release_prefix(self, file: Path) -> int:
        """Move the frozen weights from memory to a file while the suffix trains from states.

        Weights that the suffix shares (a tied head) stay. `restore_prefix` loads them again.

        Returns:
            bytes freed.
        """
        if self._released is not None:
            return 0
        weights = self._releasable()
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: p.detach().contiguous() for name, p in weights.items()}, file)
        freed = sum(p.numel() * p.element_size() for p in weights.values())
        for parameter in weights.values():
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)
        for tensor in (*self.model.parameters(), *self.model.buffers()):
            # On the CPU, weights are a map of the checkpoint file, which stays in memory as long as one is left in it.
            if tensor.device.type == "cpu":
                tensor.data = tensor.data.clone()
        self._released = file
        return freed

    def restore_prefix(self) -> None:
        """Load released weights into memory and delete their file; does nothing if none were released."""
        if self._released is None:
            return
        parameters = dict(self.model.named_parameters())
        for name, value in load_file(self._released).items():
            parameters[name].data = value.to(parameters[name].device)
        self._released.unlink()
        self._released = None

    def prefix_state(self) -> dict[str, torch.Tensor]:
        """The frozen weights by name: embeddings and blocks below K."""
        ids = {id(p) for module in self._prefix_modules() for p in module.parameters()}
        return {name: p for name, p in self.model.named_parameters() if id(p) in ids}

    def _prefix_modules(self) -> list[nn.Module]:
        return frozen_modules(self.stack, self._need_k())

    def _releasable(self) -> dict[str, nn.Parameter]:
        # Weights that the suffix reads stay in memory: shared ones (a tied head), and those that replay needs.
        above = [*self.stack.blocks[self._need_k() :], *(module for _, module in self.stack.after)]
        shared = {id(p) for module in above for p in module.parameters()}
        return {
            name: p  # type: ignore[misc]
            for name, p in self.prefix_state().items()
            if id(p) not in shared and name not in self.replay_parameters
        }

    def _need_k(self) -> int:
        if self.k is None:
            raise CacheError("no layer is frozen (base), so there are no states to cache or to start from")
        return self.k

    def _need_prefix(self) -> None:
        if self._released is not None:
            raise CacheError("the frozen layers were released from memory; call restore_prefix() before using them")

    def _check(self) -> None:
        """Check on a small padded batch that replaying states gives the model's own output and gradients.

        Raises:
            ModelError: output or gradients differ, or the states depend on trained parameters or on padding.
        """
        if not has_values(self.model):
            return
        try:
            self._compare_with_replay()
        except torch.OutOfMemoryError:
            raise
        except TRIAL_ERRORS as error:
            raise ModelError(
                f"{type(self.model).__name__} cannot be started from the states of layer {self.k} ({error}); choose a "
                "model of a family that docs/models.md lists, or train without frozen layers: --freeze base"
            ) from error

    @torch.enable_grad()
    def _compare_with_replay(self) -> None:
        # Two rows of different length, so that the attention mask matters; one is longer than a window of attention.
        lengths = torch.tensor(CHECK_LENGTHS)
        window = attention_window(getattr(self.model, "config", None))
        if window <= min(MAX_CHECK_WINDOW, (self.stack.position_limit or math.inf) - max(CHECK_LENGTHS)):
            lengths[0] += window
        inputs = trial_inputs(self.model, len(lengths), int(lengths[0]))
        ids = inputs.pop("input_ids")
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long().to(ids.device)
        inputs["attention_mask"] = mask
        with eval_mode(self.model):
            states = capture(self.stack, self._need_k(), input_ids=ids, attention_mask=mask)
            if states.requires_grad:
                raise ModelError(
                    f"the input of layer {self.k} depends on parameters that are trained; "
                    f"{type(self.model).__name__} cannot be split there"
                )
            self._check_padding(states, ids, mask)
            # As they come from the cache, where padding is zero.
            states = states.masked_fill(mask[..., None] == 0, 0.0)
            whole = first_tensor(self.model(input_ids=ids, **inputs))
            with parameters_read(self.model) as names:
                replayed = first_tensor(self(states=states, **inputs))
        self.replay_parameters = frozenset(names)
        if whole.dim() == 3 and not has_decoder(self.model):
            # Only a decoder's tokens are all real, and a classifier has one output per row.
            whole, replayed = whole[mask.bool()], replayed[mask.bool()]
        self._check_equal("output", [whole], [replayed])
        trained = [p for p in self.model.parameters() if p.requires_grad]
        # Norms and biases need the same backward pass as the large weights, and hardly any memory.
        vectors = [p for p in trained if p.dim() == 1] or sorted(trained, key=torch.numel)[:1]
        if vectors:
            self._check_equal("gradients", _gradients(whole, vectors), _gradients(replayed, vectors))

    def _check_padding(self, states: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> None:
        """Check that a sequence has the same states alone as padded: the cache holds it without padding."""
        tokens = min(CHECK_LENGTHS)
        alone = capture(self.stack, self._need_k(), input_ids=ids[-1:, :tokens], attention_mask=mask[-1:, :tokens])
        difference = _largest([alone - states[-1:, :tokens]])
        if not difference <= CHECK_TOLERANCE * max(1.0, _largest([alone])):
            raise ModelError(
                f"{type(self.model).__name__}: padding changes the states of a sequence at layer {self.k} by "
                f"{difference:.2g}; expected no change, since the cache holds every sequence without padding. Models "
                "with convolutions over tokens, Fourier transforms or approximate attention can be trained without "
                "frozen layers only: --freeze base"
            )

    def _check_equal(self, what: str, expected: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> None:
        difference = _largest([a - b for a, b in zip(expected, found, strict=True)])
        if not difference <= CHECK_TOLERANCE * max(1.0, _largest(expected)):
            raise ModelError(
                f"{type(self.model).__name__}: starting from the states of layer {self.k} changes the {what} by "
                f"{difference:.2g}; expected no change. This family needs an entry in telly/models/families.py"
            )


def _largest(tensors: Sequence[torch.Tensor]) -> float:
    """Largest absolute value; NaN if there is one."""
    return torch.stack([tensor.detach().abs().max() for tensor in tensors]).max().item()


def _gradients(output: torch.Tensor, parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
    """Gradients of a weighted sum of the output; zero for a parameter that it does not depend on."""
    # All values have other weights: the plain sum of what a norm gives is constant.
    weights = torch.linspace(-1.0, 1.0, output.numel(), device=output.device, dtype=output.dtype)
    gradients = torch.autograd.grad((output.flatten() * weights).sum(), parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]


def first_tensor(output: Any) -> torch.Tensor:
    """The main tensor of a model's output: last hidden state or logits.

    Raises:
        ModelError: it has neither.
    """
    for name in ("last_hidden_state", "logits"):
        value = getattr(output, name, None)
        if isinstance(value, torch.Tensor):
            return value
    raise ModelError(f"{type(output).__name__} has neither last_hidden_state nor logits")
