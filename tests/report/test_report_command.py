"""`telly report` through the command line: hand-written records, and real tiny runs."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from handwritten_runs import write_all

from telly.analysis.published import telly_k
from telly.errors import ConfigError
from telly.reports.earlier import FILES_FILE, replace_files
from telly.reports.fetch import FETCHED, _name, local_folders
from telly.tasks import get_spec
from telly.training.clocks import CLOCKS
from tiny_runs import Tiny, files_below, run_telly, tiny_data, tiny_model_folder

FEW = ("--resamples", "500")
MINE = {"notes.md", "tables/mine.csv", "figures/search-2/mine.svg"}
"""What a person put into a report's folder."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A report of the hand-written runs, and what the command said."""
    folder = tmp_path_factory.mktemp("report")
    runs = write_all(folder / "runs")
    ended = run_telly("report", str(runs), "--output", str(folder / "out"), "--with-paper", "--margin", "0.03", *FEW)
    return folder / "out", ended.out


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_command_says_what_it_comes_to(made: tuple[Path, str]):
    out, said = made
    assert f"report: {out}/report.html" in said and "2 runs are in no table" in said
    assert re.search(r"search on the sample .*: telly-mini, K=9 cached is (better|similar or better) in mrr", said)
    assert "two trained models" not in said, "all lines have three seeds"


def test_every_table_is_written_three_times_and_in_the_page(made: tuple[Path, str]):
    out, _ = made
    stems = {file.stem for file in (out / "tables").iterdir()}
    assert {"results-search-2", "differences-search-2", "clocks-search-2", "paper-search-2", "table-probe-1",
            "table-compare-1", "provenance", "left-out"} <= stems  # fmt: skip
    page, markdown = ((out / name).read_text(encoding="utf-8") for name in ("report.html", "report.md"))
    for stem in stems:
        assert all((out / "tables" / f"{stem}{suffix}").stat().st_size > 50 for suffix in (".md", ".csv", ".tex"))
        assert f'id="{stem}"' in page
        assert (out / "tables" / f"{stem}.md").read_text(encoding="utf-8") in markdown


def test_verdicts_of_several_seeds_are_about_methods_and_one_family_over_the_page(made: tuple[Path, str]):
    tables = [rows(made[0] / "tables" / f"differences-{name}.csv") for name in ("generate-1", "search-2")]
    count = sum(map(len, tables))
    assert count == 2 + 3 * 4
    for row in (row for table in tables for row in table):
        assert row["compared"] == "two methods (3 seeds)"
        assert float(row["p, corrected"]) >= float(row["p"]) and float(row["p similar, corrected"]) <= 1
    smallest = min(float(row[name]) for table in tables for row in table for name in ("p", "p similar"))
    corrected = min(
        float(row[f"{name}, corrected"]) for table in tables for row in table for name in ("p", "p similar")
    )
    assert corrected == pytest.approx(count * smallest), "times all differences of the page, not those of a table"
    page = (made[0] / "report.html").read_text(encoding="utf-8")
    assert f"for all {count} differences of this page" in page and "two trained models" not in page


def test_the_papers_irreproducible_bleu_is_marked(made: tuple[Path, str]):
    tables = made[0] / "tables"
    published = next(tables.glob("published-generate-unixcoder*.md")).read_text(encoding="utf-8")
    assert "| bleu (%) † |" in published and "exact_match (%) |" in published and "cannot be reproduced" in published
    assert r"\textdagger{}" in next(tables.glob("published-generate-unixcoder*.tex")).read_text(encoding="utf-8")
    beside = (tables / "paper-generate-1.md").read_text(encoding="utf-8")
    assert "| bleu † |" in beside and "cannot be reproduced" in beside
    assert "†" not in next(tables.glob("published-search-unixcoder*.md")).read_text(encoding="utf-8")


def test_results_have_changes_and_intervals(made: tuple[Path, str]):
    found = {row["run"]: row for row in rows(made[0] / "tables" / "results-search-2.csv")}
    assert list(found) == ["untuned", "base", "K=6 frozen", "K=9 cached", "K=11 cached"]
    assert float(found["K=9 cached"]["trained change"]) == pytest.approx(3 * 444_864 / 7_778_688 - 1)
    assert float(found["K=9 cached"]["mrr low"]) < float(found["K=9 cached"]["mrr"])
    assert found["untuned"]["trained"] == found["base"]["mrr change"] == ""
    clocks = rows(made[0] / "tables" / "clocks-search-2.csv")
    for row in clocks:
        parts = [float(row[name]) for name in CLOCKS]
        assert sum(parts) == pytest.approx(float(row["total"]))


def test_the_paper_stands_beside(made: tuple[Path, str]):
    """UniXcoder, code search, Python: K=9 trains 21.26 of 125.93 million parameters."""
    (row,) = [r for r in rows(made[0] / "tables" / "paper-search-2.csv")
              if r["quantity"] == "trained" and r["run"] == "K=9 cached"]  # fmt: skip
    (source,) = [name for name in row if name.endswith("unixcoder-base, CodeSearchNet Python")]
    assert float(row[source]) == pytest.approx(100 * (21.26 / 125.93 - 1), abs=0.02)
    assert len(list((made[0] / "tables").glob("published-*.csv"))) == 3 + 2, "search and generate, as published"


def test_published_rows_are_whole():
    """12 tables of base and K = 0 to 11, in the order of the paper's numbers: more frozen layers train less."""
    grouped: dict[tuple[str, str, str], list[float]] = {}
    for row in telly_k():
        grouped.setdefault((row.model, row.task, row.dataset), []).append(row.trained_millions)
        assert row.metrics and row.convergence_seconds >= row.epoch_seconds > 0
    assert len(grouped) == 12
    for trained in grouped.values():
        assert len(trained) == 13 and trained == sorted(trained, reverse=True)


def test_the_page_needs_no_network_and_no_other_file(made: tuple[Path, str]):
    page = (made[0] / "report.html").read_text(encoding="utf-8")
    plain = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", plain), "only links within the page"
    assert not re.search(r"@import|url\((?!#|['\"]?data:)", plain)
    assert "http" not in re.sub(r"<[^>]*>", "", re.sub(r"http-equiv", "", plain))
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "ids are unique"
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids), "every reference has its target"


def test_provenance_has_the_commands(made: tuple[Path, str]):
    found = rows(made[0] / "tables" / "provenance.csv")
    assert len(found) == 18
    assert found[0]["given"] == "telly tune generate --freeze 9 --seed 0"
    assert found[0]["again"].startswith("telly tune generate --config ") and found[0]["commit"] == "0123456789ab"
    markdown = (made[0] / "report.md").read_text(encoding="utf-8")
    assert "telly probe --model telly-mini --probe lexical --limit 100 --hard --output" in markdown
    assert "telly compare --model telly-mini --with runs/search-base-s0 --output" in markdown
    assert "telly report " in markdown


def test_figures_are_drawn_as_svg_and_png(made: tuple[Path, str]):
    drawn = {str(file.relative_to(made[0] / "figures")) for file in (made[0] / "figures").rglob("*.*")}
    names = [f"search-2/{name}" for name in ("quality", "over-k", "clocks", "learning")]
    assert {f"{name}{suffix}" for name in names for suffix in (".svg", ".png")} <= drawn
    assert {"probe-1/probes.svg", "probe-1/contributions.svg", "compare-1/similarity.svg"} <= drawn


def test_a_report_of_a_report_is_the_same(made: tuple[Path, str], tmp_path: Path):
    """Nothing is drawn at random."""
    out = tmp_path / "out"
    run_telly("report", str(made[0].parent / "runs"), "--output", str(out), "--with-paper", "--margin", "0.03", *FEW)
    for file in (out / "tables").iterdir():
        assert file.read_bytes() == (made[0] / "tables" / file.name).read_bytes() or file.stem == "provenance"


def test_a_report_replaces_the_earlier_one_and_nothing_else(made: tuple[Path, str], tmp_path: Path):
    out, outside = tmp_path / "out", tmp_path / "outside.txt"
    shutil.copytree(made[0], out)
    outside.write_text("mine")
    for mine in MINE:
        (out / mine).write_text("mine")
    listed = json.loads((out / "files.json").read_text())["files"]
    assert {"report.html", "tables/results-search-2.csv", "figures/probe-1/probes.png"} <= set(listed)
    assert {*listed, "files.json", *MINE} == set(files_below(out))
    (out / "files.json").write_text(json.dumps({"files": [*listed, "../outside.txt", str(outside)]}))
    runs = tmp_path / "runs"
    for seed in (0, 1):
        shutil.copytree(made[0].parent / "runs" / f"generate-base-s{seed}", runs / f"generate-base-s{seed}")
    run_telly("report", str(runs), "--output", str(out), *FEW)
    now = json.loads((out / "files.json").read_text())["files"]
    assert set(files_below(out)) == {*now, "files.json", *MINE}, "nothing else is left, and none of one's own is gone"
    assert "tables/results-generate-1.csv" in now and not any("search" in name or "probe" in name for name in now)
    assert not (out / "figures" / "probe-1").exists() and outside.read_text() == "mine"


@pytest.mark.parametrize(("options", "message"), [
    (("nowhere",), "nowhere: expected a folder with runs, found nothing; give the --output of `telly tune`"),
    (("a-file",), "a-file: expected a folder with runs, found a file; give the --output of `telly tune`"),
    (("empty",), "nothing to report in empty: expected at least one finished run of `telly tune` (with record.json), "
                 "or results of `telly probe` or `telly compare`; found 0 runs that cannot be used"),
    (("empty", "--margin", "1.5"), "--margin: expected a number between 0 and 1, such as 0.01; found 1.5"),
    (("empty", "--output", "a-file"), "--output: a-file is a file; expected a folder or a new name"),
])  # fmt: skip
def test_bad_input(options: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a-file").write_text("")
    setup = f"import os; os.chdir({str(tmp_path)!r})"
    assert run_telly("report", *options, code=2, setup=setup).error == message
    assert not (tmp_path / "report").exists()


def test_damaged_probe_results_are_named(tmp_path: Path):
    runs = write_all(tmp_path / "runs")
    file = runs / "probing" / "probing.json"
    content = json.loads(file.read_text())
    del content["probes"][0]["metric"]
    file.write_text(json.dumps(content))
    ended = run_telly("report", str(runs), "--output", str(tmp_path / "out"), *FEW, code=2)
    assert ended.error.startswith(f"{file}: 0.metric: Field required")


def test_real_runs_from_the_first_command_to_the_page(tmp_path: Path):
    tiny = Tiny(tiny_model_folder(tmp_path / "model"), tiny_data(tmp_path / "data"))
    for variant in ("base", "cached"):
        output = tmp_path / "runs" / variant
        tuned = run_telly(*tiny.command(output, variant, "--epochs", "2", "--save-steps", "99"))
        sentence = json.loads((output / "record.json").read_text())["verdict"]["sentence"]
        assert f"\nverdict: {sentence}\n" in tuned.out
    ended = run_telly("report", str(tmp_path / "runs"), "--output", str(tmp_path / "out"), *FEW)
    found = {row["run"]: row for row in rows(tmp_path / "out" / "tables" / "results-search-1.csv")}
    for name, variant in (("base", "base"), ("K=2 cached", "cached")):
        kept = json.loads((tmp_path / "runs" / variant / "record.json").read_text())
        assert float(found[name]["mrr"]) == pytest.approx(kept["test"]["mrr"])
        assert float(found[name]["mrr low"]) <= kept["test"]["mrr"] <= float(found[name]["mrr high"])
    differences = rows(tmp_path / "out" / "tables" / "differences-search-1.csv")
    assert [row["metric"] for row in differences] == list(get_spec("search").metrics)
    assert all(float(row["p, corrected"]) >= float(row["p"]) for row in differences)
    assert {row["compared"] for row in differences} == {"two trained models (1 seed)"}
    against = rows(tmp_path / "out" / "tables" / "untuned-search-1.csv")
    records = [json.loads((tmp_path / "runs" / name / "record.json").read_text()) for name in ("base", "cached")]
    assert [row["verdict"] for row in against] == [record["verdict"]["verdict"] for record in records]
    assert [float(row["difference low"]) for row in against] == [record["verdict"]["low"] for record in records]
    for file in ("report.html", "report.md", "tables/differences-search-1.md", "tables/differences-search-1.tex"):
        told = " ".join((tmp_path / "out" / file).read_text(encoding="utf-8").split())
        assert "two trained models (1 seed)" in told and "compares two trained models, not two methods" in told, file
    assert "compares two trained models, not two methods" in " ".join(ended.out.split()), "in the terminal as well"


def test_results_behind_a_url_are_copied_and_reported(made: tuple[Path, str], tmp_path: Path):
    runs = write_all(tmp_path / "runs")
    (runs / "search-9-s0" / "model").mkdir()
    (runs / "search-9-s0" / "model" / "record.json").write_text("{}")
    out = tmp_path / "out"
    ended = run_telly("report", f"file://{runs}", "--output", str(out), "--with-paper", "--margin", "0.03", *FEW)
    assert ended.out.replace(str(out), "") == made[1].replace(str(made[0]), "")
    for table in ("results-search-2.csv", "differences-search-2.csv", "clocks-search-2.csv"):
        assert (out / "tables" / table).read_text() == (made[0] / "tables" / table).read_text()
    (copy,) = (out / FETCHED).iterdir()
    assert str(copy / "search-9-s0" / "config.toml") in (out / "tables" / "provenance.csv").read_text()
    assert not list(copy.rglob("model")), "no weights are copied, whatever lies beside them"
    listed = json.loads((out / FILES_FILE).read_text())["files"]
    assert {file for file in files_below(out) if file.startswith(FETCHED)} <= set(listed), (
        "the next report removes them"
    )


def test_a_copy_is_replaced_as_a_whole(tmp_path: Path):
    runs = write_all(tmp_path / "runs")
    (folder,), files = local_folders([f"file://{runs}/"], tmp_path / "out")
    assert set(files) == {file for file in folder.rglob("*") if file.is_file()}
    shutil.rmtree(runs / "search-9-s0")
    assert local_folders([f"file://{runs}/"], tmp_path / "out")[0] == [folder]
    assert (folder / "search-base-s0").is_dir() and not (folder / "search-9-s0").exists()
    kept = files_below(folder)
    (runs / "search-base-s0" / "record.json").unlink()
    (runs / "search-base-s0" / "record.json").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="cannot be read"):
        local_folders([f"file://{runs}/"], tmp_path / "out")
    assert files_below(folder) == kept and list((tmp_path / "out" / FETCHED).iterdir()) == [folder]


def test_urls_have_copies_of_their_own_that_tell_no_secret(tmp_path: Path):
    for name in ("a-b", "a/b"):
        write_all(tmp_path / name)
    places = [f"file://{tmp_path}/{name}" for name in ("a-b", "a/b")]
    folders, _ = local_folders(places, tmp_path / "out")
    assert len(set(folders)) == 2 and all(folder.is_dir() for folder in folders)
    assert "secret" not in _name("s3://me:secret@host/mine?signature=secret")


def test_copies_that_are_given_as_a_folder_stay(tmp_path: Path):
    out = tmp_path / "out"
    (folder,), files = local_folders([f"file://{write_all(tmp_path / 'runs')}"], out)
    (out / "old.md").touch()
    replace_files(out, [*files, out / "old.md"])
    replace_files(out, [], spared=[folder])
    assert all(file.is_file() for file in files) and not (out / "old.md").exists()
    replace_files(out, [])
    assert not (out / FETCHED).exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file://{}/nothing", "expected results of telly, found none"),
        ("nosuch://bucket/mine", "telly report nosuch://bucket/mine: "),
    ],
)
def test_a_url_without_results_is_refused(tmp_path: Path, url: str, told: str):
    ended = run_telly("report", url.format(tmp_path), "--output", str(tmp_path / "out"), code=2)
    assert told in ended.err
    assert not (tmp_path / "out" / FETCHED).exists()
