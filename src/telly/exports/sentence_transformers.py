"""Export to sentence-transformers, with the same tokens and embeddings as in telly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from telly.errors import ConfigError, ExportError
from telly.exports.card import write_export_card
from telly.exports.folder import Exported, agreement, embedding_info, new_folder, write_inference_config
from telly.exports.source import CHECK_TEXTS, save_encoder
from telly.inference.tuned_model import TunedModel
from telly.models.embedding import Role
from telly.models.families import loading_class
from telly.runs.inference_config import write_embedding

TOLERANCE = 1e-5
"""Maximum absolute difference between components of its embeddings and telly's."""
USE = """## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(FOLDER)
documents = model.encode_document({documents})
queries = model.encode_query({queries})
scores = model.similarity(queries, documents)
```

{embedding}
The tokenizer adds the mode tokens of a model that has them.
`encode_query` cuts at {query_tokens} tokens and `encode_document` at
{document_tokens}, as in tuning; `encode`, which does not know a text's role, cuts at {longest}. Needs
sentence-transformers {version} or newer."""
VERSION = "6.2"
"""Oldest version that the extra `export` allows, the first with separate length limits for queries and documents."""


def export_sentence_transformers(model: TunedModel, output: Path) -> Exported:
    """Write a folder that `SentenceTransformer(output)` loads offline.

    Args:
        model: the model.
        output: a new or empty folder.

    Raises:
        ConfigError: sentence-transformers is not installed, or the folder is not empty.
        ExportError: sentence-transformers could not load the folder, or it would give other tokens or embeddings than
            telly; nothing is left behind.
    """
    library = _library()
    check_loadable(model.name, model.encoder)
    with new_folder(output) as folder:
        write_modules(model, folder)
        difference = _check(library.SentenceTransformer(str(folder), device="cpu", local_files_only=True), model)
        write_inference_config(model, folder)
        roles = model.roles
        assert roles is not None  # checked when the model was opened
        use = USE.format(
            documents=f"[{json.dumps(roles.example_document)}]",
            queries=f"[{json.dumps(roles.example_query)}]",
            query_tokens=model.role_tokens("query"),
            document_tokens=model.role_tokens("document"),
            longest=max(model.role_tokens("query"), model.role_tokens("document")),
            version=VERSION,
            embedding=embedding_info(model).description(),
        )
        checked = (
            f"On {len(CHECK_TEXTS)} texts (short, empty, long, not ASCII) the tokens equal those of telly's evaluation,"
            f" and the embeddings are {agreement(difference)}."
        )
        write_export_card(model, folder, use, f"## Checked\n\n{checked}", library="sentence-transformers")
    return Exported(output, difference)


def check_loadable(name: str, encoder: Any) -> None:
    """Check that sentence-transformers, which loads models by transformers' automatic classes, can load an encoder.

    Raises:
        ExportError: the encoder is part of an encoder-decoder and has no automatic class, as BART's.
    """
    architecture = type(encoder).__name__
    if not loading_class(encoder.config.model_type, architecture)[1].startswith("Auto"):
        raise ExportError(
            f"{name}: sentence-transformers cannot load {architecture}, the encoder of an encoder-decoder; use "
            "telly.load or `telly index` with the run, or tune a model whose encoder has an automatic class (T5)"
        )


def _library() -> Any:
    try:
        import sentence_transformers
    except ImportError:
        raise ConfigError("--to sentence-transformers needs that library: pip install 'telly[export]'") from None
    return sentence_transformers


def write_modules(model: TunedModel, folder: Path) -> None:
    """Write weights, tokenizer and all modules, prompts, similarity and length limits, as the library saves them."""
    save_encoder(model, folder)
    hidden_size = model.module.encoder.hidden_size
    write_embedding(folder, model.task.spec, model.config, model.module.embedding, hidden_size)


def _check(exported: Any, model: TunedModel) -> float:
    """Compare the exported model with telly on texts of all kinds, both as queries and as documents.

    Raises:
        ExportError: tokens or embeddings differ.
    """
    largest = 0.0
    roles: tuple[tuple[Role, Any], ...] = (
        ("query", exported.encode_query),
        ("document", exported.encode_document),
    )
    for role, encode in roles:
        prompt = model.role_prompt(role) or None
        table, rows = model.sequences(CHECK_TEXTS, role)
        for text, row in zip(CHECK_TEXTS, rows, strict=True):
            ours = table[int(row)].tolist()
            theirs = exported.preprocess([text], prompt=prompt, task=role)["input_ids"][0].tolist()
            if theirs != ours:
                raise ExportError(
                    f"{model.name}: as a {role} sentence-transformers reads {theirs[:8]}... ({len(theirs)} tokens) "
                    f"where telly reads {ours[:8]}... ({len(ours)} tokens): {text[:40]!r}; nothing was exported"
                )
        embeddings = encode(list(CHECK_TEXTS), show_progress_bar=False)
        largest = max(largest, float(np.abs(embeddings - model.embed(CHECK_TEXTS, role)).max()))
    if not largest <= TOLERANCE:  # true for NaN, too
        raise ExportError(
            f"{model.name}: in sentence-transformers embeddings differ from telly's by {largest:.1e}; expected at most "
            f"{TOLERANCE:.0e}; nothing was exported"
        )
    return largest
