"""What the package logs is shown by the command line as plain lines on stderr."""

import logging

import pytest
from typer.testing import CliRunner

from telly.cli import app
from telly.cli.messages import show_messages


def test_messages_are_plain_lines_on_stderr_and_come_once(capsys: pytest.CaptureFixture[str]):
    CliRunner().invoke(app, ["ls"])
    show_messages()

    logging.getLogger("telly.tuning.run").info("store: %s", "used")
    logging.getLogger("telly.tuning.run").debug("not shown")

    captured = capsys.readouterr()
    assert captured.err == "store: used\n" and captured.out == ""


def test_of_several_processes_one_speaks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("RANK", "1")
    show_messages()
    logging.getLogger("telly.tuning.run").info("store: used")
    monkeypatch.setenv("RANK", "0")
    show_messages()

    assert capsys.readouterr().err == ""
