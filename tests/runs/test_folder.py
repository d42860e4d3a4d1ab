"""Run folders: every file's name is spelled once, runs are found and removed, and telly.json has one reader."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

import telly
from telly.disk import whole_folder
from telly.errors import ModelError
from telly.models import folder as model_folder
from telly.runs import folder as run_folder
from telly.runs.find import find_runs, newest_run
from telly.runs.folder import RunFolder
from telly.runs.inference_config import InferenceConfig, load_head, save_head
from telly.runs.record import RunRecord
from telly.tasks.options import PairOptions
from tiny_models import CONFIGS

ROOM = Path(telly.__file__).parent
NAMES = {
    *(run_folder.RECORD_FILE, run_folder.SETTINGS_FILE, run_folder.METRICS_FILE, run_folder.PREDICTIONS_FILE),
    *(run_folder.SCORES_FILE, run_folder.EPOCH_FILE, run_folder.HEAD_FILE, run_folder.CARD_FILE),
    model_folder.TELLY_FILE,
}
FOLDERS = {run_folder.CHECKPOINTS, run_folder.ADVICE_FOLDER, run_folder.ADAPTER_FOLDER, model_folder.MODEL_FOLDER}
OWNERS = {"runs/folder.py", "models/folder.py"}
OTHER_FOLDERS = {"pretraining", "mining"}
"""Rooms with output folders of their own, which may have a `README.md` or a `model` as well."""
OLD = Path(__file__).with_name("record-format-1.json")


def spelled(source: str) -> Iterator[str]:
    """Names of a run's files that a module spells, and names of its folders where they are part of a path."""
    tree = ast.parse(source)
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in texts and node.value in NAMES:
            yield str(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield from (side.value for side in (node.left, node.right)
                        if isinstance(side, ast.Constant) and side.value in FOLDERS)  # fmt: skip
        if isinstance(node, ast.JoinedStr):  # such as f"{output}/record.json"
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            yield from (
                name for name in NAMES | FOLDERS for part in parts if re.match(rf"/{re.escape(name)}(?![\w.])", part)
            )


def test_no_other_module_spells_the_name_of_a_run_file():
    found = {}
    for file in sorted(ROOM.rglob("*.py")):
        path = file.relative_to(ROOM).as_posix()
        if path in OWNERS or path.split("/")[0] in OTHER_FOLDERS or "sample" in file.parts:
            continue
        if names := sorted(set(spelled(file.read_text(encoding="utf-8")))):
            found[path] = names
    assert not found, "use telly.runs.folder instead"


def test_a_spelled_name_would_be_found():
    assert list(spelled("x = folder / 'record.json'")) == ["record.json"]
    assert list(spelled("x = folder / 'model' / name")) == ["model"]
    assert list(spelled("print(f'{output}/record.json')")) == ["record.json"]
    assert not list(spelled("'''Writes `record.json`.'''\nx = {'model': 1}"))


def write_run(folder: Path, started: str, **more: object) -> Path:
    values = json.loads(OLD.read_text()) | {"started": started} | more
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(values))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    return folder


def test_runs_are_found_and_the_newest_is_known(tmp_path: Path):
    first = write_run(tmp_path / "a", "2026-01-01T00:00:00+00:00")
    second = write_run(tmp_path / "below" / "b", "2026-01-03T00:00:00+00:00")
    unfinished = write_run(tmp_path / "c", "2026-01-04T00:00:00+00:00", status="interrupted", error="Ctrl-C")
    write_run(tmp_path / "d" / "checkpoints" / "e", "2026-01-05T00:00:00+00:00")
    write_run(tmp_path / ".model-x.partial", "2026-01-05T00:00:00+00:00")
    without = write_run(tmp_path / "f", "2026-01-06T00:00:00+00:00")
    (without / "model" / "config.json").unlink()
    runs, left_out = find_runs([tmp_path, tmp_path / "below"])
    assert [run.folder for run in runs] == [first, second, without]
    assert [(one.folder, one.reason) for one in left_out] == [(unfinished, "interrupted: Ctrl-C")]
    assert newest_run("search", tmp_path) == second
    assert newest_run("search", tmp_path, lambda record: record.started < "2026-01-02") == first
    assert newest_run("clone", tmp_path) is None and newest_run("search", tmp_path / "nowhere") is None


def test_only_the_files_of_a_run_are_removed(tmp_path: Path):
    run = RunFolder(write_run(tmp_path / "run", "2026-01-01T00:00:00+00:00"))
    run.remove()
    assert run.record.exists(), "without settings it is not a run's folder"
    for file in (run.settings, run.metrics, run.predictions, run.scores, run.path / "notes.txt"):
        file.write_text("")
    (run.path / ".model-x.partial").mkdir()
    run.adapter.mkdir()
    run.remove()
    assert [file.name for file in run.path.iterdir()] == ["notes.txt"]


def test_settings_of_inference_are_read_back(tmp_path: Path):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    config = InferenceConfig("clone", {"left": 8, "right": 9}, ("no", "yes"), PairOptions(head="cosine"), 0.5, "bf16")
    config.write(tmp_path, pooling="mean")
    assert InferenceConfig.read(str(tmp_path)) == config
    assert json.loads((tmp_path / "telly.json").read_text())["usage"]["pooling"] == "mean"
    (tmp_path / "telly.json").write_text('{"recommended": {}}')
    assert InferenceConfig.read(str(tmp_path)) is None
    (tmp_path / "telly.json").unlink()
    assert InferenceConfig.read(str(tmp_path)) is None


@pytest.mark.parametrize(("text", "told"), [
    ("{", "cannot be read as JSON"), ("[1]", "expected an object, found list"),
    ('{"usage": [1]}', "cannot be read as a tuned model's inference settings"),
    ('{"usage": {"task": "search"}}', "cannot be read as a tuned model's inference settings .*max_tokens"),
])  # fmt: skip
def test_damaged_settings_of_inference_are_refused(tmp_path: Path, text: str, told: str):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    (tmp_path / "telly.json").write_text(text)
    with pytest.raises(ModelError, match=told):
        InferenceConfig.read(str(tmp_path))


def test_a_head_is_read_back_or_refused(tmp_path: Path):
    CONFIGS["roberta"]().save_pretrained(tmp_path)
    head, other = nn.Linear(3, 2), nn.Linear(3, 2)
    with pytest.raises(ModelError, match="cannot be read as this model's head"):
        load_head(str(tmp_path), other)
    save_head(head, tmp_path)
    load_head(str(tmp_path), other)
    assert (other.weight == head.weight).all() and (other.bias == head.bias).all()
    with pytest.raises(ModelError, match="cannot be read as this model's head"):
        load_head(str(tmp_path), nn.Linear(4, 2))


def test_records_are_not_followed_out_of_links_that_lead_nowhere(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").symlink_to("nowhere")
    runs, left_out = find_runs([tmp_path])
    assert not runs and "cannot be read as a run's record" in left_out[0].reason
    assert RunRecord.read(OLD).status == "finished"


def test_a_folder_is_replaced_as_a_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = tmp_path / "model"
    for text in ("first", "second"):
        with whole_folder(model, replace=True) as partial:
            (partial / "weights").write_text(text)
    with pytest.raises(RuntimeError), whole_folder(model, replace=True) as partial:
        (partial / "weights").write_text("third")
        raise RuntimeError

    rename = Path.replace

    def fails(self: Path, target: Path) -> Path:
        """The new folder cannot be renamed once the former one was moved aside."""
        if target == model and (self / "weights").read_text() == "third":
            raise PermissionError
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(PermissionError), whole_folder(model, replace=True) as partial:
        (partial / "weights").write_text("third")
    assert (model / "weights").read_text() == "second"
    assert [file.name for file in tmp_path.iterdir()] == ["model"], "nothing is left beside it"
