"""Studies of a tiny model: their settings, the file that holds them, and how they are run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import tomli_w
from click.testing import Result
from typer.testing import CliRunner

from telly.cli import app
from telly.studies.config import Cell, StudyConfig
from tiny_runs import SMALL, Tiny, complete, environment

SETTINGS = {"max_tokens": {"query": 24, "code": 48}, "epochs": 2, "batch_size": 8, "learning_rate": 1e-3}
WAIT_SECONDS = 240
_RUN_A_CELL = """
import json, sys
from telly.studies.config import Cell
from telly.studies.launch import in_processes, run_here
from telly.settings.config import TuneConfig
cell = Cell("base", TuneConfig(**json.loads(sys.argv[1])))
"""


def grid(tiny: Tiny, **more: Any) -> dict[str, Any]:
    """What a study's file says of a tiny model and its data; `more` wins."""
    files = {"data": tiny.data["train"], "valid": tiny.data["valid"], "test": tiny.data["test"]}
    return {
        "models": [str(tiny.model)],
        "variants": ["base", 2, 3],
        "settings": SETTINGS,
        "task": {"search": {name: str(file) for name, file in files.items()}},
    } | more


def study_of(tiny: Tiny, **more: Any) -> StudyConfig:
    """A study's settings."""
    return StudyConfig.parse(grid(tiny, **more))


def write_study(file: Path, tiny: Tiny, **more: Any) -> Path:
    """A study's file."""
    file.write_text(tomli_w.dumps(grid(tiny, **more)))
    return file


def telly_study(file: Path, output: Path, *options: str) -> Result:
    """`telly study` to its end, in this process, which has the libraries; its cells have processes of their own."""
    with environment(SMALL):
        ended = CliRunner().invoke(app, ["study", str(file), "--output", str(output), *options])
    assert ended.exit_code == 0, f"{ended.exception}\n{ended.output}"
    return ended


def running(cell: Cell, how: str, step: int = 4) -> subprocess.Popen[bytes]:
    """A process that runs a cell, such as by `run_here(cell.config, False)`, when the checkpoint of a step is there."""
    values = json.dumps(cell.config.model_dump(mode="json"))
    process = subprocess.Popen([sys.executable, "-c", _RUN_A_CELL + how, values], stderr=subprocess.DEVNULL)
    end = time.monotonic() + WAIT_SECONDS
    while not complete(cell.folder, step)():
        assert process.poll() is None and time.monotonic() < end, "it ended, or has not come so far"
        time.sleep(0.01)
    return process
