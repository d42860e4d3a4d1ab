"""Reader of what a model's folder declares about its embeddings, in the layout of sentence-transformers.

Such a folder lists modules in `modules.json`: a transformer, a pooling and modules after it, each with settings and
weights in a subfolder. The module classes that telly knows are built here. No class is imported and no code of a folder
is run, so a folder with any other class is refused, and so is every setting that telly does not apply: both would
silently give other embeddings than the folder's author intended. The meaning of all settings is that of
sentence-transformers 6.2, as are the old names of keys and classes.
"""

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file

from telly.errors import ModelError
from telly.hub import hub_answers, hub_file, is_known_absent
from telly.models.embedding import (
    ACTIVATIONS,
    NO_DECLARATION,
    DenseLayer,
    DropoutLayer,
    EmbeddingConfig,
    EmbeddingHead,
    EmbeddingLayer,
    LayerNormLayer,
    NormalizeLayer,
    Role,
    add_lower_case,
    embedding_size,
    shorten,
    validated,
)
from telly.models.folder import (
    MODULES,
    RESTORE,
    contained,
    first_line,
    modules_of,
    read_json,
    read_modules,
    transformer_path,
)
from telly.models.generation import Architecture, architecture_of
from telly.models.load import load_config, load_tokenizer, resolve
from telly.models.pooling_mode import PoolingMode, parse_pooling
from telly.models.similarity import Similarity

SETTINGS = "config_sentence_transformers.json"
"""File with the prompts and the similarity of a model of sentence-transformers."""
TRANSFORMER_SETTINGS = tuple(
    f"sentence_{family}_config.json"
    for family in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Files with the settings of a Transformer module; the first one counts."""
_KNOWN = ("Transformer", "Pooling", "Dense", "LayerNorm", "Dropout", "Normalize")
_CLASS = re.compile(
    r"sentence_transformers\.(?:models|base\.modules\.\w+|sentence_transformer\.modules\.\w+|base\.modules|"
    r"sentence_transformer\.modules)\.(\w+)"
)
"""Paths of module classes before and since version 5.4."""
_OLD_MODES = {
    "pooling_mode_cls_token": PoolingMode.CLS,
    "pooling_mode_max_tokens": PoolingMode.MAX,
    "pooling_mode_mean_tokens": PoolingMode.MEAN,
    "pooling_mode_mean_sqrt_len_tokens": PoolingMode.MEAN_SQRT_LEN,
    "pooling_mode_weightedmean_tokens": PoolingMode.WEIGHTED_MEAN,
    "pooling_mode_lasttoken": PoolingMode.LAST_TOKEN,
}
"""Keys of the modes before version 5.4, in the order in which their results are concatenated."""
_DIMENSIONS = ("embedding_dimension", "word_embedding_dimension")
EMBEDDING_NAME = "sentence_embedding"
"""Name of the input and output of the modules after the pooling, which may be left out."""
_ACTIVATION = re.compile(r"torch\.nn\.(?:modules\.\w+\.)?(\w+)")
_LIBRARY_ARGUMENTS = {
    "torch_dtype", "dtype", "attn_implementation", "use_fast", "padding_side", "model_max_length", "trust_remote_code",
    "add_pooling_layer", "use_safetensors", "low_cpu_mem_usage", "device_map", "use_cache",
}  # fmt: skip
"""Arguments for transformers that a folder may declare: telly has settings of its own, or they change no embedding."""
_TRANSFORMER_KEYS = ("max_seq_length", "query_length", "document_length", "do_lower_case", "unpad_inputs")
_PLURAL: dict[Role, str] = {"query": "queries", "document": "documents"}
_MAX_DEPTH = 3
"""Maximum depth of a transformer's folder below the folder of its model."""
_NO_LIMIT = 10**9
"""Tokenizers without a limit declare a length beyond this."""
_DAMAGED = (OSError, ValueError, RuntimeError, KeyError, EOFError, pickle.UnpicklingError, SafetensorError)


def read_embedding_config(name: str) -> EmbeddingConfig:
    """Read how a model's folder wants its embeddings made.

    Args:
        name: folder, hub id or the embedded model. A subfolder that such a folder names as its transformer counts too.

    Raises:
        ModelError: the folder declares what telly does not know or apply, contradicts the model or itself, or cannot
            be read.
    """
    return _Folder.of(name).config()


def load_embedding_tokenizer(name: str, config: EmbeddingConfig | None) -> Any:
    """Load a model's tokenizer, which puts texts into lower case if the model's folder declares that.

    Args:
        name: folder, hub id or the embedded model.
        config: what `read_embedding_config` gave for this model; None for a model that generates text.

    Raises:
        ModelError: as `load_tokenizer`, or the tokenizer cannot put texts into lower case.
    """
    tokenizer = load_tokenizer(name)
    if config is not None and config.do_lower_case:
        add_lower_case(tokenizer)
    return tokenizer


def load_embedding_head(name: str, config: EmbeddingConfig, hidden_size: int) -> EmbeddingHead:
    """Build the modules from hidden states to embeddings, with the folder's weights in float32.

    Args:
        name: folder, hub id or the embedded model.
        config: what `read_embedding_config` gave for this model, settings of the user included.
        hidden_size: size of a hidden state.

    Raises:
        ModelError: weights are missing, cannot be read, are not finite or have other shapes than declared.
    """
    folder = _Folder.of(name)
    with _named(name), torch.device("meta"):  # no memory for declared sizes, which the weights may contradict
        head = EmbeddingHead(config, hidden_size)
    for module, path in zip(head.layers, folder.layer_paths(), strict=folder.modules is not None):
        if module.state_dict():
            _load_weights(module, folder, path)
    return head


def embedding_warnings(name: str, config: EmbeddingConfig) -> list[str]:
    """Warnings about a model whose embeddings may be others than its user expects.

    Args:
        name: folder, hub id or the embedded model.
        config: its configuration, settings of the user included.
    """
    warnings = []
    if config.source.startswith("default") and "pooling" not in config.overridden and _is_causal(name):
        warnings.append(
            f"{name}: is a causal model whose folder declares no pooling, so its embedding is the mean of all tokens; "
            "most such models are made for the last token: --pooling lasttoken"
        )
    others = [key for key, text in config.prompts.items() if text and key not in ("query", "document")]
    without = [role for role in _PLURAL if not config.prompt(role) and f"{role}_prompt" not in config.overridden]
    if others and without:
        shown = ", ".join(f"{shorten(repr(key), 80)}: {shorten(repr(config.prompts[key]), 80)}" for key in others[:2])
        more = f" and {len(others) - 2} more" if len(others) > 2 else ""
        texts, options = " and ".join(_PLURAL[role] for role in without), ", ".join(f"--{r}-prompt" for r in without)
        warnings.append(
            f"{name}: declares prompts under names of its own ({shown}{more}); as in sentence-transformers, only those "
            f"named query and document are put before texts, so {texts} get none. To set one: {options}"
        )
    return warnings


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Put the model's name before an error's text."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None


def _is_causal(name: str) -> bool:
    try:
        return architecture_of(load_config(name)) is Architecture.DECODER
    except ModelError:
        return False  # not a generative model


class _Folder:
    """Files of one model.

    Args:
        name: the user's name for the model.
        place: folder or hub id.
        modules: what its `modules.json` lists; None if it has none.
        local: True if the hub is not asked.
    """

    def __init__(self, name: str, place: str, modules: list[dict[str, Any]] | None, local: bool) -> None:
        self.name = name
        self.place = place
        self.modules = modules
        self.local = local

    @classmethod
    def of(cls, name: str) -> _Folder:
        """Find the declarations of a model."""
        place = resolve(name)
        folder = Path(place)
        if not folder.is_dir():
            local = not hub_answers()
            file = hub_file(place, MODULES, local=local)
            return cls(name, place, None if file is None else modules_of(file), local)
        modules = read_modules(folder)
        if modules is not None:
            return cls(name, place, modules, True)
        # The transformer's own folder may be within such a model (`0_Transformer`).
        for above in folder.resolve().parents[:_MAX_DEPTH]:
            with contextlib.suppress(ModelError):  # not the list of a model's modules
                outer = read_modules(above) or []
                if (above / transformer_path(outer)).resolve() == folder.resolve():
                    return cls(name, str(above), outer, True)
        return cls(name, place, None, True)

    def config(self) -> EmbeddingConfig:
        """Read all declarations."""
        base = EmbeddingConfig() if self.modules is None else self._declared(self.modules)
        pooling = None
        if self.modules is None:
            base = replace(base, source=self._default_source())
            # a copy without `modules.json` may still have the folder of its pooling
            pooling = self._pooling_without_modules()
        config = self._with_settings(base if pooling is None else pooling)
        with _named(self.name):
            embedding_size(config, self.hidden_size)
        return config

    def layer_paths(self) -> list[str]:
        """Paths of the modules after the pooling."""
        return [str(module.get("path", "")) for module in (self.modules or ())[2:]]

    def file(self, path: str, source: str = MODULES) -> Path | None:
        """A file within the model, named by another one; None if there is none."""
        if Path(self.place).is_dir():
            file = contained(Path(self.place), path, Path(self.place) / source)
            return file if file.is_file() else None
        return hub_file(self.place, path, local=self.local)

    def settings(self, path: str) -> dict[str, Any] | None:
        """Settings in a JSON file within the model; None if there is no such file."""
        file = self.file(path)
        if file is None:
            return None
        settings = read_json(file)
        if not isinstance(settings, dict):
            raise ModelError(f"{self._shown(path)}: expected a JSON object with settings; {RESTORE}")
        return settings

    def _shown(self, path: str) -> str:
        """The name of a file in messages."""
        return str(PurePosixPath(self.place, path))

    def _refuse(self, path: str, problem: str, expected: str) -> ModelError:
        return ModelError(
            f"{self._shown(path)}: {shorten(problem)}; expected {shorten(expected, 500)}. To use the mean of all "
            f"tokens of this model all the same, remove {MODULES}, {SETTINGS} and the folders of modules (1_Pooling, "
            "...) from a copy of the folder"
        )

    def _default_source(self) -> str:
        if Path(self.place).is_dir() or not self.local or is_known_absent(self.place, MODULES):
            return NO_DECLARATION
        return f"default: the hub's local cache lacks {MODULES} of {self.place}, so mean pooling and unit length"

    @cached_property
    def model_config(self) -> Any:
        """The configuration of the transformer."""
        return load_config(self.name)

    @cached_property
    def hidden_size(self) -> int:
        """Size of the transformer's states."""
        size = getattr(self.model_config.get_text_config(), "hidden_size", None)
        if not isinstance(size, int):
            raise ModelError(f"{self.name}: config.json gives no size of the hidden states; expected `hidden_size`")
        return size

    def _declared(self, modules: list[dict[str, Any]]) -> EmbeddingConfig:
        """Read what the listed modules declare."""
        kinds = self._kinds(modules)
        if kinds[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & set(kinds[2:]):
            raise self._refuse(
                MODULES,
                f"declares {' then '.join(kinds) or 'no modules'}",
                "a Transformer, a Pooling and then any of Dense, LayerNorm, Dropout and Normalize",
            )
        paths = [str(module.get("path", "")) for module in modules]
        pooling, include_prompt = self._pooling(str(PurePosixPath(paths[1], "config.json")))
        return replace(
            self._transformer(paths[0]),
            pooling=pooling,
            include_prompt=include_prompt,
            layers=tuple(self._layer(kind, path) for kind, path in zip(kinds[2:], paths[2:], strict=True)),
            source=MODULES,
        )

    def _kinds(self, modules: list[dict[str, Any]]) -> list[str]:
        """Names of the modules' classes."""
        kinds = []
        for module in modules:
            match = _CLASS.fullmatch(module["type"])
            if match is None or match[1] not in _KNOWN:
                raise self._refuse(
                    MODULES,
                    f"declares a module of the class {module['type']!r}, which telly does not have, and telly runs no "
                    "code that a model's folder names",
                    f"sentence-transformers' classes {', '.join(_KNOWN)}",
                )
            kinds.append(match[1])
        names = [module["name"] for module in modules if "name" in module]
        if len(set(map(str, names))) < len(names):
            raise self._refuse(MODULES, "gives two modules the same name", "a name for every module")
        return kinds

    def _pooling(self, path: str) -> tuple[tuple[PoolingMode, ...], bool]:
        """Pooling modes, and whether prompts are pooled too, in either format of the library."""
        settings = self.settings(path)
        if settings is None:
            raise ModelError(
                f"{self.place}: {MODULES} declares a pooling in {PurePosixPath(path).parent}, and {path} is missing; "
                f"restore it, or remove {MODULES} from a copy of the folder if the mean of all tokens is what you want"
            )
        self._check_keys(path, settings, {*_DIMENSIONS, *_OLD_MODES, "pooling_mode", "include_prompt"})
        include_prompt = self._typed(path, settings, "include_prompt", bool, True)
        dimension = next((self._typed(path, settings, key, int, 0) for key in _DIMENSIONS if key in settings), None)
        if dimension is not None and dimension != self.hidden_size:
            raise self._refuse(
                path,
                f"declares states of size {dimension} and the model has states of size {self.hidden_size}",
                "the same size, so get both from the same place",
            )
        named = settings.get("pooling_mode")
        if named is None:
            old = tuple(mode for key, mode in _OLD_MODES.items() if self._typed(path, settings, key, bool, False))
            return old or (PoolingMode.MEAN,), include_prompt
        names = named if isinstance(named, list) else [named]
        if not names or not all(isinstance(name, str) for name in names):
            raise self._refuse(path, f"declares the pooling {named!r}", f"one or more of {', '.join(PoolingMode)}")
        try:
            return tuple(mode for name in names for mode in parse_pooling(name)), include_prompt
        except ValueError as error:
            raise self._refuse(path, str(error).partition(";")[0], f"one or more of {', '.join(PoolingMode)}") from None

    def _pooling_without_modules(self) -> EmbeddingConfig | None:
        """The configuration by the folder of a pooling, where nothing else is declared."""
        path = "1_Pooling/config.json"
        if self.file(path) is None:
            return None
        pooling, include_prompt = self._pooling(path)
        return EmbeddingConfig(pooling=pooling, include_prompt=include_prompt, source=path)

    def _layer(self, kind: str, path: str) -> EmbeddingLayer:
        """A module after the pooling."""
        place = str(PurePosixPath(path, "config.json"))
        settings = dict(self.settings(place) or {})
        for key in ("module_input_name", "module_output_name"):
            value = settings.pop(key, None)
            if value not in (None, EMBEDDING_NAME):
                raise self._refuse(place, f"declares {value!r} as {key}", "a module that takes and gives embeddings")
        if kind == "Dense":
            if "activation_function" in settings:
                settings["activation"] = self._activation(place, settings.pop("activation_function"))
            if "use_residual" in settings:
                settings["residual"] = settings.pop("use_residual")
        layer: EmbeddingLayer = validated(_LAYERS[kind], settings, self._shown(place))
        return layer

    def _activation(self, path: str, declared: Any) -> str:
        match = _ACTIVATION.fullmatch(declared) if isinstance(declared, str) else None
        if match is None or match[1] not in ACTIVATIONS:
            raise self._refuse(
                path,
                f"declares the activation function {declared!r}, which telly does not know",
                f"one of torch.nn's {', '.join(ACTIVATIONS)}",
            )
        return match[1]

    def _transformer(self, path: str) -> EmbeddingConfig:
        """Settings of the Transformer module: length limits and lower case."""
        place, settings = "", {}
        for name in TRANSFORMER_SETTINGS:
            place = str(PurePosixPath(path, name))
            settings = self.settings(place) or {}
            if settings:
                break
        self._check_transformer(place, settings)
        limits = {
            key: self._typed(place, settings, key, int, None)
            for key in ("max_seq_length", "query_length", "document_length")
        }
        declared = {**(settings.get("tokenizer_args") or {}), **(settings.get("processor_kwargs") or {})}
        limit = declared.get("model_max_length", limits["max_seq_length"])
        limits["max_seq_length"] = self._tokenizer_limit(path) if limit is None else limit
        for key, limit in limits.items():
            if limit is not None and (not isinstance(limit, int) or limit < 1):
                raise self._refuse(place, f"declares {limit!r} as {key}", "a number of tokens")
        limits = {key: None if limit is None or limit >= _NO_LIMIT else limit for key, limit in limits.items()}
        return EmbeddingConfig(**limits, do_lower_case=self._typed(place, settings, "do_lower_case", bool, False))

    def _check_transformer(self, path: str, settings: dict[str, Any]) -> None:
        """Check that settings which telly does not apply have the values that change nothing."""
        arguments = ("model_args", "tokenizer_args", "config_args", "model_kwargs", "processor_kwargs", "config_kwargs")
        neutral: dict[str, Callable[[Any], bool]] = {
            "transformer_task": lambda value: value == "feature-extraction",
            "module_output_name": lambda value: value == "token_embeddings",
            "modality_config": lambda value: (
                isinstance(value, dict)
                and list(value) == ["text"]
                and isinstance(value["text"], dict)
                and value["text"].get("method") == "forward"
                and value["text"].get("method_output_name") in ("last_hidden_state", ["last_hidden_state"])
            ),
            "processing_kwargs": lambda value: not value,
            "query_expansion": lambda value: value is None,
            "tokenizer_name_or_path": lambda value: value is None,
            **dict.fromkeys(arguments, lambda value: not value or value.keys() <= _LIBRARY_ARGUMENTS),
        }
        self._check_keys(path, settings, {*neutral, *_TRANSFORMER_KEYS})
        for key, is_neutral in neutral.items():
            if key in arguments and not isinstance(settings.get(key, {}), dict | None):
                raise self._refuse(path, f"declares {settings[key]!r} as {key}", "arguments by name")
            if key in settings and not is_neutral(settings[key]):
                raise self._refuse(
                    path,
                    f"declares {key} {settings[key]!r}, which telly does not apply",
                    "a model whose embedding is pooled from the last hidden states of plain text",
                )

    def _tokenizer_limit(self, path: str) -> int | None:
        """The limit of a folder that declares none: the tokenizer's, or the number of the model's positions."""
        settings = self.settings(str(PurePosixPath(path, "tokenizer_config.json"))) or {}
        limits = (settings.get("model_max_length"), getattr(self.model_config, "max_position_embeddings", None))
        return min((int(limit) for limit in limits if isinstance(limit, int) and 0 < limit < _NO_LIMIT), default=None)

    def _with_settings(self, config: EmbeddingConfig) -> EmbeddingConfig:
        """Add what the folder declares for the model as a whole: prompts, similarity, truncation."""
        settings = self.settings(SETTINGS) or {}
        kind = settings.get("model_type", "SentenceTransformer")
        if kind != "SentenceTransformer":
            raise self._refuse(SETTINGS, f"declares a model of type {kind!r}", "'SentenceTransformer'")
        prompts = settings.get("prompts") or {}
        if not isinstance(prompts, dict) or not all(isinstance(text, str | None) for text in prompts.values()):
            raise self._refuse(SETTINGS, f"declares the prompts {prompts!r}", "a text for every name")
        default = self._typed(SETTINGS, settings, "default_prompt_name", str, None)
        if default is not None and default not in {*prompts, "query", "document"}:
            raise self._refuse(
                SETTINGS, f"declares {default!r} as default_prompt_name", f"one of the prompts {sorted(prompts)}"
            )
        similarity = settings.get("similarity_fn_name") or Similarity.COSINE
        if similarity not in list(Similarity):
            raise self._refuse(SETTINGS, f"declares the similarity {similarity!r}", f"one of {', '.join(Similarity)}")
        size = self._typed(SETTINGS, settings, "truncate_dim", int, None)
        if size is not None and size < 1:
            raise self._refuse(SETTINGS, f"declares {size} as truncate_dim", "a number of components")
        return replace(
            config,
            prompts={name: text or "" for name, text in prompts.items()},
            default_prompt_name=default,
            similarity=Similarity(similarity),
            truncate_dim=size,
        )

    def _check_keys(self, path: str, settings: dict[str, Any], known: set[str]) -> None:
        unknown = sorted(settings.keys() - known)
        if unknown:
            raise self._refuse(
                path,
                f"declares {', '.join(map(repr, unknown))}, which telly does not know",
                f"only {', '.join(sorted(known))}",
            )

    def _typed(self, path: str, settings: dict[str, Any], key: str, kind: type, default: Any) -> Any:
        """A setting of one type; null counts as not declared."""
        value = settings.get(key)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self._refuse(path, f"declares {value!r} as {key}", f"a {kind.__name__}")
        return value


_LAYERS: dict[str, TypeAdapter[Any]] = {
    "Dense": TypeAdapter(DenseLayer),
    "LayerNorm": TypeAdapter(LayerNormLayer),
    "Dropout": TypeAdapter(DropoutLayer),
    "Normalize": TypeAdapter(NormalizeLayer),
}


def _load_weights(module: torch.nn.Module, folder: _Folder, path: str) -> None:
    """Load a module's weights from its subfolder."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        place = str(PurePosixPath(path, name))
        file = folder.file(place)
        if file is not None:
            break
    else:
        raise ModelError(
            f"{folder.place}: {MODULES} declares a module in {path}, which has neither model.safetensors nor "
            "pytorch_model.bin; restore its weights"
        )
    again = "get the file again from where the model is from"
    try:
        pickled = file.suffix == ".bin"
        weights = torch.load(file, map_location="cpu", weights_only=True) if pickled else load_file(file)
    except _DAMAGED as error:
        raise ModelError(f"{file}: damaged, or not weights alone ({first_line(error)}); {again}") from None
    expected = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    shapes = {
        key: tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        for key, value in (weights.items() if isinstance(weights, dict) else ())
    }
    if shapes != expected:
        raise ModelError(
            f"{file}: has {_described(shapes)}, and the module's config.json declares {_described(expected)}; {again}"
        )
    if not all(value.isfinite().all() for value in weights.values()):
        raise ModelError(f"{file}: holds NaN or infinite numbers; expected finite weights: {again}")
    module.load_state_dict({key: value.float() for key, value in weights.items()}, assign=True)


def _described(shapes: dict[str, Any]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in sorted(shapes.items(), key=str)) or "no weights"
