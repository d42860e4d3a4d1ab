"""`telly probe`: what the layers of models tell about code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from telly.analysis.probing import ModelScore, ProbeResult

EPILOG = """Examples:

  telly probe --model telly-mini --output probing

all four probes of every layer on the embedded sample, beside random weights, a bag of tokens and the most frequent
answer.

  telly probe --model telly-mini --model runs/search-base --probe lexical --probe structural

the pre-trained model and a tuned one; the folder of a run stands for its tuned model.

  telly probe --model microsoft/unixcoder-base --data code.jsonl --hard --with-paper

negatives of the syntactic probe from trees of similar size, and the paper's layer weights in the figure.

Every model runs once over the texts of all probes; all probes, layers, modes, seeds and controls read what was
stored then.
"""


def probe(
    model: Annotated[list[str], typer.Option(help="Folder, hub id, a run's folder, or telly-mini; repeatable.")],
    probe: Annotated[list[str] | None, typer.Option(help="A probe's name, repeatable. [default: all]")] = None,
    data: Annotated[str | None, typer.Option(help="Data with a column of code. [default: the sample]")] = None,
    language: Annotated[
        str, typer.Option(help="Of the code: python, or a tree-sitter grammar such as java.")
    ] = "python",
    limit: Annotated[int, typer.Option(min=50, help="Most texts of a probe.")] = 1000,
    max_tokens: Annotated[int, typer.Option(min=8, help="Where texts are cut.")] = 256,
    seeds: Annotated[int, typer.Option(min=1, max=10, help="How often each probe is fitted.")] = 3,
    hard: Annotated[bool, typer.Option("--hard", help="Syntactic: wrong trees of similar size.")] = False,
    with_paper: Annotated[bool, typer.Option("--with-paper", help="Draw the paper's values, too.")] = False,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw figures.")] = True,
    output: Annotated[Path, typer.Option(help="Folder for tables and figures.")] = Path("probing"),
    cache_dir: Annotated[
        Path | None, typer.Option(help="Folder of activation caches. [default: in your cache folder]")
    ] = None,
) -> None:
    """Probe what every layer of a model tells about code: tokens, syntax, meaning, structure."""
    from telly.api.probe import probe as run

    results = run(
        model,
        probe or (),
        data=data,
        language=language,
        limit=limit,
        max_tokens=max_tokens,
        seeds=seeds,
        hard=hard,
        output=output,
        figures=figures,
        with_paper=with_paper,
        cache_dir=cache_dir,
    )
    for result in results:
        _print(result)
    typer.echo(f"\nresults: {output}")


def _print(result: ProbeResult) -> None:
    typer.echo(f"\n{result.probe}: {result.metric} of {result.items:,} items in {result.texts:,} texts")
    if result.skipped:
        typer.echo(f"  {len(result.skipped)} texts were skipped; the list is in the results")
    for baseline in result.baselines:
        typer.echo(f"  {baseline.layer:>16}  {baseline.metrics[result.metric].mean:.3f}")
    for found in result.models:
        typer.echo(f"  {found.model}: {_summary(found, result.metric)}")
        typer.echo("    " + "  ".join(f"{x.layer} {x.metrics[result.metric].mean:.3f}" for x in found.layers))


def _summary(found: ModelScore, metric: str) -> str:
    from telly.analysis.probing import RANDOM_WEIGHTS

    best = max(found.layers, key=lambda layer: layer.metrics[metric].mean)
    score, mixed = best.metrics[metric], found.weighted[metric]
    main = max(range(len(found.weights)), key=found.weights.__getitem__)
    control = f", control {best.control.mean:.3f}" if best.control else ""
    verdict = "" if found.above_baselines or found.model == RANDOM_WEIGHTS else "; does NOT beat the baselines"
    return (
        f"best layer {best.layer} {score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]{control}; all layers mixed "
        f"{mixed.mean:.3f}, mostly layer {found.layers[main].layer} ({found.weights[main]:.0%}){verdict}"
    )
