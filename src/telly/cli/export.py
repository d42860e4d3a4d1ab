"""`telly export` and `telly push`: tuned models for other tools and for the hub."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Examples:

  telly export runs/search-telly-mini-k9-s0 --to sentence-transformers --output search-model

Writes a folder that SentenceTransformer("search-model") loads, with the same embeddings as in telly's evaluation.

  telly export runs/search-telly-mini-k9-s0 --to onnx --int8 --output search-onnx

Writes search-onnx/model.onnx for onnxruntime and model-int8.onnx, a quarter of its size; the card states the loss.

  telly export telly-mini --to onnx --output mini-onnx

Exports a model without a run: the embedded one, a folder or a hub id.

Only embedding models can be exported: runs of search, clone-retrieval, and clone with --head cosine. The folder `model`
of any run can be loaded with transformers as it is.
"""
PUSH_EPILOG = """Examples:

  telly push runs/search-telly-mini-k9-s0 ada/search-mini --private

Uploads the run's model with its card. Log in first with `hf auth login`, or set HF_TOKEN.

  telly push search-model ada/search-mini-st

Uploads a folder made by `telly export`.
"""


class ExportFormat(StrEnum):
    """Formats of exported models."""

    SENTENCE_TRANSFORMERS = "sentence-transformers"
    ONNX = "onnx"


def export(
    model: Annotated[str, typer.Argument(help="A run's folder, a model folder, a hub id, or telly-mini.")],
    to: Annotated[ExportFormat, typer.Option(metavar="|".join(ExportFormat), help="Format to write.")],
    output: Annotated[Path, typer.Option(help="Folder to create; new or empty.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="For onnx: also write 8-bit weights and measure their loss.")
    ] = False,
    truncate_dim: Annotated[
        int | None,
        typer.Option(metavar="N", help="Keep the first N dimensions of embeddings, for models of --matryoshka."),
    ] = None,
) -> None:
    """Export an embedding model to sentence-transformers or ONNX, checked against telly."""
    from telly.api.export import export as run

    exported = run(model, output, to.value, int8=int8, truncate_dim=truncate_dim)
    typer.echo(f"checked: embeddings as telly's, {exported.agreement}")
    if exported.loss is not None:
        typer.echo(f"int8: {exported.loss}")
    typer.echo(f"{to.value}: {exported.folder}")


def push(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or a folder made by telly export.")],
    repository: Annotated[str, typer.Argument(help="USER/NAME on the Hugging Face hub.")],
    private: Annotated[bool, typer.Option("--private", help="Create a private repository.")] = False,
) -> None:
    """Upload a tuned or exported model with its card to the Hugging Face hub."""
    from telly.exports.push import push as upload

    typer.echo(f"uploaded: {upload(folder, repository, private=private)}")
