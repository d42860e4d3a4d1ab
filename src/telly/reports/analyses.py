"""Results of `telly probe` and `telly compare` in a report: their tables, figures and commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from telly.analysis import COMPARE_FILE, PROBING_FILE
from telly.analysis.compare import CompareResult
from telly.analysis.figures import draw_comparison, draw_probes
from telly.analysis.probing import LayerScore, ProbeResult, Spread
from telly.errors import DataError
from telly.metrics.interval import Interval
from telly.plots import short_name
from telly.reports.scan import StoredResult
from telly.reports.table import Table, TableCell, TableColumn

_OPTIONS = {"models": "model", "probes": "probe", "others": "with"}
"""Names of options by setting, where they differ."""
_NO_OPTIONS = {"resamples"}
"""Settings without an option."""
Result = TypeVar("Result")


def probe_table(stored: StoredResult, name: str) -> Table:
    """The best layer of every model in every probe, beside the mix of all layers and the baselines."""
    columns = (
        TableColumn("probe"),
        TableColumn("model"),
        TableColumn("metric"),
        TableColumn("best layer"),
        TableColumn("score", 3),
        TableColumn("control", 3),
        TableColumn("all layers mixed", 3),
        TableColumn("mostly layer"),
        TableColumn("above baselines"),
    )
    rows = []
    for result in _probes(stored):
        for model in result.models:
            best = max(model.layers, key=lambda layer: layer.metrics[result.metric].mean)
            heaviest = max(zip(model.weights, model.layers, strict=False), key=lambda pair: pair[0])
            rows.append(
                (
                    TableCell(result.probe),
                    TableCell(short_name(model.model)),
                    TableCell(result.metric),
                    TableCell(best.layer),
                    _spread(best.metrics[result.metric]),
                    _control(best),
                    _spread(model.weighted[result.metric]),
                    TableCell(f"{heaviest[1].layer} ({heaviest[0]:.0%})"),
                    TableCell("yes" if model.above_baselines else "no"),
                )
            )
        for baseline in result.baselines:
            rows.append(
                (
                    TableCell(result.probe),
                    TableCell(baseline.layer),
                    TableCell(result.metric),
                    TableCell(None),
                    _spread(baseline.metrics[result.metric]),
                    _control(baseline),
                    TableCell(None),
                    TableCell(None),
                    TableCell(None),
                )
            )
    notes = (
        "Brackets: 95 % intervals over seeds. control: the same probe on shuffled labels. above baselines: the "
        "interval of the best layer is above all baselines and random weights.",
    )
    return Table(name, f"Probes of layers: {stored.folder}", columns, tuple(rows), (), notes)


def similarity_table(stored: StoredResult, name: str) -> Table:
    """Similarity of layers with the same index, model by model."""
    result = _comparison(stored)
    columns = (
        TableColumn("against"),
        TableColumn("layer"),
        TableColumn("RSA (Pearson)", 3),
        TableColumn("RSA (Spearman)", 3),
        TableColumn("CKA", 3),
        TableColumn("Procrustes", 3),
    )
    rows = []
    for comparison in result.comparisons:
        for entry in comparison.layers:
            rsa = entry.rsa
            interval = None if rsa.low is None or rsa.high is None else Interval(rsa.low, rsa.high)
            rows.append(
                (
                    TableCell(short_name(comparison.other)),
                    TableCell(entry.layer),
                    TableCell(rsa.pearson, interval),
                    TableCell(rsa.spearman),
                    TableCell(entry.cka),
                    TableCell(entry.procrustes),
                )
            )
    notes = tuple(dict.fromkeys(f"{short_name(c.other)}: {remark}" for c in result.comparisons for remark in c.remarks))
    about = f"{result.texts:,} texts, {result.form} of the states. Procrustes is a distance: 0 is equal."
    title = f"Similarity of layers: {short_name(result.model)} against others"
    return Table(name, title, columns, tuple(rows), (), (about, *notes))


def draw_probe_figures(stored: StoredResult, folder: Path, with_paper: bool) -> list[Path]:
    """Draw the figures of `telly probe`; returns the files, SVG before PNG."""
    return draw_probes(_probes(stored), folder, with_paper=with_paper)


def draw_similarity_figures(stored: StoredResult, folder: Path, with_paper: bool) -> list[Path]:
    """Draw the figures of `telly compare`; returns the files, SVG before PNG."""
    return draw_comparison(_comparison(stored), folder, with_paper=with_paper)


def command(stored: StoredResult, verb: str) -> str:
    """The command that repeats an analysis, with all its settings."""
    words = ["telly", verb]
    for name, value in (stored.content.get("settings") or {}).items():
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        if name in _NO_OPTIONS or value is None or value is False:
            continue
        if value is True:
            words.append(option)
            continue
        for item in value if isinstance(value, list) else [value]:
            words += [option, str(item)]
    return shlex.join([*words, "--output", f"{stored.folder}-again"])


def _spread(spread: Spread) -> TableCell:
    known = spread.low < spread.high
    return TableCell(spread.mean, Interval(spread.low, spread.high) if known else None)


def _control(score: LayerScore) -> TableCell:
    return TableCell(None if score.control is None else score.control.mean)


def _probes(stored: StoredResult) -> list[ProbeResult]:
    return _typed(list[ProbeResult], stored.content["probes"], stored.folder / PROBING_FILE)


def _comparison(stored: StoredResult) -> CompareResult:
    return _typed(CompareResult, stored.content, stored.folder / COMPARE_FILE)


def _typed(kind: type[Result], content: Any, file: Path) -> Result:
    """Results as objects, from their JSON values.

    Raises:
        DataError: the values do not fit.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{file}: {where}: {first['msg']}; another version of telly wrote it; run the command again"
        ) from None
