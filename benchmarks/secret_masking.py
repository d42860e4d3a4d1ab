"""Compares what telly, detect-secrets and gitleaks' rules find of secrets in the eleven languages.

`python benchmarks/secret_masking.py --gitleaks FILE`  compares telly, detect-secrets where it is installed, and the
rules in gitleaks' file of rules; writes `benchmarks/results/secret-masking.json` and renews the table of
docs/repository.md; `--table` only renews the page. False alarms in real code are counted on files of Python's own
library. Nothing is verified over the network.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import re
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "mining" / "repository")]

from repository_secrets import CLEAN, FORMS, FURTHER, MISSED, PREFIXES  # noqa: E402

from benchmarks.table import made_now, publish, told  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.mining.repository.secrets import secret_spans  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "secret-masking.json"
PAGE = ROOT / "docs" / "repository.md"
SUFFIXES = {"python": "py", "javascript": "js", "typescript": "ts", "ruby": "rb", "c-sharp": "cs", "rust": "rs"}
VALUES = ("q7Vx92LmTz4K", "Xk83-vPq0_zL")
FILES = 120
"""Files of real code that are drawn."""
LEFT_OUT = frozenset({"site-packages", "test", "tests", "idle_test"})
"""Folders that are not drawn from: other packages, and tests, whose keys and passwords are not false alarms."""

Detector = Callable[[str, str], list[str]]
"""The secrets in a text of a language."""


def telly(text: str, _language: str) -> list[str]:
    return [text[start:end] for start, end, _ in secret_spans(text)]


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


def measure(detectors: dict[str, Detector], code: list[str]) -> list[dict[str, Any]]:
    """How many secrets each detector finds, and how often it finds one where there is none."""
    forms = [
        (language, form.replace("§", value), value)
        for language, of_language in FORMS.items()
        for form in of_language
        for value in VALUES
    ]
    further = [form.replace("§", VALUES[0]) for form in (*FURTHER, *MISSED)]
    tokens = [f"x = '{prefix}{body}'" for prefix, (_, body, _) in PREFIXES.items()]
    rows = []
    for name, find in detectors.items():
        start = time.process_time()
        alarms = sum(len(find(text, "python")) for text in code)
        seconds = time.process_time() - start
        rows.append(
            {
                "detector": name,
                "forms": _share([_hit(value, find(text, language)) for language, text, value in forms]),
                "further": _share([_hit(VALUES[0], find(text, "python")) for text in further]),
                "prefixes": _share([bool(find(text, "python")) for text in tokens]),
                "clean_texts": len(CLEAN),
                "false_in_clean_texts": sum(bool(find(text, "python")) for text in CLEAN),
                "false_in_code": alarms,
                "megabytes_per_second": sum(map(len, code)) / 1e6 / seconds,
            }
        )
        print(rows[-1], flush=True)
    return rows


def _share(found: list[bool]) -> dict[str, int]:
    return {"found": sum(found), "of": len(found)}


def render(result: dict[str, Any]) -> str:
    """A line for every detector."""
    rows, code = result["rows"], result["code"]
    heads = ["detector", "forms of assignment", "further forms", "tokens by prefix"]
    heads += [f"false alarms in {rows[0]['clean_texts']} texts", f"in {code['lines']:,} lines of code", "MB/s"]
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for row in rows:
        shares = [row[key] for key in ("forms", "further", "prefixes")]
        cells = [f"{share['found'] / share['of']:.1%} of {share['of']}" for share in shares]
        cells += [str(row["false_in_clean_texts"]), str(row["false_in_code"]), f"{row['megabytes_per_second']:.1f}"]
        lines.append(f"| {' | '.join([row['detector'], *cells])} |")
    return told(
        lines,
        f"The code is {code['files']} files of the library of Python {code['python']}, without its tests.",
        result,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gitleaks", type=Path, help="gitleaks' file of rules")
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the page from the result")
    options = parser.parse_args()
    if not options.table:
        write_json(RESULT, compare(options.gitleaks))
    publish(RESULT, PAGE, {"secret-masking": render})


def compare(rules: Path | None) -> dict[str, Any]:
    """Measure telly and the other detectors that are there."""
    made = made_now(" ".join(["python benchmarks/secret_masking.py", *(["--gitleaks gitleaks.toml"] if rules else [])]))
    detectors: dict[str, Detector] = {"telly": telly}
    other = detect_secrets()
    if other is not None:
        detectors[f"detect-secrets {metadata.version('detect-secrets')}"] = other
    if rules is not None:
        detectors["gitleaks' rules"] = gitleaks(rules)
    library = Path(sysconfig.get_path("stdlib"))
    files = [file for file in sorted(library.rglob("*.py")) if LEFT_OUT.isdisjoint(file.parts)]
    drawn = random.Random(0).sample(files, min(FILES, len(files)))
    code = [file.read_text(encoding="utf-8", errors="replace") for file in drawn]
    return {
        **made,
        "rules_sha256": hashlib.sha256(rules.read_bytes()).hexdigest() if rules else None,
        "code": {
            "files": len(code),
            "lines": sum(text.count("\n") for text in code),
            "python": made["provenance"]["versions"]["python"],
        },
        "rows": measure(detectors, code),
    }


if __name__ == "__main__":
    main()
