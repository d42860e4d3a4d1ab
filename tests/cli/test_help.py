"""Help: commands in groups, whole summaries, the options of a task, examples that can be pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from telly.cli import COMMANDS, app
from telly.settings.lists import SETTINGS
from telly.tasks import TASKS

WIDTH = 80
ROOT: Any = typer.main.get_command(app)


def help_of(*command: str) -> str:
    return CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(WIDTH)}).output


def commands(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands with their names, those of groups among them."""
    for name in group.list_commands(None):
        command = group.commands[name]
        if hasattr(command, "list_commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


def examples(text: str) -> list[str]:
    """The commands of a help text, one line each."""
    joined = re.sub(r"\\\n\s*", "", text)
    return [
        line.strip() for line in joined.splitlines() if re.match(r"\s{2,}(telly |torchrun .* -m telly )[a-z<{]", line)
    ]


def test_commands_are_in_groups_and_tune_is_the_first():
    text = help_of()
    headings = re.findall(r"^(\w+):$", text, flags=re.MULTILINE)
    assert headings == ["Options", "Tune", "Decide", "Analyse", "Use", "Share"]
    names = re.findall(r"^  ([a-z]+) ", text.partition("Tune:")[2], flags=re.MULTILINE)
    assert names == [entry.name for entry in COMMANDS] and names[0] == "tune"


def test_summaries_are_whole_and_have_one_line():
    lines = help_of().splitlines()
    for entry in COMMANDS:
        assert f"  {entry.name:<9}  {entry.summary}" in lines
    for group in ("data", "cache"):
        assert "..." not in help_of(group).partition("Commands:")[2]


def test_every_example_can_be_run():
    """Each is understood by the command that it names, as it stands in the help, with its line breaks."""
    found = 0
    for path in ALL:
        for line in examples(help_of(*path)):
            words = shlex.split(line.partition(" > ")[0])
            words = words[words.index("telly") + 1 :]
            target, context = ROOT, ROOT.make_context("telly", [], resilient_parsing=True)
            while hasattr(target, "commands"):
                name = words.pop(0)
                assert name in target.commands, line
                target = target.commands[name]
            target.make_context(name, words, parent=context)
            found += 1
    assert found > 60


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_examples_keep_their_lines(path: tuple[str, ...]):
    """What is indented in an epilog is in the help as it was written."""
    for line in (ALL[path].epilog or "").splitlines():
        if line.startswith("  "):
            assert f"  {line}" in help_of(*path).splitlines()


def test_files_in_help_can_be_pasted():
    lines = help_of("study").splitlines()
    start = lines.index('    models = ["microsoft/unixcoder-base"]')
    import tomllib

    found = tomllib.loads("\n".join(lines[start : lines.index("", start)]))
    assert found["method"]["lora"] == {"lora_rank": 16} and found["settings"] == {"epochs": 3}


EMBEDDING = {"--pooling", "--document-prompt"}
CONTRASTIVE = EMBEDDING | {
    *("--temperature", "--symmetric", "--false-negative-margin", "--matryoshka", "--matryoshka-weight", "--chunk-size")
}
CONTRASTIVE |= {"--teacher", "--teacher-target", "--teacher-weight", "--teacher-temperature"}


@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("search", CONTRASTIVE | {"--query-prompt"}),
        ("clone", EMBEDDING | {"--head", "--shared-batches", "--chunk-size"}),
        ("clone-retrieval", CONTRASTIVE),
        ("summarize", {"--beams"}),
        ("classify", EMBEDDING),
    ],
)
def test_a_task_has_its_own_options_alone(task: str, own: set[str]):
    text = help_of("tune", task)
    of_tasks = CONTRASTIVE | {"--query-prompt", "--head", "--shared-batches", "--beams"}
    assert {option for option in of_tasks if f"  {option} " in text} == own
    common = {declared.option for name, declared in SETTINGS.items() if name != "task"} - of_tasks
    assert {option for option in common if f"  {option}" not in text} == set()


def test_headings_and_placeholders_teach():
    text = help_of("tune", "search")
    for part in ("Freezing:", "--freeze K|base|auto", "--cache-dir DIR", "--map NAME=COLUMN", "--max-tokens COLUMN=N"):
        assert part in text
    assert "<" not in text.partition("Examples")[0] and "--top" not in text
    assert "--budget 30m|4GB" in help_of("advise")


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_no_placeholder_is_the_name_of_a_type(path: tuple[str, ...]):
    assert re.findall(r"<(?:str|int|float|path|list)[^>]*>", help_of(*path)) == []


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_usage_and_choices_have_no_braces(path: tuple[str, ...]):
    text = help_of(*path)
    assert not set("{}<>") & set(text.partition("\n\n")[0]), "the usage line"
    assert re.findall(r"^ +-\S+ [{<].*", text, flags=re.MULTILINE) == []


@pytest.mark.parametrize("command", [["tune", "search"], ["advise"]])
def test_a_former_option_is_refused_with_its_new_name(command: list[str]):
    answer = CliRunner().invoke(app, [*command, "--top", "lora"])
    assert str(answer.exception) == "--top is now called --method; rename it"


def test_help_of_a_task_imports_no_torch():
    code = (
        "import sys; sys.argv = ['telly', 'tune', 'search', '--help']\n"
        "import atexit\n"
        "heavy = ('torch', 'transformers', 'datasets', 'numpy')\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "from telly.cli import main; main()"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert answer.stdout.rstrip().endswith("[]"), answer.stdout


def test_every_task_has_a_command():
    assert [path[1] for path in ALL if path[0] == "tune"] == list(TASKS)
