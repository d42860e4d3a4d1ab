"""The benchmark's table says what the result file says, and its variants do the same work. No timing is asserted."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.contestants import Contestant, Setting, Variant, variants
from benchmarks.shapes import SHAPES, Load, depths, model_folder

from benchmarks import quality, run, steps, table, tasks

LOAD = Load(pairs=4, tokens=12, batches=2)


def step(median: float, waiting: float = 0.0) -> dict[str, Any]:
    return {
        "trained": 1000,
        "median_seconds": median,
        "min_seconds": median / 2,
        "max_seconds": median * 2,
        "waiting_share": waiting,
    }


def result() -> dict[str, Any]:
    """8 s for full against 2 s and 1 s: speed-ups of 4 and 8; memory of 1,000 against 4,000 MB: a quarter."""
    return {
        "file": "benchmarks/results/day-machine.json",
        "command": "python benchmarks/run.py",
        "date": "2026-01-02T03:04:05+00:00",
        "rounds": 5,
        "load": {"pairs": 8, "tokens": 128, "batches": 3},
        "threads": 2,
        "provenance": {
            "commit": "0123456789abcdef",
            "dirty": False,
            "processor": "Some CPU",
            "cpus": 2,
            "versions": {"torch": "2.0", "transformers": "5.0"},
        },
        "shapes": {
            "unixcoder": {
                "title": "a model",
                "steps": {
                    "fp32": {
                        "full": step(8.0),
                        "LoRA": step(5.0),
                        "K=9 frozen": step(3.0),
                        "K=9 cached": step(2.0, waiting=0.01),
                        "K=11 cached": step(1.0, waiting=0.06),
                    }
                },
                "memory": {
                    "fp32": {
                        "full": {"training_peak": 4_000_000_000, "process_peak": 4_500_000_000},
                        "K=9 cached": {"training_peak": 1_000_000_000, "process_peak": 1_200_000_000},
                    }
                },
            },
            "telly-mini": {"title": "another", "skipped": "the model is not in this checkout"},
        },
        "startup": {},
    }


def test_met_unmet_and_missing_targets_are_told_apart() -> None:
    lines = table.render(result()).splitlines()
    assert "| step, full / K=9 cached | at least 3.50x | 4.00x | met |" in lines
    assert "| step, LoRA in all layers / K=9 cached | at least 2.20x | 2.50x | met |" in lines
    assert "| step, full / K=11 cached | at least 12.00x | 8.00x | **not met** |" in lines
    assert "| longest wait for the activation cache, of a step | at most 5.0 % | 6.0 % | **not met** |" in lines
    assert "| peak training memory, K=9 cached / full | at most 50.0 % | 25.0 % | met |" in lines
    assert "| whole run of 5 epochs, full / K=9 cached | at least 2.50x | - | - |" in lines
    assert "| `telly --help`, seconds | at most 0.30 | - | - |" in lines


def test_rows_show_ratios_and_dashes() -> None:
    measured = result()
    measured["shapes"]["unixcoder"]["steps"]["bf16"] = {"full": step(6.0), "K=9 cached": step(1.0)}
    lines = table.render(measured).splitlines()
    assert "| K=9 cached | 2 (1-4) | 4.00x | 1.50x | 1,000 |" in lines
    assert "| K=11 cached | 1 (0.5-2) | 8.00x | - | - |" in lines, "no frozen one"
    assert "| LoRA | 5 (2.5-10) | 1.60x | - | - |" in lines
    assert "Cached steps, vs full and vs frozen. a model, bf16: K=9 6.00x and -." in lines
    assert "**another** was not measured: the model is not in this checkout." in lines
    origin = lines[0]
    for said in ("`python benchmarks/run.py`", "2026-01-02", "commit 0123456789ab;", "Some CPU", "2 cores", "peft -"):
        assert said in origin


def test_whole_runs_show_their_clocks_and_whether_the_cache_was_used() -> None:
    measured = result()
    measured["shapes"]["unixcoder"]["whole"] = {
        "full": {"wall_seconds": 90.0, "clocks": {"train": 80.0}},
        "K=9 frozen": {"wall_seconds": 45.0, "clocks": {}},
        "K=9 cached": {"wall_seconds": 30.0, "clocks": {"prefix": 4.0}, "cache_used": False},
    }
    lines = table.render(measured).splitlines()
    assert "| whole run of 5 epochs, full / K=9 cached | at least 2.50x | 3.00x | met |" in lines
    assert "| full | 90.0 | 1.00x | - | - | 80.0 |" in lines
    assert "| K=9 cached (did not use the cache) | 30.0 | 3.00x | 1.50x | 4.00 | - |" in lines


def test_the_readme_has_one_row_per_method_and_dashes_for_what_is_missing() -> None:
    """8 s against 5, 3 and 2 s; memory of full and of K=9 cached alone; no other shape than that of the targets."""
    short = table.summary(result())
    assert "[All tables](docs/benchmarks.md)" in short
    assert "commit 0123456789ab: `benchmarks/results/day-machine.json`" in short
    assert [line for line in short.splitlines() if line.startswith("|")] == [
        "| method | trained parameters | seconds per step (speed-up) | peak memory |",
        "|---|---:|---:|---:|",
        "| full fine-tuning | 1,000 | 8.00 (1.00x) | 4,000 MB |",
        "| LoRA in all layers | 1,000 | 5.00 (1.60x) | - |",
        "| K=9, frozen only | 1,000 | 3.00 (2.67x) | - |",
        "| K=9, cached | 1,000 | 2.00 (4.00x) | 1,000 MB |",
    ]
    several = result()
    several["shapes"]["other"] = several["shapes"]["unixcoder"] | {"title": "Another shape"}
    assert "Another shape" in table.render(several)
    assert table.summary(several) == short
    assert "| LoRA in all layers | - | - | - |" in table.summary(result() | {"shapes": {}})


def test_the_newest_result_is_one_of_this_program(tmp_path: Path) -> None:
    """The folder holds results of other programs, which have no date, or a later one."""
    own = {"complete": True, "shapes": {}, "startup": {}}
    files = {
        "a": own | {"date": "2026-01-02"},
        "b": own | {"date": "2026-01-01"},
        "c": own | {"date": "2026-01-03", "complete": False},
        "advice": {"rule": {}},
        "packages": {"date": "2026-02-01", "packages": []},
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert run.newest_result(tmp_path)["date"] == "2026-01-02"
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").unlink()
    with pytest.raises(SystemExit, match="no result of benchmarks"):
        run.newest_result(tmp_path)


def test_clone_rows_are_of_the_default_configuration() -> None:
    """Ratios: 20 s against 4 s of random batches is 5x; 6 s against 1 s of shared ones stands apart."""
    seconds = {"full, usual batches": 20.0, "K=9 frozen, random batches": 8.0, "K=9 cached, random batches": 4.0,
               "full": 6.0, "K=9 frozen": 3.0, "K=9 cached": 1.0}  # fmt: skip
    shape = {
        "title": "a model",
        "clone": {"steps": {name: step(value) for name, value in seconds.items()}, "distinct_functions": 11.9},
        "generate": {"steps": {"full": step(6.0), "K=9 cached": step(2.0)}},
        "evaluation": {"epoch": {"median_seconds": 10.0}, "answers": {"median_seconds": 5.0}},
    }
    measured = result() | {"shapes": {"a": shape}}
    rows = [line for line in tasks.render(measured).splitlines() if ": clone detection |" in line]
    assert rows == ["| a model: clone detection | 20 (10-40) | 8 (4-16) | 4 (2-8) | 5.0x | 2.0x |"]
    shared = "a model: full 6 (3-12) s, frozen 3 (1.5-6) s, cached 1 (0.5-2) s (6.0x, 3.0x)"
    assert shared in tasks.render_shared(measured)
    assert "| a model: code generation | 6 (3-12) | - | 2 (1-4) | 3.0x | - |" in tasks.render(measured)
    assert "20x" not in tasks.render_shared(measured)


@pytest.mark.parametrize(
    ("base", "k", "said"),
    [
        ((0.50, 0.52), (0.53, 0.53), "0.0200 above base on average, within the 0.0200"),
        ((0.50, 0.52), (0.60, 0.60), "0.0900 above base on average, **not** within the 0.0200"),
        ((0.50, 0.52), (0.40, 0.40), "0.1100 below base on average, **not** within the 0.0200"),
        ((0.50, 0.52), (0.50, 0.51), "0.0050 below base on average, within the 0.0200"),
    ],
)
def test_a_difference_is_within_the_noise_in_both_directions(
    base: tuple[float, float], k: tuple[float, float], said: str
) -> None:
    runs = {f"{name}/{seed}": {"test": {"f1": score}, "baselines": {}}
            for name, scores in (("base", base), ("K=9", k)) for seed, score in enumerate(scores)}  # fmt: skip
    assert said in quality._verdict(runs, "f1")


def test_uncommitted_changes_are_said() -> None:
    measured = result()
    measured["provenance"]["dirty"] = True
    assert "commit 0123456789ab with uncommitted changes;" in table.render(measured)


def test_only_what_is_between_the_markers_changes(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    assert table.update_readme(readme, "new")
    assert readme.read_text() == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"
    readme.write_text("no markers")
    assert not table.update_readme(readme, "new")
    assert readme.read_text() == "no markers"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = model_folder(SHAPES["tiny"], tmp_path_factory.mktemp("models"))
    assert folder is not None
    return folder


def test_all_variants_step_and_the_store_changes_nothing(tiny: Path) -> None:
    load = {"pairs": LOAD.pairs, "tokens": LOAD.tokens, "batches": LOAD.batches}
    found = steps.measure(str(tiny), depths(tiny), "fp32", load, rounds=1, warm_up=1, state_dtype="fp32")
    names = [variant.name for variant in variants(depths(tiny))]
    assert list(found) == names
    assert len(set(names)) == 2 + 3 * 3
    for k in depths(tiny):
        frozen, cached = found[f"K={k} frozen"], found[f"K={k} cached"]
        assert cached["first_loss"] == pytest.approx(frozen["first_loss"], abs=1e-6)
        assert cached["trained"] == frozen["trained"]
        assert len(cached["seconds"]) == 1
    shallow, deep = (found[f"K={k} frozen"]["first_loss"] for k in depths(tiny)[:2])
    assert shallow != pytest.approx(deep, abs=1e-6)  # dropout acts in the trained layers, so the losses can differ
    assert found["full"]["trained"] > found["K=3 cached"]["trained"] > found["LoRA"]["trained"]
    assert found["K=3 LoRA"]["trained"] == found["LoRA"]["trained"] / 2, "adapters in 3 of 6 layers"
    assert "which is not measured yet" in table.render(result())
    assert "which is not measured yet" not in table.render(
        result() | {"shapes": {"tiny": {"title": "t", "steps": {"fp32": found}}}}
    )


def test_a_cached_step_reads_states_and_trains(tiny: Path, tmp_path: Path) -> None:
    contestant = Contestant(Variant("cached", 2), Setting(tiny, "bf16", LOAD, tmp_path))
    frozen = [p for p in contestant.model.parameters() if not p.requires_grad]
    assert any(p.numel() == 0 for p in frozen)  # released: a step from tokens would fail
    before = [p.detach().clone() for p in contestant.model.parameters() if p.requires_grad]
    assert contestant.step().loss > 0
    after = [p for p in contestant.model.parameters() if p.requires_grad]
    assert all(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(p.grad is None for p in contestant.model.parameters())
