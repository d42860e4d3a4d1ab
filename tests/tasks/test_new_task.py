"""A new task takes a module, a line of the table, a sample and a page: help, checks and every command follow."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from telly.declare import WEIGHTS, Setting
from telly.errors import ConfigError
from telly.tasks import TASKS, get_spec, option_types
from telly.tasks.options import TaskOptions
from tiny_runs import SMALL, record_of, tiny_model_folder

MODULE = '''
"""Comment purpose: tell whether a comment explains code or announces work."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Gt

from telly.data.sample import Sample
from telly.data.schema import Column, Schema
from telly.declare import WEIGHTS, Setting
from telly.metrics.answers import AnswerLayout
from telly.tasks.options import TaskOptions
from telly.tasks.spec import Preset, TaskSpec


@dataclass(frozen=True)
class PurposeOptions(TaskOptions):
    """A setting of its own."""

    smoothing: Annotated[float, Gt(0), Setting("Label smoothing.", WEIGHTS, label="label smoothing")] = 0.1


class Purpose(TaskSpec[PurposeOptions]):
    """Comments to purposes."""

    schema = Schema(
        "purpose",
        (Column("comment", aliases=("text",), prose=True), Column("label", "label", aliases=("purpose",))),
        summary="comment purpose: tell what a comment is for",
        key="comment",
    )
    sample = Sample(str(Path(__file__).with_name("sample")))
    preset = Preset({"comment": 24}, batch_size=8, learning_rate=1e-3, epochs=2, metric="accuracy")
    metrics = ("accuracy", "macro_f1")
    answers = AnswerLayout("label", ("label", "gold"))
    options = PurposeOptions
    is_classifier = True

    def score(self, predictions: Sequence[str], references: Sequence[str]):
        from telly.metrics.classification import label_statistics

        return label_statistics(predictions, references)

    def training(self):
        from telly.tasks.training.classification import ClassificationTask

        return ClassificationTask(self)

    def has_head(self, options: PurposeOptions) -> bool:
        return True
'''
LINE = "from telly.tasks import TASKS; from purpose import Purpose; TASKS['purpose'] = Purpose()"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module and its sample, outside of the package, and a tiny model."""
    folder = tmp_path_factory.mktemp("new-task")
    (folder / "purpose.py").write_text(MODULE, encoding="utf-8")
    (folder / "sample").mkdir()
    rng = random.Random(0)
    for split, count in {"train": 40, "valid": 12, "test": 12}.items():
        rows = [
            {
                "text": f"{('reads', 'todo: read')[i % 2]} the {rng.choice(('rows', 'files'))} {split} {i}",
                "purpose": label,
            }
            for i, label in enumerate(["explains", "announces"] * (count // 2))
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "sample" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    tiny_model_folder(folder / "model")
    return folder


def telly(folder: Path, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """`python -m telly` with one more line in the table, which stands before anything is derived from it."""
    start = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); sys.argv = ['telly', *{args!r}]\n{LINE}\n"
        "from telly.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, timeout=300, env=os.environ | SMALL, check=False
    )
    assert done.returncode == code, f"expected exit code {code}, found {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    output = folder / "runs" / "one"
    files = ("--model", str(folder / "model"), "--output", str(output), "--cache-dir", str(folder / "cache"))
    telly(folder, "tune", "purpose", *files, "--freeze", "2", "--cache-always", "--smoothing", "0.2")
    return output


def test_it_is_tuned_on_its_sample_with_its_preset(run: Path):
    record = record_of(run)
    assert record["status"] == "finished" and record["cache"]["used"]
    assert record["config"]["max_tokens"] == {"comment": 24} and record["config"]["metric"] == "accuracy"
    assert record["data"]["test"]["examples"] == 12 and set(record["test"]) >= {"accuracy", "macro_f1"}
    assert "most frequent class" in record["baselines"]


def test_its_predictions_are_scored(folder: Path, run: Path):
    predictions = str(run / "predictions.jsonl")
    ended = telly(folder, "score", "purpose", "--gold", predictions, "--pred", predictions, "--json")
    assert json.loads(ended.stdout)["accuracy"] == pytest.approx(record_of(run)["test"]["accuracy"])


def test_its_runs_are_reported(folder: Path, run: Path):
    telly(folder, "report", str(run.parent), "--output", str(folder / "report"))
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "purpose" in page and "accuracy" in page


def test_it_is_listed_and_has_help(folder: Path):
    assert "purpose: comment purpose: tell what a comment is for" in telly(folder, "ls").stdout
    assert "comment purpose: tell what a comment is for" in telly(folder, "tune", "--help").stdout
    text = telly(folder, "tune", "purpose", "--help").stdout
    assert "--smoothing X" in text and "Label smoothing." in text and "--temperature" not in text
    assert "--smoothing" not in telly(folder, "tune", "search", "--help").stdout
    assert "purpose" in telly(folder, "score", "--help").stdout
    assert "purpose" in telly(folder, "data", "validate", "--help").stdout


def test_its_data_and_settings_are_checked(folder: Path, run: Path):
    sample = folder / "sample" / "train.jsonl"
    assert "no problems" in telly(folder, "data", "validate", str(sample), "--task", "purpose").stdout
    wrong = telly(folder, "tune", "purpose", "--metric", "mrr", code=2)
    assert "metric: purpose has accuracy, macro_f1; found 'mrr'" in wrong.stderr
    unknown = telly(folder, "score", "purpos", "--gold", str(sample), "--pred", str(sample), code=2)
    assert unknown.stderr.strip() == "telly: error: unknown task 'purpos'; did you mean 'purpose'?"


def test_its_own_settings_are_settings_of_a_run(folder: Path, run: Path):
    assert record_of(run)["config"]["smoothing"] == 0.2
    assert json.loads((run / "model" / "telly.json").read_text())["usage"]["smoothing"] == 0.2
    assert "label smoothing | 0.2" in (run / "model" / "README.md").read_text(encoding="utf-8")
    file = folder / "settings.toml"
    file.write_text("smoothing = 0.0\n", encoding="utf-8")
    wrong = telly(folder, "tune", "purpose", "--config", str(file), code=2)
    assert "smoothing: Input should be greater than 0" in wrong.stderr
    wrong = telly(folder, "tune", "search", "--config", str(file.rename(folder / "other.toml")), code=2)
    assert "smoothing" in wrong.stderr


def test_an_option_that_two_tasks_declare_differently_is_refused(monkeypatch: pytest.MonkeyPatch):
    """On the command line and in a TOML file an option is one setting, so one of the two would be lost."""

    @dataclass(frozen=True)
    class Clashing(TaskOptions):
        temperature: Annotated[int, Setting("Another temperature.", WEIGHTS)] = 1

    monkeypatch.setattr(TASKS["classify"], "options", Clashing)
    with pytest.raises(TypeError, match=r"Clashing\.temperature: another task declares it differently"):
        option_types()


def test_the_package_does_not_know_it():
    with pytest.raises(ConfigError, match="unknown task 'purpose'"):
        get_spec("purpose")
    assert "purpose" not in TASKS


def test_declarations_import_no_torch():
    code = (
        "import sys, telly.tasks, telly.tasks.scoring\n"
        "print(telly.tasks.get_spec('clone').score(['1', '0'], ['1', '1'])['f1'].value)\n"
        "print([name for name in ('torch', 'transformers', 'datasets', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n")[1] == "[]"
