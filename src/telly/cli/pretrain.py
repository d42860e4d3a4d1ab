"""`telly pretrain`: pre-train a small code model on source files."""

from __future__ import annotations

from pathlib import Path

import typer

EPILOG = """Example:

  telly pretrain --corpus ~/src --corpus /usr/lib/python3/dist-packages --output pretrained

Mines documented Python functions (no code is executed), trains tokenizer and model, and writes pretrained/model with
its card. Run the same command again to resume after an interruption. docs/pretraining.md explains recipes.

On a GPU, training uses mixed precision; `compile = true` in the recipe compiles the model.
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
