"""What README, CONTRIBUTING and the docs refer to exists: pages, headings, source files, commands and options."""

from __future__ import annotations

import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from telly.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^(?:[$>] )?\s*(?:for .*; do )?(telly [a-z].*?)(?:  +#.*|;.*)?$", re.MULTILINE)
FOLDERS = (ROOT, ROOT / "src" / "telly", ROOT / "src", ROOT / "src" / "telly" / "mining")
"""Folders that paths in the prose begin at; those of a contract begin at the room it names."""


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors that a forge gives the page's headings."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


def missing_files(page: Path) -> list[str]:
    """Python files that the prose names with their folder and that do not exist."""
    names = re.findall(r"`([\w/]+/\w+\.py)\b", prose(page))
    return [name for name in names if not any((folder / name).is_file() for folder in FOLDERS) and "NAME" not in name]


def missing_names(page: Path) -> list[str]:
    """Names of the Python interface that the prose uses and that do not exist."""
    return [name for name in re.findall(r"`(telly(?:\.\w+)+)", prose(page)) if not _exists(name)]


def _exists(name: str) -> bool:
    if name == "telly.json":
        return True
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return True


def commands(page: Path) -> Iterator[str]:
    """The telly commands in the page's blocks and, with an option, in its prose."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        yield from COMMAND.findall(block)
    yield from re.findall(r"`(telly [a-z][^`]*)`", prose(page))


def unknown_parts(command: str) -> list[str]:
    """Subcommands and options of a command that telly does not have."""
    target: Any = typer.main.get_command(app)
    context = target.make_context("telly", [], resilient_parsing=True)
    words = shlex.split(command.replace("...", "").replace("\\", ""), comments=True)[1:]
    while hasattr(target, "get_command") and words:
        if words[0].isupper() or words[0].startswith("-"):  # a placeholder such as TASK, or an option of the group
            return []
        name = words.pop(0)
        target = target.get_command(context, name)
        if target is None:
            return [name]
    shown = [parameter for parameter in target.params if not getattr(parameter, "hidden", False)]
    known = {option for parameter in shown for option in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return sorted(given - known - {"--help"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_refers_to_exists(page: Path) -> None:
    assert dead_links(page) == []
    assert missing_files(page) == []
    assert missing_names(page) == []
    assert {command: unknown_parts(command) for command in commands(page) if unknown_parts(command)} == {}


def test_dead_references_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, here\n[good](#a-title-here) [bad](#title) [gone](gone.md) [web](https://a.example)\n"
        "`models/stack.py` `models/gone.py` `telly.tune(config)` `telly.code.gone`\n"
        "```\n$ telly tune search --freeze 9\n$ telly tune search --top lora\n"
        "telly serch x   # --none\n```\n`telly advise --freze 3`\n"
    )
    assert dead_links(page) == ["#title", "gone.md"]
    assert missing_files(page) == ["models/gone.py"]
    assert missing_names(page) == ["telly.code.gone"]
    assert [unknown_parts(command) for command in commands(page)] == [[], ["--top"], ["serch"], ["--freze"]]
