"""Analyses of a study's models beside scores: probes of their layers, and similarity before and after tuning."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from telly.analysis import COMPARE_FILE, PROBING_FILE
from telly.analysis.compare import CompareConfig, compare, write_result
from telly.analysis.layers import LayerExtractor
from telly.analysis.probes.table import PROBES
from telly.analysis.probing import ProbeConfig, run_probes, write_results
from telly.freezing.variants import BASE, Variant
from telly.runs.provenance import provenance
from telly.settings.resolve import caches_in
from telly.studies.config import Cell, StudyConfig
from telly.studies.results import Outcome, State
from telly.training.progress import counting_bar

logger = logging.getLogger(__name__)

FOLDER = "analyses"


def run_analyses(
    study: StudyConfig,
    cells: Sequence[Cell],
    outcomes: Sequence[Outcome],
    output: Path,
) -> list[Path]:
    """Probe every model and its tuned versions, and compare them, as the study asks; existing results are kept.

    Tuned versions are those of base with the first seed, one per task; tasks whose cell is not done are left out.

    Returns:
        the folders of the results.

    Raises:
        DataError: too few usable texts.
        CacheError: the states do not fit on the disk.
    """
    done = []
    for model in study.models:
        tuned = [
            str(cell.folder)
            for cell, outcome in zip(cells, outcomes, strict=True)
            if cell.config.model == model and cell.variant == Variant() and cell.config.seed == study.seeds[0]
            and outcome.state is State.DONE
        ]  # fmt: skip
        run = LayerExtractor(caches_in(output), counting_bar)
        for name in study.analyses:
            asked = _ANALYSES[name]
            if asked.needs_tuned and not tuned:
                logger.warning("%s: no tuned version of %s: a study needs the variant %s for that", name, model, BASE)
                continue
            folder = output / FOLDER / f"{name}-{Path(model).name}"
            config = asked.config(model, tuned, study.analysis_texts)
            settings = asdict(config)
            if not _is_done(folder / asked.file, settings):
                logger.info("--- %s %s and %d tuned versions ---", asked.doing, Path(model).name, len(tuned))
                asked.write(config, run, folder, {"settings": settings, "provenance": provenance()})
            done.append(folder)
    return done


@dataclass(frozen=True)
class _Analysis:
    """An analysis of a model and its tuned versions.

    Attributes:
        doing: what a person is told.
        file: of the result, with its settings.
        needs_tuned: whether there is nothing to ask without a tuned version.
        config: its settings, from the model, the tuned versions and the most texts.
        write: does it and writes the result, with these words about it, into a folder.
    """

    doing: str
    file: str
    needs_tuned: bool
    config: Callable[[str, list[str], int], Any]
    write: Callable[[Any, LayerExtractor, Path, dict[str, Any]], None]


_ANALYSES = {
    "probe": _Analysis(
        "probing",
        PROBING_FILE,
        False,
        lambda model, tuned, texts: ProbeConfig((model, *tuned), tuple(PROBES), limit=texts),
        lambda config, run, folder, about: write_results(run_probes(list(PROBES.values()), config, run), folder, about),
    ),
    "compare": _Analysis(
        "comparing",
        COMPARE_FILE,
        True,
        lambda model, tuned, texts: CompareConfig(model, tuple(tuned), limit=texts),
        lambda config, run, folder, about: write_result(compare(config, run), folder, about),
    ),
}


def _is_done(file: Path, settings: dict[str, Any]) -> bool:
    """Whether a result with these settings exists; a cell's folder identifies its settings and data."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(found == json.loads(json.dumps(settings)))
