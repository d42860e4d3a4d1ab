"""`telly compare`: how similar the layers of two models are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from telly.analysis.compare import CompareResult

EPILOG = """Examples:

  telly compare --model telly-mini --with runs/search-base --output comparison

what tuning changed, layer by layer, on the embedded sample; the folder of a run stands for its tuned model.

  telly compare --model microsoft/unixcoder-base --with runs/a --with runs/b --data code.jsonl --with-paper

two tuned models in one figure, beside the paper's values.

Every model runs once over the texts; its states are stored and found again by the next comparison.
"""


def compare(
    model: Annotated[str, typer.Option(help="Folder, hub id, a run's folder, or telly-mini.")],
    with_: Annotated[list[str], typer.Option("--with", help="What to compare it with; repeatable.")],
    data: Annotated[str | None, typer.Option(help="Data with a column of code. [default: the sample]")] = None,
    task: Annotated[str | None, typer.Option(help="Whose layout the data have. [default: any with code]")] = None,
    split: Annotated[str | None, typer.Option(help="Part of a folder or hub data set.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Distinct texts, drawn at random.")] = 5000,
    max_tokens: Annotated[int, typer.Option(min=4, help="Where texts are cut.")] = 256,
    paper: Annotated[
        bool, typer.Option("--paper", help="RSA as the paper's scripts: padding and the diagonal count.")
    ] = False,
    with_paper: Annotated[bool, typer.Option("--with-paper", help="Draw the paper's values, too.")] = False,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw figures.")] = True,
    output: Annotated[Path, typer.Option(help="Folder for tables and figures.")] = Path("comparison"),
    cache_dir: Annotated[
        Path | None, typer.Option(help="Folder of activation caches. [default: in your cache folder]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawing of texts and the bootstrap.")] = 0,
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
            found = entry.rsa
            interval = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
            typer.echo(
                f"  {entry.layer:>5}  {found.pearson:>6.3f}{interval:>16}  {found.spearman:>8.3f}  {entry.cka:>6.3f}"
                f"  {entry.procrustes:>10.3f}"
            )
