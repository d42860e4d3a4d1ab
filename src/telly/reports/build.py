"""A report of results in folders: one page, and its tables and figures as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from telly.analysis.published import Published, telly_k
from telly.metrics.significance import MODELS_NOTE, RESAMPLES, Verdict
from telly.metrics.table import METRICS
from telly.plots import inline_svg, page_style
from telly.reports import tables
from telly.reports.earlier import replace_files
from telly.reports.fetch import local_folders
from telly.reports.figures import draw_group
from telly.reports.groups import ComparisonGroup, group_runs
from telly.reports.page import Drawing, Section, render
from telly.reports.scan import ScanResult, StoredResult, find_results
from telly.reports.scores import GroupScores, score_groups
from telly.reports.table import Table, to_csv, to_latex, to_markdown

PAGE_FILE, MARKDOWN_FILE = "report.html", "report.md"
MARGIN = 0.01
"""Relative loss of base's score up to which a variant is called similar."""


@dataclass(frozen=True)
class ReportConfig:
    """Settings of a report.

    Attributes:
        places: folders with results, or URLs of any kind that fsspec knows.
        output: the report's folder.
        with_paper: show the paper's numbers beside those of the runs.
        margin: relative loss of base's score up to which a variant is called similar.
        resamples: minimum number of bootstrap resamples.
        command: the command that repeats the report.
        title: heading of the page.
    """

    places: tuple[str, ...]
    output: Path
    with_paper: bool = False
    margin: float = MARGIN
    resamples: int = RESAMPLES
    command: str = ""
    title: str = "Tuning code models with frozen layers"


@dataclass(frozen=True)
class Report:
    """Files of a report, and its main results.

    Attributes:
        page: the HTML file.
        files: all files.
        leads: main result of each section in a sentence, by the section's title.
        left_out: number of runs that are in no table.
    """

    page: Path
    files: tuple[Path, ...]
    leads: dict[str, str] = field(default_factory=dict)
    left_out: int = 0


def build(config: ReportConfig) -> Report:
    """Read all results, write page, tables and figures, and remove files that only an earlier report had.

    Raises:
        ConfigError: there is nothing to report, a URL cannot be read, or matplotlib is not installed.
        DataError: a result cannot be read, or there is no room for copies of those behind a URL.
    """
    folders, copies = local_folders(config.places, config.output)
    results = find_results(folders)
    groups, repeated = group_runs(results.runs)
    figures = config.output / "figures"
    with page_style():
        scores = score_groups(groups, config.margin, config.resamples)
        sections = [
            _group_section(group, group_scores, number, config, figures)
            for number, (group, group_scores) in enumerate(zip(groups, scores, strict=True), start=1)
        ]
        sections += _analysis_sections(results, config, figures)
    if config.with_paper and (paper := _paper_section(groups)):
        sections.append(paper)
    provenance = [tables.provenance(results.runs)] if results.runs else []
    unused = tables.left_out(results, repeated)
    sections.append(
        Section("sources", "Provenance", tables=[*provenance, *([unused] if unused else [])], commands=[config.command])
    )
    subtitle = (
        f"{len(results.runs) - len(repeated)} finished runs; {len(unused.rows) if unused else 0} more are in no table."
    )
    files = _write(config, render(config.title, subtitle, sections), sections)
    leads = {section.title: section.lead for section in sections if section.lead}
    files += [*copies, *(file for section in sections for figure in section.figures for file in figure.files)]
    replace_files(config.output, files, spared=folders)
    return Report(config.output / PAGE_FILE, tuple(files), leads, len(unused.rows) if unused else 0)


def _group_section(
    group: ComparisonGroup, scores: GroupScores, number: int, config: ReportConfig, figures: Path
) -> Section:
    published = telly_k(group.task) if config.with_paper else []
    name = f"{tables.stem(group.task)}-{number}"
    drawn = draw_group(group, scores, published, figures / name)
    group_tables = [
        tables.results(group, scores, f"results-{name}"),
        tables.differences(group, scores, f"differences-{name}", config.margin),
        tables.against_untuned(group, f"untuned-{name}"),
        tables.clocks(group, f"clocks-{name}"),
        tables.beside_paper(group, published, f"paper-{name}") if published else None,
    ]
    statements = [
        (difference.verdict.value, difference.sentence(group.rows[row].name, metric, METRICS[metric].digits))
        for (row, metric), difference in scores.differences.items()
        if metric == group.metrics[0]
    ]
    return Section(name, group.title, lead(group, scores), statements, _inline(drawn, name),
                   [table for table in group_tables if table is not None])  # fmt: skip


def lead(group: ComparisonGroup, scores: GroupScores) -> str:
    """A sentence on the fastest row that is shown to be similar to base or better, and on its savings."""
    metric = group.metrics[0]
    candidates = []  # speed-up, index of the row, difference
    for (index, name), difference in scores.differences.items():
        row = group.rows[index]
        base = group.base_of(row)
        seconds, base_seconds = row.mean(lambda r: r.total_seconds), base and base.mean(lambda r: r.total_seconds)
        if name == metric and difference.verdict in (Verdict.BETTER, Verdict.SIMILAR) and seconds and base_seconds:
            candidates.append((base_seconds / seconds, index, difference))
    if not candidates:
        if not any(name == metric for _, name in scores.differences):
            return ""
        compares_methods = all(difference.compares_methods for difference in scores.differences.values())
        note = "" if compares_methods else f" {MODELS_NOTE}"
        return f"No setting is shown to be similar to base or better in {metric}.{note}"
    speedup, index, difference = max(candidates, key=lambda candidate: candidate[:2])
    row = group.rows[index]
    base = group.base_of(row)
    trained, base_trained = row.mean(lambda r: r.trainable), base and base.mean(lambda r: r.trainable)
    fewer = ""
    if trained and base_trained:
        fewer = f", {100 * (1 - trained / base_trained):.0f} % fewer trained parameters"
    speed = f"1/{speedup:.1f} of base's time" if speedup > 1 else f"{1 / speedup:.1f} times base's time"
    note = "" if difference.compares_methods else f" {MODELS_NOTE}"
    return (
        f"{row.name} is {difference.verdict.value} in {metric}, within {100 * difference.margin:g} % of base, in "
        f"{speed}{fewer}.{note}"
    )


def _analysis_sections(results: ScanResult, config: ReportConfig, figures: Path) -> list[Section]:
    """Sections of probes and similarity; drawing them needs torch, which is imported only if there are such results."""
    if not results.probes and not results.comparisons:
        return []
    from telly.reports import analyses

    kinds = (
        ("probe", "Probes", results.probes, analyses.probe_table, analyses.draw_probe_figures),
        ("compare", "Similarity", results.comparisons, analyses.similarity_table, analyses.draw_similarity_figures),
    )
    sections = []
    for verb, title, stored, table, draw in kinds:
        for number, result in enumerate(stored, start=1):
            name = f"{verb}-{number}"
            files = draw(result, figures / name, config.with_paper)
            drawn = {svg.stem.replace("-", " "): [file for file in files if file.stem == svg.stem]
                     for svg in files if svg.suffix == ".svg"}  # fmt: skip
            sections.append(
                Section(name, f"{title}: {_short_folder(result)}", figures=_inline(drawn, name),
                        tables=[table(result, f"table-{name}")], commands=[analyses.command(result, verb)])
            )  # fmt: skip
    return sections


def _short_folder(result: StoredResult) -> str:
    return "/".join(result.folder.parts[-2:])


def _paper_section(groups: Sequence[ComparisonGroup]) -> Section | None:
    """The section with the paper's own tables, for tasks that were run."""
    rows: list[Published] = [row for task in dict.fromkeys(group.task for group in groups) for row in telly_k(task)]
    if not rows:
        return None
    lead = "The paper's numbers as published. Frozen layers run in every epoch there, and every row is one run."
    return Section("published", "Published", lead, tables=tables.published_tables(rows))


def _inline(drawn: dict[str, list[Path]], name: str) -> list[Drawing]:
    return [
        Drawing(title, inline_svg(files[0].read_text(encoding="utf-8"), f"{name}-{number}", title), files)
        for number, (title, files) in enumerate(drawn.items())
    ]


def _write(config: ReportConfig, page: str, sections: Sequence[Section]) -> list[Path]:
    folder = config.output / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {config.output / PAGE_FILE: page, config.output / MARKDOWN_FILE: _markdown(config.title, sections)}
    for section in sections:
        for table in section.tables:
            texts |= _table_files(folder, table)
    for file, text in texts.items():
        file.write_text(text, encoding="utf-8", newline="\n")
    return list(texts)


def _table_files(folder: Path, table: Table) -> dict[Path, str]:
    kinds = {".md": to_markdown, ".csv": to_csv, ".tex": to_latex}
    return {folder / f"{table.name}{suffix}": write(table) for suffix, write in kinds.items()}


def _markdown(title: str, sections: Sequence[Section]) -> str:
    parts = [f"# {title}\n"]
    for section in sections:
        parts.append(f"## {section.title}\n")
        parts += [f"{section.lead}\n"] if section.lead else []
        parts += ["".join(f"- {text}\n" for _, text in section.statements)] if section.statements else []
        parts += [to_markdown(table) for table in section.tables]
        parts += [f"```sh\n{command}\n```\n" for command in section.commands if command]
    return "\n".join(parts)
