"""A model as a folder of sentence-transformers, which gives the same tokens and vectors there as in telly."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from telly.errors import ConfigError, ExportError
from telly.export.card import write_export_card
from telly.export.folder import Exported, agreement, new_folder, write_usage
from telly.export.source import CHECK_TEXTS, Source
from telly.models.load import quiet_transformers

TOLERANCE = 1e-5
USE = """## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(FOLDER)
found = model.encode_document({documents})
asked = model.encode_query({queries})
scores = model.similarity(asked, found)
```

Mean of the last layer's states over real tokens, at length one; similarity is the cosine. The tokenizer adds the mode
tokens of a model that has them. `encode_query` cuts at {query_tokens} tokens and `encode_document` at
{document_tokens}, as in tuning; `encode`, which does not know what a text is, at {longest}. Needs sentence-transformers
{version} or newer."""
VERSION = "6.2"
"""The oldest that the extra `export` allows; its Transformer knows a limit for queries and one for documents."""
EXAMPLES = {
    "search": ('["def add(a, b):\\n    return a + b"]', '["add two numbers"]'),
    "clone-retrieval": ('["int add(int a, int b) { return a + b; }"]', '["int sum(int x, int y) { return x + y; }"]'),
    "clone": ('["def add(a, b):\\n    return a + b"]', '["def plus(x, y):\\n    return x + y"]'),
}


def export_sentence_transformers(source: Source, output: Path) -> Exported:
    """Write a folder that `SentenceTransformer(output)` loads offline.

    Args:
        source: the model.
        output: a new or empty folder.

    Raises:
        ConfigError: sentence-transformers is not installed, or the folder is not empty.
        ExportError: the folder would give other tokens or vectors than telly; nothing is left behind.
    """
    library = _library()
    with new_folder(output) as folder:
        with tempfile.TemporaryDirectory() as plain, quiet_transformers():
            source.model.save_pretrained(plain)
            source.plain_tokenizer().save_pretrained(plain)
            _modules(library, source, plain).save(str(folder), create_model_card=False)
            difference = _check(library.SentenceTransformer(str(folder), device="cpu"), source)
        write_usage(source, folder)
        documents, queries = EXAMPLES[source.task.name]
        use = USE.format(
            documents=documents,
            queries=queries,
            query_tokens=source.query_tokens,
            document_tokens=source.document_tokens,
            longest=max(source.query_tokens, source.document_tokens),
            version=VERSION,
        )
        checked = (
            f"On {len(CHECK_TEXTS)} texts (short, empty, long, not ASCII) tokens and vectors are those of telly's "
            f"evaluation, the vectors {agreement(difference)}."
        )
        write_export_card(source, folder, use, f"## Checked\n\n{checked}", library="sentence-transformers")
    return Exported(output, difference)


def _library() -> Any:
    try:
        import sentence_transformers
    except ImportError:
        raise ConfigError("--to sentence-transformers needs that library: pip install 'telly[export]'") from None
    return sentence_transformers


def _modules(library: Any, source: Source, folder: str) -> Any:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    transformer = Transformer(
        folder,
        query_length=source.query_tokens,
        document_length=source.document_tokens,
        max_seq_length=max(source.query_tokens, source.document_tokens),
    )
    pooling = Pooling(transformer.get_embedding_dimension(), "mean")
    return library.SentenceTransformer(
        modules=[transformer, pooling, Normalize()], device="cpu", similarity_fn_name="cosine"
    )


def _check(model: Any, source: Source) -> float:
    """Compare what was written with telly on texts of all kinds, both as queries and as documents.

    Raises:
        ExportError: tokens or vectors differ.
    """
    largest = 0.0
    roles = (
        ("query", source.query_tokens, model.encode_query),
        ("document", source.document_tokens, model.encode_document),
    )
    for role, limit, encode in roles:
        for text, ours in zip(CHECK_TEXTS, source.token_ids(CHECK_TEXTS, limit), strict=True):
            theirs = model.preprocess([text], task=role)["input_ids"][0].tolist()
            if theirs != ours:
                raise ExportError(
                    f"{source.name}: as a {role} sentence-transformers reads {theirs[:8]}... ({len(theirs)} tokens) "
                    f"where telly reads {ours[:8]}... ({len(ours)} tokens): {text[:40]!r}; nothing was exported"
                )
        found = encode(list(CHECK_TEXTS), show_progress_bar=False)
        largest = max(largest, float(np.abs(found - source.vectors(CHECK_TEXTS, limit).numpy()).max()))
    if not largest <= TOLERANCE:
        raise ExportError(
            f"{source.name}: in sentence-transformers vectors differ from telly's by {largest:.1e}; expected at most "
            f"{TOLERANCE:.0e}; nothing was exported"
        )
    return largest
