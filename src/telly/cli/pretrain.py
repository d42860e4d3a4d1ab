"""`telly pretrain`: train a small code model from sources."""

from __future__ import annotations

from pathlib import Path

import typer

EPILOG = """Example:

  telly pretrain --corpus ~/src --corpus /usr/lib/python3/dist-packages --output pretrained

mines documented Python functions (nothing is run), trains tokenizer and model, and writes pretrained/model with its
card. The same command goes on where an interrupted one stopped. docs/pretraining.md explains recipes.

On a GPU it trains in mixed precision; `compile = true` compiles the model.
"""


def pretrain(
    corpus: list[Path] = typer.Option(..., help="Folder with Python packages; repeatable."),
    output: Path = typer.Option(Path("pretrained"), help="Folder of the run."),
    config: Path | None = typer.Option(None, help="TOML file with the recipe. [default: the embedded model's]"),
) -> None:
    """Pre-train a small code model on Python sources; resumable."""
    from telly.config import read_toml
    from telly.pretraining.config import PretrainConfig
    from telly.pretraining.run import pretrain as run

    recipe = PretrainConfig.parse(read_toml(config), str(config)) if config else PretrainConfig()
    folder = run(corpus, output, recipe)
    typer.echo(f"model: {folder}")
