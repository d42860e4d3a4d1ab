"""The pre-training corpus: documented functions of a set of packages, mined once and kept memory-mapped.

The standard library is the evaluation data, so functions that stand in it word for word are left out wherever
they are found.
"""

from __future__ import annotations

import json
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from telly.data.mining import MinedFunction, content_key, functions_in, mine
from telly.data.sequences import SequenceTable, SequenceTableBuilder
from telly.errors import DataError
from telly.models.modes import encode_texts
from telly.pretraining.config import PretrainConfig

METADATA_FOLDER = re.compile(r"(.+?)-(\d[^-]*)\.dist-info")
LICENSE_FIELDS = (
    r"^License-Expression: (.+)$",
    r"^Classifier: License :: OSI Approved :: (.+)$",
    r"^License: (.{2,60})$",
)
ENCODE_BATCH = 1000


@dataclass(frozen=True)
class Package:
    """Where a part of the corpus comes from; version and licence as its own metadata state them, else None."""

    name: str
    version: str | None
    license: str | None
    functions: int


@dataclass(frozen=True)
class Corpus:
    """Encoded pairs: `pairs` [n, 2] holds row numbers of code and docstring; the held-out pairs come last."""

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
        """The pairs kept back for evaluation while pre-training."""
        return self.pairs[len(self.pairs) - self.held_out :]


def collect(roots: list[Path]) -> tuple[list[MinedFunction], list[Package]]:
    """Mine all roots; a root's sub-folders are its packages. Functions and docstrings come once each.

    Raises:
        DataError: a root is not a folder, or nothing was found in all of them.
    """
    for root in roots:
        if not root.is_dir():
            raise DataError(f"{root}: expected a folder with Python sources")
    seen = set(_standard_library())
    docstrings: set[str] = set()
    functions: list[MinedFunction] = []
    counts: Counter[str] = Counter()
    for root in roots:
        for package in _packages(root):
            for function in mine(package):
                key = content_key(function.code)
                if key in seen or function.docstring in docstrings:
                    continue
                seen.add(key)
                docstrings.add(function.docstring)
                functions.append(function)
                counts[package.name] += 1
    if not functions:
        raise DataError(f"no documented functions found under {', '.join(map(str, roots))}")
    metadata = _metadata(roots)
    packages = [Package(name, *metadata.get(name.lower(), (None, None)), n) for name, n in counts.most_common()]
    return functions, packages


def prepare(roots: list[Path], config: PretrainConfig, folder: Path) -> Corpus:
    """Mine, train the tokenizer, encode; or open what an earlier call with the same folder has prepared."""
    from transformers import AutoTokenizer

    from telly.pretraining.tokenizer import train_tokenizer

    if not (folder / "pairs.npy").exists():
        functions, packages = collect(roots)
        order = np.random.default_rng(config.seed).permutation(len(functions))
        functions = [functions[i] for i in order]
        tokenizer = train_tokenizer((text for f in functions for text in (f.code, f.docstring)), config.vocab_size)
        tokenizer.save_pretrained(folder / "tokenizer")
        code, code_rows = _encode(tokenizer, [f.code for f in functions], config.code_tokens)
        docs, doc_rows = _encode(tokenizer, [f.docstring for f in functions], config.docstring_tokens)
        code.save(folder / "code")
        docs.save(folder / "docstrings")
        (folder / "packages.json").write_text(json.dumps([asdict(p) for p in packages], indent=1) + "\n")
        partial = folder / "pairs.partial.npy"
        np.save(partial, np.stack([code_rows, doc_rows], axis=1))
        partial.rename(folder / "pairs.npy")  # last, so that an interrupted preparation starts anew
    AutoTokenizer.from_pretrained(folder / "tokenizer")  # a damaged folder shows here, not an hour later
    pairs = np.load(folder / "pairs.npy", allow_pickle=False)
    held_out = min(config.held_out_pairs, len(pairs) // 10)
    return Corpus(SequenceTable.load(folder / "code"), SequenceTable.load(folder / "docstrings"), pairs, held_out)


def _encode(tokenizer: Any, texts: list[str], max_tokens: int) -> tuple[SequenceTable, npt.NDArray[np.int64]]:
    builder = SequenceTableBuilder()
    rows = []
    for start in range(0, len(texts), ENCODE_BATCH):
        rows += [builder.add(ids) for ids in encode_texts(tokenizer, texts[start : start + ENCODE_BATCH], max_tokens)]
    return builder.build(), np.asarray(rows, dtype=np.int64)


def _packages(root: Path) -> Iterator[Path]:
    children = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.endswith((".dist-info", "__pycache__")))
    return iter(children or [root])


def _standard_library() -> Iterator[bytes]:
    """Content keys of the standard library's documented functions."""
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    for entry in sorted(stdlib.iterdir()):
        if entry.is_dir() and entry.name not in {"site-packages", "test", "__pycache__"}:
            yield from (content_key(function.code) for function in mine(entry))
        elif entry.suffix == ".py":
            source = entry.read_text(encoding="utf-8", errors="replace")
            yield from (content_key(function.code) for function in functions_in(source, entry.name))


def _metadata(roots: list[Path]) -> dict[str, tuple[str | None, str | None]]:
    """Version and licence by top-level folder, read from the `.dist-info` folders beside the packages."""
    found: dict[str, tuple[str | None, str | None]] = {}
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
                found.setdefault(name.lower(), value)
    return found
