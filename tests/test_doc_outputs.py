"""Outputs in README and docs are made by a script: every one is marked, and its commands exist."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import doc_outputs
from telly.cli import app

ROOT = Path(__file__).resolve().parents[1]
FENCED = re.compile(r"^```\w*\n(\$ .*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BY_HAND = {
    "docs/metrics.md: $ telly score generate --gold test.gold": "needs the paper's prediction files",
    "docs/serving.md: $ python -c 'import secrets;": "prints nothing and needs a second machine",
}
"""Outputs that no script renews, and why."""


def test_every_output_is_marked_or_has_a_reason() -> None:
    reasons = set(BY_HAND)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        marked = {piece["body"] for piece in doc_outputs.PIECE.finditer(text)}
        name = page.relative_to(ROOT).as_posix()
        for body in FENCED.findall(text):
            if body not in marked:
                reason = next((one for one in reasons if f"{name}: {body}".startswith(one)), None)
                assert reason, f"{name}: the output of `{body.splitlines()[0]}` has no marker"
                reasons.discard(reason)
        if marked:
            assert name in {one.file for one in doc_outputs.PAGES}
    assert not reasons, "these outputs are gone, or are marked now"


def _commands() -> list[tuple[str, str]]:
    found = []
    for page in doc_outputs.PAGES:
        text = (ROOT / page.file).read_text(encoding="utf-8")
        bodies = [piece["body"] for piece in doc_outputs.PIECE.finditer(text) if piece["body"]]
        commands = [*page.setup, *(command for body in bodies for command in doc_outputs.commands_of(body))]
        for command in commands:
            found += [(page.file, line) for line in re.findall(r"(?:^|[ \n;])(telly .*?)(?:$|;)", command)]
    return found


@pytest.mark.parametrize(("page", "command"), _commands())
def test_commands_and_their_options_exist(page: str, command: str) -> None:
    group: Any = typer.main.get_command(app)
    words = shlex.split(command)[1:]
    context = group.make_context("telly", [], resilient_parsing=True)
    target = group
    while hasattr(target, "get_command"):
        name = words.pop(0)
        target = target.get_command(context, name)
        assert target is not None, f"telly {name}"
    options = {option for parameter in target.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"} <= options


def test_a_block_is_replaced_by_what_its_commands_print(tmp_path: Path) -> None:
    page = (
        "before\n<!-- run echo one two > file -->\n<!-- output -->\n```\n$ cat file\nold\n$ echo a; \\\n> echo b\nold\n"
        "```\n<!-- output head=2 tail=1 -->\n```console\n$ seq 9\nold\n```\n```\n$ echo not marked\nold\n```\n"
    )
    assert doc_outputs.renewed(page, tmp_path, ("echo zero > other",)) == (
        "before\n<!-- run echo one two > file -->\n<!-- output -->\n```\n$ cat file\none two\n$ echo a; \\\n> echo b\n"
        "a\nb\n```\n<!-- output head=2 tail=1 -->\n```console\n$ seq 9\n1\n2\n...\n9\n```\n"
        "```\n$ echo not marked\nold\n```\n"
    )
    assert (tmp_path / "other").is_file()
    with pytest.raises(SystemExit, match="ended with 3"):
        doc_outputs.renewed("<!-- run exit 3 -->\n", tmp_path)


def test_standard_error_and_the_first_commands_can_be_left_out(tmp_path: Path) -> None:
    page = "<!-- output errors=0 silent=1 -->\n```\n$ echo a\n$ echo b; echo c >&2\n$ echo d\n```\n"
    assert doc_outputs.renewed(page, tmp_path) == page.replace("c >&2\n", "c >&2\nb\n").replace(
        "echo d\n", "echo d\nd\n"
    )


def test_long_and_wide_outputs() -> None:
    assert doc_outputs.shown("\na  \n10%|###\r20%|####\n\n") == "a\n"
    assert doc_outputs.shown("1\n2\n3\n", head=2, tail=1) == "1\n2\n3\n"
    assert doc_outputs.shown("aa bb cc\n", wrap=5) == "aa bb\ncc\n"


def test_a_cheap_page_is_up_to_date(tmp_path: Path) -> None:
    page = next(page for page in doc_outputs.PAGES if page.file == "docs/metrics.md")
    text = (ROOT / page.file).read_text(encoding="utf-8")
    assert doc_outputs.renewed(text, tmp_path, page.setup) == text, (
        "run `python scripts/doc_outputs.py docs/metrics.md`"
    )
