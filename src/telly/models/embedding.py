"""Configuration of a model's embeddings, and the modules between its hidden states and the embedding.

The terms, and what each of them computes, are those of sentence-transformers 6.2. Its folders are read and written by
`telly.models.embedding_folder`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import torch
import torch.nn.functional as F
from pydantic import ConfigDict, Field, NonNegativeFloat, PositiveInt, TypeAdapter, ValidationError
from torch import nn

from telly.errors import ModelError
from telly.models.pooling import pool
from telly.models.pooling_mode import PoolingMode
from telly.models.similarity import Similarity

NO_DECLARATION = "default: the folder says nothing, so mean pooling and unit length"
"""Source of the configuration of a folder without declarations."""
Role = Literal["query", "document"]
Checked = TypeVar("Checked")
Size = Annotated[int, Field(gt=0, le=10**7)]
ACTIVATIONS = (
    *("CELU", "ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "Identity", "LeakyReLU", "LogSigmoid", "Mish"),
    *("ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh", "Tanhshrink"),
)
"""Activation functions of a Dense layer: the classes of `torch.nn` without parameters or required arguments."""


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer with an activation function.

    Attributes:
        in_features: size of the input.
        out_features: size of the output.
        bias: whether the layer has a bias.
        activation: class of `torch.nn`, one of `ACTIVATIONS`.
        residual: whether the input is added to the output, through a second matrix where the sizes differ.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    in_features: Size
    out_features: Size
    bias: bool = True
    activation: str = "Tanh"
    residual: bool = False
    type: Literal["Dense"] = "Dense"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"unknown activation function {self.activation!r}; expected one of torch.nn's {', '.join(ACTIVATIONS)}"
            )

    def __str__(self) -> str:
        residual = ", residual" if self.residual else ""
        return f"Dense {self.in_features} to {self.out_features} ({self.activation}{residual})"


@dataclass(frozen=True)
class LayerNormLayer:
    """Layer normalisation of embeddings of size `dimension`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    dimension: Size
    type: Literal["LayerNorm"] = "LayerNorm"

    def __str__(self) -> str:
        return self.type


@dataclass(frozen=True)
class DropoutLayer:
    """Dropout during training, with probability `dropout`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    dropout: Annotated[NonNegativeFloat, Field(le=1)] = 0.2
    type: Literal["Dropout"] = "Dropout"

    def __str__(self) -> str:
        return f"Dropout {self.dropout:g}"


@dataclass(frozen=True)
class NormalizeLayer:
    """Scaling to unit length."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    type: Literal["Normalize"] = "Normalize"

    def __str__(self) -> str:
        return self.type


EmbeddingLayer = Annotated[
    DenseLayer | LayerNormLayer | DropoutLayer | NormalizeLayer,
    Field(discriminator="type"),
]
"""A module after the pooling."""


@dataclass(frozen=True)
class EmbeddingConfig:
    """How a model turns texts into embeddings, and how these are compared.

    Attributes:
        pooling: pooling modes, whose results are concatenated in this order.
        include_prompt: whether the tokens of the prompt are pooled too.
        layers: modules after the pooling, in their order.
        truncate_dim: number of components that are kept of an embedding (Matryoshka); None keeps all.
        max_seq_length: maximum tokens of a text, special tokens and prompt included; None if the folder has no limit.
        query_length: lower limit for queries.
        document_length: lower limit for documents.
        do_lower_case: whether texts are put into lower case.
        prompts: texts to put before a text, by name.
        default_prompt_name: prompt of texts without a role.
        similarity: similarity of two embeddings.
        source: where the folder declares this.
        overridden: fields and prompts that the user gave instead.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    pooling: Annotated[tuple[PoolingMode, ...], Field(min_length=1)] = (PoolingMode.MEAN,)
    include_prompt: bool = True
    layers: tuple[EmbeddingLayer, ...] = (NormalizeLayer(),)
    truncate_dim: PositiveInt | None = None
    max_seq_length: PositiveInt | None = None
    query_length: PositiveInt | None = None
    document_length: PositiveInt | None = None
    do_lower_case: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: Similarity = Similarity.COSINE
    source: str = NO_DECLARATION
    overridden: tuple[str, ...] = ()

    @property
    def pooling_name(self) -> str:
        """Name of the pooling, such as `mean` or `mean-max`."""
        return "-".join(self.pooling)

    @property
    def dense(self) -> tuple[DenseLayer, ...]:
        """The Dense layers."""
        return tuple(layer for layer in self.layers if isinstance(layer, DenseLayer))

    @property
    def has_unit_length(self) -> bool:
        """True if embeddings have unit length."""
        layers = [layer for layer in self.layers if not isinstance(layer, DropoutLayer)]
        return bool(layers) and isinstance(layers[-1], NormalizeLayer) and self.truncate_dim is None

    def prompt(self, role: Role | None = None) -> str:
        """The text put before a text, as sentence-transformers chooses it; empty if there is none.

        `encode_query` and `encode_document` take the prompts `query` and `document`, which are empty unless declared,
        and never the default prompt. `encode` takes the default prompt.

        Args:
            role: None for texts that are neither a query nor a document.
        """
        name = self.default_prompt_name if role is None else role
        return "" if name is None else self.prompts.get(name, "")

    def max_tokens(self, role: Role | None = None) -> int | None:
        """Maximum tokens of a text, special tokens and prompt included; None if there is no limit.

        Args:
            role: None for texts that are neither a query nor a document.
        """
        own = {"query": self.query_length, "document": self.document_length, None: None}[role]
        return self.max_seq_length if own is None else own

    def truncated(self, dimensions: int) -> Self:
        """A copy whose embeddings are the first dimensions of these (Matryoshka)."""
        overridden = tuple(dict.fromkeys((*self.overridden, "truncate_dim")))
        return replace(self, truncate_dim=dimensions, overridden=overridden)

    def with_overrides(
        self,
        pooling: Sequence[PoolingMode] | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
    ) -> Self:
        """A copy with settings of the user in place of the folder's; None keeps a setting."""
        prompts = {"query": query_prompt, "document": document_prompt}
        changed = {role: text for role, text in prompts.items() if text is not None}
        names = (*(["pooling"] if pooling is not None else []), *(f"{role}_prompt" for role in changed))
        return replace(
            self,
            pooling=self.pooling if pooling is None else tuple(pooling),
            prompts=self.prompts | changed,
            overridden=tuple(dict.fromkeys((*self.overridden, *names))),
        )

    def to_dict(self) -> dict[str, Any]:
        """The configuration as values of JSON, from which `from_dict` builds it again."""
        values: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return values

    @classmethod
    def from_dict(cls, values: Any, origin: str) -> EmbeddingConfig:
        """Build from values of JSON.

        Args:
            values: what `to_dict` gave.
            origin: file that the values are from, for the error.

        Raises:
            ModelError: unknown keys, missing keys or values of other types.
        """
        return validated(_ADAPTER, values, origin)


def validated(adapter: TypeAdapter[Checked], values: Any, origin: str) -> Checked:
    """Build an object from values of JSON, without conversions between types.

    Raises:
        ModelError: a value has another type or is out of range, or a key is unknown or missing.
    """
    try:
        return adapter.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        problem = error.errors()[0]
        where = repr(".".join(str(part) for part in problem["loc"]))[1:-1]  # keys of a file may hold line breaks
        message = problem["msg"].removeprefix("Value error, ")
        found = shorten(repr(problem["input"]))
        raise ModelError(
            f"{origin}: {where + ': ' if where else ''}{message} (found {found}); restore the file"
        ) from None


def shorten(text: str, length: int = 300) -> str:
    """A text for an error message, cut where it is longer."""
    return text if len(text) <= length else text[: length - 3] + "..."


_ADAPTER: TypeAdapter[EmbeddingConfig] = TypeAdapter(EmbeddingConfig)


class DenseModule(nn.Module):
    """A `DenseLayer`; its parameters have the names that sentence-transformers gives them."""

    def __init__(self, layer: DenseLayer) -> None:
        super().__init__()
        self.linear = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias)
        self.activation: nn.Module = getattr(nn, layer.activation)()
        self.has_residual = layer.residual
        if layer.residual and layer.in_features != layer.out_features:
            self.residual = nn.Linear(layer.in_features, layer.out_features, bias=False)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Transform embeddings, [batch, in_features] to [batch, out_features]."""
        output: torch.Tensor = self.activation(self.linear(embeddings))
        if not self.has_residual:
            return output
        return output + (self.residual(embeddings) if hasattr(self, "residual") else embeddings)


class LayerNormModule(nn.Module):
    """A `LayerNormLayer`; its parameters have the names that sentence-transformers gives them."""

    def __init__(self, layer: LayerNormLayer) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(layer.dimension)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Normalise every embedding, [batch, size]."""
        output: torch.Tensor = self.norm(embeddings)
        return output


class NormalizeModule(nn.Module):
    """Scaling to unit length."""

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Scale every embedding, [batch, size]."""
        return F.normalize(embeddings, dim=-1)


class EmbeddingHead(nn.Module):
    """Turns hidden states into embeddings: the pooling and the modules after it.

    Parameters of Dense and LayerNorm are drawn at random; `telly.models.embedding_folder.load_embedding_head` gives a
    folder's.

    Args:
        config: configuration of the embeddings.
        hidden_size: size of a hidden state.

    Raises:
        ModelError: a layer has another input size than the modules before it give.
    """

    def __init__(self, config: EmbeddingConfig, hidden_size: int) -> None:
        super().__init__()
        self.config = config
        self.embedding_size = embedding_size(config, hidden_size)
        self.layers = nn.ModuleList(map(_module, config.layers))

    def features(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute embeddings without the scaling to unit length at the end, which a task's head should not read.

        Arguments and result are those of `forward`.
        """
        last = len(self.layers)
        while last and isinstance(self.layers[last - 1], NormalizeModule):
            last -= 1
        return self._embeddings(hidden_states, attention_mask, prompt_lengths, last)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute embeddings.

        Args:
            hidden_states: [batch, tokens, hidden].
            attention_mask: [batch, tokens], 1 for real tokens; padding may be on either side.
            prompt_lengths: [batch], tokens of the prompt at the start of every sequence, which are left out where the
                configuration excludes the prompt; None if there are no prompts.

        Returns:
            [batch, embedding size], float32.
        """
        return self._embeddings(hidden_states, attention_mask, prompt_lengths, len(self.layers))

    def _embeddings(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        prompt_lengths: torch.Tensor | None,
        layers: int,
    ) -> torch.Tensor:
        """Embeddings after the pooling and the first layers."""
        excluded = None if self.config.include_prompt else prompt_lengths
        embeddings = pool(hidden_states, attention_mask, self.config.pooling, excluded)
        for layer in list(self.layers)[:layers]:
            embeddings = layer(embeddings)
        return embeddings[:, : self.config.truncate_dim]


def embedding_size(config: EmbeddingConfig, hidden_size: int) -> int:
    """Number of components of an embedding.

    Raises:
        ModelError: a layer has another input size than the modules before it give.
    """
    size = hidden_size * len(config.pooling)
    advice = ": give --pooling as many modes as the model's folder declares" if "pooling" in config.overridden else ""
    for layer in config.layers:
        expected = {"Dense": "in_features", "LayerNorm": "dimension"}.get(layer.type)
        found = size if expected is None else getattr(layer, expected)
        if found != size:
            raise ModelError(
                f"the {layer.type} module after the pooling {config.pooling_name} takes embeddings of size {found} "
                f"({expected}), and the modules before it give {size}; expected the same size{advice}"
            )
        size = layer.out_features if isinstance(layer, DenseLayer) else size
    return size if config.truncate_dim is None else min(size, config.truncate_dim)


def _module(layer: EmbeddingLayer) -> nn.Module:
    match layer:
        case DenseLayer():
            return DenseModule(layer)
        case LayerNormLayer():
            return LayerNormModule(layer)
        case DropoutLayer():
            return nn.Dropout(layer.dropout)
        case NormalizeLayer():
            return NormalizeModule()


def add_lower_case(tokenizer: Any) -> None:
    """Make a tokenizer put texts into lower case (`do_lower_case`), as sentence-transformers does.

    Raises:
        ModelError: the tokenizer has no normalizer that could be changed.
    """
    from tokenizers.normalizers import Lowercase
    from tokenizers.normalizers import Sequence as NormalizerSequence

    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} cannot be made to put texts into lower case; expected a tokenizer with "
            "tokenizer.json"
        )
    backend = tokenizer.backend_tokenizer
    before = backend.normalizer
    steps: list[Any] = [] if before is None else [before]
    if isinstance(before, NormalizerSequence):
        steps = list(before)  # type: ignore[call-overload]  # its stub lacks the iteration that it has
    if not any(isinstance(step, Lowercase) for step in steps):
        backend.normalizer = NormalizerSequence([Lowercase(), *steps])
