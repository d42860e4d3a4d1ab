"""Is the advice on K good? Scored on what is known already: the paper's rows, and the grid of a finished study.

`python benchmarks/advice.py`  the similarity rule alone on the paper's rows, fitted on all tasks but the scored one.
`python benchmarks/advice.py --study studies/paper`  `telly advise` as well, against every grid of a study that `telly
study` has finished: pilots for every model and task, then the K they chose looked up in the grid, or run if it is not
there. A study of longer runs for it is `benchmarks/advice.toml`.

Writes `benchmarks/results/advice.json` and the tables of docs/advice.md. What was found of other studies is kept.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.table import made_by, made_now, publish  # noqa: E402
from telly.advice.advise import advise  # noqa: E402
from telly.advice.decision import measured_loss  # noqa: E402
from telly.advice.rule import TOLERANCE, leave_one_task_out, published_cases  # noqa: E402
from telly.analysis.published import IRREPRODUCIBLE_MARK, telly_k  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.errors import ConfigError, TellyError  # noqa: E402
from telly.freezing.variants import BASE, Variant  # noqa: E402
from telly.metrics.per_example import read_per_example  # noqa: E402
from telly.runs.find import StoredRun  # noqa: E402
from telly.runs.folder import RECORD_FILE, SCORES_FILE  # noqa: E402
from telly.runs.record import RunRecord  # noqa: E402
from telly.settings.config import TuneConfig  # noqa: E402
from telly.studies.results import CELLS  # noqa: E402
from telly.studies.run import SUMMARY_FILE  # noqa: E402
from telly.tuning.run import tune  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "advice.json"
PAGE = ROOT / "docs" / "advice.md"
Grid = dict[str, list[StoredRun]]
"""The runs of one model and task by variant, a seed each."""
SAVING = 0.5
"""Share of base's time that good advice saves, its own cost included."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="folder of a finished study")
    parser.add_argument("--result", type=Path, default=RESULT, help="file to write")
    parser.add_argument("--page", type=Path, default=PAGE, help="page whose tables to renew")
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the page from the result")
    options = parser.parse_args()
    if not options.table:
        try:
            write_json(options.result, measure(options.study, options.result))
        except TellyError as error:
            parser.error(str(error))
    publish(options.result, options.page, {"advice-rule": render_rule, "advice-study": render_studies})


def measure(study: Path | None, file: Path) -> dict[str, Any]:
    earlier = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    about = made_now()
    studies: dict[str, Any] = earlier.get("studies", {})
    if study is not None:
        summary = read_summary(study)
        settings = {name: summary["study"][name] for name in ("settings", "task")}
        studies |= {study.name: settings | {"rows": score_study(study, summary["cells"])} | about}
    return {"tolerance": TOLERANCE, "saving": SAVING, "rule": {"rows": score_rule()} | about, "studies": studies}


def score_rule() -> list[dict[str, Any]]:
    """The rule on every published case, fitted on the other tasks."""
    return [
        {
            "task": scored.case.task,
            "dataset": scored.case.dataset,
            "metric": scored.case.metric,
            "share": scored.share,
            "k": scored.k,
            "loss": scored.case.loss(scored.k),
            "saved": scored.case.saved(scored.k),
        }
        for scored in leave_one_task_out(published_cases())
    ]


def read_summary(folder: Path) -> dict[str, Any]:
    """What a study says of itself.

    Raises:
        ConfigError: there is none.
    """
    file = folder / SUMMARY_FILE
    if not file.is_file():
        raise ConfigError(f"{file}: no such file; give the folder of a finished study")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def score_study(folder: Path, cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`telly advise` for every model and task of a study, scored with the study's own runs.

    Raises:
        TellyError: advice on one of its settings fails.
    """
    groups: dict[tuple[str, str], Grid] = {}
    for cell in cells:
        variant = Variant.parse(cell["variant"])
        if cell["state"] == "done" and (variant.cached or not variant.freezes):
            group = groups.setdefault((cell["model"], cell["task"]), {})
            place = folder / cell["folder"]
            group.setdefault(cell["variant"], []).append(StoredRun(place, RunRecord.read(place / RECORD_FILE)))
    return [_scored(folder, model, task, grid) for (model, task), grid in groups.items() if BASE in grid]


def _scored(folder: Path, model: str, task: str, grid: Grid) -> dict[str, Any]:
    base = grid[BASE][0].record
    place = folder / "advice" / f"{task}-{Path(model).name}"
    advice = advise(TuneConfig.parse(base.config.values), output=place, reuse=True)
    quality = {variant: _quality(runs) for variant, runs in grid.items()}
    best = max(quality, key=quality.__getitem__)
    whole, variant = _seconds(grid, BASE), advice["variant"]
    in_grid = variant in grid
    chosen = grid[variant] if in_grid else [advised_run(folder, base, variant)]
    value = _quality(chosen)
    seconds = _seconds(grid, variant) if in_grid else chosen[0].record.total_seconds or 0.0
    return {
        "model": Path(model).name,
        "task": task,
        "metric": base.metric,
        "variant": variant,
        "rule": advice["rule"],
        "best": best,
        "best_value": quality[best],
        "base_value": quality[BASE],
        "advice_seconds": advice["seconds"],
        "base_seconds": whole,
        "seeds": len(grid[BASE]),
        "possible": _possible(grid, quality),
        "in_grid": in_grid,
        "value": value,
        "loss": 1 - value / quality[best],
        "loss_interval": _interval(grid[best][0], chosen[0], base.metric or ""),
        "loss_to_base": 1 - value / quality[BASE],
        "seconds": seconds,
        "saved": 1 - (advice["seconds"] + seconds) / whole,
    }


def advised_run(folder: Path, base: RunRecord, variant: str) -> StoredRun:
    """A run of the advised variant that the grid does not have, with base's settings; one that is there is kept."""
    place = folder / "advised" / f"{base.config.task}-{Path(base.config.model).name}-{variant}"
    if not (place / RECORD_FILE).is_file() or RunRecord.read(place / RECORD_FILE).status != "finished":
        changed = {"freeze": variant, "cache_always": variant != BASE, "cache_dir": str(place / "activations")}
        config = TuneConfig.parse(base.config.values | changed | {"output": str(place)})
        tune(config, overwrite=True, reuse_baselines_from=folder / CELLS)
    return StoredRun(place, RunRecord.read(place / RECORD_FILE))


def _interval(best: StoredRun, chosen: StoredRun, metric: str) -> list[float] | None:
    """95 % of the relative loss by the paired bootstrap over test examples, of the first seed; None to itself."""
    if best.folder == chosen.folder:
        return None
    scores = [read_per_example(run.folder / SCORES_FILE)[metric] for run in (best, chosen)]
    found = measured_loss(*scores)
    return None if found is None else [found.interval.low, found.interval.high]


def _possible(grid: Grid, quality: dict[str, float]) -> dict[str, Any]:
    """What saves most of all variants within the tolerance of the best, had somebody known it for nothing."""
    good = [name for name, value in quality.items() if value >= (1 - TOLERANCE) * max(quality.values())]
    variant = min(good, key=lambda name: _seconds(grid, name))
    return {"variant": variant, "saved": 1 - _seconds(grid, variant) / _seconds(grid, BASE)}


def _quality(runs: Sequence[StoredRun]) -> float:
    """Mean test score over seeds, of the metric that chose the epoch."""
    return statistics.fmean((run.record.test or {})[run.record.metric or ""] for run in runs)


def _seconds(grid: Grid, variant: str) -> float:
    """Mean seconds of a variant run alone.

    In a grid its activation cache is made from that of the K below. Alone it would have run all frozen layers, so the
    `prefix` clocks of the lower K count, which is a little too much, since each has read and written a cache.
    """
    total = statistics.fmean(run.record.total_seconds or 0.0 for run in grid[variant])
    if variant == BASE:
        return total
    below = [found for name, found in grid.items() if name != BASE and int(name) < int(variant)]
    return total + sum(statistics.fmean(run.record.clocks.get("prefix", 0.0) for run in found) for found in below)


def render_rule(result: dict[str, Any]) -> str:
    """K, loss and saving on every published case, and how many meet the targets."""
    part = result["rule"]
    cases = [
        f"{row['task']}{_mark(row)} ({row['dataset']}) {row['k']} "
        f"({_percent(row['loss'], 1)}, {_percent(row['saved'])})"
        for row in part["rows"]
    ]
    return (
        f"Chosen K (loss to the best variant, time saved): {'; '.join(cases)}. {_count(part['rows'], result)} "
        f"`python benchmarks/advice.py`; {made_by(part)}"
    )


def _mark(row: dict[str, Any]) -> str:
    """The mark of a metric whose published values cannot be reproduced."""
    rows = [published for published in telly_k(row["task"]) if published.dataset == row["dataset"]]
    return f" {IRREPRODUCIBLE_MARK}" if any(row["metric"] in published.irreproducible for published in rows) else ""


def render_studies(result: dict[str, Any]) -> str:
    if not result["studies"]:
        return "Not measured yet: `python benchmarks/advice.py --study studies/paper`, after `telly study paper`."
    longest = max(result["studies"].values(), key=lambda part: sum(row["base_seconds"] for row in part["rows"]))
    return "\n\n".join(
        render_study(name, part, result, table=part is longest) for name, part in result["studies"].items()
    )


def render_study(name: str, part: dict[str, Any], result: dict[str, Any], *, table: bool) -> str:
    """How many tasks of a study meet the targets, below a row per task if `table` is set."""
    lines = [
        f"| study `{name}` | advised (best) | loss | time saved | possible | target |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for row in part["rows"]:
        variant = row["variant"] + ("" if row["in_grid"] else "*")
        lines.append(
            f"| {row['task']} ({row['metric']}) | {variant} ({row['best']}) | {_loss(row)} | {_percent(row['saved'])} "
            f"| {_percent(row['possible']['saved'])} (K={row['possible']['variant']}) | {_verdict(row, result)} |"
        )
    seeds = max(row["seeds"] for row in part["rows"])
    kept = sum(row["loss_to_base"] <= result["tolerance"] for row in part["rows"])
    could = sum(row["possible"]["saved"] >= result["saving"] for row in part["rows"])
    shown = sum((row["loss_interval"] or [0])[0] > result["tolerance"] for row in part["rows"])
    tolerance, counted = f"{result['tolerance']:.0%}", f"{seeds} seed{'s' if seeds > 1 else ''}"
    models = ", ".join(dict.fromkeys(row["model"] for row in part["rows"]))
    own = [f"{task}: {_settings(settings)}" for task, settings in part["task"].items()]
    settings = "; ".join([_settings(part["settings"]), *own])
    other = "" if all(row["in_grid"] for row in part["rows"]) else " \\* not in the grid, run for this comparison."
    origin = (
        f"Study `{name}`, {models}, {counted} ({settings}). {_count(part['rows'], result)} Within {tolerance} of base, "
        f"as promised, on {kept}. The loss is shown to exceed {tolerance} on {shown}. A saving of "
        f"{result['saving']:.0%} was possible on {could}.{other} Measured at {made_by(part)}"
    )
    return "\n".join([*lines, "", origin]) if table else origin


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _loss(row: dict[str, Any]) -> str:
    interval = row["loss_interval"]
    loss = _percent(row["loss"], 1)
    return loss if interval is None else f"{loss} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _verdict(row: dict[str, Any], result: dict[str, Any]) -> str:
    """The targets that a row misses, in words."""
    missed = []
    if row["loss"] > result["tolerance"]:
        missed.append("quality")
    if row["saved"] < result["saving"]:
        missed.append("saving")
    return f"**missed: {' and '.join(missed)}**" if missed else "met"


def _count(rows: Sequence[dict[str, Any]], result: dict[str, Any]) -> str:
    good = [row for row in rows if row["loss"] <= result["tolerance"]]
    both = [row for row in good if row["saved"] >= result["saving"]]
    return (
        f"Within {result['tolerance']:.0%} of the best on {len(good)} of {len(rows)}; also at least "
        f"{result['saving']:.0%} of the time saved on {len(both)}."
    )


def _percent(value: float, digits: int = 0) -> str:
    return f"{value:.{digits}%}"


if __name__ == "__main__":
    main()
