"""Digests of the models that a run's settings name, so that results are not reused after their files changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from telly.freezing.fingerprint import module_digest
from telly.models.embedding import EmbeddingConfig
from telly.models.embedding_folder import load_embedding_head, read_embedding_config
from telly.models.load import load_config, resolve
from telly.settings.config import TuneConfig

DIGESTED_BYTES = 1 << 20
"""Bytes at each end of a weight file that are read; all of a large model would take minutes."""


def digests_of_models(models: tuple[str, ...], is_generative: bool) -> list[str]:
    """Digests of the files of models and, unless text is generated, of what their folders declare about embeddings.

    A folder that declares nothing adds no digest, so that the keys of results on such folders stay.

    Args:
        models: folders, hub ids or the embedded model.
        is_generative: whether they generate text.
    """
    digests = [model_digest(model) for model in models]
    if not is_generative:
        digests += [text for model in models for text in _embedding_digest(model)]
    return digests


def models_of(config: TuneConfig) -> tuple[str, ...]:
    """The models that the settings name: the one to tune, and the teacher if there is one."""
    return (config.model,) if config.teacher is None else (config.model, config.teacher)


def model_digest(model: str) -> str:
    """Digest of the configuration and of sizes and both ends of the weight files; a hub id identifies itself."""
    folder = Path(resolve(model))
    if not folder.is_dir():
        return model
    digest = hashlib.blake2b((folder / "config.json").read_bytes(), digest_size=16)
    for file in sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin"), *folder.glob("tokenizer*"))):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(DIGESTED_BYTES))
            stream.seek(max(0, size - DIGESTED_BYTES))
            digest.update(stream.read(DIGESTED_BYTES))
    return digest.hexdigest()


def _embedding_digest(model: str) -> list[str]:
    config = read_embedding_config(model)
    if config == EmbeddingConfig():
        return []
    modules = load_embedding_head(model, config, int(load_config(model).get_text_config().hidden_size))
    return [json.dumps(config.to_dict()), module_digest(modules)]
