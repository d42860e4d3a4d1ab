"""`telly data`: make data sets from repositories, check data sets, and add hard negatives."""

from __future__ import annotations

import json
import logging
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from telly.cli.groups import CommandList, SectionedCommand
from telly.errors import ConfigError
from telly.tasks import TASKS, mined_tasks

if TYPE_CHECKING:
    from telly.data.validate import ValidationReport
    from telly.mining.repository.mine import Mined
    from telly.using.negatives import NegativesReport

logger = logging.getLogger(__name__)
app = typer.Typer(
    cls=CommandList,
    help="Make data sets from repositories, check data sets, add hard negatives.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _data() -> None:
    """Make data sets from repositories, check data sets, add hard negatives."""


EPILOG = """Examples:

  telly data validate train.jsonl --task search --test test.jsonl --map query=summary

  telly data validate DIR/train.txt --task clone --test DIR/test.txt
"""


FILE_HELP = (
    "A file (JSONL, JSON, CSV, TSV, Parquet, or a .txt list of pairs next to data.jsonl) or a folder of such files."
)


@app.command(cls=SectionedCommand, epilog=EPILOG)
def validate(
    file: Annotated[Path, typer.Argument(help=FILE_HELP)],
    task: Annotated[str, typer.Option(help=f"Task that the data is for: {', '.join(TASKS)}.")] = "search",
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=COLUMN", help="Read NAME from the data's COLUMN; repeatable."),
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Training data, which FILE must not overlap.")] = None,
    valid: Annotated[Path | None, typer.Option(help="Validation data to check as well.")] = None,
    test: Annotated[Path | None, typer.Option(help="Test data to check as well.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Report every problem of a data set with file and line; exit with code 2 if there is any.

    FILE is the training data unless --train is given. The other files are checked for overlap with the training data.
    """
    from telly.data.schema import parse_mapping
    from telly.data.validate import check
    from telly.tasks import get_spec

    schema = get_spec(task).schema
    candidates = {"train": train, "valid": valid, "test": test}
    files = {split: path for split, path in candidates.items() if path is not None}
    names = parse_mapping(mapping or [], schema.for_training())
    report = check({"train" if train is None else "file": file, **files}, schema, names)
    if as_json:
        problems = [asdict(problem) for problem in report.problems]
        typer.echo(json.dumps({"rows": report.rows, "counts": report.counts(), "problems": problems}, indent=1))
    else:
        for problem in report.problems:
            typer.echo(str(problem))
        typer.echo(_summary(report))
    if report.problems:
        raise typer.Exit(2)


REPOSITORY_EPILOG = """Examples:

  telly data from-repo ~/src/shop --task search -o shop-search

  telly data from-repo https://github.com/OWNER/NAME --task clone -o pairs

  telly data from-repo . --task complete --split date --language go --language rust -o lines
"""


@app.command("from-repo", cls=SectionedCommand, epilog=REPOSITORY_EPILOG)
def from_repo(
    source: Annotated[
        str, typer.Argument(metavar="PATH|GIT_URL", help="A source folder, or the address of a git repository.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to create.")],
    task: Annotated[str, typer.Option(help=f"Task that the data is for: {', '.join(mined_tasks())}.")] = "search",
    split: Annotated[
        str, typer.Option(metavar="file|date", help="Split by a hash of the path, or by date (newest files for test).")
    ] = "file",
    valid_share: Annotated[float, typer.Option(help="Share of files for validation.")] = 0.1,
    test_share: Annotated[float, typer.Option(help="Share of files for test.")] = 0.1,
    language: Annotated[list[str] | None, typer.Option(help="Language to include; repeatable. [default: all]")] = None,
    tests: Annotated[bool, typer.Option("--with-tests", help="Include test files.")] = False,
    limit: Annotated[int | None, typer.Option(help="Maximum number of functions, sampled at random.")] = None,
    seed: Annotated[int, typer.Option(help="Seed for sampling.")] = 0,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of parsing processes. [default: one per core]")
    ] = None,
) -> None:
    """Make training, validation and test data from the functions of a repository; no code is executed.

    Copies, near-copies and generated, vendored, minified or ignored files are left out; keys and tokens are masked.
    mining.json, next to the data, lists what was left out and why.
    """
    from telly.mining.repository.mine import MiningSettings, mine
    from telly.mining.repository.splits import SplitRatios
    from telly.tasks import mining_target

    settings = MiningSettings(
        task,
        mining_target(task),
        split,  # type: ignore[arg-type]  # `mine` checks it
        SplitRatios(valid_share, test_share),
        tuple(language or ()),
        tests,
        limit,
        seed,
    )
    typer.echo(_mining_summary(mine(source, output, settings, workers), task))


NEGATIVES_EPILOG = """Examples:

  telly data negatives train.jsonl --output train-negatives.jsonl --model runs/search-telly-mini-k9-s0

The five best documents per query that are no answer, by this model; later runs read its embeddings from the disk.

  telly data negatives train.jsonl -o hard.jsonl --model DIR --freeze 9 --count 8 --min-rank 10

Runs the nine lower layers once: `telly tune search --data hard.jsonl --freeze 9` finds their states in the cache.

  telly data negatives train.jsonl -o words.jsonl --bm25
"""


@app.command(cls=SectionedCommand, epilog=NEGATIVES_EPILOG)
def negatives(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Data of search: a file, folder or hub data set.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="JSON lines file to write.")],
    model: Annotated[
        str | None,
        typer.Option(help="A run's folder, a model folder, a hub id or telly-mini. [default: search's newest run]"),
    ] = None,
    bm25: Annotated[bool, typer.Option("--bm25", help="Rank by words (BM25), without a model.")] = False,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Maximum number of negatives per query.")] = 5,
    min_rank: Annotated[int, typer.Option(min=1, metavar="N", help="Rank of the first candidate.")] = 1,
    max_rank: Annotated[int, typer.Option(min=1, metavar="N", help="Rank of the last candidate.")] = 100,
    relative_margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="X",
            help="Leave out candidates that score above (1 - X) times the positive. [default: 0.05; with --bm25 none]",
            show_default=False,
        ),
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(metavar="X", help="Highest score of a negative. [default: none]")
    ] = None,
    near_copies: Annotated[
        bool, typer.Option("--near-copies", help="Allow near-copies of an answer as negatives.")
    ] = False,
    freeze: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="K",
            help="Compute the states of the first K layers once and keep them in the activation cache. "
            "[default: the run's K, if its cache is there]",
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="NAME=COLUMN", help="Read NAME from the data's COLUMN; repeatable."),
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of activation caches and embeddings. [default: in the user's cache folder]"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Add hard negatives to search data: documents that rank high for a query without being its answer.

    Writes all columns of DATA and the list `negatives`, from which `telly tune search` trains. An interrupted command
    reads the embeddings that it has computed.
    """
    from telly.data.schema import parse_mapping
    from telly.settings.resolve import default_cache_dir
    from telly.tasks import get_spec
    from telly.using.choice import choose
    from telly.using.negatives import BM25_MODEL, TASK, NegativeSettings, mine_negatives

    if bm25 and (model is not None or freeze is not None):
        raise ConfigError("--bm25 ranks by words, without a model; leave out --model and --freeze, or --bm25")
    margin = relative_margin if bm25 or relative_margin is not None else NegativeSettings.relative_margin
    settings = NegativeSettings(count, min_rank, max_rank, margin, max_score, near_copies)
    if bm25:
        ranked_by = BM25_MODEL
    else:
        choice = choose(TASK, model)
        logger.info("%s", choice.message)
        ranked_by = choice.model
    report = mine_negatives(
        data,
        output,
        settings,
        model=ranked_by,
        cache_dir=cache_dir or default_cache_dir(),
        freeze=freeze,
        columns=parse_mapping(mapping or [], get_spec(TASK).schema),
        overwrite=overwrite,
    )
    typer.echo(json.dumps(asdict(report), indent=1) if as_json else _negatives_summary(report))


def _negatives_summary(report: NegativesReport) -> str:
    """Text about the file, the queries that got fewer negatives and why, and the next command."""
    count, queries = report.settings.count, report.queries
    lines = [
        f"{report.file}: {report.rows:,} rows, {report.negatives:,} negatives for {queries:,} queries among "
        f"{report.documents:,} documents, ranked by {report.model}"
    ]
    if report.cached_layers is not None:
        lines.append(f"the states of {report.cached_layers} frozen layers came from the activation cache")
    if report.short_queries:
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in report.short.items())
        lines.append(
            f"{report.short_queries:,} of {queries:,} have fewer than {count}, {report.without:,} of them none; "
            f"by reason: {reasons}"
        )
    lines.append(f"next: {shlex.join(['telly', 'tune', 'search', '--data', report.file])} --valid VALID")
    return "\n".join(lines)


def _mining_summary(mined: Mined, task: str) -> str:
    """Table of what was mined, remarks about it, and the next command."""
    from telly.mining.repository.mine import summary_lines

    lines = summary_lines(mined)
    folder = shlex.quote(str(mined.folder))
    if not mined.empty_splits:
        lines.append(f"next: telly tune {task} --data {folder} --valid {folder} --test {folder} --freeze 9")
    return "\n".join(lines)


def _summary(report: ValidationReport) -> str:
    """One line with the number of rows, files and problems."""
    rows, files, problems = sum(report.rows.values()), len(report.rows), len(report.problems)
    checked = f"{rows:,} row{'s' * (rows != 1)} in {files} file{'s' * (files != 1)}"
    if not problems:
        return f"{checked}: no problems"
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in report.counts().items())
    return f"{checked}: {problems:,} problem{'s' * (problems != 1)} ({kinds})"
