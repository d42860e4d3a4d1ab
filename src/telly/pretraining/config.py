"""The recipe of pre-training. Its defaults are the recipe of the embedded model."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from telly.config import Config


class Stage(Config):
    """One stage of growth: how many layers are trained, for how long and on which mix of losses."""

    layers: PositiveInt
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    masked_weight: float = Field(1.0, ge=0)
    contrast_weight: float = Field(1.0, ge=0)


class PretrainConfig(Config):
    """Shape, data limits and stages.

    The model grows by stacking (Gong et al. 2019): a stage with more layers than the one before starts from its blocks,
    repeated. Masked tokens lead, since their loss stays on a plateau while the contrast rules; then both are trained.
    """

    vocab_size: PositiveInt = 12_000
    hidden_size: PositiveInt = 192
    attention_heads: PositiveInt = 3
    code_tokens: PositiveInt = 112
    docstring_tokens: PositiveInt = 32
    masked_share: float = Field(0.15, gt=0, lt=1)
    dropout: float = Field(0.1, ge=0, lt=1, description="written to the model's config; pre-training itself uses none")
    held_out_pairs: PositiveInt = 500
    seed: int = 0
    stages: tuple[Stage, ...] = (
        Stage(layers=3, steps=1500, batch_size=32, learning_rate=1e-3, contrast_weight=0.0),
        Stage(layers=3, steps=1500, batch_size=32, learning_rate=1e-3),
        Stage(layers=6, steps=1000, batch_size=48, learning_rate=7e-4),
        Stage(layers=12, steps=800, batch_size=48, learning_rate=5e-4),
    )
