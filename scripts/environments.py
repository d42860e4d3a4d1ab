"""The environments that telly is tested in: pinned (`constraints.txt`), lowest and newest.

    python scripts/environments.py renew            # rewrites constraints.txt from a fresh environment
    python scripts/environments.py test lowest      # the fast suite with the oldest versions that pyproject.toml allows
    python scripts/environments.py test newest      # the fast suite with the newest versions that pyproject.toml allows

torch is the version of `constraints.txt` in all three, because its other builds are gigabytes. Development tools are
never held back: their floors say nothing about what users of the package get.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
HEADER = """\
# Every version that `make setup` installs, so that a fresh machine gets what was tested; `make constraints` renews it.
# To use your own torch, change or delete its line. Installing the package without this file takes the newest versions
# that pyproject.toml allows.
"""
PINNED = ("torch",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("renew", help="rewrite constraints.txt with the newest versions")
    test = commands.add_parser("test", help="run the fast suite in an environment of its own")
    test.add_argument("versions", choices=("lowest", "newest"))
    arguments = parser.parse_args()
    if arguments.command == "renew":
        with tempfile.TemporaryDirectory() as folder:
            frozen = install(Path(folder) / "venv", kept())
        CONSTRAINTS.write_text(HEADER + "".join(f"{line}\n" for line in frozen), encoding="utf-8")
        print(f"wrote {CONSTRAINTS} with {len(frozen)} versions")
    else:
        sys.exit(run_tests(arguments.versions))


def run_tests(versions: str) -> int:
    """Install into `.venv-lowest` or `.venv-newest`, print what was resolved, and run the fast suite there."""
    venv = ROOT / f".venv-{versions}"
    frozen = install(venv, kept() + (lowest() if versions == "lowest" else []))
    print(f"{versions} versions:", *frozen, sep="\n  ", flush=True)
    command = [venv / "bin" / "python", "-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
    path = f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False).returncode


def install(venv: Path, constraints: list[str]) -> list[str]:
    """Install the package with its extra `dev` into a fresh environment; returns every version as `name==version`."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "constraints.txt"
        file.write_text("\n".join(constraints) + "\n", encoding="utf-8")
        pip = [venv / "bin" / "python", "-m", "pip"]
        done = subprocess.run([*pip, "install", "--quiet", "-c", file, "-e", f"{ROOT}[dev]"], check=False)
        if done.returncode:
            raise SystemExit("pip found no such environment: some limits of pyproject.toml contradict each other")
    frozen = subprocess.run([*pip, "freeze", "--exclude-editable"], check=True, capture_output=True, text=True).stdout
    # A local version such as 2.13.0+cpu names the build of one machine.
    return [line.partition("+")[0] for line in frozen.splitlines() if "==" in line]


def kept() -> list[str]:
    """The lines of `constraints.txt` that hold in every environment."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.split("[=<>~!]", line)[0].strip() in PINNED]


def lowest() -> list[str]:
    """The lowest version of each direct dependency of the package and its extras, as `name==version`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for name, lines in project["optional-dependencies"].items() if name != "dev" for line in lines]
    found = {}
    for requirement in map(Requirement, [*project["dependencies"], *extras]):
        if requirement.name in {project["name"], *PINNED}:
            continue
        floors = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
        if len(floors) != 1:
            raise SystemExit(
                f"pyproject.toml: expected one lower limit (>=) of {requirement.name}, found {requirement}"
            )
        found[requirement.name] = floors[0]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    main()
