"""Studies: which cells there are, which of them run, and that a cell gives what the same run alone gives."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from telly.cli import app
from telly.errors import ConfigError, TrainingError
from telly.freezing.variants import BASE
from telly.metrics.per_example import read_per_example
from telly.metrics.significance import bootstrap_runs
from telly.runs.parts import PlanInfo, RecordedConfig
from telly.runs.record import RecordFormatError, RunRecord
from telly.studies import config as study_config
from telly.studies.config import Cell, StudyConfig, built_in, cells_of, load_study
from telly.studies.estimate import CellEstimate, estimates
from telly.studies.launch import FULL_DISK, INTERRUPTED, check_processes, in_own_process, in_processes
from telly.studies.results import Outcome, State, outcome_of
from telly.studies.run import SUMMARY_FILE, run_cells
from telly.studies.table import TABLE_FILE, table_of
from tiny_runs import SMALL, Tiny, largest_difference, record_of, run_telly, tiny_data, tiny_model_folder
from tiny_studies import SETTINGS, running, study_of, telly_study, write_study

FOUR = ["base", 3, 2, "frozen-2"]


def test_cells_come_base_first_and_then_upwards(tiny: Tiny, tmp_path: Path):
    cells = cells_of(study_of(tiny, variants=FOUR, seeds=[1, 0]), tmp_path)
    assert [(cell.variant.slug, cell.config.seed) for cell in cells] == [
        *(("base", 1), ("base", 0), ("2", 1), ("2", 0), ("frozen-2", 1), ("frozen-2", 0), ("3", 1), ("3", 0)),
    ]
    assert len({cell.folder for cell in cells}) == len(cells)
    assert [cell.config.cache for cell in cells[2::2]] == [True, False, True]
    assert cells[2].config.cache_always and not cells[0].config.cache_always


def test_a_folder_is_a_function_of_what_decides_the_result(tiny: Tiny, tmp_path: Path):
    def names(study: StudyConfig, output: Path = tmp_path) -> list[str]:
        return [cell.folder.name for cell in cells_of(study, output)]

    first = names(study_of(tiny))
    assert names(study_of(tiny), tmp_path / "elsewhere") == first
    assert names(study_of(tiny, budget={"disk_gb": 3.0})) == first
    assert names(study_of(tiny, settings=SETTINGS | {"save_steps": 5})) == first, "checkpoints change no result"
    assert names(study_of(tiny, settings=SETTINGS | {"cache_always": False})) == first, "a matter of speed"
    assert not set(names(study_of(tiny, settings=SETTINGS | {"epochs": 3}))) & set(first)
    other = tmp_path / "train.jsonl"
    other.write_text(tiny.data["train"].read_text().replace("read", "reed"))
    files = {"data": str(other), "valid": str(tiny.data["valid"]), "test": str(tiny.data["test"])}
    assert not set(names(study_of(tiny, task={"search": files}))) & set(first)


def test_the_end_of_a_large_file_of_weights_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Only both ends of large files are read, and what a model was tuned with may be in the last one alone."""
    monkeypatch.setattr("telly.settings.digests.DIGESTED_BYTES", 64)
    file = next(tiny_model_folder(tmp_path / "model").glob("*.safetensors"))
    study = StudyConfig(models=(str(tmp_path / "model"),), variants=(BASE,))

    def name() -> str:
        study_config._digests.cache_clear()
        (cell,) = cells_of(study, tmp_path)
        return cell.folder.name

    first = name()
    assert name() == first
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert name() != first


def test_folders_are_those_of_the_first_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """So that the finished cells of an earlier study are not run again."""
    monkeypatch.setattr("telly.settings.digests.model_digest", lambda model: "weights")
    study_config._digests.cache_clear()
    study = StudyConfig(
        tasks=("search", "clone"), variants=("base", "frozen-9", "9-lora"), settings={"epochs": 3, "limit": 64}
    )
    names = [cell.folder.name for cell in cells_of(study, tmp_path)]
    assert names == [
        "search-telly-mini-base-s0-84d31cad",
        "search-telly-mini-frozen-9-s0-51c1a10c",
        "search-telly-mini-9-lora-s0-0d2e0d1c",
        "clone-telly-mini-base-s0-52553306",
        "clone-telly-mini-frozen-9-s0-a587aa6f",
        "clone-telly-mini-9-lora-s0-b1e72706",
    ]


def test_peers_come_after_base_and_after_their_k(tiny: Tiny, tmp_path: Path):
    variants = ["bitfit", "2-lora", "frozen-2", 3, 2, "lora", "base", "frozen-2-lora", "ia3"]
    study = study_of(tiny, variants=variants, method={"lora": {"lora_rank": 4, "learning_rate": 5e-3}})
    cells = cells_of(study, tmp_path)
    order = ["base", "lora", "ia3", "bitfit", "2", "frozen-2", "2-lora", "frozen-2-lora", "3"]
    assert [cell.variant.slug for cell in cells] == order
    by_name = {cell.variant.slug: cell.config for cell in cells}
    assert by_name["2-lora"].k == 2 and by_name["2-lora"].cache_always and not by_name["lora"].cache_always
    assert not by_name["frozen-2-lora"].cache and not by_name["frozen-2-lora"].cache_always
    assert {c.lora_rank for c in by_name.values() if c.method == "lora"} == {4} and by_name["ia3"].lora_rank is None
    assert by_name["lora"].learning_rate == 5e-3 and by_name["ia3"].learning_rate == 1e-3
    assert len({cell.folder for cell in cells}) == len(cells)
    assert all(f"-{cell.variant.slug}-s0-" in cell.folder.name for cell in cells)


def test_a_head_alone_comes_last_and_has_the_highest_store(tmp_path: Path):
    study = StudyConfig(tasks=("classify",), variants=("head-only", "base", "11"))
    cells = cells_of(study, tmp_path)
    assert [cell.variant.slug for cell in cells] == ["base", "11", "head-only"]
    assert cells[2].config.cache and cells[2].config.cache_always and cells[2].config.k is None


def test_peers_are_estimated(tmp_path: Path):
    """Without gradients of weights two thirds of the operations are left; a head alone needs one pass, once."""
    variants = ("base", "lora", "bitfit", "9", "9-lora", "frozen-9-lora", "head-only")
    study = StudyConfig(tasks=("classify",), variants=variants, settings={"epochs": 4, "limit": 64})
    cells = cells_of(study, tmp_path)
    found = dict(zip((cell.variant.slug for cell in cells), estimates(cells), strict=True))
    assert found["lora"].seconds == pytest.approx(found["base"].seconds * 2 / 3)
    assert found["bitfit"] == found["lora"] and found["lora"].cache_bytes == 0
    one_forward = found["base"].seconds / 4 / 3
    # Of twelve layers nine run once, which K = 9 did before; three are trained for four epochs.
    assert found["9"].seconds == pytest.approx(one_forward * (9 + 3 * 4 * 3) / 12)
    assert found["9-lora"].seconds == pytest.approx(one_forward * 2 * 4 * 3 / 12)
    assert found["frozen-9-lora"].seconds == pytest.approx(one_forward * 4 * (9 + 2 * 3) / 12)
    assert found["head-only"].seconds == pytest.approx(one_forward * 3 / 12)
    assert found["head-only"].cache_bytes == found["9-lora"].cache_bytes == found["9"].cache_bytes > 0
    assert found["lora"].peak_bytes < found["base"].peak_bytes
    assert found["head-only"].peak_bytes <= found["9-lora"].peak_bytes <= found["9"].peak_bytes


@pytest.mark.parametrize(("values", "message"), [
    ({"variant": ["base"]}, "unknown setting 'variant'; did you mean 'variants'?"),
    ({"tasks": ["search"], "task": {"serch": {}}}, "no task serch; known: search"),
    ({"variants": ["base", "base"]}, "base occurs twice"),
    ({"variants": []}, "variants"),
    ({"budget": {"hours": -1}}, "budget.hours"),
    (
        {"variants": ["base", "9-lora"], "method": {"ia3": {}}},
        "method.ia3: no variant has this method; found full, lora",
    ),
])  # fmt: skip
def test_bad_settings(values: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        StudyConfig.parse(values)


def test_all_impossible_cells_are_told_at_once(tiny: Tiny, tmp_path: Path):
    study = study_of(
        tiny,
        tasks=["search", "summarize"],
        variants=["base", 4, "lower-2"],
        settings=SETTINGS | {"epoch": 3},
        models=[str(tiny.model), str(tmp_path / "none")],
    )
    with pytest.raises(ConfigError) as error:
        cells_of(study, tmp_path)
    lines = str(error.value).splitlines()
    assert lines[0] == "the study cannot run:"
    assert [sum(part in line for line in lines) for part in ("K is at most 3", "'lower-2'")] == [1, 1], "not by task"
    for part in (
        "settings of search:",
        "settings of summarize:",
        "has 4 layers, so K is at most 3",
        "expected base, K or frozen-K, lora, ia3, bitfit, head-only, or K with one of these such as 9-lora",
        "found 'lower-2'",
        "unknown setting 'epoch'; did you mean 'epochs'?",
        "none: no such folder",
    ):
        assert part in str(error.value)
    with pytest.raises(ConfigError, match="the grid sets seed"):
        cells_of(study_of(tiny, settings=SETTINGS | {"seed": 3}), tmp_path)


def test_peers_that_cannot_be_are_told_with_the_rest(tiny: Tiny, tmp_path: Path):
    unknown = tiny_model_folder(tmp_path / "model")
    config = json.loads((unknown / "config.json").read_text())
    (unknown / "config.json").write_text(json.dumps(config | {"model_type": "camembert"}))
    study = study_of(tiny, variants=["base", "lora", "2-bitfit", "head-only", "2-head-only"], models=[str(unknown)])
    with pytest.raises(ConfigError) as error:
        cells_of(study, tmp_path)
    for part in ("--method lora: peft does not know where it goes in a model of type 'camembert'",
                 "head-only trains only a new head, and search has none with parameters",
                 "head-only freezes all layers, found freeze = 2"):  # fmt: skip
        assert part in str(error.value)
    assert len(str(error.value).splitlines()) == 6, "two of them name the cell in a line of their own; bitfit can be"


def test_built_in_studies_can_run(tmp_path: Path):
    assert set(built_in()) == {"paper", "quick"}
    for name in built_in():
        assert cells_of(load_study(name), tmp_path)
    assert len(cells_of(load_study("paper"), tmp_path)) == 5 * 13
    with pytest.raises(ConfigError, match=r"no such file; expected a TOML file, or one of the studies paper, quick"):
        load_study("papers")


SCORES = {"base": {"mrr": 0.5}, "2": {"mrr": 0.51}, "frozen-2": {"mrr": 0.48}, "3": {}}


class Launcher:
    """Stands in for runs: leaves the record of one and gives an exit code."""

    def __init__(self, codes: dict[str, int]) -> None:
        self.codes = codes
        self.ran: list[tuple[str, bool]] = []

    def __call__(self, cell: Cell, resume: bool) -> int:
        self.ran.append((cell.variant.slug, resume))
        code = self.codes.get(cell.variant.slug, 0)
        record = RunRecord(RecordedConfig.of(cell.config), wall_seconds=1.0, metric="mrr")
        trained = 1000 * len(self.ran)
        record.test, record.plan = SCORES[cell.variant.slug], PlanInfo(cell.variant.slug, None, trained, 10**6)
        record.status = {0: "finished", INTERRUPTED: "interrupted"}.get(code, "failed")
        record.error = None if code == 0 else "it broke"
        cell.folder.mkdir(parents=True, exist_ok=True)
        (cell.folder / "record.json").write_text(json.dumps(record.to_dict()))
        return code


def test_done_cells_are_kept_and_failed_ones_tried_again(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "telly")
    study = study_of(tiny, variants=FOUR)
    cells = cells_of(study, tmp_path)
    first = Launcher({"2": 2})
    outcomes = run_cells(cells, study, tmp_path, first)
    assert [o.state for o in outcomes] == [State.DONE, State.FAILED, State.DONE, State.DONE]
    assert any(line.startswith("failed: search, model, 2, seed 0: it broke") for line in caplog.messages)
    second = Launcher({})
    assert all(o.state is State.DONE for o in run_cells(cells, study, tmp_path, second))
    assert first.ran == [(v, False) for v in ("base", "2", "frozen-2", "3")] and second.ran == [("2", False)]
    summary = json.loads((tmp_path / SUMMARY_FILE).read_text())
    assert [cell["state"] for cell in summary["cells"]] == ["done"] * 4
    assert all((tmp_path / cell["folder"]).is_dir() for cell in summary["cells"])


def test_the_table_has_what_is_done_after_every_cell(tiny: Tiny, tmp_path: Path):
    """By hand: .51 is 2 % above base's .5, .48 is 4 % below; without kept scores of examples there is no ±."""
    study = study_of(tiny, variants=FOUR)
    launcher, seen = Launcher({"frozen-2": 2}), list[str]()

    def launch(cell: Cell, resume: bool) -> int:
        seen.append((tmp_path / TABLE_FILE).read_text())
        return launcher(cell, resume)

    run_cells(cells_of(study, tmp_path), study, tmp_path, launch)
    lines = [
        "| base | 1 | 0.5000 |  | 1,000 | 1 |",
        "| 2 | 1 | 0.5100 | +2.0 % | 2,000 | 1 |",
        "| 3 | 1 | - | - | 4,000 | 1 |",
    ]
    seen.append((tmp_path / TABLE_FILE).read_text())
    assert [[line in text for line in lines] for text in seen] == [
        *([False] * 3, [True, False, False], [True, True, False], [True, True, False], [True] * 3)
    ]
    assert seen[0] == "No cell is done yet.\n" and "frozen" not in seen[-1]
    assert seen[-1].startswith(
        "## search, model: 3 of 4 cells\n\n| variant | seeds | mrr | change | trained | seconds |"
    )


def test_tables_are_shown_early_and_once(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """When the cells of a model have ended while those of another are to come; all at the end, on standard output."""
    other = tiny_model_folder(tmp_path / "other", seed=1)
    models, variants = [str(tiny.model), str(other)], ["base", 2]
    file = write_study(tmp_path / "mine.toml", tiny, models=models, variants=variants, seeds=[0, 1])
    monkeypatch.setattr("telly.studies.launch.in_own_process", Launcher({}))
    ended = telly_study(file, tmp_path / "out")
    told = [line.split(":")[0].split(",")[0] for line in ended.stderr.splitlines() if " of " in line or "done:" in line]
    assert [line.split(",")[0] for line in told if not line.startswith(("---", "total", " "))] == [
        *(["done"] * 4), "search", *(["done"] * 4)
    ]  # fmt: skip
    row = "2 2 0.5100 +2.0 %"
    titles = ("search, model: 4 of 4 cells", "search, other: 4 of 4 cells")
    for text, times in ((ended.stderr, (1, 0)), (ended.stdout, (1, 1))):
        assert tuple(text.count(title) for title in titles) == times
        assert sum(" ".join(line.split()).startswith(row) for line in text.splitlines()) == sum(times)
    assert "cells" in (again := telly_study(file, tmp_path / "out")).stderr and titles[0] not in again.stderr


def test_changes_are_against_the_same_seeds(tiny: Tiny, tmp_path: Path):
    """Base has .5 with seed 0 and .25 with seed 1; K=2 has .5 with seed 1 alone, twice that of base."""
    study = study_of(tiny, variants=["base", 2], seeds=[0, 1])
    cells = cells_of(study, tmp_path)
    outcomes = {
        cell.folder: Outcome(State.OPEN, None, None) if score is None else
        Outcome(State.DONE, None, RunRecord(RecordedConfig.of(cell.config), test={"mrr": score}, wall_seconds=1.0))
        for cell, score in zip(cells, (0.5, 0.25, None, 0.5), strict=True)
    }  # fmt: skip
    table = table_of(cells, outcomes)
    assert table is not None and table.title == "search, model: 3 of 4 cells"
    assert table.rows == (("base", "2", "0.3750", "", "-", "1"), ("2", "1", "0.5000", "+100.0 %", "-", "1"))
    assert table_of(cells, dict.fromkeys(outcomes, Outcome(State.OPEN, None, None))) is None


def test_a_cell_with_another_json_file_is_open_and_one_of_a_newer_version_is_not_run_over(tiny: Tiny, tmp_path: Path):
    (cell,) = cells_of(study_of(tiny, variants=["base"]), tmp_path)
    cell.folder.mkdir(parents=True)
    finished = RunRecord(RecordedConfig.of(cell.config), status="finished", test={"mrr": 0.5}).to_dict()
    for text, state in (("[1]", State.OPEN), ("{", State.OPEN), ("{}", State.OPEN),
                        (json.dumps(finished | {"of_tomorrow": 1}), State.DONE),
                        (json.dumps(finished | {"format": 1}), State.DONE),
                        (json.dumps(finished | {"status": "failed"}), State.FAILED)):  # fmt: skip
        (cell.folder / "record.json").write_text(text)
        assert outcome_of(cell).state is state
    (cell.folder / "record.json").write_text(json.dumps(finished | {"format": 3}))
    with pytest.raises(RecordFormatError, match="record of format 3, this version reads 1 and 2"):
        outcome_of(cell)


def test_an_interrupted_cell_goes_on(tiny: Tiny, tmp_path: Path):
    study = study_of(tiny, variants=FOUR)
    cells = cells_of(study, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, study, tmp_path, Launcher({"2": INTERRUPTED}))
    again = Launcher({})
    run_cells(cells, study, tmp_path, again)
    assert again.ran == [("2", True), ("frozen-2", False), ("3", False)]


def test_a_full_disk_ends_the_study(tiny: Tiny, tmp_path: Path):
    study = study_of(tiny, variants=FOUR)
    cells = cells_of(study, tmp_path)
    launcher = Launcher({"2": FULL_DISK})
    with pytest.raises(TrainingError, match="the disk is full, so search, model, 2, seed 0 failed; finished cells"):
        run_cells(cells, study, tmp_path, launcher)
    assert [variant for variant, _ in launcher.ran] == ["base", "2"]
    assert outcome_of(cells[0]).state is State.DONE


def test_a_full_disk_is_told_by_the_record_of_processes(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`accelerate launch` ends with 1 whatever happened; the record does not, however the error is worded."""
    (cell,) = cells_of(study_of(tiny, variants=["base"]), tmp_path)

    class Launched:
        full = True

        def __init__(self, *_args: Any, **_more: Any) -> None:
            record = RunRecord(
                RecordedConfig.of(cell.config), status="failed", error="CacheError: it broke", full_disk=self.full
            )
            cell.folder.mkdir(parents=True, exist_ok=True)
            record.save(cell.folder)

        def wait(self) -> int:
            return 1

    monkeypatch.setattr("telly.studies.launch.subprocess", SimpleNamespace(Popen=Launched, DEVNULL=None))
    assert in_processes(2, cell, False) == FULL_DISK
    monkeypatch.setattr(Launched, "full", False)
    assert in_processes(2, cell, False) == 1


def test_no_cell_starts_when_the_time_is_spent(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "telly")
    study = study_of(tiny, variants=FOUR, budget={"hours": 1e-12})
    outcomes = run_cells(cells_of(study, tmp_path), study, tmp_path, Launcher({}))
    assert {o.state for o in outcomes} == {State.OPEN} and "is spent; 4 cells are left" in caplog.messages[-1]


def test_a_cell_gives_what_the_run_alone_gives(tiny: Tiny, tmp_path: Path):
    file = write_study(tmp_path / "mine.toml", tiny, settings=SETTINGS | {"epochs": 3, "cache_dtype": "fp32"})
    ended = telly_study(file, tmp_path / "out")
    cells = cells_of(load_study(str(file)), tmp_path / "out")
    check_table(cells, (tmp_path / "out" / TABLE_FILE).read_text(), ended.stdout)
    assert all(outcome_of(cell).state is State.DONE for cell in cells)
    for cell, variant, more in zip(cells, ("base", "cached", "cached"), ((), (), ("--freeze", "3")), strict=True):
        alone = tmp_path / "alone" / cell.variant.slug
        options = ("--cache-dtype", "fp32", "--cache", *more)
        run_telly(*tiny.command(alone, variant, *options, cache=alone / "cache"))
        assert largest_difference(cell.folder, alone) < 1e-4
        assert record_of(cell.folder)["test"]["mrr"] == pytest.approx(record_of(alone)["test"]["mrr"], abs=1e-3)
    second, third = (record_of(cell.folder)["cache"]["caches"]["train"] for cell in cells[1:])
    assert "layer 2" in str(third["source"]), "one layer over the store below"
    assert not Path(second["folder"]).exists() and Path(third["folder"]).exists()
    before = [cell.folder.stat().st_mtime for cell in cells]
    assert "3 of 3 cells are done already" in telly_study(file, tmp_path / "out").stderr
    assert [cell.folder.stat().st_mtime for cell in cells] == before


def check_table(cells: list[Cell], kept: str, printed: str) -> None:
    """Every line, kept and printed, is what the record says, with half of the interval of the scores that it kept."""
    base = record_of(cells[0].folder)["test"]["mrr"]
    for cell in cells:
        record = record_of(cell.folder)
        interval = bootstrap_runs({0: {0: read_per_example(cell.folder / "scores.npz")}}, 1000)[0, "mrr"].interval
        score = record["test"]["mrr"]
        parts = [cell.variant.slug, "1", f"{score:.4f} ± {(interval.high - interval.low) / 2:.4f}",
                 "" if cell is cells[0] else f"{100 * (score / base - 1):+.1f} %",
                 f"{record['plan']['trainable']:,}", f"{record['wall_seconds']:.0f}"]  # fmt: skip
        assert f"| {' | '.join(parts)} |" in kept
        assert " ".join(part for part in parts if part) in [" ".join(line.split()) for line in printed.splitlines()]
    assert "search, model: 3 of 3 cells" in printed
    told = "One seed: the changes compare two trained models, not two methods"
    assert told in " ".join(kept.split()) and told in " ".join(printed.split())


def test_a_killed_cell_goes_on(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "telly")
    study = study_of(tiny, variants=["base"], settings=SETTINGS | {"save_steps": 2})
    (cell,) = cells_of(study, tmp_path)

    def killed(cell: Cell, resume: bool) -> int:
        process = running(cell, "run_here(cell.config, False)")
        process.send_signal(signal.SIGKILL)
        return process.wait()

    (outcome,) = run_cells([cell], study, tmp_path, killed)
    assert outcome.state is State.INTERRUPTED and "its process ended with exit code -9" in caplog.messages[-1]
    (outcome,) = run_cells([cell], study, tmp_path, in_own_process)
    assert outcome.state is State.DONE and outcome.record is not None and outcome.record.resumed_from_step


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What several processes on one machine need."""
    for name, value in (SMALL | {"GLOO_SOCKET_IFNAME": "lo"}).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("small")
def test_two_processes_train_a_cell(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Through `accelerate launch`; without dropout they compute what one computes."""
    caplog.set_level("INFO", "telly")
    tiny = Tiny(tiny_model_folder(tmp_path / "model", dropout=0.0), tiny_data(tmp_path / "data"))
    study = study_of(tiny, variants=[2], cell={"processes": 2})
    (cell,), (one,) = cells_of(study, tmp_path / "two"), cells_of(study, tmp_path / "one")
    (outcome,) = run_cells([cell], study, tmp_path / "two", partial(in_processes, 2))
    assert outcome.state is State.DONE and outcome.record is not None, caplog.messages
    assert outcome.record.device is not None and outcome.record.device.processes == 2
    run_cells([one], study, tmp_path / "one")
    assert largest_difference(cell.folder, one.folder) < 1e-4
    with pytest.raises(ConfigError, match="batch_size must be a multiple of 3; found search 8"):
        check_processes([cell], 3)


@pytest.mark.usefixtures("small")
def test_processes_end_with_the_one_that_started_them(tiny: Tiny, tmp_path: Path):
    study = study_of(tiny, variants=["base"], settings=SETTINGS | {"epochs": 1000, "save_steps": 2})
    (cell,) = cells_of(study, tmp_path)
    process = running(cell, "in_processes(2, cell, False)")
    started = psutil.Process(process.pid).children(recursive=True)
    assert len(started) >= 3, "the launcher and two that train"
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(started, timeout=120)
    assert len(gone) == len(started) and not alive
    assert record_of(cell.folder)["status"] == "interrupted"


def test_a_failed_cell_is_told_and_the_command_fails(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("telly.studies.launch.in_own_process", Launcher({"2": 2}))
    file = write_study(tmp_path / "mine.toml", tiny, variants=["base", 2])
    ended = CliRunner().invoke(app, ["study", str(file), "--output", str(tmp_path / "out")])
    assert ended.exit_code == 1, ended.output
    assert "failed: search, model, 2, seed 0: it broke" in ended.stderr


def test_two_activation_caches_are_on_the_disk_at_a_time(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One is made from that of a lower K, which is removed afterwards."""
    sizes = {None: 0, 2: 70 * 10**6, 3: 50 * 10**6}
    monkeypatch.setattr(
        "telly.studies.estimate.estimates",
        lambda cells: [CellEstimate(60.0, 10**9, sizes[cell.config.k]) for cell in cells],
    )
    file = write_study(tmp_path / "mine.toml", tiny, variants=["base", 2, 3])
    told = " ".join(telly_study(file, tmp_path / "out", "--dry-run").stderr.split())
    assert "3 min of training" in told and "1.0 GB of memory and 140 MB of" in told
