"""Compares what telly, detect-secrets and gitleaks' rules find of secrets in the eleven languages.

`python -m benchmarks.secret_masking --gitleaks gitleaks.toml --code FOLDER` prints the table of docs/repository.md. The
first line is always telly's; the others appear where detect-secrets is installed and gitleaks' rules are given. Nothing
is verified over the network.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "data" / "repository"))

from repository_secrets import CLEAN, FORMS, FURTHER, MISSED, PREFIXES  # noqa: E402

from telly.data.repository.secrets import places  # noqa: E402

SUFFIXES = {"python": "py", "javascript": "js", "typescript": "ts", "ruby": "rb", "c-sharp": "cs", "rust": "rs"}
VALUES = ("q7Vx92LmTz4K", "Xk83-vPq0_zL")
FILES = 400
"""Files of real code that are drawn."""

Detector = Callable[[str, str], list[str]]
"""The secrets in a text of a language."""


def telly(text: str, _language: str) -> list[str]:
    return [text[start:end] for start, end, _ in places(text)]


def detect_secrets() -> Detector | None:
    try:
        from detect_secrets.core import scan
        from detect_secrets.settings import default_settings
    except ImportError:
        return None
    folder = Path(tempfile.mkdtemp())

    def find(text: str, language: str) -> list[str]:
        file = folder / f"source.{SUFFIXES.get(language, language)}"
        file.write_text(text)
        with default_settings():
            return [secret.secret_value or "" for secret in scan.scan_file(str(file))]

    return find


def gitleaks(rules: Path) -> Detector:
    """The rules read as Python's patterns; the few places where case matters only for a part are read without case."""
    settings = tomllib.loads(rules.read_text())
    compiled = [
        (_pattern(rule["regex"]), rule.get("entropy", 0.0), rule.get("keywords", []), rule.get("secretGroup", 0), rule)
        for rule in settings["rules"]
        if "regex" in rule
    ]
    allowed = [_pattern(pattern) for pattern in settings["allowlist"]["regexes"]]

    def find(text: str, _language: str) -> list[str]:
        low = text.lower()
        found = []
        for pattern, entropy, keywords, group, rule in compiled:
            if keywords and not any(keyword in low for keyword in keywords):
                continue
            for match in pattern.finditer(text):
                secret = match[group] if group else next(filter(None, match.groups()), match[0])
                if _entropy(secret) < entropy or any(one.search(secret) for one in allowed) or _stopped(secret, rule):
                    continue
                found.append(secret)
        return found

    return find


def _pattern(pattern: str) -> re.Pattern[str]:
    python = pattern.replace("[[:alnum:]]", "[A-Za-z0-9]").replace(r"\z", r"\Z")
    anywhere = python.replace("(?i)", "").replace("(?-i:", "(?:")
    flags = re.IGNORECASE if "(?i)" in python else re.NOFLAG
    return re.compile(anywhere, flags)


def _stopped(secret: str, rule: dict[str, Any]) -> bool:
    low = secret.lower()
    lists = rule.get("allowlists", [])
    return any(word in low for one in lists for word in one.get("stopwords", [])) or any(
        _pattern(pattern).search(secret)
        for one in lists
        for pattern in one.get("regexes", [])
        if one.get("regexTarget", "secret") == "secret"
    )


def _entropy(text: str) -> float:
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def _hit(value: str, found: list[str]) -> bool:
    return any(value in one or one in value for one in found if len(one) > 4)


def _rows(detectors: dict[str, Detector], code: list[str]) -> Iterable[str]:
    lines = sum(text.count("\n") for text in code)
    heads = ["detector", "forms of assignment", "further forms", "tokens by prefix"]
    heads += [f"false alarms in {len(CLEAN)} texts", "in real code", "MB/s"]
    yield f"| {' | '.join(heads)} |"
    yield "|---|---|---|---|---|---|---|"
    for name, find in detectors.items():
        forms = [
            (language, form.replace("§", value), value)
            for language in FORMS
            for form in FORMS[language]
            for value in VALUES
        ]
        hits = sum(_hit(value, find(text, language)) for language, text, value in forms)
        further = [(form.replace("§", VALUES[0]), VALUES[0]) for form in (*FURTHER, *MISSED)]
        more = sum(_hit(value, find(text, "python")) for text, value in further)
        tokens = [(f"x = '{prefix}{body}'", prefix + body) for prefix, (_, body, _) in PREFIXES.items()]
        named = sum(bool(find(text, "python")) for text, _ in tokens)
        false = sum(bool(find(text, "python")) for text in CLEAN)
        start = time.process_time()
        alarms = sum(len(find(text, "python")) for text in code)
        speed = sum(map(len, code)) / 1e6 / (time.process_time() - start)
        cells = [f"{hits / len(forms):.1%} of {len(forms)}", f"{more / len(further):.1%} of {len(further)}"]
        cells += [
            f"{named / len(tokens):.1%} of {len(tokens)}",
            str(false),
            f"{alarms} in {lines:,} lines",
            f"{speed:.1f}",
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gitleaks", type=Path, help="gitleaks' file of rules")
    parser.add_argument("--code", type=Path, help="a folder of Python sources")
    arguments = parser.parse_args()
    detectors: dict[str, Detector] = {"telly": telly}
    other = detect_secrets()
    if other is not None:
        detectors["detect-secrets"] = other
    if arguments.gitleaks:
        detectors["gitleaks' rules"] = gitleaks(arguments.gitleaks)
    files = sorted(arguments.code.rglob("*.py")) if arguments.code else []
    drawn = random.Random(0).sample(files, min(FILES, len(files)))
    for row in _rows(detectors, [file.read_text(errors="replace") for file in drawn]):
        print(row, flush=True)


if __name__ == "__main__":
    main()
