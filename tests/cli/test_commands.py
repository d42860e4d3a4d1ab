"""The command line itself: help, listing, plan, errors. Runs of `tune` are tested beside the faults."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import transformers
from typer.testing import CliRunner

from telly.cli import app
from telly.errors import CacheError
from telly.inference.embedding_cache import FOLDER, EmbeddedChunks, text_key
from telly.tasks import TASKS


def telly(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "telly", *args], capture_output=True, text=True, timeout=120, check=False
    )


def test_help_does_not_import_heavy_libraries():
    code = (
        "import sys; sys.argv = ['telly', '--help']\n"
        "import atexit\n"
        "heavy = ('torch', 'transformers', 'datasets', 'numpy', 'pydantic')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "from telly.cli import main; main()"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert answer.stdout.rstrip().endswith("[]"), answer.stdout
    for command in ("tune", "plan", "data", "cache", "score", "export", "push", "pretrain", "demo", "ls"):
        assert f"\n  {command} " in answer.stdout


@pytest.mark.parametrize(
    "command",
    [
        *(["tune", task] for task in TASKS),
        ["plan"],
        ["data", "validate"],
        ["data", "negatives"],
        ["cache", "verify"],
        ["score"],
        ["export"],
        ["push"],
        ["pretrain"],
    ],
)
def test_help_texts_show_a_worked_example(command: list[str]):
    text = CliRunner().invoke(app, [*command, "--help"]).output
    assert "Example" in text
    assert f"  telly {' '.join(command)}" in text


def test_plan_needs_only_the_config(tmp_path: Path):
    shape = {"vocab_size": 51416, "max_position_embeddings": 1026, "type_vocab_size": 10}
    transformers.RobertaConfig(**shape).save_pretrained(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]
    answer = telly("plan", "--model", str(tmp_path), "--json")
    assert answer.returncode == 0, answer.stderr
    plan = json.loads(answer.stdout)
    assert plan["layers"] == 12
    assert plan["model"] == str(tmp_path)
    assert [v["variant"] for v in plan["variants"]] == ["base", *(str(k) for k in range(12))]
    counts = {v["variant"]: v["trainable"] for v in plan["variants"]}
    assert (counts["base"], counts["0"], counts["11"]) == (125929728, 85054464, 7087872)
    assert plan["variants"][0]["epoch_seconds"] is None, "nothing is estimated without data"


def test_a_hub_model_without_a_network_names_the_folder_option():
    answer = telly("plan", "--model", "microsoft/no-such-model-here")
    assert answer.returncode == 2
    assert answer.stderr.startswith("telly: error: microsoft/no-such-model-here: no such folder, and it cannot be had")
    assert answer.stderr.rstrip().endswith("download the model elsewhere and give its folder: --model FOLDER")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["plan", "--model", "./nowhere"], "./nowhere: no such folder; expected a Hugging Face model folder"),
        (
            ["tune", "search", "--freeze", "ten"],
            "--freeze: expected K (a number of layers), base or auto (found 'ten')",
        ),
        (["tune", "search", "--max-tokens", "code"], "--max-tokens: expected NAME=VALUE, found 'code'"),
        (["tune", "search", "--max-tokens", "code=x"], "--max-tokens: expected a whole number, found 'x'"),
        (["tune", "search", "--config", "none.toml"], "none.toml: no such file; expected a TOML file with settings"),
        (["cache", "rm"], "nothing to remove: give names (see `telly cache ls`) or --all"),
    ],
)
def test_user_errors_are_one_clear_text_and_exit_with_2(
    args: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from telly.cli import main

    monkeypatch.setattr(sys, "argv", ["telly", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_ls_is_derived_from_the_table_of_tasks():
    text = CliRunner().invoke(app, ["ls"]).output
    assert "search: code search" in text
    assert "preset: at most query 128, code 256 tokens, batch 128, learning rate 2e-05, 10 epochs, best by mrr" in text


def test_kept_embeddings_are_listed_and_removed_by_name(tmp_path: Path):
    kept = EmbeddedChunks(tmp_path / FOLDER / "query-abc")
    kept.add([text_key("a"), text_key("b")], np.zeros((2, 3), dtype=np.float32))
    kept.add([text_key("c")], np.zeros((1, 3), dtype=np.float32))
    listed = CliRunner().invoke(app, ["cache", "ls", "--cache-dir", str(tmp_path)]).output
    assert re.search(r"query-abc\W+3\W", listed)
    unknown = CliRunner().invoke(app, ["cache", "rm", "document", "--cache-dir", str(tmp_path)])
    assert isinstance(unknown.exception, CacheError) and kept.read()
    removed = CliRunner().invoke(app, ["cache", "rm", "query-a", "--cache-dir", str(tmp_path)]).output
    assert removed.startswith("query-abc: removed") and not list((tmp_path / FOLDER).iterdir())


def test_cache_listing_of_an_empty_folder(tmp_path: Path):
    text = CliRunner().invoke(app, ["cache", "ls", "--cache-dir", str(tmp_path)]).output
    assert "0 activation caches, 0.0 MB" in text
