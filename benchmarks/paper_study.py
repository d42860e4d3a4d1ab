"""The paper's study on the embedded model: `telly study paper`, timed as a whole, and its page.

`python benchmarks/paper_study.py`  runs it (about an hour on two cores) and then writes
`benchmarks/results/paper-study.json`, three figures in `docs/figures` and the tables of docs/paper-study.md.
`--study FOLDER --minutes M` takes a study that has been run, and how long that took.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.child import telly  # noqa: E402
from benchmarks.shapes import CACHE  # noqa: E402
from benchmarks.table import made_by, publish, verdict  # noqa: E402
from benchmarks.verdicts import MARGIN, Said, sentences  # noqa: E402
from telly.analysis.published import IRREPRODUCIBLE_MARK, telly_k  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.freezing.variants import BASE  # noqa: E402
from telly.metrics.interval import Interval  # noqa: E402
from telly.metrics.significance import Difference, Verdict, holm  # noqa: E402
from telly.metrics.table import METRICS  # noqa: E402
from telly.plots import PALETTE, new_figure, open_axes, save_figure  # noqa: E402
from telly.reports.analyses import draw_probe_figures, draw_similarity_figures  # noqa: E402
from telly.reports.groups import ComparisonGroup, group_runs  # noqa: E402
from telly.reports.scan import find_results  # noqa: E402
from telly.reports.scores import GroupScores, score_groups  # noqa: E402
from telly.studies.run import SUMMARY_FILE  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "paper-study.json"
PAGE = ROOT / "docs" / "paper-study.md"
FIGURES = ROOT / "docs" / "figures"
JOBS = 2
MAX_MINUTES = 90
RESAMPLES = 5000
TASKS = ("search", "clone", "summarize", "generate", "complete")
SHOWN = {"generate": "edit_similarity"}
"""Where the metric that chose the epoch says nothing: the BLEU of what is generated here is below 0.3 of 100."""
SHOWN_VARIANTS = (BASE, "6", "9", "11")
"""Rows of the tables; the figure has all variants."""
PEER = "microsoft/unixcoder-base"
PAPER_DATA = {
    "search": "CodeSearchNet Python",
    "clone": "BigCloneBench",
    "summarize": "CodeSearchNet Python",
    "generate": "CONCODE",
    "complete": "Github Java Corpus",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="a finished study, with --minutes")
    parser.add_argument("--minutes", type=float, help="how long it took")
    parser.add_argument("--beside", default="nothing else", help="what else the machine did, for the record")
    parser.add_argument("--table", action="store_true", help="run nothing; renew page and figure from the result")
    options = parser.parse_args()
    if (options.study is None) != (options.minutes is None):
        parser.error("--study and --minutes go together")
    if not options.table:
        folder, minutes = (options.study, options.minutes) if options.study else run()
        write_json(RESULT, digest(folder, minutes, options.beside))
        draw_analyses(folder)
    draw(json.loads(RESULT.read_text(encoding="utf-8")), FIGURES / "paper-study.svg")
    blocks = {"wall": render_wall, "quality": render_quality, "verdicts": render_verdicts, "time": render_time,
              "paper": render_paper}  # fmt: skip
    publish(RESULT, PAGE, blocks)


def run() -> tuple[Path, float]:
    """The study's folder, and minutes from its start to its end."""
    folder = CACHE / "paper-study"
    shutil.rmtree(folder, ignore_errors=True)
    return folder, telly("study", "paper", "--jobs", JOBS, "--output", folder) / 60


def digest(folder: Path, minutes: float, beside: str) -> dict[str, Any]:
    """What the page needs of a study."""
    found = find_results([folder / "cells"])
    groups, _ = group_runs(found.runs)
    groups.sort(key=lambda group: TASKS.index(group.task))
    scores = score_groups(groups, MARGIN, RESAMPLES)
    first = min((run.record for run in found.runs), key=lambda record: record.started)
    return {
        "command": f"telly study paper --jobs {JOBS}",
        "date": dt.datetime.fromisoformat(first.started).isoformat(timespec="seconds"),
        "minutes": minutes,
        "beside": beside,
        "settings": json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["study"]["settings"],
        "tasks": {group.task: of_group(group, of) for group, of in zip(groups, scores, strict=True)},
        "provenance": dataclasses.asdict(first.provenance),
    }


def of_group(group: ComparisonGroup, scores: GroupScores) -> dict[str, Any]:
    """A task's scores with their differences to base, and what each variant took."""
    rows = []
    for number, row in enumerate(group.rows):
        record = row.runs[0].record
        differences = {name: scores.differences.get((number, name)) for name in group.metrics}
        rows.append(
            {
                "variant": BASE if row.is_base else str(row.k),
                "trained": record.trainable,
                "epoch_seconds": record.epoch_seconds,
                "prefix_seconds": record.clocks.get("prefix", 0.0),
                "total_seconds": record.total_seconds,
                "metrics": {name: row.metric(name) for name in group.metrics},
                "differences": {
                    name: dataclasses.asdict(found) for name, found in differences.items() if found is not None
                },
            }
        )
    return {"data": group.data, "metrics": group.metrics, "baselines": group.baselines(group.models[0]), "rows": rows}


def draw(result: dict[str, Any], file: Path) -> None:
    """The main metric over K against base, beside the paper's, and what training and everything else took."""
    figure = new_figure(11, 6.2)
    panels = figure.subplots(2, 3).flat
    for axes, (task, found) in zip(panels, result["tasks"].items(), strict=False):
        metric, rows = shown(task, found), found["rows"]
        ks = [row["variant"] for row in rows if row["variant"] != BASE]
        base = rows[0]["metrics"][metric]
        changes = [100 * (row["metrics"][metric] / base - 1) for row in rows[1:]]
        intervals = [row["differences"][metric]["interval"] for row in rows[1:]]
        low, high = ([100 * interval[end] / base for interval in intervals] for end in ("low", "high"))
        axes.fill_between(ks, low, high, color=PALETTE[0], alpha=0.15, linewidth=0, label="its 95 % interval")
        axes.plot(ks, changes, "o-", color=PALETTE[0], ms=4, label="telly-mini, this sample")
        theirs = published(task, found)
        axes.plot(ks, [100 * (theirs[k] / theirs[BASE] - 1) for k in ks], "s--", color=PALETTE[1], ms=4,
                  label="UniXcoder, the paper")  # fmt: skip
        axes.axhline(0, color="0.6", linewidth=1, zorder=0)
        theirs_is = found["metrics"][0]
        other = f" (the paper: {theirs_is}{_mark(task, theirs_is)})" if metric != theirs_is else ""
        axes.set_title(f"{task}: {metric}{other}", fontsize=9.5)
        axes.set_ylabel("against base (%)")
        axes.set_xlabel("K: frozen layers")
    last = figure.axes[5]
    for number, (task, found) in enumerate(result["tasks"].items()):
        rows = found["rows"]
        last.plot([row["variant"] for row in rows[1:]],
                  [row["epoch_seconds"] / rows[0]["epoch_seconds"] for row in rows[1:]], "o-", ms=4,
                  color=PALETTE[number], label=task)  # fmt: skip
    last.set_ylim(bottom=0)
    last.set_title("an epoch's time", fontsize=9.5)
    last.set_ylabel("of base's")
    last.set_xlabel("K: frozen layers, cached")
    last.legend(frameon=False, fontsize=8)
    figure.axes[0].legend(frameon=False, fontsize=8, loc="lower left")
    for axes in figure.axes:
        open_axes(axes)
    save_figure(figure, file)


def draw_analyses(study: Path) -> None:
    """Figures of the probes and of similarity; the tuned models have their tasks' names."""
    found = find_results([study / "analyses"])
    cells = json.loads((study / SUMMARY_FILE).read_text(encoding="utf-8"))["cells"]
    names = {Path(cell["folder"]).name: cell["task"] for cell in cells}
    with tempfile.TemporaryDirectory() as place:
        for drawn, [stored] in ((draw_probe_figures, found.probes), (draw_similarity_figures, found.comparisons)):
            text = json.dumps(stored.content)
            for folder, task in names.items():
                text = re.sub(rf'"[^"]*{re.escape(folder)}"', f'"{task}"', text)
            drawn(dataclasses.replace(stored, content=json.loads(text)), Path(place), with_paper=True)
        for name in ("probes", "similarity"):
            shutil.copyfile(Path(place) / f"{name}.svg", FIGURES / f"paper-study-{name}.svg")


def shown(task: str, found: dict[str, Any]) -> str:
    """The metric of a task on the page."""
    return SHOWN.get(task, str(found["metrics"][0]))


def published(task: str, found: dict[str, Any]) -> dict[str, float]:
    """The paper's scores by variant, of the metric that chooses the epoch."""
    metric = found["metrics"][0]
    rows = [row for row in telly_k(task) if row.model == PEER and row.dataset == PAPER_DATA[task]]
    return {row.variant: row.metrics[metric] for row in rows}


def render_wall(result: dict[str, Any]) -> str:
    cells = sum(len(found["rows"]) for found in result["tasks"].values())
    settings, in_time = result["settings"], verdict(result["minutes"] <= MAX_MINUTES)
    return (
        f"{settings['limit']} training and {settings['eval_limit']} test examples per task, {settings['epochs']} "
        f"epochs, {settings['precision']}, one seed: {cells} cells and analyses in {result['minutes']:.0f} minutes "
        f"(target: {MAX_MINUTES}; {in_time}), beside {result['beside']}. "
        f"`{result['command']}`; {made_by(result)}"
    )


def render_quality(result: dict[str, Any]) -> str:
    """One row per shown variant, and the best score of a method without tuning; stars mark corrected differences."""
    tasks, verdicts = result["tasks"], verdicts_of(result)
    heads = [f"{task}, {shown(task, found)}" for task, found in tasks.items()]
    lines = [f"| K | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    lines.append(f"| untuned | {' | '.join(_reference(task, found, untuned=True) for task, found in tasks.items())} |")
    lines.append(f"| best baseline | {' | '.join(_reference(task, found) for task, found in tasks.items())} |")
    for number, row in _shown_rows(tasks):
        cells = [_against_base(shown(task, found), found["rows"], number, verdicts.get((task, row["variant"])))
                 for task, found in tasks.items()]  # fmt: skip
        lines.append(f"| {row['variant']} | {' | '.join(cells)} |")
    text = (
        f"K: change from base. *: different after Holm's correction over all {len(verdicts)} differences. One seed "
        f"each: differences are of two trained models, not of two methods. All K: `{RESULT.relative_to(ROOT)}`."
    )
    return "\n".join([*lines, "", text])


def _shown_rows(tasks: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """Number and content of the rows that the tables show."""
    rows = tasks[TASKS[0]]["rows"]
    return [(number, row) for number, row in enumerate(rows) if row["variant"] in SHOWN_VARIANTS]


def _reference(task: str, found: dict[str, Any], *, untuned: bool = False) -> str:
    """The score of the untuned model, or the best one of the methods without a model, with its name."""
    metric = shown(task, found)
    scores = {name: values for name, values in found["baselines"].items() if name.startswith("untuned") is untuned}
    name = max(scores, key=lambda name: scores[name].get(metric, 0.0))
    return _plain(metric, scores[name]) + ("" if untuned else f" ({name})")


def _plain(metric: str, scores: dict[str, float]) -> str:
    return f"{scores[metric]:.{METRICS[metric].digits}f}" if metric in scores else "-"


def _against_base(metric: str, rows: list[dict[str, Any]], number: int, said: Verdict | None) -> str:
    row = rows[number]
    if not number:
        return _plain(metric, row["metrics"])
    star = "*" if said in (Verdict.BETTER, Verdict.WORSE) else ""
    return f"{row['metrics'][metric] / rows[0]['metrics'][metric] - 1:+.1%}{star}"


def verdicts_of(result: dict[str, Any]) -> dict[tuple[str, str], Verdict]:
    """The verdict on every K and task of the page, whose shown differences are one family of tests.

    A result from before `p_similar` was kept cannot show that anything is similar.
    """
    found = {(task, row["variant"]): row["differences"][shown(task, of)]
             for task, of in result["tasks"].items() for row in of["rows"][1:]}  # fmt: skip
    tests = {(key, "p"): one["p"] for key, one in found.items()}
    tests |= {(key, "p_similar"): one.get("p_similar", 1.0) for key, one in found.items()}
    corrected = holm(tests, row=lambda test: test[0])
    return {
        key: Difference(one["base"], one["difference"], Interval(**one["interval"]), one["p"], tests[key, "p_similar"],
                        corrected[key, "p"], corrected[key, "p_similar"], one["margin"], (1, 1),
                        one["greater_is_better"]).verdict
        for key, one in found.items()
    }  # fmt: skip


def render_verdicts(result: dict[str, Any]) -> str:
    """One sentence per task from the verdicts, and the tests behind them."""
    verdicts, lines, kept = verdicts_of(result), [], True
    for task, found in result["tasks"].items():
        metric, base = shown(task, found), found["rows"][0]["metrics"][shown(task, found)]
        said = []
        for row in found["rows"][1:]:
            one = row["differences"][metric]
            kept = kept and "p_similar" in one
            said.append(Said(row["variant"], verdicts[task, row["variant"]],
                             one["interval"]["low"] / base, one["interval"]["high"] / base))  # fmt: skip
        lines.append(f"- {sentences(task, metric, said)}")
    similar = "" if kept else (
        " Without a test of the margin, nothing in it can be called similar."
    )  # fmt: skip
    about = f"Intervals are not corrected.{similar}"
    return "\n".join([*lines, "", about])


def render_time(result: dict[str, Any]) -> str:
    """How much faster an epoch is than one of base, for the shown variants."""
    parts = []
    for task, found in result["tasks"].items():
        rows = {row["variant"]: row["epoch_seconds"] for row in found["rows"] if row["variant"] in SHOWN_VARIANTS}
        ratios = ", ".join(f"{rows[BASE] / seconds:.1f}" for variant, seconds in rows.items() if variant != BASE)
        parts.append(f"{task} {ratios}")
    frozen = ", ".join(variant for variant in SHOWN_VARIANTS if variant != BASE)
    return f"Base's time per epoch divided by that of K={frozen}, beside other work: {'; '.join(parts)}."


def render_paper(result: dict[str, Any]) -> str:
    """UniXcoder's change from base in the paper."""
    tasks = result["tasks"]
    heads = [f"{task}, {found['metrics'][0]}{_mark(task, found['metrics'][0])}" for task, found in tasks.items()]
    lines = [f"| K | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    values = {task: published(task, found) for task, found in tasks.items()}
    for _, row in _shown_rows(tasks):
        variant = row["variant"]
        cells = [f"{found[variant]:g}" if variant == BASE else f"{found[variant] / found[BASE] - 1:+.1%}"
                 for found in values.values()]  # fmt: skip
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    if any(IRREPRODUCIBLE_MARK in head for head in heads):
        lines += ["", f"{IRREPRODUCIBLE_MARK} [cannot be reproduced](metrics.md#the-papers-predictions)"]
    return "\n".join(lines)


def _mark(task: str, metric: str) -> str:
    """The mark of a published column that cannot be reproduced from the paper's predictions."""
    rows = [row for row in telly_k(task) if row.model == PEER and row.dataset == PAPER_DATA[task]]
    return f" {IRREPRODUCIBLE_MARK}" if metric in rows[0].irreproducible else ""


if __name__ == "__main__":
    main()
