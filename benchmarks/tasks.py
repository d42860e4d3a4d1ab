"""One understanding and one generation task: seconds a step of training, and the time that writing answers takes.

`python benchmarks/tasks.py` measures, writes `benchmarks/results/tasks.json` and renews the tables in
docs/benchmarks.md; `--table` only renews them; `--quick` tries everything on a tiny model and writes nothing.

Clone detection at BigCloneBench's scale: 9,000 functions of 128 tokens, each in 100 pairs, 16 pairs a step, with the
pair classifier and its default, random batches. Full fine-tuning is as the named peer, CodeXGLUE's script: both
functions of every pair are encoded. Batches of pairs that share functions (`--shared-batches`) are off by default with
the pair classifier, since it learned nothing from them; they are measured as well, and reported apart. Code generation:
a prefix language model, sources of 128 tokens and answers of 48, 8 a step.

Evaluation: 1,000 answers of 24 tokens with a beam of 5, against an epoch of full fine-tuning over 2,000 such examples.
Both are measured on a part and scaled up.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that `python benchmarks/tasks.py` finds its own package

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.child import in_child, say  # noqa: E402
from benchmarks.shapes import SHAPES, Shape, model_folder  # noqa: E402
from benchmarks.steps import spread  # noqa: E402
from benchmarks.table import made_now, short_title, update_readme  # noqa: E402
from telly.data.sequences import SequenceTable  # noqa: E402
from telly.data.sharing import dense_batches  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.freezing.build import CacheRequest, build_cache  # noqa: E402
from telly.freezing.source import RowSource  # noqa: E402
from telly.freezing.split import SplitModel  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.models.generation import Architecture  # noqa: E402
from telly.models.load import load_config, load_model  # noqa: E402
from telly.tasks import get_spec, get_task  # noqa: E402
from telly.tasks.training.base import Encoded  # noqa: E402
from telly.tasks.training.generation import TextGenerationModel, Texts  # noqa: E402
from telly.tasks.training.pairs import TextPairs  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "tasks.json"
DOCS = ROOT / "docs" / "benchmarks.md"
K = 9
LEARNING_RATE = 5e-5
FUNCTIONS, PAIRS_EACH, PAIRS = 9000, 100, 16
CODE, SOURCE, TARGET, EXAMPLES = 128, 128, 48, 8
ANSWERS, ANSWER, BEAMS, EPOCH = 1000, 24, 5, 2000
PAD, START, END = 1, 0, 2
KINDS = ("full", "frozen", "cached")
"""Columns of the tables, by the end of a variant's name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="measured steps of every variant")
    parser.add_argument("--quick", action="store_true", help="try everything on a tiny model")
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the tables from the result")
    options = parser.parse_args()
    if options.table:
        publish(json.loads(RESULT.read_text(encoding="utf-8")))
        return
    shapes = ["tiny"] if options.quick else ["unixcoder", EMBEDDED]
    result = {
        **made_now(f"python benchmarks/tasks.py --rounds {options.rounds}"),
        "rounds": options.rounds,
        "threads": torch.get_num_threads(),
        "shapes": {name: _shape(SHAPES[name], options.rounds) for name in shapes},
    }
    if options.quick:
        print(render(result))
        return
    write_json(RESULT, result)
    publish(result)


def _shape(shape: Shape, rounds: int) -> dict[str, Any]:
    folder = model_folder(shape)
    found: dict[str, Any] = {"title": shape.title}
    for part in ("clone", "generate", "evaluation"):
        say(f"{shape.title}: {part}")
        found[part] = in_child("tasks", {"part": part, "folder": str(folder), "rounds": rounds})
    return found


def measure(part: str, folder: str, rounds: int) -> dict[str, Any]:
    """One part of one shape; runs in a process of its own."""
    layers = int(load_config(folder).num_hidden_layers)
    k = min(K, 3 * layers // 4)
    with tempfile.TemporaryDirectory() as work:
        if part == "clone":
            return _clone(folder, k, rounds, Path(work))
        if part == "generate":
            return _generate(folder, k, rounds, Path(work))
        return _evaluation(folder, rounds)


class _Runner:
    """A variant that takes training steps on given batches."""

    def __init__(self, task: str, folder: str, k: int | None, data: Encoded, cache: Path | None) -> None:
        split = SplitModel(load_model(folder, is_generative=get_task(task).is_generative), k)
        self.source = RowSource(data.table, PAD)
        if cache is not None:
            self.source.cache = build_cache(CacheRequest(split, data.table, PAD, cache)).cache
        self.data, self.task = data, task
        torch.manual_seed(0)
        options = get_spec(task).options_of({"head": "pair"})
        self.model = get_task(task).build(split, len(data.classes), options).train()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, fused=True)

    def step(self, batch: Callable[[RowSource], dict[str, Any]]) -> float:
        """Seconds of a step."""
        started = time.perf_counter()
        loss = self.model(**batch(self.source))["loss"]
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - started


def _in_turns(
    runners: dict[str, tuple[_Runner, list[Callable[[RowSource], dict[str, Any]]]]], rounds: int
) -> dict[str, Any]:
    """One unmeasured step of every variant, then `rounds` measured ones, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    names = list(runners)
    for number in range(1 + rounds):
        for turn in range(len(names)):
            name = names[(number + turn) % len(names)]
            runner, batches = runners[name]
            taken = runner.step(batches[number])
            if number:
                seconds[name].append(taken)
    return {name: spread(taken) for name, taken in seconds.items()}


def _clone(folder: str, k: int, rounds: int, work: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, FUNCTIONS, (FUNCTIONS * PAIRS_EACH // 2, 2))
    started = time.perf_counter()
    shared = dense_batches(pairs, rng.permutation(len(pairs)), PAIRS, rng)
    planning = time.perf_counter() - started
    steps = [shared[i] for i in rng.permutation(len(shared) - 1)[: 1 + rounds]]
    drawn = [rng.permutation(len(pairs))[:PAIRS] for _ in range(1 + rounds)]
    used = np.concatenate([*steps, *drawn])
    functions, where = np.unique(pairs[used], return_inverse=True)  # only what is measured is stored
    vocabulary = int(load_config(folder).vocab_size)
    ids = rng.integers(5, vocabulary, (len(functions), CODE))
    table, rows = SequenceTable.of(ids)
    both = rows[where.reshape(-1, 2)]
    labels = rng.integers(0, 2, len(both))
    data = TextPairs(table, {"left": both[:, 0], "right": both[:, 1]}, labels=labels, classes=("0", "1"))
    numbers = np.arange(len(both)).reshape(2 * (1 + rounds), PAIRS)
    mixed = [lambda source, n=n: get_task("clone").collate(source, data, n) for n in numbers[1 + rounds :]]
    ours = [lambda source, n=n: get_task("clone").collate(source, data, n) for n in numbers[: 1 + rounds]]
    usual = [lambda source, n=n: _every_function(source, data, n) for n in numbers[1 + rounds :]]
    runners = {
        "full, usual batches": (_Runner("clone", folder, None, data, None), usual),
        f"K={k} frozen, random batches": (_Runner("clone", folder, k, data, None), mixed),
        f"K={k} cached, random batches": (_Runner("clone", folder, k, data, work), mixed),
        "full": (_Runner("clone", folder, None, data, None), ours),
        f"K={k} frozen": (_Runner("clone", folder, k, data, None), ours),
        f"K={k} cached": (_Runner("clone", folder, k, data, work), ours),
    }
    distinct = statistics.mean(len(np.unique(pairs[batch])) for batch in shared)
    return {"steps": _in_turns(runners, rounds), "distinct_functions": distinct, "planning_seconds": planning}


def _every_function(source: RowSource, data: TextPairs, numbers: np.ndarray) -> dict[str, Any]:
    """A batch as the usual scripts make it: both functions of every pair, whether they occur twice or not."""
    rows = np.concatenate([data.rows["left"][numbers], data.rows["right"][numbers]])
    places = torch.arange(len(rows))
    return {
        "functions": source.batch(rows),
        "left": places[: len(numbers)],
        "right": places[len(numbers) :],
        "labels": torch.from_numpy(data.labels[numbers]),
    }


def _texts(folder: str, examples: int, target: int, *, train: bool) -> Texts:
    rng = np.random.default_rng(0)
    vocabulary = int(load_config(folder).vocab_size)
    ids = rng.integers(5, vocabulary, (examples, SOURCE + 1 + (target if train else 0)))
    ids[:, SOURCE] = START
    table, rows = SequenceTable.of(ids)
    table = SequenceTable(table.ids, table.offsets, np.full(len(table), SOURCE))
    return Texts(
        table,
        {"source": rows},
        architecture=Architecture.PREFIX_LM,
        prompt_lengths=np.full(examples, SOURCE + 1),
        end_ids=(END,),
        max_answer_tokens=target,
    )


def _generate(folder: str, k: int, rounds: int, work: Path) -> dict[str, Any]:
    data = _texts(folder, EXAMPLES * (1 + rounds), TARGET, train=True)
    numbers = np.arange(EXAMPLES * (1 + rounds)).reshape(-1, EXAMPLES)
    batches = [lambda source, n=n: get_task("generate").collate(source, data, n) for n in numbers]
    runners = {
        "full": (_Runner("generate", folder, None, data, None), batches),
        f"K={k} frozen": (_Runner("generate", folder, k, data, None), batches),
        f"K={k} cached": (_Runner("generate", folder, k, data, work), batches),
    }
    return {"steps": _in_turns(runners, rounds)}


def _evaluation(folder: str, rounds: int) -> dict[str, Any]:
    """Training steps and batches of answers, in turns; answers of random weights never end early."""
    data = _texts(folder, EXAMPLES * (1 + rounds), ANSWER, train=True)
    runner = _Runner("generate", folder, None, data, None)
    numbers = np.arange(EXAMPLES * (1 + rounds)).reshape(-1, EXAMPLES)
    prompts = _texts(folder, 48, ANSWER, train=False)
    assert isinstance(runner.model, TextGenerationModel)
    steps: list[float] = []
    answers: list[float] = []
    autocast = torch.autocast("cpu", enabled=False)
    for number in range(1 + rounds):
        step = runner.step(lambda source, n=numbers[number]: get_task("generate").collate(source, data, n))
        runner.model.eval()
        started = time.perf_counter()
        runner.model.generate(RowSource(prompts.table, PAD), prompts, autocast, BEAMS)
        written = time.perf_counter() - started
        runner.model.train()
        if number:
            steps.append(step / EXAMPLES * EPOCH)
            answers.append(written / len(prompts) * ANSWERS)
    return {"epoch": spread(steps), "answers": spread(answers)}


def publish(result: dict[str, Any]) -> None:
    if not update_readme(DOCS, f"{render(result)}\n\n{render_shared(result)}", "tasks"):
        sys.exit(f"{DOCS.name} has no block 'tasks' to renew")


def render(result: dict[str, Any]) -> str:
    """The steps of the default configuration, and the time that decoding takes."""
    made = result["provenance"]
    lines, notes = _head("model, task"), []
    for shape in result["shapes"].values():
        clone = {name.partition(",")[0]: step for name, step in shape["clone"]["steps"].items()
                 if name.endswith("batches")}  # fmt: skip
        for label, steps in (("clone detection", clone), ("code generation", shape["generate"]["steps"])):
            lines.append(_row(f"{short_title(shape)}: {label}", steps))
        evaluation = shape["evaluation"]
        epoch, answers = (evaluation[name]["median_seconds"] for name in ("epoch", "answers"))
        notes.append(f"{answers:,.0f} s against {epoch:,.0f} s ({short_title(shape)})")
    decoding = (
        f"Generating {ANSWERS:,} answers of {ANSWER} tokens with {BEAMS} beams, against one epoch of full fine-tuning "
        f"on {EPOCH:,} such examples: {', '.join(notes)}."
    )
    origin = (
        f"`{result['command']}`, {result['date'][:10]}, commit {str(made['commit'])[:12]}"
        f"{' with uncommitted changes' if made['dirty'] else ''}; {made['processor']}, {made['cpus']} cores, "
        f"{result['threads']} threads; fp32, medians of {result['rounds']} alternating steps (min-max). Clone "
        f"detection: {PAIRS} random pairs per step of {FUNCTIONS:,} functions with {CODE} tokens, each in "
        f"{PAIRS_EACH} pairs; full encodes both functions of every pair, as CodeXGLUE's script does. Code generation: "
        f"{EXAMPLES} sources of {SOURCE} tokens per step, answers of {TARGET}. All numbers: "
        f"`benchmarks/results/tasks.json`."
    )
    return "\n".join([*lines, "", decoding, "", origin])


def render_shared(result: dict[str, Any]) -> str:
    """The cached steps of batches of pairs that share functions, which are not the default of the pair classifier."""
    parts = []
    for shape in result["shapes"].values():
        steps = {name: step for name, step in shape["clone"]["steps"].items() if not name.endswith("batches")}
        full, frozen, cached = (_seconds(step) for step in _by_kind(steps))
        ratios = _ratios(steps)
        parts.append(f"{short_title(shape)}: full {full} s, frozen {frozen} s, cached {cached} s ({', '.join(ratios)})")
    distinct = next(iter(result["shapes"].values()))["clone"]["distinct_functions"]
    return (
        f"With `--shared-batches` ({distinct:.1f} distinct functions per batch): {'; '.join(parts)}. These are not "
        "gains over usual training: the pair classifier, timed here, learned nothing from such batches "
        "([F1 0](tasks/clone.md#why-it-is-fast))."
    )


def _head(label: str) -> list[str]:
    columns = ["full, s/step", *(f"K={K} {kind}, s/step" for kind in KINDS[1:]), "cached vs full", "cached vs frozen"]
    return [f"| {label} | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]


def _row(label: str, steps: dict[str, Any]) -> str:
    """Seconds per step of the variants full, frozen and cached, and how much faster cached is than the others."""
    return f"| {label} | {' | '.join([*map(_seconds, _by_kind(steps)), *_ratios(steps)])} |"


def _by_kind(steps: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of the variants full, frozen and cached; empty where not measured."""
    return [next((step for name, step in steps.items() if name.endswith(kind)), {}) for kind in KINDS]


def _seconds(step: dict[str, Any]) -> str:
    return f"{step['median_seconds']:.3g} ({step['min_seconds']:.3g}-{step['max_seconds']:.3g})" if step else "-"


def _ratios(steps: dict[str, Any]) -> list[str]:
    """How much faster cached is than full and frozen."""
    *others, cached = _by_kind(steps)
    return [f"{step['median_seconds'] / cached['median_seconds']:.1f}x" if step else "-" for step in others]


if __name__ == "__main__":
    main()
