"""`telly.report`: one page of all results in some folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from telly.errors import ConfigError
from telly.metrics.significance import RESAMPLES
from telly.reports.build import MARGIN, Report, ReportConfig, build


def report(
    runs: str | Path | Sequence[str | Path],
    output: str | Path = "report",
    *,
    with_paper: bool = False,
    margin: float = MARGIN,
    resamples: int = RESAMPLES,
    title: str | None = None,
    command: str = "",
) -> Report:
    """Write a page of all results: tables, figures, tests, provenance.

    Example:
        >>> import telly
        >>> telly.report("runs").page
        PosixPath('report/report.html')

    Args:
        runs: folders or URLs with runs, probes or comparisons at any depth.
        output: folder of the report.
        with_paper: put the paper's numbers beside yours.
        margin: relative loss of base's score up to which a variant is called similar.
        resamples: minimum number of bootstrap resamples.
        title: heading of the page.
        command: command that makes the report again, shown on the page.

    Returns:
        the page, all files written, and the main statement of each section.

    Raises:
        ConfigError: there is nothing to report, or a value is out of range.
        DataError: a result cannot be read.
    """
    if not 0 < margin < 1:
        raise ConfigError(f"--margin: expected a number between 0 and 1, such as 0.01; found {margin}")
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output: {folder} is a file; expected a folder or a new name")
    sources = (runs,) if isinstance(runs, (str, Path)) else runs
    heading = {} if title is None else {"title": title}  # else the default of `ReportConfig`
    return build(ReportConfig(tuple(map(str, sources)), folder, with_paper, margin, resamples, command, **heading))
