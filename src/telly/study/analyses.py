"""What a study asks of its models beside scores: what their layers know, and what tuning changed in them (RQ1, RQ2)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from telly.analysis import COMPARE_FILE, PROBING_FILE
from telly.analysis.compare import CompareConfig, compare, write_result
from telly.analysis.layers import Pass
from telly.analysis.probes.table import PROBES
from telly.analysis.probing import ProbeConfig, run_probes, write_results
from telly.freezing.variants import BASE
from telly.study.config import Cell, StudyConfig
from telly.study.results import Outcome, State
from telly.training.progress import counting_bar
from telly.tuning.record import provenance

FOLDER = "analyses"


def run_analyses(
    study: StudyConfig,
    cells: Sequence[Cell],
    outcomes: Sequence[Outcome],
    output: Path,
    say: Callable[[str], None],
) -> list[Path]:
    """Probe every model and its tuned versions, and compare them with it, as the study asks; what is there is kept.

    Tuned versions are those of base with the first seed, one a task; tasks whose cell is not done are left out.

    Returns:
        the folders of the results.

    Raises:
        DataError: too few usable texts.
        StoreError: the states do not fit on the disk.
    """
    done = []
    for model in study.models:
        tuned = [
            str(cell.folder)
            for cell, outcome in zip(cells, outcomes, strict=True)
            if cell.config.model == model and cell.variant == BASE and cell.config.seed == study.seeds[0]
            and outcome.state is State.DONE
        ]  # fmt: skip
        run = Pass(output / "stores", counting_bar, say)
        for name in study.analyses:
            folder = output / FOLDER / f"{name}-{Path(model).name}"
            if _ANALYSES[name](study, model, tuned, folder, run, say):
                done.append(folder)
    return done


def _probe(
    study: StudyConfig, model: str, tuned: list[str], folder: Path, run: Pass, say: Callable[[str], None]
) -> bool:
    config = ProbeConfig((model, *tuned), tuple(PROBES), limit=study.analysis_texts)
    settings = asdict(config)
    if not _is_done(folder / PROBING_FILE, settings):
        say(f"--- probing {Path(model).name} and {len(tuned)} tuned versions ---")
        write_results(run_probes(list(PROBES.values()), config, run), folder, _about(settings))
    return True


def _compare(
    study: StudyConfig, model: str, tuned: list[str], folder: Path, run: Pass, say: Callable[[str], None]
) -> bool:
    if not tuned:
        say(f"no tuned version of {model} to compare it with: a study needs the variant {BASE} for that")
        return False
    config = CompareConfig(model, tuple(tuned), limit=study.analysis_texts)
    settings = asdict(config)
    if not _is_done(folder / COMPARE_FILE, settings):
        say(f"--- comparing {Path(model).name} with {len(tuned)} tuned versions ---")
        write_result(compare(config, run), folder, _about(settings))
    return True


_ANALYSES = {"probe": _probe, "compare": _compare}


def _about(settings: dict[str, Any]) -> dict[str, Any]:
    return {"settings": settings, "provenance": provenance()}


def _is_done(file: Path, settings: dict[str, Any]) -> bool:
    """Whether a result of these settings is there; a cell's folder stands for its settings and data."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(found == json.loads(json.dumps(settings)))
