"""The figures of tuned models: quality against time, metrics over K, time by clock, learning curves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from telly.analysis.published import Published
from telly.freezing.variants import Method
from telly.metrics.table import METRICS
from telly.plots import PALETTE, new_figure, open_axes, save_figure, tip
from telly.reports.groups import ComparisonGroup, ResultRow
from telly.reports.scores import GroupScores
from telly.reports.tables import paper_source, row_hint
from telly.runs.record import RunRecord
from telly.training.clocks import CLOCKS

MARKERS = "osD^vPX"
LOG_FROM = 20
"""Ratio of the slowest to the fastest run above which the time axis is logarithmic."""


def draw_group(
    group: ComparisonGroup, scores: GroupScores, published: Sequence[Published], folder: Path
) -> dict[str, list[Path]]:
    """Draw all figures of a comparison group.

    Args:
        group: the runs.
        scores: intervals of their scores.
        published: rows of the paper to draw beside them; may be empty.
        folder: folder for the SVG and PNG files.

    Returns:
        the files by title, SVG first.
    """
    drawn = {
        "Quality against time": ("quality", _quality(group, scores)),
        "Learning curves": ("learning", _learning(group)),
        "Where the time goes": ("clocks", _clocks(group)),
    }
    if any(row.k is not None and row.method is not Method.HEAD_ONLY for row in group.rows):
        drawn["Metrics over K"] = ("over-k", _over_k(group, scores, published))
    return {
        title: save_figure(figure, folder / f"{name}.svg", folder / f"{name}.png")
        for title, (name, figure) in drawn.items()
        if figure is not None
    }


def pareto(points: Sequence[tuple[float, float]], greater_is_better: bool = True) -> list[int]:
    """Indices of the points that no other point beats in both time and quality, by rising time."""
    sign = 1 if greater_is_better else -1
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1]))
    front: list[int] = []
    for i in order:
        if not front or sign * points[i][1] > sign * points[front[-1]][1]:
            front.append(i)
    return front


def _quality(group: ComparisonGroup, scores: GroupScores) -> Any:
    metric = group.metrics[0]
    rows = [(i, row, row.mean(lambda r: r.total_seconds), row.metric(metric)) for i, row in enumerate(group.rows)]
    points = [(i, row, x, y) for i, row, x, y in rows if x is not None and y is not None]
    if not points:
        return None
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    front = pareto([(x, y) for _, _, x, y in points], METRICS[metric].greater_is_better)
    axes.step([points[i][2] for i in front], [points[i][3] for i in front], where="post", color="0.6", linewidth=1,
              linestyle="--", zorder=1, label="no run is faster and better")  # fmt: skip
    for position, (index, row, x, y) in enumerate(points):
        color = PALETTE[group.models.index(row.model) % len(PALETTE)]
        interval = scores.intervals.get((index, metric))
        if interval:
            axes.vlines(x, interval.low, interval.high, color=color, alpha=0.5, linewidth=1.5, zorder=2)
        hollow = {"markerfacecolor": "none"} if row.is_base else {}
        (point,) = axes.plot([x], [y], MARKERS[_marker_index(row)], color=color, markersize=8, zorder=3, **hollow)
        tip(point, f"{row_hint(row)}; {metric} {y:.{METRICS[metric].digits}f} in {x:,.1f} s")
        above = position % 2 == 0  # labels of neighbours overlap less if they alternate
        axes.annotate(row.label, (x, y), (6, 6 if above else -12),
                      textcoords="offset points", fontsize=7.5)  # fmt: skip
    ends = [end for index, _, _, y in points for end in _ends(scores, index, metric, y)]
    for index, model in enumerate(group.models):
        _baseline_lines(axes, group, model, metric, is_first=index == 0)
        if len(group.models) > 1:
            axes.plot([], [], "s", color=PALETTE[index % len(PALETTE)], label=model)
    times = [x for _, _, x, _ in points]
    if max(times) > LOG_FROM * min(times) > 0:
        axes.set_xscale("log")
    else:
        axes.set_xlim(0, max(times) * 1.18)
    lowest, highest = min(ends), max(ends)
    # baselines far from the runs are cut off: they would leave no room for the differences between runs
    span = max(highest - lowest, 0.02 * abs(highest))
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, lowest - 1.5 * span), min(high, highest + 1.5 * span))
    axes.set_xlabel("seconds of the whole run")
    axes.set_ylabel(_label(metric))
    _finish(axes, figure)
    return figure


def _ends(scores: GroupScores, index: int, metric: str, value: float) -> tuple[float, float]:
    """Ends of a point's interval, or the point itself if it has none."""
    interval = scores.intervals.get((index, metric))
    return (interval.low, interval.high) if interval else (value, value)


def _marker_index(row: ResultRow) -> int:
    """Index of a row's marker: that of base, cached, frozen, or its PEFT method."""
    if row.method is not Method.FULL:
        return 2 + list(Method).index(row.method)
    return 0 if row.is_base else 1 if "cached" in row.variant else 2


def _baseline_lines(axes: Any, group: ComparisonGroup, model: str, metric: str, is_first: bool) -> None:
    """Draw scores of methods without a trained model as lines, except those that the first model's lines show."""
    drawn = {} if is_first else group.baselines(group.models[0])
    for style, (name, metrics) in zip(
        (":", "-.", (0, (1, 4)), (0, (5, 5))), group.baselines(model).items(), strict=False
    ):
        if metric in metrics and drawn.get(name) != metrics:
            owner = f", {model}" if len(group.models) > 1 and name.startswith("untuned") else ""
            label = f"{name}{owner}: {metrics[metric]:.{METRICS[metric].digits}f}"
            axes.axhline(metrics[metric], linestyle=style, linewidth=1, color="0.3", label=label)


def _over_k(group: ComparisonGroup, scores: GroupScores, published: Sequence[Published]) -> Any:
    columns = min(2, len(group.metrics))
    lines = -(-len(group.metrics) // columns)  # rounded up
    figure = new_figure(max(5.6, 4.3 * columns), 3.3 * lines)
    panels = figure.subplots(lines, columns, squeeze=False).flat
    all_k = [row.k or 0 for row in group.rows if row.method is not Method.HEAD_ONLY]
    max_k = max(all_k + [int(p.variant) for p in published if p.variant != "base"])
    for axes, metric in zip(panels, group.metrics, strict=False):
        series = 0
        for model in group.models:
            for method, freezing in (
                (method, freezing)
                for method in Method
                if method is not Method.HEAD_ONLY
                for freezing in ("cached", "frozen")
            ):
                rows = [(i, row) for i, row in enumerate(group.rows) if row.model == model and row.k is not None
                        and row.method is method and freezing in row.variant
                        and row.metric(metric) is not None]  # fmt: skip
                variant = freezing if method is Method.FULL else f"{freezing}, {method}"
                label = f"{model}, {variant}" if len(group.models) > 1 else variant
                if rows:
                    _draw_series(axes, rows, metric, scores, series, label)
                series += bool(rows)
            _draw_base(axes, group, model, metric, scores)
        _draw_paper(axes, group, published, metric)
        axes.set_xlabel("K: frozen layers")
        axes.set_ylabel(_label(metric))
        axes.set_xlim(-0.5, max_k + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in list(figure.axes)[len(group.metrics) :]:
        axes.set_visible(False)
    for axes in figure.axes:
        open_axes(axes)
    if figure.axes[0].get_legend_handles_labels()[0]:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False,
                      fontsize=7.5)  # fmt: skip
    return figure


def _draw_series(
    axes: Any, rows: Sequence[tuple[int, ResultRow]], metric: str, scores: GroupScores, series: int, label: str
) -> None:
    color, shift = PALETTE[series % len(PALETTE)], 0.08 * (series - 0.5)  # so that intervals at one K do not overlap
    positions = [(row.k or 0) + shift for _, row in rows]
    values = [row.metric(metric) or 0.0 for _, row in rows]
    axes.plot(positions, values, linewidth=1, color=color, zorder=2)
    axes.plot([], [], f"-{MARKERS[series % len(MARKERS)]}", color=color, markersize=5, linewidth=1, label=label)
    for position, value, (index, row) in zip(positions, values, rows, strict=True):
        interval = scores.intervals.get((index, metric))
        if interval:
            axes.vlines(position, interval.low, interval.high, color=color, alpha=0.6, linewidth=1.5)
        (point,) = axes.plot([position], [value], MARKERS[series % len(MARKERS)], color=color, markersize=5, zorder=3)
        tip(point, f"{row_hint(row)}; {metric} {value:.{METRICS[metric].digits}f}")


def _draw_base(axes: Any, group: ComparisonGroup, model: str, metric: str, scores: GroupScores) -> None:
    """Draw base as a line over all K, with its interval as a band."""
    base = next((r for r in group.rows if r.model == model and r.is_base and r.metric(metric) is not None), None)
    if base is None:
        return
    label = "base" if len(group.models) == 1 else f"base, {model}"
    axes.axhline(base.metric(metric), color="0.3", linewidth=1, linestyle="--", label=label)
    interval = scores.intervals.get((group.rows.index(base), metric))
    if interval:
        axes.axhspan(interval.low, interval.high, color="0.6", alpha=0.15, linewidth=0)


def _draw_paper(axes: Any, group: ComparisonGroup, published: Sequence[Published], metric: str) -> None:
    """Draw the paper's curve, scaled to the base of these runs, since data and machine differ."""
    own_base = next((row.metric(metric) for row in group.rows if row.is_base), None) or 0.0
    sources: dict[str, list[Published]] = {}
    for row in published:
        if metric in row.metrics:
            sources.setdefault(paper_source(row), []).append(row)
    for index, (source, rows) in enumerate(sources.items() if own_base else ()):
        base = next(row.metrics[metric] for row in rows if row.variant == "base")
        frozen = [row for row in rows if row.variant != "base"]
        scaled = [own_base * row.metrics[metric] / base for row in frozen]
        doubt = " (cannot be reproduced)" if metric in rows[0].irreproducible else ""
        axes.plot([int(row.variant) for row in frozen], scaled, ":", linewidth=1.2,
                  color=PALETTE[(4 + index) % len(PALETTE)], label=f"{source}, relative to base{doubt}")  # fmt: skip


def _clocks(group: ComparisonGroup) -> Any:
    figure = new_figure(7.2, 1.1 + 0.34 * len(group.rows))
    axes = figure.subplots()
    names = [row.name if len(group.models) > 1 else row.label for row in group.rows]
    lefts = [0.0] * len(group.rows)
    for color, clock in zip(PALETTE, CLOCKS, strict=False):
        widths = [row.mean(lambda r, clock=clock: r.clocks.get(clock)) or 0.0 for row in group.rows]  # type: ignore[misc]
        bars = axes.barh(range(len(names)), widths, left=lefts, color=color, label=clock, height=0.7)
        for bar, row, width in zip(bars, group.rows, widths, strict=True):
            tip(bar, f"{row.name}: {clock} {width:,.1f} s")
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    open_axes(axes)
    figure.legend(loc="outside upper center", ncols=len(CLOCKS), frameon=False, fontsize=7.5, columnspacing=1.2)
    return figure


def _learning(group: ComparisonGroup) -> Any:
    metric = group.metrics[0]
    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    rows_drawn = 0
    for row in group.rows:
        color = PALETTE[rows_drawn % len(PALETTE)]
        label: str | None = row.name if len(group.models) > 1 else row.label
        for run in row.runs:
            curve = list(_curve(run.record, metric))
            if not curve:
                continue
            times, values = zip(*curve, strict=True)
            (line,) = axes.plot(times, values, color=color, linewidth=1.2, marker=MARKERS[rows_drawn % len(MARKERS)],
                                markersize=4, alpha=0.85, label=label)  # fmt: skip
            tip(line, f"{row.name}, seed {run.seed}; {run.folder}")
            label = None  # one entry in the legend for all seeds
        rows_drawn += label is None
    if not rows_drawn:
        return None
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds to the end of an epoch: loading, encoding, frozen layers, training; without evaluation")
    axes.set_ylabel(f"{_label(metric)}, validation")
    _finish(axes, figure)
    return figure


def _curve(record: RunRecord, metric: str) -> Iterable[tuple[float, float]]:
    """Seconds and validation score at the end of every epoch."""
    seconds = sum(record.clocks.get(clock, 0.0) for clock in ("load", "encode", "prefix"))
    for epoch in record.epochs:
        seconds += epoch.seconds
        if metric in epoch.valid:
            yield seconds, epoch.valid[metric]


def _label(metric: str) -> str:
    return f"{metric} (%)" if METRICS[metric].percentage else metric


def _finish(axes: Any, figure: Any) -> None:
    open_axes(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7.5)
