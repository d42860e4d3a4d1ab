"""What is frozen and how the rest is trained: names and settings. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from telly.errors import PlanError

BASE = "base"


class Method(StrEnum):
    """What is trained of the layers that are not frozen.

    Attributes:
        FULL: all of their weights.
        LORA: low-rank adapters beside frozen weights (Hu et al. 2022).
        IA3: factors on frozen keys, values and feed-forward states (Liu et al. 2022).
        BITFIT: their biases, those of norms among them (Ben Zaken et al. 2022).
        HEAD_ONLY: nothing: all layers are frozen, and the task's new head is trained alone.
    """

    FULL = "full"
    LORA = "lora"
    IA3 = "ia3"
    BITFIT = "bitfit"
    HEAD_ONLY = "head-only"


ADAPTERS = (Method.LORA, Method.IA3)
"""Methods that train adapters of peft."""


@dataclass(frozen=True)
class Lora:
    """Settings of LoRA.

    Attributes:
        rank: of the product that is added to a weight.
        alpha: the product is scaled by alpha / rank.
        dropout: on what goes into the product, while training.
        targets: ends of the names of the modules that get one; none means peft's choice for the model's type.
    """

    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()


def parse_variant(text: str) -> int | None:
    """`base` gives None, a number gives K.

    Raises:
        PlanError: the text is neither.
    """
    if text == BASE:
        return None
    try:
        return int(text)
    except ValueError:
        raise PlanError(f"--freeze must be {BASE!r}, 'auto' or a number of layers, found {text!r}") from None


def variant_label(freeze: str, method: Method) -> str:
    """`base`, `9`, `lora`, `9-lora` or `head-only`."""
    if method is Method.FULL:
        return freeze
    return method.value if freeze == BASE else f"{freeze}-{method.value}"


def variant_name(k: int | None, method: Method, cached: bool) -> str:
    """What a person calls it: `base`, `K=9 cached`, `K=9 frozen`, `lora`, `K=9 cached, lora`, `head-only cached`."""
    how = "cached" if cached else "frozen"
    if method is Method.HEAD_ONLY:
        return f"{method} {how}"
    if k is None:
        return variant_label(BASE, method)
    return f"K={k} {how}" + ("" if method is Method.FULL else f", {method}")
