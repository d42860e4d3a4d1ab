"""Loading of Hugging Face checkpoints from a folder or a hub id, with errors that say what to do."""

from __future__ import annotations

import contextlib
import copy
import logging
import pickle
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn

from telly.errors import ModelError
from telly.hub import hub_answers, hub_file
from telly.models.folder import (
    EMBEDDED,
    MODULES,
    check_shards,
    explained,
    first_line,
    folder_with_config,
    modules_of,
    transformer_path,
)
from telly.models.generation import Architecture, architecture_of, check_causal
from telly.models.prefix_lm import ENCODER, PrefixLM
from telly.models.stack import LayerStack, find_stack
from telly.models.unsupported import check_supported

logger = logging.getLogger(__name__)

_LOAD_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    ImportError,
    RuntimeError,
    TypeError,
    AssertionError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
    StrictDataclassError,
)


def embedded_folder() -> Path:
    """Folder of the embedded model."""
    return Path(str(resources.files("telly.models") / "embedded"))


def resolve(name: str) -> str:
    """Resolve a model name to a folder or hub id.

    Raises:
        ModelError: it looks like a path and nothing is there, or it is a folder without a model.
    """
    if name == EMBEDDED:
        return str(embedded_folder())
    path = Path(name).expanduser()
    if path.is_dir():
        return str(folder_with_config(name, path))
    if path.is_file():
        if path.name == "config.json":
            return str(path.parent)
        raise ModelError(f"{name}: is a file; expected a model folder or a hub id")
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ModelError(f"{name}: no such folder; expected a Hugging Face model folder with config.json")
    return name


def load_config(name: str) -> Any:
    """Load a model's configuration; reads no weights."""
    from transformers import AutoConfig

    with _explained(name):
        return AutoConfig.from_pretrained(**_source(name))


def load_stack(name: str, *, seed: int = 0, is_generative: bool = False) -> LayerStack:
    """Load a model in float32 and eval mode; returns its layers, with the model itself as `LayerStack.model`.

    Parameters that the checkpoint lacks (an unused pooler, say) are drawn from `seed`, so that runs repeat.

    Args:
        name: folder, hub id or the embedded model.
        seed: seed of parameters that the checkpoint lacks.
        is_generative: False gives the encoder (of an encoder-decoder checkpoint the encoder only). True gives a model
            with an output layer and `generate`: the checkpoint's own, or its encoder as a `PrefixLM`.

    Raises:
        ModelError: there is no such folder, the hub cannot be reached, the files are damaged, or the model cannot
            generate text.
    """
    config = load_config(name)
    check_shards(Path(resolve(name)))
    with _explained(name), quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, report = _load(name, config, is_generative)
    initialized = {*report["missing_keys"], *(mismatch[0] for mismatch in report["mismatched_keys"])}
    stack = find_stack(model)
    _check_complete(
        name, stack, initialized, whole=is_generative and architecture_of(config) is not Architecture.PREFIX_LM
    )
    _check_layer_count(name, stack, report["unexpected_keys"])
    _check_finite(name, model)
    _check_padding(name, stack)
    model.eval()
    if is_generative and architecture_of(config) is Architecture.DECODER:
        check_causal(model)
    return stack.within(PrefixLM(model).eval(), ENCODER) if _needs_prefix_lm(config, is_generative) else stack


def load_model(name: str, *, seed: int = 0, is_generative: bool = False) -> nn.Module:
    """Load a model in float32 and eval mode; arguments and errors are those of `load_stack`."""
    return load_stack(name, seed=seed, is_generative=is_generative).model


def _load(name: str, config: Any, is_generative: bool) -> tuple[Any, dict[str, Any]]:
    """Load a model's weights; returns it with transformers' report of missing, mismatched and unexpected keys."""
    from transformers import AutoModel

    arguments = {
        **_source(name),
        "dtype": torch.float32,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,  # refused by the caller, with their names
    }
    loader = _model_class(config, is_generative)
    if not _is_within_encoder_decoder(loader, config):
        return loader.from_pretrained(**arguments, config=_config_for(loader, config))  # type: ignore[no-any-return]
    whole, report = AutoModel.from_pretrained(**arguments, config=config)
    encoder = whole.get_encoder()
    encoder.config.is_encoder_decoder = False  # so that it is saved as what it is
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    ids = {name: id(parameter) for name, parameter in whole.named_parameters(remove_duplicate=False)}
    missing = {names[ids[key]] for key in report["missing_keys"] if ids.get(key) in names}
    mismatched = [(names[ids[key]], *shapes) for key, *shapes in report["mismatched_keys"] if ids.get(key) in names]
    unexpected = [key.partition("encoder.")[2] for key in report["unexpected_keys"] if "encoder." in key]
    return encoder, {"missing_keys": missing, "mismatched_keys": mismatched, "unexpected_keys": unexpected}


def _needs_prefix_lm(config: Any, is_generative: bool) -> bool:
    return is_generative and architecture_of(config) is Architecture.PREFIX_LM


def _check_complete(name: str, stack: LayerStack, initialized: set[str], *, whole: bool) -> None:
    """Check that all weights of the layers are in the checkpoint; only an unused head or pooler may be missing."""
    model = stack.model
    needed = {id(p) for _, module in stack.before for p in module.parameters()}
    needed |= {id(p) for block in stack.blocks for p in block.parameters()}
    if whole:
        needed |= {id(p) for p in model.parameters()}
    missing = sorted(key for key, p in model.named_parameters() if id(p) in needed and key in initialized)
    if missing:
        raise ModelError(
            f"{name}: {len(missing)} weights of the layers are not in the checkpoint or have another shape, such as "
            f"{missing[0]}; expected the weights of a {type(model).__name__} as config.json describes it, so get both "
            "files from the same place"
        )


def _check_layer_count(name: str, stack: LayerStack, unexpected: Iterable[str]) -> None:
    """Check that the checkpoint has no more layers than its settings say, which would be dropped silently."""
    block_name = re.compile(rf"(?:^|\.){re.escape(stack.path)}\.(\d+)\.")
    indices = [int(match[1]) for key in unexpected if (match := block_name.search(key))]
    if indices and max(indices) >= len(stack.blocks):
        raise ModelError(
            f"{name}: the checkpoint has {max(indices) + 1} layers and config.json says {len(stack.blocks)}; expected "
            "the same number, so get both files from the same place"
        )


def _check_finite(name: str, model: nn.Module) -> None:
    """Check that all weights are finite: else every loss and every embedding would be NaN."""
    bad = [key for key, p in model.named_parameters() if not bool(p.isfinite().all())]
    if bad:
        raise ModelError(
            f"{name}: {len(bad)} weights hold NaN or infinite numbers, such as {bad[0]}; expected finite weights: get "
            "the files again, or take a checkpoint from before its training went wrong"
        )


def _check_padding(name: str, stack: LayerStack) -> None:
    """Check that a model which skips padding when it counts positions knows the id of padding."""
    for _, module in stack.before:
        counting = (part for part in module.modules() if hasattr(part, "create_position_ids_from_input_ids"))
        if any(getattr(part, "padding_idx", 0) is None for part in counting):
            raise ModelError(
                f"{name}: config.json has no pad_token_id, and a {type(stack.model).__name__} counts positions from "
                "it; set it to the id of the tokenizer's padding token"
            )


def model_from_config(config: Any, device: str = "meta", *, is_generative: bool = False) -> nn.Module:
    """Build a model of the config's shape; on the default `meta` device it takes no memory and has no values.

    Raises:
        ModelError: the model cannot be built.
    """
    try:
        with torch.device(device), quiet_transformers():
            loader = _model_class(config, is_generative)
            build = getattr(loader, "from_config", None) or loader._from_config
            model = build(_config_for(loader, config), dtype=torch.float32)
            return (PrefixLM(model) if _needs_prefix_lm(config, is_generative) else model).eval()  # type: ignore[no-any-return]
    except _LOAD_ERRORS as error:
        raise ModelError(f"a model with this {type(config).__name__} cannot be built: {error}") from error


def shape_of(name: str, *, is_generative: bool = False) -> LayerStack:
    """Find the layers of a model without its values (`meta` device); reads only its configuration.

    Raises:
        ModelError: there is no such model, or it has no stack of layers.
    """
    return find_stack(model_from_config(load_config(name), is_generative=is_generative))


def load_tokenizer(name: str) -> Any:
    """Load a model's tokenizer; a missing padding token is replaced by the end token.

    Raises:
        ModelError: there is none, it has neither a padding nor an end token, or it gives ids that the model's
            embeddings do not have.
    """
    from transformers import AutoTokenizer

    config = load_config(name)
    with _explained(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(**_source(name))
    _check_vocabulary(name, tokenizer, config)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ModelError(f"{name}: the tokenizer has no padding token and no end token to replace it")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def _check_vocabulary(name: str, tokenizer: Any, config: Any) -> None:
    """Check that a tokenizer has a vocabulary and no ids beyond the embeddings. Spare embeddings are common."""
    vocabulary = tokenizer.get_vocab()
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    if (
        len(vocabulary.keys() - added) <= 1
    ):  # transformers makes such a tokenizer if the files are missing; T5's has a blank
        raise ModelError(
            f"{name}: the tokenizer has no vocabulary; expected tokenizer.json or the vocabulary's own files beside "
            "config.json: get them from where the model is from"
        )
    rows = getattr(config.get_text_config(), "vocab_size", None)
    last = max(vocabulary, key=vocabulary.__getitem__)
    if rows is not None and vocabulary[last] >= rows:
        raise ModelError(
            f"{name}: the tokenizer has ids up to {vocabulary[last]:,} ({last!r}) and the model "
            f"embeddings for {rows:,}; expected one for every id. Take the model's own tokenizer, or save "
            "the model after `model.resize_token_embeddings(len(tokenizer))`"
        )


def _source(name: str) -> dict[str, Any]:
    """Arguments of `from_pretrained`: the place, no remote code, and the local cache alone if the hub is down."""
    place = resolve(name)
    source: dict[str, Any] = {"pretrained_model_name_or_path": place, "trust_remote_code": False}
    if Path(place).is_dir():
        return source | {"local_files_only": True}
    local = not hub_answers()
    modules = hub_file(place, MODULES, local=local)
    within = "" if modules is None else transformer_path(modules_of(modules))
    return source | {"local_files_only": local, "subfolder": within}


def _model_class(config: Any, is_generative: bool) -> Any:
    """The transformers class of a model: an `Auto` class, or that of an encoder-decoder's encoder.

    Raises:
        ModelError: telly does not support such models, or they cannot generate text.
    """
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    check_supported(config)
    if is_generative:
        classes = {Architecture.ENCODER_DECODER: AutoModelForSeq2SeqLM, Architecture.DECODER: AutoModelForCausalLM}
        return classes.get(architecture_of(config), AutoModel)
    if getattr(config, "is_encoder_decoder", False) or _is_saved_encoder(config):
        return _encoder_class(config)
    return AutoModel


def _is_saved_encoder(config: Any) -> bool:
    """Check if a checkpoint is the encoder of an encoder-decoder alone."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES as ENCODER_DECODERS

    architectures = getattr(config, "architectures", None) or ()
    return config.model_type in ENCODER_DECODERS and any(
        name.endswith(("EncoderModel", "Encoder")) for name in architectures
    )


def _encoder_class(config: Any) -> Any:
    """The class of an encoder-decoder's encoder: one that reads the whole checkpoint where transformers has it."""
    import transformers
    from transformers import MODEL_MAPPING

    whole = MODEL_MAPPING[type(config)]
    name = f"{whole.__name__.removesuffix('Model')}EncoderModel"  # T5EncoderModel; there is no BartEncoderModel
    if hasattr(transformers, name):
        return getattr(transformers, name)
    with torch.device("meta"):
        return type(whole(copy.deepcopy(config)).get_encoder())


def _is_within_encoder_decoder(loader: Any, config: Any) -> bool:
    """Check if a class such as `BartEncoder` finds its weights only within the encoder-decoder of a checkpoint."""
    return loader.__name__.endswith("Encoder") and not _is_saved_encoder(config)


def _config_for(loader: Any, config: Any) -> Any:
    """A copy of a configuration, since transformers changes the one that it builds from; as that of an encoder only if
    that is what is built."""
    config = copy.deepcopy(config)
    if loader.__name__.endswith(("EncoderModel", "Encoder")):
        config.is_encoder_decoder = False
    return config


@contextlib.contextmanager
def _explained(name: str, what: str = "model folder") -> Iterator[None]:
    """Turn the libraries' errors into a `ModelError` that says what to do; the traceback goes to the debug log."""
    try:
        yield
    except ModelError:
        raise
    except _LOAD_ERRORS as error:
        logger.debug("%s cannot be loaded", name, exc_info=True)
        folder = Path(resolve(name))
        if folder.is_dir():
            again = "" if what == "model folder" else f"; get the {what}'s files from where the model is from"
            raise ModelError(f"{name}: cannot load this {what}: {explained(folder, error)}{again}") from error
        raise ModelError(
            f"{name}: no such folder, and it cannot be had from the Hugging Face hub ({first_line(error)}). Without a "
            "network, download the model elsewhere and give its folder: --model FOLDER"
        ) from error


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' loading reports: unused heads and missing poolers are expected, not problems."""
    from transformers.utils import logging as hf_logging

    level = hf_logging.get_verbosity()
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
