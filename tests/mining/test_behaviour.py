"""Variants of the sample's pure functions do what the functions do, and mutants do not: shown by running them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

from pure_functions import FUNCTIONS, Pure

from telly.mining.mutations import mutant_of
from telly.mining.variants import REWRITES, variant_of, variants_of
from telly.tasks import get_spec

RUNNER = Path(__file__).with_name("run_functions.py")
CALLS = 30
SEEDS = 3
MIXED = 4
MUTANTS = 4
SECONDS = 200
Texts = dict[str, list[str]]


@cache
def codes() -> dict[tuple[str, str], str]:
    rows = [
        json.loads(line) for file in get_spec("search").sample.files().values() for line in file.open(encoding="utf-8")
    ]
    return {(row["path"], row["name"]): row["code"] for row in reversed(rows)}


def texts_of(pure: Pure) -> Texts:
    """The original, its variants by the rewrite that made them, and its mutants."""
    code = codes()[pure.path, pure.name]
    plain = variant_of(code, [], random.Random(0))
    assert plain is not None
    found = {"original": [code], "mixed": variants_of(code, MIXED, random.Random(1))}
    for rewrite in REWRITES:
        made = {variant_of(code, [rewrite], random.Random(seed)) for seed in range(SEEDS)}
        found[rewrite] = sorted(text for text in made if text not in {None, plain})
    made = {mutant_of(code, random.Random(seed)) for seed in range(MUTANTS)}
    found["mutant"] = sorted(text for text in made if text not in {None, plain})
    return found


def run_all(texts: list[Texts]) -> list[list[list[str]]]:
    """What every text of every function shows on every call, from one process."""
    job = [
        {
            "setup": pure.setup,
            "name": pure.name,
            "texts": [text for group in groups.values() for text in group],
            "calls": pure.calls(random.Random(pure.name), CALLS),
        }
        for pure, groups in zip(FUNCTIONS, texts, strict=True)
    ]
    command = [sys.executable, "-I", str(RUNNER)]
    done = subprocess.run(
        command, input=json.dumps(job), capture_output=True, text=True, timeout=SECONDS, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    outcomes: list[list[list[str]]] = json.loads(done.stdout)
    return outcomes


def test_variants_do_what_the_function_does_and_mutants_do_not() -> None:
    assert len(FUNCTIONS) >= 40
    texts = [texts_of(pure) for pure in FUNCTIONS]
    unused = {name for name in REWRITES if not any(groups[name] for groups in texts)}
    assert not unused, "no listed function shows these rewrites"
    mutants = caught = 0
    for pure, groups, outcomes in zip(FUNCTIONS, texts, run_all(texts), strict=True):
        kinds = [(kind, text) for kind, group in groups.items() for text in group]
        expected = outcomes[0]
        assert len(set(expected)) > 1, f"{pure.name}: all calls show the same"
        assert not all(shown.startswith("raises") for shown in expected), f"{pure.name}: all calls fail"
        for (kind, text), shown in zip(kinds, outcomes, strict=True):
            if kind == "mutant":
                mutants += 1
                caught += shown != expected
            else:
                assert shown == expected, f"{pure.path} {pure.name}, {kind}:\n{text}"
    assert mutants >= 100
    assert caught >= 0.8 * mutants
