"""Export to sentence-transformers, with the same tokens and embeddings as in telly."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from telly.errors import ConfigError, ExportError
from telly.exports.card import write_export_card
from telly.exports.folder import Exported, agreement, new_folder, write_inference_config
from telly.exports.source import CHECK_TEXTS, plain_tokenizer
from telly.inference.tuned_model import Role, TunedModel
from telly.models.load import quiet_transformers

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

Embeddings are the mean of the last layer's states over real tokens, scaled to length one; similarity is the cosine.
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
        ExportError: the folder would give other tokens or embeddings than telly; nothing is left behind.
    """
    library = _library()
    with new_folder(output) as folder:
        # the library builds its modules from a folder of transformers
        with tempfile.TemporaryDirectory() as plain, quiet_transformers():
            model.encoder.save_pretrained(plain)
            plain_tokenizer(model).save_pretrained(plain)
            _modules(library, model, plain).save(str(folder), create_model_card=False)
            difference = _check(library.SentenceTransformer(str(folder), device="cpu"), model)
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
        )
        checked = (
            f"On {len(CHECK_TEXTS)} texts (short, empty, long, not ASCII) the tokens equal those of telly's evaluation,"
            f" and the embeddings are {agreement(difference)}."
        )
        write_export_card(model, folder, use, f"## Checked\n\n{checked}", library="sentence-transformers")
    return Exported(output, difference)


def _library() -> Any:
    try:
        import sentence_transformers
    except ImportError:
        raise ConfigError("--to sentence-transformers needs that library: pip install 'telly[export]'") from None
    return sentence_transformers


def _modules(library: Any, model: TunedModel, folder: str) -> Any:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(
        folder,
        query_length=model.role_tokens("query"),
        document_length=model.role_tokens("document"),
        max_seq_length=max(model.role_tokens("query"), model.role_tokens("document")),
    )
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    return library.SentenceTransformer(
        modules=[transformer, pooling, Normalize()], device="cpu", similarity_fn_name="cosine"
    )


def _check(exported: Any, model: TunedModel) -> float:
    """Compare the exported model with telly on texts of all kinds, both as queries and as documents.

    Raises:
        ExportError: tokens or embeddings differ.
    """
    largest = 0.0
    roles: tuple[tuple[Role, int, Any], ...] = (
        ("query", model.role_tokens("query"), exported.encode_query),
        ("document", model.role_tokens("document"), exported.encode_document),
    )
    for role, limit, encode in roles:
        for text, ours in zip(CHECK_TEXTS, model.token_ids(CHECK_TEXTS, limit), strict=True):
            theirs = exported.preprocess([text], task=role)["input_ids"][0].tolist()
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
