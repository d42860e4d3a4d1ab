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
from telly.report.runs import StoredResult
from telly.report.sheet import Cell, Column, Table

_OPTIONS = {"models": "model", "probes": "probe", "others": "with"}
"""Settings whose option has another name."""
_NO_OPTIONS = {"resamples"}
Result = TypeVar("Result")


def probe_sheet(stored: StoredResult, name: str) -> Table:
    """The best layer of every model in every probe, beside the mix of all layers and the baselines."""
    columns = (Column("probe"), Column("model"), Column("metric"), Column("best layer"), Column("score", 3),
               Column("control", 3), Column("all layers mixed", 3), Column("mostly layer"),
               Column("above baselines"))  # fmt: skip
    rows = []
    for result in _probes(stored):
        for model in result.models:
            best = max(model.layers, key=lambda layer: layer.metrics[result.metric].mean)
            heaviest = max(zip(model.weights, model.layers, strict=False), key=lambda pair: pair[0])
            rows.append((Cell(result.probe), Cell(short_name(model.model)), Cell(result.metric), Cell(best.layer),
                         _spread(best.metrics[result.metric]), _control(best),
                         _spread(model.weighted[result.metric]), Cell(f"{heaviest[1].layer} ({heaviest[0]:.0%})"),
                         Cell("yes" if model.above_baselines else "no")))  # fmt: skip
        for baseline in result.baselines:
            rows.append((Cell(result.probe), Cell(baseline.layer), Cell(result.metric), Cell(None),
                         _spread(baseline.metrics[result.metric]), _control(baseline),
                         Cell(None), Cell(None), Cell(None)))  # fmt: skip
    notes = ("Brackets: 95 % intervals over seeds. control: the same probe on shuffled labels. above baselines: the "
             "best layer's interval lies above every baseline and above random weights.",)  # fmt: skip
    return Table(name, f"What layers tell: {stored.folder}", columns, tuple(rows), (), notes)


def similarity_sheet(stored: StoredResult, name: str) -> Table:
    """Similarity of the layers of the same number."""
    result = _comparison(stored)
    columns = (Column("against"), Column("layer"), Column("RSA (Pearson)", 3), Column("RSA (Spearman)", 3),
               Column("CKA", 3), Column("Procrustes", 3))  # fmt: skip
    rows = []
    for comparison in result.comparisons:
        for entry in comparison.layers:
            found = entry.rsa
            interval = None if found.low is None or found.high is None else Interval(found.low, found.high)
            rows.append((Cell(short_name(comparison.other)), Cell(entry.layer), Cell(found.pearson, interval),
                         Cell(found.spearman), Cell(entry.cka), Cell(entry.procrustes)))  # fmt: skip
    notes = tuple(dict.fromkeys(f"{short_name(c.other)}: {remark}" for c in result.comparisons for remark in c.remarks))
    told = f"{result.texts:,} texts, {result.form} of the states. Procrustes is a distance: 0 is equal."
    title = f"Similarity of layers: {short_name(result.model)} against others"
    return Table(name, title, columns, tuple(rows), (), (told, *notes))


def draw_probe_figures(stored: StoredResult, folder: Path, with_paper: bool) -> list[Path]:
    """The figures of `telly probe`; the files, SVG before PNG."""
    return draw_probes(_probes(stored), folder, with_paper=with_paper)


def draw_similarity_figures(stored: StoredResult, folder: Path, with_paper: bool) -> list[Path]:
    """The figures of `telly compare`; the files, SVG before PNG."""
    return draw_comparison(_comparison(stored), folder, with_paper=with_paper)


def command(stored: StoredResult, verb: str) -> str:
    """The command that gives such results, with all its settings."""
    words = ["telly", verb]
    for name, value in (stored.content.get("settings") or {}).items():
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        if name in _NO_OPTIONS or value is None or value is False:
            continue
        if value is True:
            words.append(option)
            continue
        for one in value if isinstance(value, list) else [value]:
            words += [option, str(one)]
    return shlex.join([*words, "--output", f"{stored.folder}-again"])


def _spread(spread: Spread) -> Cell:
    known = spread.low < spread.high
    return Cell(spread.mean, Interval(spread.low, spread.high) if known else None)


def _control(score: LayerScore) -> Cell:
    return Cell(None if score.control is None else score.control.mean)


def _probes(stored: StoredResult) -> list[ProbeResult]:
    return _typed(list[ProbeResult], stored.content["probes"], stored.folder / PROBING_FILE)


def _comparison(stored: StoredResult) -> CompareResult:
    return _typed(CompareResult, stored.content, stored.folder / COMPARE_FILE)


def _typed(kind: type[Result], content: Any, file: Path) -> Result:
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{file}: {where}: {first['msg']}; it is of another version, run the command again") from None
