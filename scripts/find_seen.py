"""Find the sample's queries that stand, word for word, in the corpus that the embedded model was pre-trained on.

    python scripts/find_seen.py FOLDER...

A FOLDER holds packages side by side, as `site-packages` does; nothing in it is run. Packages that the embedded model's
card does not name are passed over, and so are those that `scripts/sample_seen.json` has as searched. Adds what
is found to that file, which `make_sample.py` reads; remove the file to begin anew.

Functions are mined by the rules of the corpus (`telly.pretraining.corpus`): what equals a function of the standard
library, or is nearly the same, was not trained on. Two of its rules need all packages at once and are not applied (a
docstring counts once; of a package with many functions a random part is kept), so a few queries more are found than
were trained on. A query that stands only in a package that is not at hand is missed; the file names those searched.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from telly.mining.duplicates import signature
from telly.mining.python_sources import content_key, mine
from telly.models.load import embedded_folder
from telly.pretraining.corpus import _library
from telly.tasks import get_spec

SEEN = Path(__file__).with_name("sample_seen.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    folders: list[Path] = parser.parse_args().folders
    trained_on = packages_of_the_card()
    wanted = sample_rows()
    keys, near = _library()
    known = json.loads(SEEN.read_text(encoding="utf-8")) if SEEN.is_file() else {"searched": [], "seen": {}}
    found: dict[str, dict[str, Any]] = known["seen"]
    searched = set(known["searched"])
    for package in sorted((path for folder in folders for path in folder.iterdir()), key=lambda path: path.name):
        if not package.is_dir() or package.name not in trained_on or package.name in searched:
            continue
        searched.add(package.name)
        for function in mine(package):
            row = wanted.get(normalised(function.docstring))
            if row is None:
                continue
            values = signature(function.code)
            if content_key(function.code) in keys or near.has(values):
                continue
            likeness = round(float(np.mean(values == signature(row["code"]))), 2)
            key = f"{row['path']}:{row['name']}"
            if key not in found or likeness > found[key]["similarity"]:
                where = {"package": package.name, "function": function.name, "similarity": likeness}
                found[key] = {"split": row["split"], "query": row["query"], **where}
        print(package.name, len(found), flush=True)
        _write(found, searched, trained_on)


def _write(found: dict[str, dict[str, Any]], searched: set[str], trained_on: dict[str, int]) -> None:
    share = sum(trained_on[name] for name in searched) / sum(trained_on.values())
    result = {"searched": sorted(searched), "share_of_functions": round(share, 3), "seen": dict(sorted(found.items()))}
    SEEN.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def packages_of_the_card() -> dict[str, int]:
    """The packages of the pre-training corpus with the number of their functions, as the model's card lists them."""
    lines = (embedded_folder() / "README.md").read_text(encoding="utf-8").partition("| package |")[2].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: int(row[3].replace(",", "")) for row in rows if row[3].replace(",", "").isdigit()}


def sample_rows() -> dict[str, dict[str, Any]]:
    """All rows of the sample by their query, also those that were set aside before."""
    rows = {}
    files = get_spec("search").sample.files()
    for split, file in [*files.items(), ("test", files["test"].with_name("seen.jsonl"))]:
        for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
            row = json.loads(line)
            rows[normalised(row["query"])] = row | {"split": split}
    return rows


def normalised(query: str) -> str:
    """A query without regard to case and white space, as the sample tells queries apart."""
    return " ".join(query.lower().split())


if __name__ == "__main__":
    main()
