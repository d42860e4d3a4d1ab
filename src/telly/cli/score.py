"""`telly score`: metrics of prediction files, made by any model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from telly.metrics.table import METRICS
from telly.tasks import TASKS

if TYPE_CHECKING:
    from telly.metrics.interval import Interval, PairedComparison
    from telly.tasks.scoring import Scores

EPILOG = """A file contains plain lines (one example per line, in the same order in both files), lines `id<TAB>text`
(if every line has a tab and no id occurs twice), or JSON lines (id in id, idx or url; prediction in prediction, pred or
text; gold answer in reference, gold, code, gt, label or answer). With ids, order does not matter. Texts with several
lines need JSON lines. An empty prediction scores zero and is counted; an empty gold answer is an error. Labels may be
written as 1, 1.0 or true; it is an error if no predicted label is among the gold labels. There is one reference per
example.

Examples:

  telly score generate --gold test.gold --pred base.output

Prints BLEU, exact match and edit similarity with 95 % intervals; test.gold may be CodeXGLUE's test.json.

  telly score generate --gold test.gold --pred telly-9.output --compare base.output

Adds the other system's scores and the differences, with p-values.

  telly score summarize --gold test.gold --pred test.output --json

Prints one JSON object.

  telly score clone --gold test.txt --pred predictions.txt

Reads CodeXGLUE's format `idx1<TAB>idx2<TAB>label`.

  telly score search --gold gold.tsv --pred ranked.tsv

Reads `id<TAB>answer answer ...` or BEIR's judgments (query-id, corpus-id, score), and `id<TAB>candidate candidate ...`,
best first; or CodeXGLUE's JSON lines, where answers may be an object with a grade per id.
"""

ABOUT = (
    "These tests compare two prediction files, not two methods: they cover only the variance of test examples. To "
    "compare methods, train each with several seeds (telly report)."
)


def score(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(TASKS)}.")],
    gold: Annotated[Path, typer.Option(help="File with the gold answers.")],
    pred: Annotated[Path, typer.Option(help="File with the predictions.")],
    compare: Annotated[Path | None, typer.Option(help="Predictions of another system to compare with.")] = None,
    by_line: Annotated[bool, typer.Option("--by-line", help="Match by line and ignore ids.")] = False,
    resamples: Annotated[
        int, typer.Option(min=1, help="Number of bootstrap resamples, for intervals and p-values.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score predictions against gold answers, with confidence intervals."""
    from telly.api.score import score as score_files

    result = score_files(task, gold, pred, compare, by_line=by_line, resamples=resamples, seed=seed)
    scores, other, comparisons = result.scores, result.other, result.comparisons
    if as_json:
        typer.echo(json.dumps(_as_dict(task, scores, other, comparisons, resamples, seed), indent=1))
        return
    from telly.cli.console import print_scores

    header = ["metric", "value", "95 % interval"]
    rows = [[_label(m), _value(m, v), _interval(m, scores.intervals[m])] for m, v in scores.values.items()]
    notes = [_examples(scores)]
    warnings = [*scores.warnings, *(other.warnings if other is not None else ())]
    if other is not None:
        names = _names(pred, other.file)
        header += [names[1], "95 % interval", "difference", "95 % interval", "p"]
        for row, (name, comparison) in zip(rows, comparisons.items(), strict=True):
            row += [_value(name, other.values[name]), _interval(name, other.intervals[name])]
            row += [
                _value(name, comparison.difference, "+"),
                _interval(name, comparison.interval, "+"),
                f"{comparison.p:.3f}",
            ]
        notes += [_examples(other), *(_verdict(name, c, names) for name, c in comparisons.items()), ABOUT]
    notes += [f"warning: {warning}" for warning in dict.fromkeys(warnings)]
    print_scores(f"{task}: {pred}", header, rows, notes)


def _as_dict(
    task: str,
    scores: Scores,
    other: Scores | None,
    comparisons: dict[str, PairedComparison],
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    result = {"task": task, **_scores_dict(scores), "resamples": resamples, "seed": seed}
    if other is not None:
        result["other"] = _scores_dict(other)
        result["comparison"] = {
            name: {
                "difference": comparison.difference,
                "interval": [comparison.interval.low, comparison.interval.high],
                "p": comparison.p,
                "differs": comparison.differs,
            }
            for name, comparison in comparisons.items()
        }
    return result


def _scores_dict(scores: Scores) -> dict[str, Any]:
    return {
        **scores.values,
        "intervals": {name: [interval.low, interval.high] for name, interval in scores.intervals.items()},
        "examples": scores.examples,
        "empty_predictions": scores.empty_predictions,
        **({"warnings": list(scores.warnings)} if scores.warnings else {}),
    }


def _label(name: str) -> str:
    return f"{name} (%)" if METRICS[name].percentage else name


def _value(name: str, value: float, sign: str = "") -> str:
    return f"{value:{sign}.{METRICS[name].digits}f}"


def _interval(name: str, interval: Interval, sign: str = "") -> str:
    return f"{_value(name, interval.low, sign)} to {_value(name, interval.high, sign)}"


def _examples(scores: Scores) -> str:
    return f"{scores.file}: {scores.examples:,} examples, {scores.empty_predictions:,} empty predictions"


def _names(pred: Path, other: Path) -> tuple[str, str]:
    """Short names of two files, with their folders if the file names are equal, as in two runs."""
    if pred.name != other.name:
        return pred.name, other.name
    return f"{pred.resolve().parent.name}/{pred.name}", f"{other.resolve().parent.name}/{other.name}"


def _verdict(name: str, comparison: PairedComparison, names: tuple[str, str]) -> str:
    if not comparison.differs:
        return f"{name}: no difference at 95 % (p = {comparison.p:.3f})"
    better = names[0 if (comparison.difference > 0) == METRICS[name].greater_is_better else 1]
    return f"{name}: the systems differ at 95 % (p = {comparison.p:.3f}); {better} is better"
