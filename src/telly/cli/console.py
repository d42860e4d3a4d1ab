"""Tables in the terminal; missing values are shown as a dash."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from telly.markdown import DASH
from telly.metrics.table import METRICS, truncated_name
from telly.training.clocks import CLOCKS

if TYPE_CHECKING:  # `telly score` must not import torch
    from telly.freezing.cost import VariantCost
    from telly.freezing.inventory import CacheEntry
    from telly.inference.embedding_cache import EmbeddingEntry
    from telly.runs.record import RunRecord
    from telly.studies.table import StudyTable


def print_records(records: Sequence[RunRecord]) -> None:
    """Print results of runs, one line per run, with their baselines; then their seconds by clock."""
    console = _console()
    base = next((r for r in records if r.is_base), None)
    names = [name for name in records[0].test or {} if name in METRICS]  # counts are printed below the table
    names = [name for name in names if not METRICS[name].detail or name == records[0].metric]
    results = _table("Results", ["run", "trained", "%", "s/epoch", "total s", "peak MB", *names, "speed-up"])
    for name, metrics in _baselines(records).items():
        results.add_row(name, *[DASH] * 5, *(f"{metrics[m]:.4f}" if m in metrics else DASH for m in names), DASH)
    for record in records:
        results.add_row(*_result_row(record, base, names))
        for size, metrics in record.test_truncated.items():
            scores = (_number(metrics.get(name), 4) for name in names)
            results.add_row(truncated_name(record.variant, size), *[DASH] * 5, *scores, DASH)
    console.print(results)
    for record in records:
        counts = {name: value for name, value in (record.test or {}).items() if name not in METRICS}
        if counts:
            text = ", ".join(f"{name.replace('_', ' ')} {value:,.0f}" for name, value in counts.items())
            console.print(f"{record.variant}: {text}")
    if any(record.tested_on == "valid" for record in records):
        console.print("There was no test data: scores are on the validation data, which also chose the best epoch.")
    clocks = _table("Seconds by clock", ["run", *CLOCKS, "total"])
    for record in records:
        clocks.add_row(record.variant, *(_number(record.clocks.get(c), 1) for c in CLOCKS),
                       _number(record.wall_seconds, 1))  # fmt: skip
    console.print(clocks)
    if base is not None and len(records) > 1:
        console.print(
            "speed-up: seconds per epoch of base divided by those of the run; in brackets, the same for the total time."
        )


def _result_row(record: RunRecord, base: RunRecord | None, names: Sequence[str]) -> list[str]:
    metrics = record.test or {}
    trainable, total = record.trainable, record.plan and record.plan.total
    return [
        record.variant,
        f"{trainable:,}" if trainable else DASH,
        f"{100 * trainable / total:.1f}" if trainable and total else DASH,
        _number(record.epoch_seconds, 2),
        _number(record.wall_seconds, 1),
        _number(record.peak_memory_bytes and record.peak_memory_bytes / 1e6, 0),
        *(_number(metrics.get(name), 4) for name in names),
        _speed_up(record, base),
    ]


def _speed_up(record: RunRecord, base: RunRecord | None) -> str:
    if base is None or not (base.epoch_seconds and record.epoch_seconds):
        return DASH
    totals = base.wall_seconds / record.wall_seconds if base.wall_seconds and record.wall_seconds else None
    return f"{base.epoch_seconds / record.epoch_seconds:.1f}x ({_number(totals, 1)}x)"


def _baselines(records: Sequence[RunRecord]) -> dict[str, dict[str, float]]:
    return records[0].baselines


def print_costs(name: str, costs: Sequence[VariantCost]) -> None:
    """Print the freeze plan of a model, one line per variant."""
    estimated = any(cost.epoch_seconds is not None for cost in costs)
    header = ["K", "trained", "%"]
    if estimated:
        header += ["peak MB", "cached", "cache MB", "s/epoch", "cached"]
    table = _table(f"{name}: {len(costs) - 1} layers", header)
    for cost in costs:
        row = [cost.variant, f"{cost.trainable:,}", f"{cost.percent:.2f}"]
        if estimated:
            row += [_megabytes(cost.peak_bytes), _megabytes(cost.peak_bytes_cached), _megabytes(cost.cache_bytes),
                    _number(cost.epoch_seconds, 1), _number(cost.epoch_seconds_cached, 1)]  # fmt: skip
        table.add_row(*row)
    console = _console()
    console.print(table)
    if estimated:
        console.print("Estimates for this machine, intended to be right within a factor of two.")


def print_advice(advice: Mapping[str, Any]) -> None:
    """Print `advice.json`: a table of all variants, then reason, saving and risk of the recommended one."""
    columns = ["K", "trained", "s, predicted", "peak MB", "similarity", "pilot", "against base", "expected", ""]
    table = _table(f"{advice['settings']['task']}, {Path(advice['settings']['model']).name}", columns)
    reference = advice["reference"]
    for option in advice["options"]:
        measured, expected = option["measured"], option["expected"]
        remark = "" if option["fits"] else "over budget"
        table.add_row(
            option["variant"],
            f"{option['trainable']:,}",
            _number(option["seconds"], 0),
            _number(option["peak_bytes"] / 1e6, 0),
            _number(option["similarity"], 4),
            _number(option["score"], METRICS[advice["metric"]].digits),
            DASH if measured is None else f"{-100 * measured['loss']:+.1f} %",
            DASH if expected is None else f"{-100 * expected['loss']:+.1f} ± {200 * expected['sd']:.1f} %",
            "<- advised" if option["variant"] == advice["variant"] else remark,
        )
    console = _console()
    console.print(table)
    scored = f"pilot: {advice['metric']} on {advice['valid_examples']} examples, tuned on {advice['train_examples']}"
    against = "" if reference == "base" else f"; compared with K={reference}, because base does not fit into memory"
    lines = [
        f"{scored}{against}. Seconds cover training and one pass through the frozen layers.",
        f"\nreason: {' '.join(advice['reason'])}",
        f"\nsaving: {100 * advice['saved']:.0f} % of base's training time, after the {advice['seconds']:.0f} s of this "
        "advice (predicted).",
        f"\nrisk: {' '.join(advice['risk'])}",
        f"\nrun: {advice['command']}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_study(table: StudyTable, *, err: bool = False) -> None:
    """Print the table of one model and task of a study, on stderr while the study is running."""
    terminal_table = _table(table.title, table.columns)
    for row in table.rows:
        terminal_table.add_row(*row)
    console = _console(err)
    console.print(terminal_table)
    if table.note:
        console.print(table.note, highlight=False, markup=False, soft_wrap=True)


def print_caches(root: Path, entries: Sequence[CacheEntry]) -> None:
    """Print the activation caches in a folder."""
    table = _table(str(root), ["cache", "layer", "dtype", "sequences", "tokens", "MB", "complete", "last written"])
    for entry in entries:
        modified = dt.datetime.fromtimestamp(entry.modified).isoformat(" ", "minutes")
        values = (entry.layer, entry.dtype, entry.rows, entry.tokens)
        cells = (DASH if value is None else f"{value:,}" if isinstance(value, int) else value for value in values)
        complete = "yes" if entry.complete else "no"
        table.add_row(entry.folder.name, *cells, _megabytes(entry.nbytes), complete, modified)
    console = _console()
    console.print(table)
    console.print(f"{len(entries)} activation caches, {sum(e.nbytes for e in entries) / 1e6:.1f} MB")


def print_embeddings(entries: Sequence[EmbeddingEntry]) -> None:
    """Print the embeddings that are kept beside the activation caches."""
    table = _table(str(entries[0].folder.parent), ["embeddings", "texts", "MB", "last written"])
    for entry in entries:
        modified = dt.datetime.fromtimestamp(entry.modified).isoformat(" ", "minutes")
        table.add_row(entry.folder.name, f"{entry.texts:,}", _megabytes(entry.nbytes), modified)
    _console().print(table)


def print_scores(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """Print metrics of predictions, one line each, and notes about them."""
    table = _table(
        escape(title), [escape(column) for column in columns]
    )  # file names may contain brackets, which are markup
    for row in rows:
        table.add_row(*row)
    console = _console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def _console(err: bool = False) -> Console:
    """Console on stdout or stderr; 140 columns wide if that is not a terminal, so that no table is cut."""
    console = Console(stderr=err)
    return console if console.is_terminal else Console(width=140, stderr=err)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, box=box.SIMPLE, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    return table


def _number(value: Any, digits: int) -> str:
    return DASH if value is None else f"{value:,.{digits}f}"


def _megabytes(value: int | None) -> str:
    return _number(None if value is None else value / 1e6, 1)
