"""The key of an activation cache: a fingerprint of everything that changes the cached values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from telly.data.sequences import SequenceTable
from telly.freezing.states import StateDtype
from telly.models.stack import LayerStack

FORMAT_VERSION = 1
_WITHOUT_EFFECT = {
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
    "id2label",
    "label2id",
}


@dataclass(frozen=True)
class CacheKey:
    """The key of an activation cache: everything that the cached values depend on.

    Attributes:
        prefix: digest of the weights and settings of embeddings and blocks below `layer`.
        layer: the block whose input is cached.
        sequences: digest of the encoded inputs.
        mask: attention mask: `padding` as the model makes it, `prefix` where the table has prefix lengths.
        dtype: precision of the cached states.
        compute: precision of the forward, `fp32` or `bf16`.
        attention: the attention kernel.
        states: which states are cached: the input of block `layer`, or pooled states of all layers.
        source: `tokens`, or the fingerprint of the cache of a lower layer that this one was derived from.
        format: version of the files.
    """

    prefix: str
    layer: int
    sequences: str
    mask: str
    dtype: str
    compute: str
    attention: str
    states: str = "block input"
    source: str = "tokens"
    format: int = FORMAT_VERSION

    @classmethod
    def of(
        cls,
        stack: LayerStack,
        layer: int,
        prefix: str,
        table: SequenceTable,
        dtype: StateDtype,
        *,
        compute: str = "fp32",
        states: str = "block input",
        source: str = "tokens",
    ) -> CacheKey:
        """The key of the states that a model gives at a layer for the sequences of a table.

        Args:
            stack: the model's layers.
            layer: the block whose input is cached.
            prefix: entry `layer` of the model's `prefix_digests`.
            table: the sequences.
            dtype: precision of the cached states.
            compute: precision of the forward.
            states: text that says which states are cached.
            source: `tokens`, or the fingerprint of the cache to derive from.
        """
        return cls(
            prefix=prefix,
            layer=layer,
            sequences=table.fingerprint(),
            mask="padding" if table.prefix_lengths is None else "prefix",
            dtype=dtype.value,
            compute=compute,
            attention=attention_kernel(stack),
            states=states,
            source=source,
        )

    @property
    def fingerprint(self) -> str:
        """Digest of all parts; the name of the cache's folder."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Describe the parts in which a key read from a file differs, one text each."""
        return [f"{name}: {other.get(name)} instead of {value}" for name, value in asdict(self).items()
                if other.get(name) != value]  # fmt: skip


def prefix_digests(stack: LayerStack) -> list[str]:
    """Compute digests of growing parts of a model; weights are read once.

    Returns:
        layers + 2 digests. Entry K = 0 .. layers covers settings, embeddings and the blocks below K; the last entry
        covers the whole model.
    """
    # One running hash: entry K is its state after the blocks below K, so no weight is read twice.
    running = hashlib.blake2b(_settings(stack.model).encode(), digest_size=16)
    for name, module in stack.before:
        _add(running, name, module)
    for container in stack.containers:
        for name, buffer in container.named_buffers(recurse=False):
            _add_tensor(running, name, buffer)
    digests = [running.hexdigest()]
    for i, block in enumerate(stack.blocks):
        _add(running, f"{stack.path}.{i}", block)
        digests.append(running.hexdigest())
    for name, module in stack.after:
        _add(running, name, module)
    return [*digests, running.hexdigest()]


def module_digest(module: nn.Module) -> str:
    """Digest of a module's weights; empty if it has none."""
    if not module.state_dict():
        return ""
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, "", module)
    return digest.hexdigest()


def attention_kernel(stack: LayerStack) -> str:
    """Name of the attention implementation the model runs with, and the device type."""
    implementation = getattr(getattr(stack.model, "config", None), "_attn_implementation", None)
    device = next(stack.model.parameters()).device.type
    return f"{implementation}/{device}"


def _settings(model: nn.Module) -> str:
    config = getattr(model, "config", None)
    settings = config.to_dict() if config is not None else {}
    effective = {name: value for name, value in settings.items() if name not in _WITHOUT_EFFECT}
    return json.dumps(effective, sort_keys=True, default=str)


def _add(digest: Any, prefix: str, module: nn.Module) -> None:
    # Names and shapes are hashed too: transposing a tensor or swapping two need not change the sequence of bytes.
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        _add_tensor(digest, f"{prefix}.{name}", tensor)


def _add_tensor(digest: Any, name: str, tensor: torch.Tensor) -> None:
    digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
