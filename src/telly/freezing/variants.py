"""Names of what is frozen and what is trained; needs no torch."""

from __future__ import annotations

from enum import StrEnum

from telly.errors import PlanError

BASE = "base"


class Top(StrEnum):
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


def variant_label(freeze: str, top: Top) -> str:
    """`base`, `9`, `lora`, `9-lora` or `head-only`."""
    if top is Top.FULL:
        return freeze
    return top.value if freeze == BASE else f"{freeze}-{top.value}"


def variant_name(k: int | None, top: Top, cached: bool) -> str:
    """What a person calls it: `base`, `K=9 cached`, `K=9 frozen`, `lora`, `K=9 cached, lora`, `head-only cached`."""
    how = "cached" if cached else "frozen"
    if top is Top.HEAD_ONLY:
        return f"{top} {how}"
    if k is None:
        return variant_label(BASE, top)
    return f"K={k} {how}" + ("" if top is Top.FULL else f", {top}")
