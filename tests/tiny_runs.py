"""Tiny runs through the real command line: a random model, a few functions, a process of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
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


def with_negatives(train: Path) -> Path:
    """A copy of `train.jsonl` in which the i-th row has i % 3 hard negatives, some of them the code of other rows."""
    rows = [json.loads(line) for line in train.read_text(encoding="utf-8").splitlines()]
    for i, row in enumerate(rows):
        row["negatives"] = [rows[(i + 7) % len(rows)]["code"], f"def negative_{i}(a): return a + {i}"][: i % 3]
    file = train.with_name("negatives.jsonl")
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


LOSS = ("--symmetric", "--false-negative-margin", "0.3", "--matryoshka", "8", "--matryoshka", "16", "--chunk-size", "3")
"""All settings of the contrastive loss."""


def task_data(task: str, folder: Path, counts: dict[str, int] | None = None) -> dict[str, Path]:
    """Write a task's data as it is published; returns the files or folders by split.

    CodeSearchNet's tokens (search, summarize), CONCODE, CodeXGLUE's lines, defects and POJ-104 as JSON lines, and
    BigCloneBench's folder of functions and lists of pairs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng, files = random.Random(0), {}
    for split, count in (counts or {"train": 24, "valid": 8, "test": 10}).items():
        drawn = [pair(rng) for _ in range(count)]
        if task == "clone":
            _write_pairs(folder, split, drawn)
            files[split] = folder
            continue
        files[split] = folder / f"{split}.{'json' if task == 'generate' else 'jsonl'}"
        lines = (json.dumps(_PUBLISHED[task](number, **texts)) + "\n" for number, texts in enumerate(drawn))
        files[split].write_text("".join(lines), encoding="utf-8")
    return files


def _code_search_net(number: int, query: str, code: str) -> dict[str, Any]:
    tokens = {"code_tokens": code.split(), "docstring_tokens": query.split()}
    return {"repo": "a/b", "func_name": f"f{number}", "code": code, "docstring": query, "language": "python"} | tokens


_PUBLISHED: dict[str, Callable[..., dict[str, Any]]] = {
    "search": _code_search_net,
    "summarize": _code_search_net,
    "generate": lambda number, query, code: {"code": " ".join(code.split()), "nl": query},
    "complete": lambda number, query, code: {
        "id": number,
        "input": "<s> " + " <EOL> ".join(re.sub(r"= (\d+)", r"= <NUM_LIT:\1>", code).splitlines()[:-1]) + " <EOL>",
        "gt": code.splitlines()[-1].strip(),
    },
    "classify": lambda number, query, code: {"project": "p", "target": number % 2, "func": code, "idx": number},
    "clone-retrieval": lambda number, query, code: {"label": str(number % 4), "index": str(number), "code": code},
}


def _write_pairs(folder: Path, split: str, drawn: list[dict[str, str]]) -> None:
    """The functions of a split, and as many pairs of them: every second one is a function and itself with a comment."""
    with (folder / "data.jsonl").open("a", encoding="utf-8") as stream:
        for i, texts in enumerate(drawn):
            for idx, code in ((f"{split}{i}", texts["code"]), (f"{split}{i}b", f"{texts['code']}# again\n")):
                stream.write(json.dumps({"idx": idx, "func": code}) + "\n")
    others = [f"{split}{i}b" if i % 2 else f"{split}{(i + 1) % len(drawn)}" for i in range(len(drawn))]
    lines = [f"{split}{i}\t{other}\t{i % 2}\n" for i, other in enumerate(others)]
    (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8")


def tiny_model_folder(
    folder: Path, family: str = "roberta", *, dropout: float = 0.1, seed: int = 0, hidden_size: int = 32
) -> Path:
    """Write a random model of four layers with its own small byte-level BPE tokenizer; returns the folder.

    Only the default family can have another hidden size.
    """
    import torch
    import transformers

    from telly.pretraining.tokenizer import train_tokenizer

    rng = random.Random(1)
    tokenizer = train_tokenizer((text for _ in range(200) for text in pair(rng).values()), vocab_size=400)
    shared = {"vocab_size": len(tokenizer), "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    torch.manual_seed(seed)
    if family == "gpt2":
        drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
        shape = {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 128}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **drops, **shared))
    elif family == "t5":
        shape = {"d_model": 32, "num_layers": 4, "num_heads": 4, "d_kv": 8, "d_ff": 64, "decoder_start_token_id": 1}
        model = transformers.T5ForConditionalGeneration(transformers.T5Config(**shape, dropout_rate=dropout, **shared))
    else:
        model = transformers.RobertaModel(
            transformers.RobertaConfig(
                hidden_size=hidden_size,
                num_hidden_layers=4,
                num_attention_heads=4,
                intermediate_size=64,
                max_position_embeddings=130,
                type_vocab_size=1,
                hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=dropout,
                **shared,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Tiny:
    """A model folder and a task's data, for runs of a few seconds."""

    model: Path
    data: dict[str, Path]
    task: str = "search"
    max_tokens: tuple[str, ...] = ("query=24", "code=48")

    def command(self, output: Path, variant: str, *options: str, cache: Path | None = None) -> list[str]:
        """The arguments of `telly tune TASK`; stores lie beside the output unless said otherwise, options win."""
        files = [part for split, file in self.data.items() for part in (SPLIT_OPTIONS[split], str(file))]
        return [
            *("tune", self.task, "--model", str(self.model), "--output", str(output), *files),
            *(part for limit in self.max_tokens for part in ("--max-tokens", limit)),
            *("--cache-dir", str(cache or output.parent / "cache")),
            *("--epochs", "3", "--batch-size", "8", "--lr", "1e-3", "--save-steps", "4"),
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
        context.set_forkserver_preload(["telly.tuning.run", "telly.cli.console"])
        self._process = context.Process(target=_telly, args=(args, setup, str(self._folder)), daemon=True)
        with environment(SMALL):
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
def environment(values: dict[str, str]) -> Iterator[None]:
    """The server takes the environment over from the process that starts it first."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def complete(output: Path, step: int) -> Callable[[], bool]:
    """Whether the checkpoint of a step is written."""
    return (output / "checkpoints" / f"checkpoint-{step}" / "COMPLETE").exists


def check_same_end(output: Path, expected: Path, sessions: int = 1) -> None:
    """Weights bit for bit, and everything in the record that does not depend on time."""
    found, reference = record_of(output), record_of(expected)
    assert found["status"] == reference["status"] == "finished"
    assert len(found["sessions"]) == sessions
    assert all(session["wall_seconds"] > 0 for session in found["sessions"])
    for name in ("test", "test_truncated", "best_epoch", "baselines", "metric", "verdict"):
        assert found[name] == reference[name], name
    timeless = [[{k: v for k, v in e.items() if k != "seconds"} for e in r["epochs"]] for r in (found, reference)]
    assert timeless[0] == timeless[1]
    assert all(epoch["seconds"] > 0 for epoch in found["epochs"])
    assert len((output / "metrics.jsonl").read_text().splitlines()) == len(found["epochs"])
    assert not (output / "checkpoints").exists()
    assert largest_difference(output, expected) == 0.0


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
