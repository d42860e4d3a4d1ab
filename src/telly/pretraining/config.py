"""Recipe of pre-training; its defaults are the recipe of the embedded model."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from telly.config import Config


class MixtureRatios(Config):
    """Ratios of the kinds of sequence in a batch; they sum to one.

    Attributes:
        masked: code with masked tokens and bidirectional attention; these pairs also take part in the contrast.
        causal: code from left to right.
        code: code generated from its docstring.
        docstring: docstring generated from its code.
    """

    masked: float = Field(1.0, ge=0, le=1)
    causal: float = Field(0.0, ge=0, le=1)
    code: float = Field(0.0, ge=0, le=1)
    docstring: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> MixtureRatios:
        total = self.masked + self.causal + self.code + self.docstring
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the ratios of a mixture must sum to 1, found {total:g}")
        return self


class Stage(Config):
    """One stage of growth: number of layers, length of training, and mix of losses."""

    layers: NonNegativeInt = Field(description="0 trains the embeddings alone, as a weighted bag of tokens")
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    token_weight: float = Field(1.0, ge=0, description="weight of the losses of masked and of next tokens")
    contrast_weight: float = Field(1.0, ge=0)
    anchor_weight: float = Field(0.0, ge=0, description="weight of the distance to the last stage without layers")
    shares: MixtureRatios = MixtureRatios()
    masked_share: float = Field(
        0.15, gt=0, lt=1, description="fraction of the tokens to predict, where tokens are masked"
    )

    @model_validator(mode="after")
    def _has_negatives(self) -> Stage:
        if self.contrast_weight and self.batch_size < 2:
            raise ValueError(
                f"batch_size: with {self.batch_size} pair per batch the contrast has no negatives; give at least 2, or "
                "contrast_weight = 0"
            )
        return self


ALL_KINDS = MixtureRatios(masked=0.5, causal=0.2, code=0.15, docstring=0.15)


class PretrainConfig(Config):
    """Shape, data limits and stages.

    The model grows by stacking (Gong et al. 2019): a stage with more layers than the one before starts from its blocks,
    repeated. The first stage has no layers at all: the contrast of mean-pooled embeddings is learned in minutes, a
    hundred times faster than through twelve layers, and everything later starts from it.
    """

    vocab_size: PositiveInt = 12_000
    hidden_size: PositiveInt = 192
    attention_heads: PositiveInt = 3
    code_tokens: PositiveInt = 112
    docstring_tokens: PositiveInt = 32
    dropout: float = Field(0.1, ge=0, lt=1, description="written to the model's config; pre-training itself uses none")
    held_out_pairs: PositiveInt = 1000
    package_functions: PositiveInt = Field(6000, description="maximum number of functions per package")
    evaluate_every: PositiveInt = Field(500, description="steps between evaluations on the held-out packages")
    compile: bool = Field(False, description="torch.compile; worth trying on a GPU, on two CPU cores it gained 4 %")
    seed: int = 0
    stages: tuple[Stage, ...] = (
        Stage(layers=0, steps=1300, batch_size=512, learning_rate=4e-3, token_weight=0.0, masked_share=0.3),
        Stage(
            layers=3,
            steps=3500,
            batch_size=32,
            learning_rate=1e-3,
            contrast_weight=0.5,
            anchor_weight=3.0,
            shares=MixtureRatios(masked=0.6, causal=0.2, code=0.1, docstring=0.1),
        ),
        Stage(layers=6, steps=2000, batch_size=48, learning_rate=8e-4, anchor_weight=3.0, shares=ALL_KINDS),
        Stage(layers=12, steps=1000, batch_size=64, learning_rate=6e-4, anchor_weight=1.0, shares=ALL_KINDS),
        Stage(layers=12, steps=1000, batch_size=64, learning_rate=5e-4, shares=ALL_KINDS),
    )

    @model_validator(mode="after")
    def _anchors_exist(self) -> PretrainConfig:
        for number, stage in enumerate(self.stages, start=1):
            if stage.anchor_weight and all(earlier.layers for earlier in self.stages[: number - 1]):
                raise ValueError(
                    f"stage {number} has an anchor_weight, but no earlier stage is without layers (layers = 0)"
                )
        return self
