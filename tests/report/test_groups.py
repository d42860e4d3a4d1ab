"""From folders to lines: what is found, what is left out, what is one line, what is compared with what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handwritten_runs import (
    SEEDS,
    record,
    search_scores,
    values_of_rows,
    write_all,
    write_run,
)

from telly.analysis.published import telly_k
from telly.errors import ConfigError, DataError
from telly.metrics.significance import Verdict
from telly.reports.figures import draw_group, pareto
from telly.reports.groups import ComparisonGroup, group_runs
from telly.reports.scan import find_results
from telly.reports.scores import score_groups
from telly.reports.tables import beside_paper, results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("runs"))


def groups(folder: Path) -> dict[str, ComparisonGroup]:
    found, repeated = group_runs(find_results([folder]).runs)
    assert not repeated
    return {group.task: group for group in found}


def run(folder: Path, name: str, variant: str = "base", seed: int = 0, **changes: Any) -> Path:
    """A run of search whose settings are changed."""
    scores = search_scores(0.0, seed)
    content = record("search", variant, seed, 5.0, values_of_rows(scores), "mrr")
    content["config"] |= changes.pop("config", {})
    return write_run(folder / name, content | changes, scores)


def test_seeds_of_a_setting_are_one_line_and_unfinished_runs_are_in_none(folder: Path):
    found = find_results([folder])
    assert len(found.runs) == 18 and len(found.probes) == len(found.comparisons) == 1
    assert {one.folder.name: one.reason for one in found.left_out} == {
        "search-9-s3": "failed: TrainingError: loss is nan at step 7",
        "search-9-s4": "not finished: it is still running, or was killed",
    }
    by_task = groups(folder)
    assert [row.label for row in by_task["search"].rows] == ["base", "K=6 frozen", "K=9 cached", "K=11 cached"]
    assert all(row.seeds == list(SEEDS) for group in by_task.values() for row in group.rows)
    assert by_task["search"].metrics == ("mrr", "recall@1", "recall@5", "recall@10")
    assert by_task["generate"].metrics[0] == "bleu"
    row = by_task["search"].rows[2]
    expected = [values_of_rows(search_scores(-0.002, seed))["mrr"] for seed in SEEDS]
    assert row.metric("mrr") == pytest.approx(sum(expected) / 3)
    assert row.mean(lambda r: r.convergence_seconds) == pytest.approx(2 * 9 * 1.02), "two epochs until the best"


def test_peers_stand_beside_base_and_k(tmp_path: Path):
    """None of them is the base that others are compared with; what they were told otherwise is in a note."""
    for variant in ("bitfit", "base", "9-lora", "lora", "9", "9-frozen", "head-only"):
        run(tmp_path, variant, variant)
    run(tmp_path, "new", "11", config={"method": "full", "lora_rank": None, "lora_targets": []})
    group = groups(tmp_path)["search"]
    names = ["base", "bitfit", "lora", "K=9 cached", "K=9 frozen", "K=9 cached, lora", "K=11 cached",
             "head-only cached"]  # fmt: skip
    assert [row.label for row in group.rows] == names
    assert [row.is_base for row in group.rows] == [True] + [False] * 7
    assert all(group.base_of(row) is group.rows[0] for row in group.rows[1:])
    trained = [row.mean(lambda r: r.trainable) for row in group.rows]
    assert trained[2] == 147_456 and trained[5] == 147_456 / 4
    notes = [note for note in group.notes if note.startswith("Settings of ")]
    assert notes[0] == (
        "Settings of lora (in brackets those of base and K): learning_rate 0.002 (0.0002); lora_rank 8."
    )
    assert notes[1] == "Settings of bitfit (in brackets those of base and K): learning_rate 0.002 (0.0002)."
    drawn = draw_group(group, score_groups([group], 0.01, 200)[0], [], tmp_path / "figures")
    over_k = drawn["Metrics over K"][0].read_text(encoding="utf-8")
    assert "cached, lora" in over_k and "head-only" not in over_k, "a head alone is no K"
    assert "head-only cached" in drawn["Quality against time"][0].read_text(encoding="utf-8")


def test_ranks_of_lora_are_told_apart(tmp_path: Path):
    for rank in (8, 16):
        run(tmp_path, f"lora-{rank}", "lora", config={"lora_rank": rank})
    run(tmp_path, "base")
    (group,) = groups(tmp_path).values()
    assert [row.label for row in group.rows] == ["base", "lora, lora_rank 16", "lora, lora_rank 8"]


def test_the_paper_has_no_peers(tmp_path: Path):
    for variant in ("base", "9", "9-lora"):
        run(tmp_path, variant, variant)
    (group,) = groups(tmp_path).values()
    table = beside_paper(group, telly_k("search"), "paper")
    assert table is not None
    assert {str(cells[1].value) for cells in table.rows} == {"K=9 cached"}


def test_a_folder_that_is_given_twice_counts_once(folder: Path):
    assert len(find_results([folder, folder / "search-9-s0"]).runs) == 18


def test_base_is_of_the_same_settings(tmp_path: Path):
    for rate in (1e-4, 2e-4):
        for variant in ("base", "9"):
            run(tmp_path, f"{variant}-{rate}", variant, config={"learning_rate": rate})
    (group,) = groups(tmp_path).values()
    lines = [row.label for row in group.rows]
    assert lines[:2] == ["base, learning_rate 0.0001", "base, learning_rate 0.0002"]
    for row in group.rows[2:]:
        base = group.base_of(row)
        assert base is not None and base.settings["learning_rate"] == row.settings["learning_rate"]
    assert group.base_of(group.rows[0]) is None


def test_truncated_embeddings_have_rows_of_their_own(tmp_path: Path):
    """Means over the seeds, below the row of the whole embeddings."""
    for seed, (small, large) in enumerate([(0.25, 0.5), (0.35, 0.4)]):
        scores = {"64": {"mrr": small}, "256": {"mrr": large}}
        run(tmp_path, f"seed-{seed}", seed=seed, test_truncated=scores, config={"matryoshka": [64, 256]})
    (group,) = group_runs(find_results([tmp_path]).runs)[0]
    table = results(group, score_groups([group], 0.05, 100)[0], "results")
    names = [column.name for column in table.columns]
    shown = [(row[names.index("run")].value, row[names.index("mrr")].value) for row in table.rows]
    assert shown[-2:] == [("base, 64 dimensions", pytest.approx(0.3)), ("base, 256 dimensions", pytest.approx(0.45))]
    assert len(table.hints) == len(table.rows)


def test_other_data_is_another_group_and_changed_data_is_not_compared(tmp_path: Path):
    run(tmp_path, "a")
    run(tmp_path, "b", "9", config={"data": "mine.jsonl"})
    assert len(group_runs(find_results([tmp_path]).runs)[0]) == 2
    changed = json.loads((tmp_path / "a" / "record.json").read_text())["data"]
    changed["test"]["fingerprint"] = "other"
    run(tmp_path, "c", "9", data=changed)
    (group,) = group_runs(find_results([tmp_path / "a", tmp_path / "c"]).runs)[0]
    assert group.base_of(group.rows[1]) is None


MODEL = {"name": "telly-mini", "parameters": 7_778_688}


def test_other_weights_under_the_same_name_are_another_model(tmp_path: Path):
    """A new pooler differs by seed and is no other model; nor is a record that is older than the fingerprint."""
    for number, layers in enumerate(("aaaaaaaa", "bbbbbbbb", "bbbbbbbb")):
        run(
            tmp_path,
            f"r{number}",
            seed=number,
            model=MODEL | {"fingerprint": str(number), "layers_fingerprint": layers},
        )
    (group,) = groups(tmp_path).values()
    assert {row.model: row.seeds for row in group.rows} == {"telly-mini (aaaaaa)": [0], "telly-mini (bbbbbb)": [1, 2]}
    run(tmp_path / "old", "old", seed=7, model=MODEL | {"fingerprint": "x"})
    (group,) = group_runs(find_results([tmp_path / "r1", tmp_path / "old"]).runs)[0]
    assert {row.model: row.seeds for row in group.rows} == {"telly-mini": [1, 7]}


def test_of_a_run_that_was_done_again_the_later_one_counts(tmp_path: Path):
    run(tmp_path, "first", started="2026-01-01T00:00:00+00:00")
    run(tmp_path, "again", started="2026-01-02T00:00:00+00:00")
    found, repeated = group_runs(find_results([tmp_path]).runs)
    assert [run.folder.name for run in found[0].rows[0].runs] == ["again"]
    assert [(one.folder.name, "done again later" in one.reason) for one in repeated] == [("first", True)]


def test_scores_have_intervals_and_differences_verdicts(folder: Path):
    group = groups(folder)["search"]
    (scores,) = score_groups([group], 0.03, 2000)
    for number, row in enumerate(group.rows):
        interval = scores.intervals[number, "mrr"]
        assert interval.low < (row.metric("mrr") or 0) < interval.high
    assert len(scores.differences) == 3 * 4, "every line but base, every metric"
    verdicts = {group.rows[n].label: found.verdict for (n, m), found in scores.differences.items() if m == "mrr"}
    assert verdicts["K=11 cached"] is Verdict.WORSE and verdicts["K=6 frozen"] in (Verdict.BETTER, Verdict.SIMILAR)
    paired = scores.differences[2, "mrr"].interval
    own = scores.intervals[2, "mrr"]
    assert paired.high - paired.low < 0.5 * (own.high - own.low), "the same queries are hard for both"


def test_without_kept_scores_there_is_no_interval(tmp_path: Path):
    run(tmp_path, "base")
    run(tmp_path, "old", "9", scores=None)
    (group,) = groups(tmp_path).values()
    (scores,) = score_groups([group], 0.01, 200)
    assert {number for number, _ in scores.intervals} == {0} and not scores.differences
    assert [row.label for row in scores.without] == ["K=9 cached"]


def test_a_lost_file_of_scores_is_an_error(tmp_path: Path):
    (run(tmp_path, "base") / "scores.npz").unlink()
    (group,) = groups(tmp_path).values()
    with pytest.raises(DataError, match=r"base/scores\.npz: cannot be read as the scores of a run .*; run it again"):
        score_groups([group], 0.01, 200)


def test_nothing_to_report(tmp_path: Path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "record.json").write_text("{")
    run(tmp_path, "failed", status="failed", error="ConfigError: no")
    with pytest.raises(ConfigError, match=r"(?s)nothing to report in .*expected at least one finished run.*"
                       r"found 2 runs that cannot be used:.*broken: .*cannot be read as a run's record.*"
                       r"failed: failed: ConfigError: no"):  # fmt: skip
        find_results([tmp_path])


def test_a_record_of_another_format_is_left_out_with_the_reason(tmp_path: Path):
    run(tmp_path, "new", format=99)
    run(tmp_path, "ours")
    found = find_results([tmp_path])
    assert len(found.runs) == 1 and "record of format 99, this version reads 1" in found.left_out[0].reason


def test_pareto_by_hand():
    """(3, .5) is slower and worse than (2, .6); (1, .2) is the fastest; the second (2, .4) is beaten by (2, .6)."""
    points = [(2.0, 0.6), (1.0, 0.2), (3.0, 0.5), (4.0, 0.7), (2.0, 0.4)]
    assert pareto(points) == [1, 0, 3]
    assert pareto(points, greater_is_better=False) == [1]
