"""Names and settings of what is frozen and how the rest is trained. Needs no torch."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from telly.errors import PlanError

BASE: Literal["base"] = "base"
AUTO: Literal["auto"] = "auto"
"""Value in place of K: `telly.advice` chooses K when the run begins."""
Freeze = int | Literal["base", "auto"]
"""Values of `freeze`: the number of frozen layers K, `base` for none, or `auto` for the K that the advice finds."""


class Method(StrEnum):
    """Training method of the layers that are not frozen.

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
PEFT_METHODS = tuple(method for method in Method if method is not Method.FULL)


@dataclass(frozen=True)
class Lora:
    """Settings of LoRA.

    Attributes:
        rank: rank of the product that is added to a weight.
        alpha: the product is scaled by alpha / rank.
        dropout: dropout on the product's input, while training.
        targets: suffixes of the names of modules that get one; none means peft's choice for the model's type.
    """

    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Variant:
    """How much of a model a run freezes, how it trains the rest, and whether the frozen layers run once.

    `parse` reads both texts: `str` is for tables and messages (`K=9 cached, lora`), `slug` for names of files, for
    studies and for JSON (`9-lora`).

    Attributes:
        k: number of frozen layers below; None freezes none, or all of them where the head is trained alone.
        method: training method of the other layers.
        cached: whether frozen layers run once and training reads their cached states; else they run in every epoch.
            Always False where no layer is frozen.
    """

    k: int | None = None
    method: Method = Method.FULL
    cached: bool = True

    @classmethod
    def parse(cls, text: str) -> Variant:
        """Read `base`, `9`, `frozen-9`, `lora`, `9-lora`, `head-only`, or what `str` gives.

        Raises:
            PlanError: the text names no variant.
        """
        match = _SLUG.fullmatch(text) or _TEXT.fullmatch(text)
        if match is None:
            raise PlanError(
                f"expected {BASE}, K or {_FROZEN}K, {', '.join(PEFT_METHODS)}, or K with one of these such as "
                f"9-{Method.LORA}, found {text!r}"
            )
        parts = match.groupdict()
        method = parts["method"] or parts["whole"] or parts["alone"] or Method.FULL
        return cls(None if parts["k"] is None else int(parts["k"]), Method(method), parts["frozen"] is None)

    def __post_init__(self) -> None:
        if not self.freezes:
            object.__setattr__(self, "cached", False)  # so that variants that mean the same are equal

    def __str__(self) -> str:
        if not self.freezes:
            return self.slug
        how = "cached" if self.cached else "frozen"
        if self.method is Method.HEAD_ONLY:
            return f"{self.method} {how}"
        return f"K={self.k} {how}" + ("" if self.method is Method.FULL else f", {self.method}")

    @property
    def slug(self) -> str:
        """A short name without blanks: `base`, `9`, `frozen-9`, `9-lora`, `lora`, `head-only`."""
        method = None if self.method is Method.FULL else self.method.value
        parts = (
            "frozen" if self.freezes and not self.cached else None,
            None if self.k is None else str(self.k),
            method,
        )
        return "-".join(part for part in parts if part) or BASE

    @property
    def freeze(self) -> Freeze:
        """The value of the setting `freeze` for this variant."""
        return BASE if self.k is None else self.k

    @property
    def freezes(self) -> bool:
        """True if any layer is frozen."""
        return self.k is not None or self.method is Method.HEAD_ONLY

    @property
    def order(self) -> tuple[int, int, bool]:
        """Sort key: base, then K upwards, each followed by PEFT methods, cached before recomputed; then head-only."""
        if self.method is Method.HEAD_ONLY:
            return sys.maxsize, 0, not self.cached
        return -1 if self.k is None else self.k, list(Method).index(self.method), not self.cached


_FROZEN = "frozen-"
_BESIDE_K = "|".join(method for method in PEFT_METHODS if method is not Method.HEAD_ONLY)
_SLUG = re.compile(
    rf"{BASE}|(?P<alone>{_BESIDE_K})"
    rf"|(?P<frozen>{_FROZEN})?((?P<k>\d+)(-(?P<method>{'|'.join(PEFT_METHODS)}))?|(?P<whole>{Method.HEAD_ONLY}))"
)
_TEXT = re.compile(
    rf"(K=(?P<k>\d+)|(?P<whole>{Method.HEAD_ONLY})) (cached|(?P<frozen>frozen))(, (?P<method>{_BESIDE_K}))?(?P<alone>)"
)


def parse_freeze(value: object) -> Freeze:
    """The setting `freeze` from a number or text.

    Raises:
        PlanError: it is neither `base`, `auto` nor a number of layers.
    """
    text = str(value)
    if text == BASE:
        return BASE
    if text == AUTO:
        return AUTO
    try:
        return int(text)
    except ValueError:
        raise PlanError(f"expected K (a number of layers), {BASE} or {AUTO}") from None
