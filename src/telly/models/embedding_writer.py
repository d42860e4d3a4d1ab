"""Writing what a model's folder declares about its embeddings, in the layout of sentence-transformers 6.2.

The files are those that `telly.models.embedding_folder` reads. They are beside the transformer's own `config.json`, so
one folder is loaded by transformers and by sentence-transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from telly.disk import write_json, write_text
from telly.models.embedding import (
    DenseLayer,
    DropoutLayer,
    EmbeddingHead,
    EmbeddingLayer,
    LayerNormLayer,
    NormalizeLayer,
    Role,
)
from telly.models.embedding_folder import EMBEDDING_NAME, SETTINGS, TRANSFORMER_SETTINGS
from telly.models.folder import MODULES

_CLASSES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "LayerNorm": "sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm",
    "Dropout": "sentence_transformers.sentence_transformer.modules.dropout.Dropout",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
}
"""Paths of the module classes since version 5.4, by name."""


def write_embedding_modules(
    folder: Path,
    head: EmbeddingHead,
    hidden_size: int,
    max_tokens: Mapping[Role, int],
    prompts: Mapping[str, str],
) -> None:
    """Write the modules, prompts, similarity and length limits of a model beside its weights.

    Args:
        folder: folder of the transformer, with its tokenizer.
        head: the modules from hidden states to embeddings, and their configuration.
        hidden_size: size of a hidden state.
        max_tokens: length limit of queries and of documents, special tokens and prompt included.
        prompts: prompts that replace those of the configuration, by name.
    """
    config = head.config
    modules = [_entry(0, "Transformer", ""), _entry(1, "Pooling", "1_Pooling")]
    pooling = {
        "embedding_dimension": hidden_size,
        "pooling_mode": config.pooling[0] if len(config.pooling) == 1 else list(config.pooling),
        "include_prompt": config.include_prompt,
    }
    _write(folder / "1_Pooling", pooling)
    for index, (layer, module) in enumerate(zip(config.layers, head.layers, strict=True), start=2):
        path = f"{index}_{layer.type}"
        modules.append(_entry(index, layer.type, path))
        _write(folder / path, _settings(layer), module)
    limits = {f"{role}_length": limit for role, limit in max_tokens.items()}
    write_json(
        folder / TRANSFORMER_SETTINGS[0],
        {"max_seq_length": max(max_tokens.values()), "do_lower_case": config.do_lower_case} | limits,
    )
    write_json(
        folder / SETTINGS,
        {
            "model_type": "SentenceTransformer",
            "prompts": {"query": "", "document": ""} | config.prompts | dict(prompts),
            "default_prompt_name": config.default_prompt_name,
            "similarity_fn_name": config.similarity,
        }
        | ({} if config.truncate_dim is None else {"truncate_dim": config.truncate_dim}),
    )
    write_text(folder / MODULES, json.dumps(modules, indent=1) + "\n")  # last: without it the other files mean nothing


def _entry(index: int, kind: str, path: str) -> dict[str, Any]:
    return {"idx": index, "name": str(index), "path": path, "type": _CLASSES[kind]}


def _write(folder: Path, settings: dict[str, Any], module: nn.Module | None = None) -> None:
    """Write the subfolder of one module: its settings, and its weights if it has any."""
    folder.mkdir()
    write_json(folder / "config.json", settings)
    weights = {} if module is None else module.state_dict()
    if weights:
        save_file({name: p.cpu().contiguous() for name, p in weights.items()}, folder / "model.safetensors")


def _settings(layer: EmbeddingLayer) -> dict[str, Any]:
    """Settings of a module after the pooling, in the library's keys."""
    match layer:
        case DenseLayer():
            activation = getattr(nn, layer.activation)
            return {
                "in_features": layer.in_features,
                "out_features": layer.out_features,
                "bias": layer.bias,
                "activation_function": f"{activation.__module__}.{activation.__name__}",
                "module_input_name": EMBEDDING_NAME,
                "module_output_name": EMBEDDING_NAME,
            } | ({"use_residual": True} if layer.residual else {})
        case LayerNormLayer():
            return {"dimension": layer.dimension}
        case DropoutLayer():
            return {"dropout": layer.dropout}
        case NormalizeLayer():
            return {"module_input_name": EMBEDDING_NAME, "module_output_name": EMBEDDING_NAME}
