"""Encoding of hidden states as bytes, and decoding."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

_SCALE_BYTES = 4


class StateDtype(StrEnum):
    """Precision of cached states.

    `int8` keeps a float32 scale per token: absolute maximum over 127, rounded to nearest. Its error is at most half a
    scale per value.
    """

    BF16 = "bf16"
    FP32 = "fp32"
    INT8 = "int8"

    def bytes_per_token(self, hidden: int) -> int:
        """Bytes that one token of `hidden` values takes."""
        return {StateDtype.BF16: 2 * hidden, StateDtype.FP32: 4 * hidden, StateDtype.INT8: hidden + _SCALE_BYTES}[self]

    def to_bytes(self, states: torch.Tensor) -> npt.NDArray[np.uint8]:
        """Encode states [tokens, hidden] as [tokens, bytes_per_token]."""
        import torch  # here, so that help and the checks of settings, which need the names alone, are quick

        states = states.detach().cpu()
        if self is StateDtype.BF16:
            return states.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
        if self is StateDtype.FP32:
            return states.to(torch.float32).contiguous().view(torch.uint8).numpy()
        # Row-wise absmax quantization. A token of zeros has scale 0 and must not be divided by it.
        scale = states.float().abs().amax(dim=-1, keepdim=True) / 127.0  # [tokens, 1]
        steps = (states.float() / scale.clamp(min=torch.finfo(torch.float32).tiny)).round().to(torch.int8)
        return torch.cat([scale.contiguous().view(torch.uint8), steps.view(torch.uint8)], dim=-1).numpy()

    def from_bytes(self, raw: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Decode [..., bytes_per_token] to float32 states [..., hidden]; zero bytes give zero states."""
        import torch

        data = torch.from_numpy(raw)
        if self is StateDtype.BF16:
            return data.view(torch.bfloat16).float()
        if self is StateDtype.FP32:
            return data.view(torch.float32)
        scale = data[..., :_SCALE_BYTES].contiguous().view(torch.float32)  # [..., 1]
        return data[..., _SCALE_BYTES:].view(torch.int8).float() * scale
