"""`telly probe`: what each layer of a model knows about code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from telly.analysis.probing import ModelScore, ProbeResult

EPILOG = """Examples:

  telly probe --model telly-mini --output probing

Runs all four probes on every layer with the embedded sample, and compares them with random weights, a bag of tokens
and the most frequent answer.

  telly probe --model telly-mini --model runs/search-base --probe lexical --probe structural

Compares the pre-trained model with a tuned one; a run's folder means its tuned model.

  telly probe --model microsoft/unixcoder-base --data code.jsonl --hard --with-paper

Takes the negatives of the syntactic probe from trees of similar size, and adds the paper's layer weights to the figure.

Every model runs once over the texts of all probes; all probes, layers, modes, seeds and controls use the cached states.
"""


def probe(
    model: Annotated[list[str], typer.Option(help="A folder, hub id, run's folder, or telly-mini; repeatable.")],
    probe: Annotated[list[str] | None, typer.Option(help="Probe to run; repeatable. [default: all]")] = None,
    data: Annotated[str | None, typer.Option(help="Data with a code column. [default: the sample]")] = None,
    language: Annotated[
        str, typer.Option(help="Language of the code: python, or a tree-sitter grammar such as java.")
    ] = "python",
    limit: Annotated[int, typer.Option(min=50, help="Maximum number of texts per probe.")] = 1000,
    max_tokens: Annotated[int, typer.Option(min=8, help="Maximum number of tokens per text.")] = 256,
    seeds: Annotated[int, typer.Option(min=1, max=10, help="Number of fits per probe.")] = 3,
    hard: Annotated[bool, typer.Option("--hard", help="Syntactic probe: negatives of similar size.")] = False,
    with_paper: Annotated[bool, typer.Option("--with-paper", help="Also draw the paper's values.")] = False,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw figures.")] = True,
    output: Annotated[Path, typer.Option(help="Folder for tables and figures.")] = Path("probing"),
    cache_dir: Annotated[
        Path | None, typer.Option(help="Folder of activation caches. [default: in the user's cache folder]")
    ] = None,
) -> None:
    """Probe what each layer of a model knows about code: tokens, syntax, semantics, structure."""
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
    for score in result.models:
        typer.echo(f"  {score.model}: {_summary(score, result.metric)}")
        typer.echo("    " + "  ".join(f"{x.layer} {x.metrics[result.metric].mean:.3f}" for x in score.layers))


def _summary(model: ModelScore, metric: str) -> str:
    from telly.analysis.probing import RANDOM_WEIGHTS

    best = max(model.layers, key=lambda layer: layer.metrics[metric].mean)
    score, mixed = best.metrics[metric], model.weighted[metric]
    main = max(range(len(model.weights)), key=model.weights.__getitem__)
    control = f", control {best.control.mean:.3f}" if best.control else ""
    verdict = "" if model.above_baselines or model.model == RANDOM_WEIGHTS else "; does NOT beat the baselines"
    return (
        f"best layer {best.layer} {score.mean:.3f} [{score.low:.3f}, {score.high:.3f}]{control}; all layers mixed "
        f"{mixed.mean:.3f}, mostly layer {model.layers[main].layer} ({model.weights[main]:.0%}){verdict}"
    )
