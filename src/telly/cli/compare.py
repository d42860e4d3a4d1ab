"""`telly compare`: similarity of models, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from telly.analysis.compare import CompareResult

EPILOG = """Examples:

  telly compare --model telly-mini --with runs/search-base --output comparison

Shows what tuning changed, layer by layer, on the embedded sample. A run's folder means its tuned model.

  telly compare --model microsoft/unixcoder-base --with runs/a --with runs/b --data code.jsonl --with-paper

Shows two tuned models in one figure, next to the paper's values.

Every model runs once over the texts; the next comparison reuses its cached states.
"""


def compare(
    model: Annotated[str, typer.Option(help="Reference model: a folder, hub id, run's folder, or telly-mini.")],
    with_: Annotated[list[str], typer.Option("--with", help="Model to compare with the reference; repeatable.")],
    data: Annotated[str | None, typer.Option(help="Data with a code column. [default: the sample]")] = None,
    task: Annotated[str | None, typer.Option(help="Task whose columns the data has. [default: any with code]")] = None,
    split: Annotated[str | None, typer.Option(help="Split of a folder or hub data set.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of distinct texts, sampled at random.")] = 5000,
    max_tokens: Annotated[int, typer.Option(min=4, help="Maximum number of tokens per text.")] = 256,
    paper: Annotated[
        bool, typer.Option("--paper", help="Compute RSA as the paper's scripts do: with padding and diagonal.")
    ] = False,
    with_paper: Annotated[bool, typer.Option("--with-paper", help="Also draw the paper's values.")] = False,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw figures.")] = True,
    output: Annotated[Path, typer.Option(help="Folder for tables and figures.")] = Path("comparison"),
    cache_dir: Annotated[
        Path | None, typer.Option(help="Folder of activation caches. [default: in the user's cache folder]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for sampling texts and for the bootstrap.")] = 0,
) -> None:
    """Compare models layer by layer: representational similarity, CKA, Procrustes distance."""
    from telly.api.compare import compare as run

    result = run(
        model,
        with_,
        data=data,
        task=task,
        split=split,
        limit=limit,
        max_tokens=max_tokens,
        paper=paper,
        seed=seed,
        output=output,
        figures=figures,
        with_paper=with_paper,
        cache_dir=cache_dir,
    )
    _print(result)
    typer.echo(f"results: {output}")


def _print(result: CompareResult) -> None:
    typer.echo(f"{result.texts:,} texts, {result.form} of the states; {result.model} against")
    for comparison in result.comparisons:
        typer.echo(f"\n{comparison.other}")
        for remark in comparison.remarks:
            typer.echo(f"  note: {remark}")
        if comparison.layers:
            typer.echo(f"  {'layer':>5}  {'RSA (Pearson)':>22}  {'Spearman':>8}  {'CKA':>6}  {'Procrustes':>10}")
        for entry in comparison.layers:
            rsa = entry.rsa
            interval = "" if rsa.low is None else f" [{rsa.low:.3f}, {rsa.high:.3f}]"
            typer.echo(
                f"  {entry.layer:>5}  {rsa.pearson:>6.3f}{interval:>16}  {rsa.spearman:>8.3f}  {entry.cka:>6.3f}"
                f"  {entry.procrustes:>10.3f}"
            )
