"""Tiny runs through the real command line: a random model, a few pairs of sentence and function, a subprocess."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

SPLIT_OPTIONS = {"train": "--data", "valid": "--valid", "test": "--test"}
VARIANTS = {
    "base": ("--freeze", "base"),
    "cached": ("--freeze", "2", "--cache-always"),
    "frozen": ("--freeze", "2", "--no-cache"),
}
EXAMPLES = {"train": 120, "valid": 40, "test": 40}
WAIT_SECONDS = 120
_VERBS = ("read", "write", "join", "sort", "count", "merge", "find", "drop", "check", "split")
_NOUNS = ("rows", "files", "names", "paths", "words", "keys", "users", "times", "nodes", "links")
SMALL = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Environment of the processes: one thread each, and no network."""


def pair(rng: random.Random) -> dict[str, str]:
    """A sentence and a function that share some words, so that there is something to learn."""
    verb, noun, other = rng.choice(_VERBS), rng.choice(_NOUNS), rng.choice(_NOUNS)
    number = rng.randrange(1000)
    lines = "".join(f"    {rng.choice(_NOUNS)} = {rng.randrange(100)}\n" for _ in range(rng.randrange(1, 6)))
    return {
        "query": f"{verb} the {noun} of all {other} up to {number}",
        "code": f"def {verb}_{noun}({other}):\n{lines}    return {other}[:{number}]\n",
    }


def tiny_data(folder: Path) -> dict[str, Path]:
    """Write `train.jsonl`, `valid.jsonl` and `test.jsonl`, the same ones each time; returns the files by split."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, files = random.Random(0), {}
    for split, count in EXAMPLES.items():
        files[split] = folder / f"{split}.jsonl"
        files[split].write_text("".join(json.dumps(pair(rng)) + "\n" for _ in range(count)), encoding="utf-8")
    return files


def tiny_model_folder(folder: Path, *, dropout: float = 0.1, seed: int = 0) -> Path:
    """Write a random RoBERTa of four layers with its own small byte-level BPE tokenizer; returns the folder."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    from telly.pretraining.tokenizer import train_tokenizer

    rng = random.Random(1)
    tokenizer = train_tokenizer((text for _ in range(200) for text in pair(rng).values()), vocab_size=400)
    torch.manual_seed(seed)
    model = RobertaModel(
        RobertaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=130,
            type_vocab_size=1,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Tiny:
    """A model folder and data files, for runs of a few seconds."""

    model: Path
    data: dict[str, Path]

    def command(self, output: Path, variant: str, *options: str, cache: Path | None = None) -> list[str]:
        """The arguments of `telly tune search`; stores lie beside the output unless said otherwise, options win."""
        files = [part for split, file in self.data.items() for part in (SPLIT_OPTIONS[split], str(file))]
        return [
            *("tune", "search", "--model", str(self.model), "--output", str(output), *files),
            *("--cache-dir", str(cache or output.parent / "cache"), "--max-tokens", "query=24", "--max-tokens"),
            *("code=48", "--epochs", "3", "--batch-size", "8", "--lr", "1e-3", "--save-steps", "4"),
            *VARIANTS[variant],
            *options,
        ]


class Telly:
    """A run of the command line in a process of its own, with its real arguments, signals and exit code.

    Importing torch and transformers takes longer than a tiny run. So processes are forked from one server that has
    imported them; `tests/faults/test_processes.py` also starts `python -m telly` itself.

    Args:
        args: the arguments of `telly`.
        setup: Python statements that the process runs first, such as setting a module's constant.
    """

    def __init__(self, *args: str, setup: str = "") -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="telly-run-"))
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["telly.tuning.run", "telly.report.table"])
        self._process = context.Process(target=_telly, args=(args, setup, str(self._folder)), daemon=True)
        with _environment(SMALL):
            self._process.start()

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.exitcode is not None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def end(self) -> Ended:
        """Wait for the end."""
        self._process.join(WAIT_SECONDS)
        late = not self.ended
        if late:
            self._process.kill()
            self._process.join()
        ended = Ended(self._process.exitcode, *((self._folder / name).read_text() for name in ("out", "err")))
        shutil.rmtree(self._folder)
        assert not late, f"not ended after {WAIT_SECONDS} s\n{ended.err}"
        return ended

    def stop_when(self, condition: Callable[[], bool], number: signal.Signals) -> Ended:
        """Send a signal as soon as the condition holds, and wait for the end; fails if the process ends before."""
        end = time.monotonic() + WAIT_SECONDS
        while not (self.ended or condition()) and time.monotonic() < end:
            time.sleep(0.002)
        assert not self.ended, f"ended before it could be stopped\n{self.end().err}"
        self.signal(number)
        return self.end()


@dataclass(frozen=True)
class Ended:
    """What a finished process left: exit code (minus the signal if one killed it), standard output and error."""

    code: int | None
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what a user can mend, without its beginning; there must be no stack trace."""
        lines = [line for line in self.err.splitlines() if line.startswith("telly: error: ")]
        assert len(lines) == 1 and "Traceback" not in self.err, self.err
        return lines[0].removeprefix("telly: error: ")


def run_telly(*args: str, code: int = 0, setup: str = "") -> Ended:
    """Run the command line to its end, and check its exit code."""
    ended = Telly(*args, setup=setup).end()
    assert ended.code == code, f"expected exit code {code}, found {ended.code}\n{ended.out}\n{ended.err}"
    return ended


def _telly(args: Sequence[str], setup: str, folder: str) -> None:
    """What the forked process does; as `python -m telly` after its imports."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(folder) / name, os.O_CREAT | os.O_WRONLY), number)
    sys.argv = ["telly", *args]
    exec(setup, {})
    from telly.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started without it
    main()


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """The server takes the environment over from the process that starts it first."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def record_of(output: Path) -> dict[str, Any]:
    """A run's record."""
    found: dict[str, Any] = json.loads((output / "record.json").read_text(encoding="utf-8"))
    return found


def largest_difference(first: Path, second: Path) -> float:
    """How far the trained models of two runs are apart, over all weights."""
    ours, theirs = (load_file(output / "model" / "model.safetensors") for output in (first, second))
    assert ours.keys() == theirs.keys() and ours
    return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


def files_below(folder: Path, pattern: str = "*") -> dict[str, bytes]:
    """Contents of all files of a folder by their name below it."""
    return {
        str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob(pattern)) if file.is_file()
    }


def only(items: Iterable[Path]) -> Path:
    """The one path there is."""
    found = list(items)
    assert len(found) == 1, found
    return found[0]
