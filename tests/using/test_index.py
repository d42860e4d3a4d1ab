"""The index: what is in it, what an update encodes, and what a crash leaves."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from filelock import FileLock

import telly.inference.embedding_cache
import telly.tasks.training.retrieval
import telly.using.update
from telly.errors import CodeIndexError, DataError
from telly.freezing.source import RowSource
from telly.inference.tuned_model import Role, TunedModel
from telly.metrics.judgments import Judgments
from telly.tasks import get_task
from telly.using.index import FORMAT, META, CodeIndex, default_folder, open_index, write_generation
from telly.using.reading import collect_options
from telly.using.search import Searcher
from telly.using.update import update_index
from tiny_runs import Telly, run_telly, tiny_model_folder

ALL = ["parse_date", "Calendar.days", "Calendar.weeks", "join_paths", "weeks_between", "RetryRequest"]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that goes through the model."""
    texts: list[str] = []

    embed = TunedModel.embed

    def counted(tuned: TunedModel, found: Sequence[str], role: Role = "document") -> Any:
        texts.extend(found if role == "document" else ())
        return embed(tuned, found, role)

    monkeypatch.setattr(TunedModel, "embed", counted)
    return texts


def opened(folder: Path) -> CodeIndex:
    found = open_index(folder)
    assert found is not None
    return found


def names(folder: Path) -> list[str]:
    return [location.function.name for location in opened(folder).locations()]


def check_embeddings(folder: Path, tuned: TunedModel) -> None:
    """Every function's vector is that of its code, wherever it was taken from."""
    index = opened(folder)
    expected = tuned.embed([location.function.code for location in index.locations()])
    np.testing.assert_allclose(index.embeddings, expected, atol=1e-6)


def test_all_functions_with_their_locations(tree: Path, tuned: TunedModel, tmp_path: Path) -> None:
    update = update_index(tree, tmp_path / "index", tuned)
    assert (update.functions, update.encoded, update.files["new"]) == (6, 6, 3)
    assert names(tmp_path / "index") == ALL
    found = {location.function.name: location for location in opened(tmp_path / "index").locations()}
    days, retry = found["Calendar.days"], found["RetryRequest"]
    assert (days.path, days.function.line, days.function.last) == ("dates.py", 11, 12), "two lines are enough"
    assert days.function.signature == "def days(self)"
    assert (retry.path, retry.language) == ("shop/retry.go", "go")
    assert retry.function.signature == "func RetryRequest(url string, times int) error"
    assert retry.function.description == "RetryRequest sends a request again until it succeeds."
    check_embeddings(tmp_path / "index", tuned)


def test_an_update_encodes_what_is_new_and_nothing_else(
    tree: Path, tuned: TunedModel, tmp_path: Path, encoded: list[str]
) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    assert len(encoded) == 6
    encoded.clear()

    again = update_index(tree, folder, tuned)
    assert (again.encoded, again.changed, encoded) == (0, False, [])

    file = tree / "shop" / "files.py"
    file.write_text("\n# moved down\n" + file.read_text().replace('"//", "/"', '"//", "|"'))
    changed = update_index(tree, folder, tuned)
    assert (changed.files["changed"], changed.files["unchanged"]) == (1, 2)
    assert len(encoded) == 1 and '"//", "|"' in encoded[0], "the file's other function only moved"
    assert names(folder) == ALL
    assert next(p for p in opened(folder).locations() if p.function.name == "join_paths").function.line == 4
    check_embeddings(folder, tuned)

    encoded.clear()
    (tree / "dates.py").unlink()
    gone = update_index(tree, folder, tuned)
    assert (gone.files["gone"], gone.functions, encoded) == (1, 3, [])
    assert names(folder) == ALL[3:]
    check_embeddings(folder, tuned)
    assert sorted(path.name for path in folder.iterdir()) == ["current", "generation-3", "lock"]


def test_only_the_languages_that_were_asked_for(
    tree: Path, tuned: TunedModel, tmp_path: Path, encoded: list[str]
) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    encoded.clear()
    update_index(tree, folder, tuned, collect_options(("go",)))
    assert names(folder) == ["RetryRequest"]
    update_index(tree, folder, tuned)
    assert names(folder) == ["RetryRequest"], "as it was made"
    assert encoded == []


def test_a_file_that_cannot_be_parsed_is_counted_and_not_tried_again(
    tree: Path, tuned: TunedModel, tmp_path: Path
) -> None:
    (tree / "broken.py").write_text("def broken(:\n  ???\n")
    (tree / "latin.py").write_bytes(b"name = '\xe4'\n")
    first = update_index(tree, tmp_path / "index", tuned)
    assert first.skipped["not UTF-8"] == 1 and first.skipped["does not parse as python"] == 1
    again = update_index(tree, tmp_path / "index", tuned)
    assert not again.changed and again.files["unchanged"] == 5


STAGES = {
    "write_generation": "telly.using.update.write_generation",
    "words": "telly.using.update.Bm25.save",
    "graph": "telly.using.update.Dense.save",
    "to disk": "telly.using.update._sync",
    "removing chunks": "telly.using.update.EmbeddedChunks.remove",
}


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_at_any_stage_leaves_a_whole_index(
    stage: str, tree: Path, tuned: TunedModel, tmp_path: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    before = [location.line() for location in opened(folder).locations()]
    (tree / "new.py").write_text("def brand_new(thing):\n    made = thing + 1\n    return made\n")
    encoded.clear()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("power failure")

    with monkeypatch.context() as patched:
        patched.setattr(STAGES[stage], fail)
        with pytest.raises(RuntimeError, match="power failure"):
            update_index(tree, folder, tuned)
    assert len(encoded) == 1
    there = [location.line() for location in opened(folder).locations()]
    if stage == "removing chunks":
        assert len(there) == 7, "the new index counts from when `current` names it"
    else:
        assert there == before
    assert Searcher(opened(folder), tuned).search("parse a date", top=3)
    encoded.clear()
    update_index(tree, folder, tuned)
    assert encoded == [], "what was encoded before is not encoded again"
    assert names(folder)[3] == "brand_new"
    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {"current", "generation", "lock"}
    check_embeddings(folder, tuned)


KILL = "import os, signal, telly.using.update as u\nu.{name} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.parametrize("name", ["write_generation", "Dense.save", "Path.replace", "whole_file"])
def test_a_killed_process_leaves_the_former_index(name: str, tree: Path, model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    command = ["index", str(tree), "--model", str(model_folder), "--index", str(folder)]
    run_telly(*command)
    (tree / "dates.py").unlink()
    ended = Telly(*command, setup=KILL.format(name=name)).end()
    assert ended.code == -signal.SIGKILL, ended.err
    assert names(folder) == ALL
    run_telly(*command)
    assert names(folder) == ALL[3:]
    assert {path.name.partition("-")[0] for path in folder.iterdir()} == {"current", "generation", "lock"}


def test_interrupted_encoding_goes_on_where_it_was(
    tree: Path, tuned: TunedModel, tmp_path: Path, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telly.inference.embedding_cache, "CHUNK", 2)
    counted = TunedModel.embed

    def interrupted(tuned: TunedModel, found: Sequence[str], role: Any) -> Any:
        if len(encoded) == 4:
            raise KeyboardInterrupt
        return counted(tuned, found, role)

    monkeypatch.setattr(TunedModel, "embed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        update_index(tree, tmp_path / "index", tuned)
    assert open_index(tmp_path / "index") is None
    monkeypatch.setattr(TunedModel, "embed", counted)
    update_index(tree, tmp_path / "index", tuned)
    assert len(encoded) == len(set(encoded)) == 6
    check_embeddings(tmp_path / "index", tuned)


def test_another_model_encodes_all_again_and_is_refused_for_queries(
    tree: Path, tuned: TunedModel, tmp_path: Path, encoded: list[str]
) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    encoded.clear()
    other_folder = tiny_model_folder(tmp_path / "other", seed=1)
    shutil.copy(Path(tuned.name) / "telly.json", other_folder)
    other = TunedModel.load(other_folder, "search")
    with pytest.raises(CodeIndexError) as error:
        Searcher(opened(folder), other)
    assert str(error.value) == (
        f"{folder}: this index was made with {tuned.name}, not with {other_folder} (other model); their embeddings "
        f"cannot be compared. Encode all again: telly index {tree} --model {other_folder} --index {folder}"
    )
    update = update_index(tree, folder, other)
    assert (update.former_model, update.encoded, len(encoded)) == (tuned.name, 6, 6)
    assert Searcher(opened(folder), other).search("date")
    check_embeddings(folder, other)


def test_two_processes_do_not_write_one_index(tree: Path, tuned: TunedModel, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    with FileLock(folder / "lock"), pytest.raises(CodeIndexError, match="another process is updating this index"):
        update_index(tree, folder, tuned)


def test_a_full_disk_is_named_and_nothing_is_lost(
    tree: Path, tuned: TunedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    (tree / "dates.py").unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("telly.using.update.Bm25.save", full)
    with pytest.raises(CodeIndexError, match="the disk is full; the index is as it was before"):
        update_index(tree, folder, tuned)
    assert names(folder) == ALL
    assert sorted(path.name for path in folder.iterdir()) == ["current", "generation-1", "lock"]


def test_a_folder_of_another_tree_and_damage_are_refused(tree: Path, tuned: TunedModel, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    with pytest.raises(CodeIndexError, match=f"is the index of {tree}, not of {tree / 'shop'}"):
        update_index(tree / "shop", folder, tuned)
    embeddings = folder / "generation-1" / "vectors.npy"
    embeddings.write_bytes(embeddings.read_bytes()[:-100])
    with pytest.raises(CodeIndexError, match=r"this index cannot be read .* remove the folder"):
        open_index(folder)


def test_an_index_of_an_earlier_format_is_refused_until_it_is_updated(
    tree: Path, tuned: TunedModel, tmp_path: Path, encoded: list[str]
) -> None:
    """Its words and keys mean something else, so sources are read again; nothing is encoded again."""
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    former = opened(folder)
    keys = [location.function.key for location in former.locations()]
    assert all(keys) and keys[2] == keys[4], "Calendar.weeks and weeks_between are copies"
    lines = [former.line(number).replace(key.encode(), b"") for number, key in enumerate(keys)]
    write_generation(former.folder, replace(former.meta, format=FORMAT - 1), former.files, lines)
    encoded.clear()
    with pytest.raises(CodeIndexError) as error:
        open_index(folder)
    text = str(error.value)
    assert f"this index was made by an earlier version of telly (format {FORMAT - 1}; this version reads" in text
    assert f"telly index {tree.resolve()} --index {folder}" in text

    update = update_index(tree, folder, tuned)
    assert (update.changed, update.files["changed"], update.functions, update.encoded, encoded) == (True, 3, 6, 0, [])
    assert opened(folder).meta.format == FORMAT
    assert [location.function.key for location in opened(folder).locations()] == keys
    check_embeddings(folder, tuned)
    assert not update_index(tree, folder, tuned).changed

    meta = opened(folder).folder / META
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format": FORMAT + 1}))
    with pytest.raises(CodeIndexError, match=f"it has format {FORMAT + 1}, this version reads {FORMAT}"):
        update_index(tree, folder, tuned)
    values = json.loads(meta.read_text()) | {"format": FORMAT}
    meta.write_text(json.dumps(values | {"key": values["key"] | {"similarity": "jaccard"}}))
    with pytest.raises(CodeIndexError, match="it has the similarity 'jaccard', which this version does not know"):
        open_index(folder)


def test_nothing_to_index(tuned: TunedModel, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"empty: no functions found \(no source files\); expected sources in python,"):
        update_index(empty, tmp_path / "index", tuned)
    with pytest.raises(DataError, match="no such folder; expected a folder of sources"):
        update_index(tmp_path / "nowhere", tmp_path / "index", tuned)


def test_odd_file_names(tree: Path, tuned: TunedModel, tmp_path: Path) -> None:
    name = os.fsdecode(b"a b'\"\n%[x]\xe4.py")
    (tree / name).write_text("def odd_one(value):\n    changed = value + 1\n    return changed\n")
    update_index(tree, tmp_path / "index", tuned)
    [hit] = Searcher(opened(tmp_path / "index")).search("odd one", top=1, by="bm25")
    assert hit.location.path == name
    assert not update_index(tree, tmp_path / "index", tuned).changed


def test_the_vectors_are_those_of_the_tasks_evaluation(
    tuned: TunedModel, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_index(tree, tmp_path / "index", tuned)
    index = opened(tmp_path / "index")
    codes = sorted({location.function.code for location in index.locations()})
    queries = [f"find the {number} thing of {'many ' * number}" for number in range(len(codes))]
    seen: dict[str, torch.Tensor] = {}

    def kept(found: torch.Tensor, candidates: torch.Tensor, judgments: Judgments, scores: object) -> np.ndarray:
        seen.update(queries=found, codes=candidates[torch.from_numpy(judgments.documents)])
        return np.ones(len(found), dtype=np.int64)

    monkeypatch.setattr(telly.tasks.training.retrieval, "ranks_of_relevant", kept)
    task = get_task("search")
    dataset = Dataset.from_dict({"query": queries, "code": codes})
    data = task.encode({"test": dataset}, tuned.tokenizer, tuned.config.max_tokens, None)["test"]
    source = RowSource(data.table, tuned.tokenizer.pad_token_id)
    task.evaluate(tuned.module, source, data, torch.autocast("cpu", enabled=False), final=True)

    by_code = dict(zip(codes, seen["codes"].numpy(), strict=True))
    expected = np.stack([by_code[location.function.code] for location in index.locations()])
    np.testing.assert_allclose(index.embeddings, expected, atol=1e-6)
    np.testing.assert_allclose(tuned.embed(queries, "query"), seen["queries"].numpy(), atol=1e-6)
    short = replace(tuned, config=replace(tuned.config, max_tokens={"query": 8, "code": 48}))
    assert np.abs(short.embed(queries, "query") - seen["queries"].numpy()).max() > 1e-3, "another limit gives others"


def test_where_an_index_lies(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "a").mkdir(parents=True)
    folders = {default_folder(tmp_path / name, "search") for name in ("a", "b/a", "b/../a")}
    assert len(folders) == 2
    assert all(folder.is_relative_to(tmp_path / "cache" / "telly" / "indexes") for folder in folders)


def test_other_options_are_kept_also_where_they_change_no_file(tree: Path, tuned: TunedModel, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    update_index(tree, folder, tuned)
    update_index(tree, folder, tuned, collect_options(tests=True))
    assert names(folder) == ALL
    (tree / "test_dates.py").write_text(
        "def test_days(calendar):\n    found = calendar.days()\n    assert found == 3\n"
    )
    update_index(tree, folder, tuned)
    assert "test_days" in names(folder), "tests are read, as the index was last made"
