"""`telly export` and `telly push`: a tuned model for other tools and other people."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EPILOG = """Examples:

  telly export runs/search-telly-mini-k9-s0 --to sentence-transformers --output search-model

a folder that SentenceTransformer("search-model") loads, with the embeddings of telly's own evaluation.

  telly export runs/search-telly-mini-k9-s0 --to onnx --int8 --output search-onnx

search-onnx/model.onnx for onnxruntime, and model-int8.onnx, a quarter of its size, with what that costs in the card.

  telly export telly-mini --to onnx --output mini-onnx

a model without a run: the embedded one, a folder or a hub id.

Runs of search, clone-retrieval and clone with --head cosine embed. Every run's folder `model` is in the form of
transformers already.
"""
PUSH_EPILOG = """Examples:

  telly push runs/search-telly-mini-k9-s0 ada/search-mini --private

uploads the run's model with its card; log in first with `hf auth login`, or set HF_TOKEN.

  telly push search-model ada/search-mini-st

uploads what `telly export` made.
"""


class ExportFormat(StrEnum):
    """What a model can be exported as."""

    SENTENCE_TRANSFORMERS = "sentence-transformers"
    ONNX = "onnx"


def export(
    model: Annotated[str, typer.Argument(help="A run's folder, a model folder, a hub id, or telly-mini.")],
    to: Annotated[ExportFormat, typer.Option(help="The form to write.")],
    output: Annotated[Path, typer.Option(help="Folder to write; new or empty.")],
    int8: Annotated[bool, typer.Option("--int8", help="onnx: 8-bit weights as well, and what they cost.")] = False,
) -> None:
    """Export an embedding model to sentence-transformers or ONNX, checked against telly."""
    from telly.api.export import export as write

    made = write(model, output, to.value, int8=int8)
    typer.echo(f"checked: embeddings as telly's, {made.agreement}")
    if made.loss is not None:
        typer.echo(f"int8: {made.loss}")
    typer.echo(f"{to.value}: {made.folder}")


def push(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or one that telly export made.")],
    repository: Annotated[str, typer.Argument(help="USER/NAME on the Hugging Face hub.")],
    private: Annotated[bool, typer.Option("--private", help="Only for those whom you let in.")] = False,
) -> None:
    """Upload a tuned or exported model with its card to the Hugging Face hub."""
    from telly.exports.push import push as upload

    typer.echo(f"uploaded: {upload(folder, repository, private=private)}")
