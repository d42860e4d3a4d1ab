"""Cells side by side on one machine, and what later cells take over from earlier ones."""

from __future__ import annotations

import json
import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from telly.api.study import plan_study
from telly.cli import app
from telly.errors import ConfigError
from telly.metrics.per_example import write_per_example
from telly.runs.parts import ModelInfo, RecordedConfig, SplitInfo
from telly.runs.record import RunRecord
from telly.studies.config import Cell, cells_of
from telly.studies.launch import INTERRUPTED, in_own_process
from telly.studies.results import State
from telly.studies.run import LOGS, CellStart, run_cells, side_by_side
from telly.tuning.baselines import reuse_baselines
from tiny_runs import Tiny, largest_difference
from tiny_studies import SETTINGS, study_of, write_study


def test_two_at_a_time_give_what_one_by_one_gives(tiny: Tiny, tmp_path: Path):
    study = study_of(tiny, settings=SETTINGS | {"cache_dtype": "fp32"})
    alone, together = cells_of(study, tmp_path / "alone"), cells_of(study, tmp_path / "together")
    run_cells(alone, study, tmp_path / "alone")

    def pool(starts: Any, deadline: float | None) -> Any:
        return side_by_side(starts, deadline, jobs=2, threads=1)

    outcomes = run_cells(together, study, tmp_path / "together", pool=pool)
    assert [outcome.state for outcome in outcomes] == [State.DONE] * 3
    for one, other, outcome in zip(alone, together, outcomes, strict=True):
        assert largest_difference(one.folder, other.folder) < 1e-4
        assert outcome.record is not None and outcome.record.device is not None and outcome.record.device.threads == 1
    assert all("step/s" in file.read_text() for file in (tmp_path / "together" / LOGS).iterdir())


def test_ending_the_pool_ends_its_cells_in_order(tiny: Tiny, tmp_path: Path):
    study = study_of(tiny, settings=SETTINGS | {"epochs": 500})
    cells = cells_of(study, tmp_path)
    pool = side_by_side([CellStart(cell, False) for cell in cells], None, jobs=2, threads=1)

    def interrupt_one() -> None:
        end = time.monotonic() + 250
        while not all((cell.folder / "metrics.jsonl").exists() for cell in cells[:2]) and time.monotonic() < end:
            time.sleep(0.05)
        multiprocessing.active_children()[0].terminate()

    threading.Thread(target=interrupt_one).start()
    ended = next(pool)
    assert ended.code == INTERRUPTED
    pool.close()
    assert not multiprocessing.active_children()
    states = [RunRecord.read(cell.folder / "record.json").status for cell in cells[:2]]
    assert states == ["interrupted", "interrupted"] and not cells[2].folder.exists()


def test_jobs_beside_ray_or_processes_are_refused(tmp_path: Path):
    command = ["study", "quick", "--output", str(tmp_path), "--dry-run", "--jobs", "2"]
    for more in (["--ray", "local"], ["--processes", "2"]):
        with pytest.raises(ConfigError, match="--jobs"):
            CliRunner().invoke(app, [*command, *more], catch_exceptions=False)


UNTUNED = {"mrr": np.array([[0.25], [0.5]])}


def splits(**fingerprints: str) -> dict[str, SplitInfo]:
    return {split: SplitInfo(10, 10, 99, fingerprint) for split, fingerprint in fingerprints.items()}


def record(folder: Path, **more: Any) -> RunRecord:
    settings = {"task": "search", "model": "m", "limit": 10, "seed": 0, "freeze": "base", "epochs": 2}
    made = RunRecord(
        config=RecordedConfig.from_values(settings | more.pop("config", {})),
        status="finished",
        data=splits(train="a", test="b"),
        model=ModelInfo("m", "all", 100, "m"),
        baselines={"bm25": {"mrr": 0.5}, "untuned": {"mrr": 0.25}},
    )
    for name, value in more.items():
        setattr(made, name, value)
    folder.mkdir()
    made.save(folder)
    write_per_example(folder / "untuned-scores.npz", UNTUNED)
    return made


@pytest.mark.parametrize(("more", "shared"), [
    ({"config": {"freeze": "9", "epochs": 5}}, True),
    ({"config": {"seed": 1}}, False),
    ({"config": {"limit": 20}}, False),
    ({"config": {"max_tokens": {"query": 8}}}, False),
    ({"model": ModelInfo("m", "all", 100, "other")}, False),
    ({"data": splits(train="a", test="c")}, False),
])  # fmt: skip
def test_baselines_are_taken_over_on_the_same_terms_only(tmp_path: Path, more: dict[str, Any], shared: bool):
    found = record(tmp_path / "first").baselines
    wanted = record(tmp_path / "second", status="running", baselines={}, **more)
    baselines, untuned = reuse_baselines(tmp_path, wanted)
    assert baselines == (found if shared else {})
    assert {name: rows.tolist() for name, rows in untuned.items()} == ({"mrr": [[0.25], [0.5]]} if shared else {})


def test_baselines_of_a_version_that_computed_them_otherwise_are_not_taken_over(tmp_path: Path):
    found = record(tmp_path / "first").baselines
    wanted = record(tmp_path / "second", status="running", baselines={})
    assert reuse_baselines(tmp_path, wanted)[0] == found
    file = tmp_path / "first" / "record.json"
    kept = json.loads(file.read_text())
    del kept["baselines_version"]  # as before the key was written
    kept["format"] = 1
    file.write_text(json.dumps(kept))
    assert reuse_baselines(tmp_path, wanted) == ({}, {})


def test_baselines_without_the_untuned_models_scores_are_computed_again(tmp_path: Path):
    record(tmp_path / "first")
    (tmp_path / "first" / "untuned-scores.npz").unlink()
    wanted = record(tmp_path / "second", status="running", baselines={})
    assert reuse_baselines(tmp_path, wanted) == ({}, {})


def test_an_unfinished_run_gives_no_baselines(tmp_path: Path):
    wanted = record(tmp_path / "first", status="failed")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "record.json").write_text("{")
    assert reuse_baselines(tmp_path, wanted) == ({}, {})


def test_a_study_finds_baselines_once(tiny: Tiny, tmp_path: Path):
    study = study_of(tiny, variants=["base", 3])
    cells = cells_of(study, tmp_path)
    first = cells[0].folder / "record.json"

    def launch(cell: Cell, resume: bool) -> int:
        code = in_own_process(cell, resume)
        if cell is cells[0]:  # a mark, to be found in what the next cell takes over
            marked = RunRecord.read(first)
            marked.baselines["bm25"]["mrr"] = 0.125
            marked.save(cell.folder)
        return code

    outcomes = run_cells(cells, study, tmp_path, launch)
    assert outcomes[1].record is not None and outcomes[1].record.baselines["bm25"]["mrr"] == 0.125


def test_jobs_share_the_cores(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    file = write_study(tmp_path / "mine.toml", tiny)
    for jobs, threads in ((3, 2), (16, 1)):
        pool = plan_study(str(file), tmp_path / "out", jobs=jobs)._pool()
        assert pool is not None and pool.keywords == {"jobs": jobs, "threads": threads}
    assert plan_study(str(file), tmp_path / "out")._pool() is None
