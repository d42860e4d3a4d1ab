"""Analyses of a study's models: probes of their layers, and similarity of layers before and after tuning."""

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
        extractor = LayerExtractor(caches_in(output), counting_bar)
        for name in study.analyses:
            analysis = _ANALYSES[name]
            if analysis.needs_tuned and not tuned:
                logger.warning("%s: no tuned version of %s; it needs the variant %s in the study", name, model, BASE)
                continue
            folder = output / FOLDER / f"{name}-{Path(model).name}"
            config = analysis.config(model, tuned, study.analysis_texts)
            settings = asdict(config)
            if not _is_done(folder / analysis.file, settings):
                logger.info("--- %s %s and %d tuned versions ---", analysis.activity, Path(model).name, len(tuned))
                analysis.write(config, extractor, folder, {"settings": settings, "provenance": provenance()})
            done.append(folder)
    return done


@dataclass(frozen=True)
class _Analysis:
    """An analysis of a model and its tuned versions.

    Attributes:
        activity: name of the activity for progress messages.
        file: name of the result's file, which also has the settings.
        needs_tuned: true if it needs at least one tuned version.
        config: function of the model, the tuned versions and the maximum number of texts that gives the settings.
        write: function that runs the analysis and writes the result, with the given facts about it, into a folder.
    """

    activity: str
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
        lambda config, extractor, folder, about: write_results(
            run_probes(list(PROBES.values()), config, extractor), folder, about
        ),
    ),
    "compare": _Analysis(
        "comparing",
        COMPARE_FILE,
        True,
        lambda model, tuned, texts: CompareConfig(model, tuple(tuned), limit=texts),
        lambda config, extractor, folder, about: write_result(compare(config, extractor), folder, about),
    ),
}


def _is_done(file: Path, settings: dict[str, Any]) -> bool:
    """True if a result with these settings exists; a cell's folder identifies its settings and data."""
    try:
        recorded = json.loads(file.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError):
        return False
    return bool(recorded == json.loads(json.dumps(settings)))  # as JSON, which has lists in place of tuples
