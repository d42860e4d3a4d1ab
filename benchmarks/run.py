"""Measure all variants of telly against full fine-tuning and PEFT's LoRA, in one run on this machine.

A complete run takes about 25 minutes on two quiet cores, writes `benchmarks/results/<date>-<machine>.json` and renews
the README's table. A partial one (`--quick`, `--only`, `--shapes`) is kept under `.cache/benchmarks` and printed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that `python benchmarks/run.py` finds its own package

import torch  # noqa: E402

from benchmarks import startup, table, whole_run  # noqa: E402
from benchmarks.child import in_child, say  # noqa: E402
from benchmarks.contestants import FULL, PRECISIONS, Variant, variants  # noqa: E402
from benchmarks.shapes import CACHE, SHAPES, Load, Shape, depths, model_folder  # noqa: E402
from benchmarks.steps import WARM_UP  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.runs.provenance import provenance  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
DOCS = ROOT / "docs" / "benchmarks.md"
PARTS = ("steps", "memory", "whole", "startup")
MEASURED = ("unixcoder", EMBEDDED)
ROUNDS = 5
QUICK_LOAD = Load(pairs=4, tokens=16, batches=2)


def main(arguments: list[str] | None = None) -> None:
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    if options.table:
        _publish(newest_result())
        return
    if options.quick:  # one thread: a smoke test must not crawl on a busy machine, where threads wait for each other
        os.environ["OMP_NUM_THREADS"] = "1"
        torch.set_num_threads(1)
    result = _new_result(options)
    partial = CACHE / "results" / Path(result["file"]).name
    partial.parent.mkdir(parents=True, exist_ok=True)
    for name in options.shapes:
        for _ in _measure_shape(SHAPES[name], options, result):
            write_json(partial, result)  # what is measured stays, should a later part fail
    if "startup" in options.only:
        say("telly --help")
        result["startup"] = startup.measure()
    result["load_average"]["end"] = os.getloadavg()[0]
    if not result["complete"]:
        write_json(partial, result)
        say(f"partial run: {partial.relative_to(ROOT)}; the README is left as it is")
        print(table.render(result))
        return
    RESULTS.mkdir(exist_ok=True)
    write_json(ROOT / result["file"], result)
    partial.unlink(missing_ok=True)
    _publish(result)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="try everything on a tiny model, within a minute")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="measure these parts alone")
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), help=f"by default {' '.join(MEASURED)}")
    parser.add_argument("--rounds", type=int, help=f"measured steps of every variant, by default {ROUNDS}")
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the README from the newest result")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds must be at least 1, found {options.rounds}")
    options.complete = not options.quick and options.shapes is None and set(options.only) == set(PARTS)
    options.shapes = options.shapes or (["tiny"] if options.quick else list(MEASURED))
    options.rounds = options.rounds or (2 if options.quick else ROUNDS)
    options.arguments = arguments
    return options


def _new_result(options: argparse.Namespace) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC)
    made = provenance()
    machine = re.sub(r"[^a-z0-9]+", "-", f"{made['processor'] or 'cpu'}-{made['cpus']}-cores".lower())
    return {
        "format": 1,
        "file": f"benchmarks/results/{now:%Y-%m-%d}-{machine}.json",
        "command": " ".join(["python", "benchmarks/run.py", *options.arguments]),
        "date": now.isoformat(timespec="seconds"),
        "complete": options.complete,
        "rounds": options.rounds,
        "load": asdict(QUICK_LOAD if options.quick else Load()),
        "threads": torch.get_num_threads(),
        "load_average": {"start": os.getloadavg()[0], "end": None},
        "provenance": made,
        "shapes": {},
        "startup": {},
    }


def _measure_shape(shape: Shape, options: argparse.Namespace, result: dict[str, Any]) -> Iterator[None]:
    """Measure a shape into the result; gives control back after every figure."""
    found: dict[str, Any] = {"title": shape.title, "skipped": None, "depths": None}
    result["shapes"][shape.name] = found
    say(shape.title)
    folder = model_folder(shape)
    if folder is None:
        found["skipped"] = "the model is not in this checkout"
        say(f"  skipped: {found['skipped']}")
        yield
        return
    found["depths"] = depths(folder)
    parts: dict[str, Callable[..., Iterator[None]]] = {"steps": _steps, "memory": _memory, "whole": _whole}
    for name, measure in parts.items():
        if name in options.only:
            found[name] = {}
            yield from measure(shape, str(folder), options, result["load"], found)


def _steps(
    _: Shape, folder: str, options: argparse.Namespace, load: dict[str, int], found: dict[str, Any]
) -> Iterator[None]:
    for precision in PRECISIONS:
        task = {"folder": folder, "depths": found["depths"], "precision": precision, "load": load,
                "rounds": options.rounds, "warm_up": 1 if options.quick else WARM_UP}  # fmt: skip
        found["steps"][precision] = in_child("steps", task)
        yield


def _memory(
    _: Shape, folder: str, options: argparse.Namespace, load: dict[str, int], found: dict[str, Any]
) -> Iterator[None]:
    chosen = [FULL, Variant("cached", found["depths"][1])] if options.quick else variants(found["depths"])
    for precision in PRECISIONS[:1] if options.quick else PRECISIONS:
        peaks: dict[str, Any] = {}
        found["memory"][precision] = peaks
        for variant in chosen:
            say(f"  {precision}: peak memory, {variant.name}")
            task = {"folder": folder, "kind": variant.kind, "k": variant.k, "precision": precision, "load": load}
            peaks[variant.name] = in_child("memory", task)
            yield


def _whole(
    shape: Shape, folder: str, options: argparse.Namespace, _: dict[str, int], found: dict[str, Any]
) -> Iterator[None]:
    k = found["depths"][1]
    epochs = 2 if options.quick else whole_run.EPOCHS
    read = {"train_pairs": shape.train, "evaluate_pairs": shape.evaluate, "batch_size": shape.batch_size}
    for variant in (FULL, Variant("frozen", k), Variant("cached", k)):
        say(f"  fp32: whole run of {epochs} epochs, {variant.name}")
        task = {"folder": folder, "kind": variant.kind, "k": variant.k, "epochs": epochs, **read}
        found["whole"][variant.name] = in_child("whole_run", task) | {"epochs": epochs, **read}
        yield


def newest_result(folder: Path = RESULTS) -> dict[str, Any]:
    """The newest complete result of this program; the folder holds those of other programs as well.

    Raises:
        SystemExit: there is none.
    """
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    own = [result for result in found if {"shapes", "startup"} <= result.keys() and result["complete"]]
    if not own:
        sys.exit(f"no result of benchmarks/run.py in {folder}; run `make bench`")
    return max(own, key=lambda result: str(result["date"]))


def _publish(result: dict[str, Any]) -> None:
    for file, markdown in ((DOCS, table.render(result)), (README, table.summary(result))):
        if not table.update_readme(file, markdown):
            sys.exit(f"{file.name} has no {table.BEGIN} and {table.END}; add them and run `benchmarks/run.py --table`")
    say(f"{result['file']}, {DOCS.relative_to(ROOT)} and the README's table are written")


if __name__ == "__main__":
    main()
