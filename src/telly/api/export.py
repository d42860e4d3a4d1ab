"""`telly.export`: a tuned model in a form that other tools load."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from telly.errors import ConfigError
from telly.exports.folder import Exported

ExportFormat = Literal["sentence-transformers", "onnx"]


def export(
    model: str | Path,
    output: str | Path,
    to: ExportFormat = "sentence-transformers",
    *,
    int8: bool = False,
    truncate_dim: int | None = None,
) -> Exported:
    """Write a model that embeds for sentence-transformers or ONNX, checked against telly.

    Example:
        >>> import telly
        >>> telly.export("runs/search-telly-mini-k9-s0", "search-model").agreement
        'equal to 4e-08'

    Args:
        model: run folder, model folder, hub id, or `telly-mini`.
        output: folder to write; new or empty.
        to: form to write.
        int8: with `onnx`, write 8-bit weights as well, and measure what they cost on the run's test data.
        truncate_dim: dimensions to keep of every embedding, for a model that was tuned with `--matryoshka`.
            [default: all]

    Returns:
        the folder, and how far its embeddings are from telly's.

    Raises:
        ConfigError: the model does not embed or has fewer dimensions, a library is not installed, or the folder is not
            empty.
        ExportError: the written model gives other embeddings than telly; nothing is left behind.
        ModelError: the model cannot be loaded.
        DataError: the data that `int8` is measured on cannot be read.
    """
    if to not in ("sentence-transformers", "onnx"):
        raise ConfigError(f"to: expected sentence-transformers or onnx, found {to!r}")
    if int8 and to != "onnx":
        raise ConfigError("--int8: only with --to onnx")
    from telly.exports.onnx import export_onnx
    from telly.exports.sentence_transformers import export_sentence_transformers
    from telly.exports.source import load_for_export

    loaded = load_for_export(str(model), truncate_dim)
    if to == "onnx":
        return export_onnx(loaded, Path(output), int8=int8)
    return export_sentence_transformers(loaded, Path(output))
