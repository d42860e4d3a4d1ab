"""The public names: one list, imported on first use, with the new name where an old one is asked for."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import telly
from telly.lazy import read_stub

ROOT = Path(telly.__file__).parent
HEAVY = ("torch", "transformers", "numpy", "datasets", "faiss", "pydantic")
ASKED_FOR = {"tune", "advise", "probe", "compare", "score", "export", "study", "report", "load", "errors", "TellyError"}


@pytest.mark.parametrize("stub", ["__init__.pyi", "code.pyi"])
def test_every_name_of_a_stub_is_there(stub: str):
    module = telly if stub == "__init__.pyi" else telly.code
    names = read_stub(str(ROOT / stub))
    assert names and set(names) <= set(dir(module))
    for name, home in names.items():
        found = getattr(module, name)
        assert found is getattr(importlib.import_module(home), name)
        assert found.__doc__ and found.__doc__.split("\n")[0].endswith("."), name


def test_the_public_functions_have_types_and_an_example():
    assert set(dir(telly)) >= ASKED_FOR | {"__version__"}
    for name in ASKED_FOR - {"errors", "TellyError"}:
        function = getattr(telly, name)
        assert ">>> " in inspect.getdoc(function), name
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty
        assert all(one.annotation is not one.empty for one in signature.parameters.values()), name


def test_importing_telly_imports_nothing_heavy():
    code = f"import telly, telly.code, sys; print([name for name in {HEAVY} if name in sys.modules], telly.__version__)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("[] 0."), ended.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Top", "telly.Method"),
        ("train_top", "telly.apply_method"),
        ("ActivationStore", "telly.ActivationCache"),
        ("StoreRequest", "telly.build_cache"),
        ("build_store", "telly.build_cache"),
        ("StoreError", "telly.errors.CacheError"),
        ("search", "telly.code.search"),
        ("find_clones", "telly.code.find_clones"),
    ],
)
def test_an_old_name_tells_the_new_one(old: str, new: str):
    text = f"telly.{old} is no longer there; use {new}"
    with pytest.raises(AttributeError) as attribute:
        getattr(telly, old)
    with pytest.raises(ImportError) as imported:
        exec(f"from telly import {old}")
    assert str(attribute.value).startswith(text) and str(imported.value).startswith(text)
    assert not hasattr(telly, old)


def test_an_unknown_name_is_an_ordinary_error():
    with pytest.raises(AttributeError, match="module 'telly' has no attribute 'nothing'"):
        _ = telly.nothing
    with pytest.raises(ImportError, match="cannot import name 'nothing' from 'telly'"):
        exec("from telly import nothing")


def test_types_are_shipped():
    """So type checkers see the names."""
    assert (ROOT / "py.typed").is_file()
