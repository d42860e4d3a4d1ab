"""Pre-training corpus: documented functions of a set of packages, mined once and memory-mapped.

The standard library is the evaluation data, so its functions and near-duplicates of them are left out wherever they
occur. Whole packages are held out for evaluation while pre-training.
"""

from __future__ import annotations

import hashlib
import json
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from telly.data.sequences import SequenceTable
from telly.disk import whole_file
from telly.errors import DataError
from telly.mining.copies import content_key
from telly.mining.duplicates import NearDuplicates, Signature, signature
from telly.mining.parallel import in_order
from telly.mining.python_sources import MinedFunction, functions_in, mine
from telly.pretraining.config import PretrainConfig

METADATA_FOLDER = re.compile(r"(.+?)-(\d[^-]*)\.dist-info")
LICENSE_FIELDS = (
    r"^License-Expression: (.+)$",
    r"^Classifier: License :: OSI Approved :: (.+)$",
    r"^License: (.{2,60})$",
)
ENCODE_BATCH = 1000
HELD_OUT_DIVISOR = 10
"""Reciprocal of the largest fraction of functions to hold out."""

Mined = tuple[MinedFunction, str, Signature]
"""A function, the key that its copies share with it, and its signature."""


@dataclass(frozen=True)
class Package:
    """A source of the corpus; version and licence are those in its own metadata, or None."""

    name: str
    version: str | None
    license: str | None
    functions: int
    held_out: bool


@dataclass(frozen=True)
class Collection:
    """Result of mining: functions, the index of each one's package, and the number left out for each reason."""

    functions: list[MinedFunction]
    owners: list[int]
    packages: list[Package]
    left_out: dict[str, int]


@dataclass(frozen=True)
class Corpus:
    """Encoded pairs without special tokens: `pairs` [n, 2] holds row indices of code and docstring.

    The held-out pairs come last.
    """

    code: SequenceTable
    docstrings: SequenceTable
    pairs: npt.NDArray[np.int64]
    held_out: int

    @property
    def train_pairs(self) -> npt.NDArray[np.int64]:
        """The pairs to train on."""
        return self.pairs[: len(self.pairs) - self.held_out]

    @property
    def held_out_pairs(self) -> npt.NDArray[np.int64]:
        """The pairs held out for evaluation during pre-training."""
        return self.pairs[len(self.pairs) - self.held_out :]


def collect(roots: list[Path], config: PretrainConfig) -> Collection:
    """Mine all roots; a root's sub-folders are its packages.

    Copies and near-duplicates of a function, and repeated docstrings, are dropped. Of a package with more functions
    than the limit, a random part is used.

    Raises:
        DataError: a root is not a folder, or nothing was found in all of them.
    """
    for root in roots:
        if not root.is_dir():
            raise DataError(f"{root}: expected a folder with Python sources")
    from_library, library = _library()
    keys, near_duplicates, docstrings = set(from_library), NearDuplicates(), set[str]()
    functions: list[MinedFunction] = []
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    folders = [folder for root in roots for folder in _packages(root)]
    names: list[str] = []
    for folder, mined in zip(folders, _mine_all(folders), strict=True):
        chosen = np.random.default_rng(config.seed).permutation(len(mined))[: config.package_functions]
        left_out["beyond the limit of a package"] += len(mined) - len(chosen)
        for function, key, values in (mined[i] for i in sorted(chosen)):
            if key in from_library or library.has(values):
                left_out["of the standard library"] += 1
            elif key in keys or function.docstring in docstrings:
                left_out["copies"] += 1
            elif not near_duplicates.add(values):
                left_out["near-duplicates"] += 1
            else:
                keys.add(key)
                docstrings.add(function.docstring)
                functions.append(function)
                names.append(folder.name)
                counts[folder.name] += 1
    if not functions:
        raise DataError(f"no documented functions found under {', '.join(map(str, roots))}")
    held_out = _held_out(counts, config.held_out_pairs)
    metadata = _metadata(roots)
    packages = [
        Package(name, *metadata.get(name.lower(), (None, None)), n, name in held_out)
        for name, n in counts.most_common()
    ]
    indices = {package.name: i for i, package in enumerate(packages)}
    return Collection(functions, [indices[name] for name in names], packages, dict(left_out))


def prepare(roots: list[Path], config: PretrainConfig, folder: Path) -> Corpus:
    """Mine, train the tokenizer and encode, or open the result of an earlier call with the same folder."""
    from transformers import AutoTokenizer

    from telly.pretraining.tokenizer import train_tokenizer

    if not (folder / "pairs.npy").exists():
        collection = collect(roots, config)
        train, held_out = _split(collection, config)
        functions = [collection.functions[i] for i in [*train, *held_out]]
        texts = (text for f in functions[: len(train)] for text in (f.code, f.docstring))
        tokenizer = train_tokenizer(texts, config.vocab_size)
        tokenizer.save_pretrained(folder / "tokenizer")
        code, code_rows = _encode(tokenizer, [f.code for f in functions], config.code_tokens, "code")
        docs, doc_rows = _encode(tokenizer, [f.docstring for f in functions], config.docstring_tokens, "docstrings")
        code.save(folder / "code")
        docs.save(folder / "docstrings")
        packages = [asdict(package) for package in collection.packages]
        summary = {"packages": packages, "left_out": collection.left_out, "held_out": len(held_out)}
        (folder / "corpus.json").write_text(json.dumps(summary, indent=1) + "\n")
        # last, so that an interrupted preparation starts over
        with whole_file(folder / "pairs.npy") as partial, partial.open("wb") as stream:
            np.save(stream, np.stack([code_rows, doc_rows], axis=1))
    AutoTokenizer.from_pretrained(folder / "tokenizer")  # a damaged folder fails here, not an hour later
    pairs = np.load(folder / "pairs.npy", allow_pickle=False)
    held_out_count = json.loads((folder / "corpus.json").read_text())["held_out"]
    return Corpus(SequenceTable.load(folder / "code"), SequenceTable.load(folder / "docstrings"), pairs, held_out_count)


def _mine_all(folders: list[Path]) -> Iterator[list[Mined]]:
    """The functions of every folder, in the folders' order; several processes parse at once."""
    yield from tqdm(in_order(_mine_one, folders), desc="mining", total=len(folders), unit="package")


def _mine_one(folder: Path) -> list[Mined]:
    return [(f, content_key(f.code), signature(f.code, "python")) for f in mine(folder)]


def _held_out(counts: Counter[str], target: int) -> set[str]:
    """Packages to hold out, in an order derived from their names, until they have `target` functions.

    A package with more than a tenth of all functions is never held out.
    """
    max_total = sum(counts.values()) // HELD_OUT_DIVISOR
    chosen: set[str] = set()
    total = 0
    # Digests of names give an order that is arbitrary, but the same for any set of other packages.
    for name in sorted(counts, key=lambda name: hashlib.blake2b(name.encode()).digest()):
        if total >= target:
            break
        if total + counts[name] <= max_total:
            chosen.add(name)
            total += counts[name]
    return chosen


def _split(collection: Collection, config: PretrainConfig) -> tuple[list[int], list[int]]:
    """Indices of the functions to train on and of those held out, each in random order.

    If no package could be held out, some functions of all packages are.
    """
    order = np.random.default_rng(config.seed).permutation(len(collection.functions)).tolist()
    held_out = [i for i in order if collection.packages[collection.owners[i]].held_out]
    if held_out:
        train = [i for i in order if not collection.packages[collection.owners[i]].held_out]
        return train, held_out[: config.held_out_pairs]
    count = min(config.held_out_pairs, len(order) // HELD_OUT_DIVISOR)
    return order[count:], order[:count]


def _encode(
    tokenizer: Any, texts: list[str], max_tokens: int, what: str
) -> tuple[SequenceTable, npt.NDArray[np.int64]]:
    def encodings() -> Iterator[list[int]]:
        for start in tqdm(range(0, len(texts), ENCODE_BATCH), desc=f"encoding {what}", unit="batch"):
            part = texts[start : start + ENCODE_BATCH]
            yield from tokenizer(part, add_special_tokens=False, truncation=True, max_length=max_tokens)["input_ids"]

    return SequenceTable.of(encodings())


def _packages(root: Path) -> list[Path]:
    children = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.endswith((".dist-info", "__pycache__")))
    return children or [root]


@cache
def _library() -> tuple[frozenset[str], NearDuplicates]:
    """Keys of the standard library's functions, and an index of their near-duplicates."""
    keys, near = set[str](), NearDuplicates()
    for function in _standard_library():
        keys.add(content_key(function.code))
        near.add(signature(function.code, "python"))
    return frozenset(keys), near


def _standard_library() -> Iterable[MinedFunction]:
    """The standard library's documented functions."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for entry in sorted(stdlib.iterdir()):
        if entry.is_dir() and entry.name not in {"site-packages", "test", "__pycache__"}:
            yield from mine(entry)
        elif entry.suffix == ".py":
            yield from functions_in(entry.read_text(encoding="utf-8", errors="replace"), entry.name)


def _metadata(roots: list[Path]) -> dict[str, tuple[str | None, str | None]]:
    """Version and licence by top-level folder, read from the `.dist-info` folders beside the packages."""
    by_folder: dict[str, tuple[str | None, str | None]] = {}
    for root in roots:
        for info in root.glob("*.dist-info"):
            match = METADATA_FOLDER.fullmatch(info.name)
            text = (info / "METADATA").read_text(errors="replace") if (info / "METADATA").exists() else ""
            license_ = next((m for pattern in LICENSE_FIELDS if (m := re.search(pattern, text, re.M))), None)
            if match is None:
                continue
            value = (match[2], license_[1].strip() if license_ else None)
            names = [match[1]]
            if (info / "RECORD").exists():
                names += {line.split("/")[0] for line in (info / "RECORD").read_text().splitlines() if "/" in line}
            for name in names:
                by_folder.setdefault(name.lower(), value)
    return by_folder
