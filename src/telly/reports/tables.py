"""The tables of a report: results, differences, clocks, the paper's numbers, probes, similarity, provenance."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial

from telly.analysis.published import IRREPRODUCIBLE_MARK, IRREPRODUCIBLE_NOTE, Published
from telly.freezing.variants import Method
from telly.metrics.interval import Interval
from telly.metrics.significance import MODELS_NOTE
from telly.metrics.table import METRICS, truncated_name
from telly.reports.groups import ComparisonGroup, ResultRow
from telly.reports.scan import ScanResult
from telly.reports.scores import GroupScores
from telly.reports.table import Table, TableCell, TableColumn
from telly.runs.find import LeftOut, StoredRun
from telly.runs.record import RunRecord
from telly.training.clocks import CLOCKS

Quantity = Callable[[RunRecord], float | None]

COSTS: tuple[tuple[TableColumn, Quantity], ...] = (
    (TableColumn("trained", 0, False), lambda r: r.trainable),
    (TableColumn("s/epoch", 2, False), lambda r: r.epoch_seconds),
    (TableColumn("convergence s", 1, False), lambda r: r.convergence_seconds),
    (TableColumn("total s", 1, False), lambda r: r.total_seconds),
    (TableColumn("peak MB", 0, False), lambda r: r.peak_memory_bytes / 1e6 if r.peak_memory_bytes else None),
)
"""Costs of a run, in the order of the paper's tables; less is better for all."""
COST_NOTE = (
    "trained: parameters. s/epoch: median over epochs, training alone. convergence s: training up to the end of the "
    "best epoch. total s: the whole run, including the pass through the frozen layers, evaluation and saving. Arrows: "
    "change from base."
)

INTERVAL_NOTE = (
    "Brackets: 95 % intervals. With several seeds they cover test examples and training, with one seed only test "
    "examples."
)


def stem(text: str) -> str:
    """Make a text usable as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def metric_column(name: str) -> TableColumn:
    """A column for a metric, with its unit and direction."""
    metric = METRICS[name]
    return TableColumn(f"{name} (%)" if metric.percentage else name, metric.digits, metric.greater_is_better)


def results(group: ComparisonGroup, scores: GroupScores, name: str) -> Table:
    """The table of results: methods without a trained model, then one row per setting."""
    several = len(group.models) > 1
    # a tuple times False is empty: with a single model the column is left out
    columns = (TableColumn("model"),) * several + (
        TableColumn("run"),
        TableColumn("seeds", 0),
        *(column for column, _ in COSTS),
        *map(metric_column, group.metrics),
    )
    rows: list[tuple[TableCell, ...]] = []
    hints = []
    for model in group.models:
        for baseline, metrics in group.baselines(model).items():
            lead = (TableCell(model),) * several + (
                TableCell(baseline),
                TableCell(None),
                *(TableCell(None) for _ in COSTS),
            )
            rows.append((*lead, *(TableCell(metrics.get(metric)) for metric in group.metrics)))
            hints.append(f"{baseline}: not tuned, beside the runs of {model}")
    for index, row in enumerate(group.rows):
        base = group.base_of(row)
        lead = (TableCell(row.model),) * several + (
            TableCell(row.label),
            TableCell(len(row.runs), hint=_joined(row.seeds)),
        )
        costs = (_with_change(row.mean(cost), base.mean(cost) if base else None) for _, cost in COSTS)
        rows.append((*lead, *costs, *(_score(row, base, index, metric, scores) for metric in group.metrics)))
        hints.append(row_hint(row))
        for size in row.truncated_sizes:
            lead = (TableCell(row.model),) * several + (TableCell(truncated_name(row.label, size)), TableCell(None))
            values = (TableCell(row.mean(partial(_truncated_metric, size, metric))) for metric in group.metrics)
            rows.append((*lead, *(TableCell(None) for _ in COSTS), *values))
            hints.append(f"{row.name}: the first {size} dimensions of the embeddings alone")
    notes = [COST_NOTE, INTERVAL_NOTE]
    if any(len(row.runs) == 1 for row in group.rows):
        notes.append(MODELS_NOTE)
    if scores.without:
        names = "; ".join(row.name for row in scores.without)
        notes.append(f"Without interval, since the runs have no per-example scores: {names}.")
    return Table(name, f"Results: {group.title}", columns, tuple(rows), tuple(hints), (*notes, *group.notes))


def _truncated_metric(size: int, metric: str, record: RunRecord) -> float | None:
    return record.test_truncated.get(size, {}).get(metric)


def row_hint(row: ResultRow) -> str:
    """The text shown on hovering over a row or a point."""
    folders = ", ".join(str(run.folder) for run in row.runs)
    return f"{row.name}; seeds {_joined(row.seeds)}; {folders}"


def _joined(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _with_change(value: float | None, base: float | None) -> TableCell:
    change = None if value is None or not base else value / base - 1
    return TableCell(value, change=change)


def _score(row: ResultRow, base: ResultRow | None, index: int, metric: str, scores: GroupScores) -> TableCell:
    cell = _with_change(row.metric(metric), base.metric(metric) if base else None)
    difference = scores.differences.get((index, metric))
    hint = difference.sentence(row.label, metric, METRICS[metric].digits) if difference else ""
    return TableCell(cell.value, scores.intervals.get((index, metric)), cell.change, hint=hint)


def differences(group: ComparisonGroup, scores: GroupScores, name: str, margin: float) -> Table | None:
    """The table of differences to base with their tests; None if there are none."""
    several = len(group.models) > 1
    tests = (
        TableColumn("difference", 4),
        TableColumn("p", 4),
        TableColumn("p, corrected", 4),
        TableColumn("p similar", 4),
        TableColumn("p similar, corrected", 4),
        TableColumn("verdict"),
        TableColumn("compared"),
    )
    columns = (TableColumn("model"),) * several + (TableColumn("run"), TableColumn("metric"), *tests)
    rows, hints = [], []
    for (index, metric), difference in scores.differences.items():
        row = group.rows[index]
        lead = (TableCell(row.model),) * several + (TableCell(row.label), TableCell(metric))
        rows.append(
            (
                *lead,
                TableCell(difference.difference, difference.interval, signed=True),
                TableCell(difference.p),
                TableCell(difference.corrected),
                TableCell(difference.p_similar),
                TableCell(difference.corrected_similar),
                TableCell(difference.verdict.value),
                TableCell(difference.compared),
            )
        )
        hints.append(difference.sentence(row.name, metric, METRICS[metric].digits))
    if not rows:
        return None
    notes = [
        "Differences on the same test examples; with several seeds on both sides they cover training as well. "
        f"p corrected by Holm for all {scores.comparisons} differences of this page. Brackets are not corrected.",
        f"Similar or better: corrected p similar below .05, that is, shown to lose less than {100 * margin:g} % of "
        "base's value. Better, worse: corrected p below .05. Not decided: the data allow neither conclusion.",
    ]
    if any(not difference.compares_methods for difference in scores.differences.values()):
        notes.append(MODELS_NOTE)
    return Table(name, f"Differences to base: {group.title}", columns, tuple(rows), tuple(hints), tuple(notes))


def against_untuned(group: ComparisonGroup, name: str) -> Table | None:
    """The table of every run's verdict against the untuned model; None if no run has one."""
    several = len(group.models) > 1
    texts = (TableColumn("run"), TableColumn("seed", 0), TableColumn("metric"))
    numbers = (TableColumn("tuned", 4), TableColumn("untuned", 4), TableColumn("difference", 4))
    columns = (TableColumn("model"),) * several + (*texts, *numbers, TableColumn("verdict"))
    rows, hints = [], []
    for row in group.rows:
        for run in row.runs:
            compared = run.record.verdict
            if compared is None:
                continue
            interval = Interval(compared.low, compared.high)
            rows.append(
                (
                    *(TableCell(row.model),) * several,
                    TableCell(row.label),
                    TableCell(run.seed),
                    TableCell(compared.metric),
                    TableCell(compared.tuned),
                    TableCell(compared.untuned),
                    TableCell(compared.difference, interval, signed=True),
                    TableCell(compared.verdict.value),
                )
            )
            hints.append(f"{row.name}: {compared.sentence}")
    if not rows:
        return None
    note = (
        "One run against the model it started from, on the same test examples. Brackets: 95 % intervals by the paired "
        "bootstrap, not corrected for the number of runs. Better, worse: the interval excludes zero."
    )
    compared_runs = (run.record.verdict for row in group.rows for run in row.runs if run.record.verdict is not None)
    notes = (note, *dict.fromkeys(f"{text[0].upper()}{text[1:]}." for one in compared_runs for text in one.notes))
    return Table(name, f"Against untuned: {group.title}", columns, tuple(rows), tuple(hints), notes)


def clocks(group: ComparisonGroup, name: str) -> Table:
    """The table of mean seconds by clock."""
    several = len(group.models) > 1
    names = (*CLOCKS, "total", "waiting")
    columns = (TableColumn("model"),) * several + (
        TableColumn("run"),
        *(TableColumn(clock, 1, False) for clock in names),
    )
    rows = []
    for row in group.rows:
        lead = (TableCell(row.model),) * several + (TableCell(row.label),)
        parts = (TableCell(row.mean(lambda r, clock=clock: r.clocks.get(clock))) for clock in CLOCKS)  # type: ignore[misc]
        rows.append(
            (
                *lead,
                *parts,
                TableCell(row.mean(lambda r: r.wall_seconds)),
                TableCell(row.mean(lambda r: r.cache_wait_seconds)),
            )
        )
    notes = (
        "Clocks exclude each other and sum to the total of a run's last session. waiting: seconds for which training "
        "waited for cached states, part of train.",
    )
    return Table(
        name, f"Seconds by clock: {group.title}", columns, tuple(rows), tuple(map(row_hint, group.rows)), notes
    )


def beside_paper(group: ComparisonGroup, published: Sequence[Published], name: str) -> Table | None:
    """The table of changes from base beside the paper's; None if the paper lacks the task or the group lacks a base."""
    own = {f"own: {model}": _changes(group, model) for model in group.models}
    paper = _published_changes(published)
    keys = [key for changes in own.values() for key in changes]
    if not keys or not paper:
        return None
    sources = own | paper
    columns = (TableColumn("quantity"), TableColumn("run"), *(TableColumn(source, 1) for source in sources))
    marked = {name for row in published for name in row.irreproducible}
    rows = []
    for quantity, variant in dict.fromkeys(keys):
        cells = [_paper_cell(changes, quantity, variant) for changes in sources.values()]
        mark = f" {IRREPRODUCIBLE_MARK}" if quantity in marked else ""
        rows.append((TableCell(quantity + mark), TableCell(variant), *cells))
    notes = (
        "Change from base in per cent, since machines, data and the size of metrics differ. The paper's numbers: "
        "one seed, frozen layers run in every epoch; from its appendix and replication package.",
        *_irreproducible(published, {quantity for quantity, _ in keys}),
    )
    return Table(name, f"Beside the paper: {group.title}", columns, tuple(rows), (), notes)


def _paper_cell(changes: dict[tuple[str, str], float], quantity: str, variant: str) -> TableCell:
    """The change of a variant; the paper's `K=9` is shown beside both `K=9 cached` and `K=9 frozen`."""
    change = changes.get((quantity, variant), changes.get((quantity, variant.split(maxsplit=1)[0])))
    return TableCell(None if change is None else 100 * change, signed=True)


def _changes(group: ComparisonGroup, model: str) -> dict[tuple[str, str], float]:
    """Relative changes from base of a model's rows, by the name of the quantity and the row's label."""
    changes: dict[tuple[str, str], float] = {}
    costs = {column.name: cost for column, cost in COSTS if column.name in PAPER_COSTS}
    for row in group.rows:
        base = group.base_of(row)
        if row.model != model or base is None or row.method is not Method.FULL:
            continue  # the paper has no PEFT methods
        pairs = {name: (row.mean(cost), base.mean(cost)) for name, cost in costs.items()}
        pairs |= {metric: (row.metric(metric), base.metric(metric)) for metric in group.metrics}
        changes |= {
            (name, row.label): value / at_base - 1 for name, (value, at_base) in pairs.items() if value and at_base
        }
    return changes


PAPER = "paper: "
"""Prefix that marks a published source beside the user's own models."""
PAPER_COSTS: dict[str, Callable[[Published], float]] = {
    "trained": lambda row: row.trained_millions,
    "s/epoch": lambda row: row.epoch_seconds,
    "convergence s": lambda row: row.convergence_seconds,
}


def paper_values(row: Published) -> dict[str, float]:
    """Costs and metrics of a published row, by the names of this report's columns."""
    return {name: cost(row) for name, cost in PAPER_COSTS.items()} | row.metrics


def _published_changes(published: Sequence[Published]) -> dict[str, dict[tuple[str, str], float]]:
    by_source: dict[str, dict[tuple[str, str], float]] = {}
    bases = {(row.model, row.dataset): paper_values(row) for row in published if row.variant == "base"}
    for row in published:
        base = bases[row.model, row.dataset]
        if row.variant != "base":
            changes = {(name, f"K={row.variant}"): value / base[name] - 1 for name, value in paper_values(row).items()}
            by_source.setdefault(paper_source(row), {}).update(changes)
    return by_source


def paper_source(row: Published) -> str:
    """Short name of a published row's model and data."""
    return f"{PAPER}{row.model.rpartition('/')[2]}, {row.dataset}"


def published_tables(published: Sequence[Published]) -> list[Table]:
    """The paper's own tables, in the layout of `results`."""
    grouped: dict[str, list[Published]] = {}
    for row in published:
        grouped.setdefault(f"{row.task}, {paper_source(row).removeprefix(PAPER)}", []).append(row)
    tables = []
    for title, rows in grouped.items():
        base = paper_values(next(row for row in rows if row.variant == "base"))
        costs = (
            TableColumn("trained (M)", 2, False),
            TableColumn("s/epoch", 0, False),
            TableColumn("convergence s", 0, False),
        )
        columns = (TableColumn("run"), *costs, *(_paper_column(name, rows[0]) for name in rows[0].metrics))
        cells = [
            (
                TableCell("base" if row.variant == "base" else f"K={row.variant}"),
                *(_with_change(v, None if row.variant == "base" else base[n]) for n, v in paper_values(row).items()),
            )
            for row in rows
        ]
        notes = (f"Source: {rows[0].source}.", *_irreproducible(rows))
        tables.append(Table(stem(f"published {title}"), f"Published: {title}", columns, tuple(cells), (), notes))
    return tables


def _paper_column(name: str, row: Published) -> TableColumn:
    """A published metric's column, marked where its values cannot be reproduced."""
    column = metric_column(name)
    mark = f" {IRREPRODUCIBLE_MARK}" if name in row.irreproducible else ""
    return replace(column, name=column.name + mark)


def _irreproducible(published: Sequence[Published], metrics: Collection[str] | None = None) -> tuple[str, ...]:
    """The note on published values that cannot be reproduced; empty if none of the metrics has any."""
    marked = {name for row in published for name in row.irreproducible if metrics is None or name in metrics}
    return (f"{IRREPRODUCIBLE_MARK} {IRREPRODUCIBLE_NOTE}",) if marked else ()


def provenance(runs: Iterable[StoredRun]) -> Table:
    """The table of provenance: versions, machine and commands of every run."""
    texts = ("started", "commit", "versions", "machine")
    columns = (
        TableColumn("run"),
        TableColumn("folder", code=True),
        TableColumn("seed", 0),
        *map(TableColumn, texts),
        TableColumn("given", code=True),
        TableColumn("again", code=True),
    )
    rows = []
    for run in runs:
        record = run.record
        commit = (record.provenance.commit or "")[:12]
        commit += " + changes" if commit and record.provenance.dirty else ""
        versions = record.provenance.versions
        version_text = ", ".join(
            f"{name} {versions[name]}" for name in ("telly", "torch", "transformers", "python") if versions.get(name)
        )
        machine = f"{record.provenance.processor or '?'}, {record.device.threads if record.device else '?'} threads"
        rows.append(
            (
                TableCell(f"{record.config.task}, {record.variant}"),
                TableCell(str(run.folder)),
                TableCell(run.seed),
                TableCell(record.started[:19].replace("T", " ")),
                TableCell(commit or None),
                TableCell(version_text or None),
                TableCell(machine),
                TableCell(run.command),
                TableCell(run.repeat_command),
            )
        )
    notes = ("given: the command as typed. again: the same run with all settings resolved, in another folder.",)
    return Table(
        "provenance", "Provenance of every run, and the command that repeats it", columns, tuple(rows), (), notes
    )


def left_out(results: ScanResult, repeated: Sequence[LeftOut]) -> Table | None:
    """The table of runs that are in no other table, with the reason; None if there are none."""
    runs = [*results.left_out, *repeated]
    if not runs:
        return None
    rows = tuple((TableCell(str(run.folder)), TableCell(run.reason)) for run in runs)
    return Table(
        "left-out", "Runs that are in no table", (TableColumn("folder", code=True), TableColumn("reason")), rows
    )
