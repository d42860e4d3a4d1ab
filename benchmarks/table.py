"""Markdown tables from the result file of `benchmarks/run.py`. Nothing is measured here; missing values are dashes."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telly.runs.provenance import provenance

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
DASH = "-"
TARGET_SHAPE, TARGET_PRECISION = "unixcoder", "fp32"
EMBEDDED = "telly-mini"

SUMMARY = {
    "full": "full fine-tuning",
    "LoRA": "LoRA in all layers",
    "K=9 frozen": "K=9, frozen only",
    "K=9 cached": "K=9, cached",
}
"""The README's rows: title by the variant's name."""

Result = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """A number to reach.

    Attributes:
        text: what is compared.
        value: the number reached; None where it was not measured.
        limit: the number to reach.
        at_least: whether more is better; otherwise the value must stay at or below the limit.
        unit: how numbers are written.
    """

    text: str
    value: Callable[[Result], float | None]
    limit: float
    at_least: bool
    unit: str

    def met(self, value: float | None) -> bool | None:
        """Whether a value reaches the limit; None for no value."""
        if value is None:
            return None
        return value >= self.limit if self.at_least else value <= self.limit


def render(result: Result) -> str:
    """The whole block: provenance, targets, tables, and speed-ups alone for the embedded model and other precisions."""
    parts = [_origin(result), _targets(result)]
    for name, shape in result.get("shapes", {}).items():
        if shape.get("skipped"):
            parts.append(f"**{shape['title']}** was not measured: {shape['skipped']}.")
        elif name != EMBEDDED:
            parts.append(f"**{shape['title']}**")
            parts += [_variants(shape)] if shape.get("steps") or shape.get("memory") else []
            parts += [_whole_runs(shape["whole"])] if shape.get("whole") else []
    parts += [_others(result)] if _others(result) else []
    return "\n\n".join(parts)


def summary(result: Result) -> str:
    """The README's table: one row per method at K=9, on the shape and precision that the targets are about."""
    steps, memory = _part(result, "steps"), _part(result, "memory")
    lines = ["| method | trained parameters | seconds per step (speed-up) | peak memory |", "|---|---:|---:|---:|"]
    for name, title in SUMMARY.items():
        step = steps.get(name, {})
        speed = f"{step['median_seconds']:.2f} ({_write(_speed_up(steps, 'full', name), 'x')})" if step else DASH
        trained = f"{step['trained']:,}" if step else DASH
        peak = memory.get(name, {}).get("training_peak")
        lines.append(f"| {title} | {trained} | {speed} | {DASH if peak is None else _write(peak, 'MB') + ' MB'} |")
    made, load = result["provenance"], result["load"]
    commit = (made.get("commit") or DASH)[:12] + (" with uncommitted changes" if made.get("dirty") else "")
    return "\n".join(lines) + (
        f"\n\nCode search with a model of UniXcoder-base's shape and random weights, {TARGET_PRECISION}, "
        f"{load['pairs']} pairs of {load['tokens']} tokens per step, {made.get('cpus') or DASH} CPU cores; median of "
        f"{result['rounds']} steps. Measured at commit {commit}: `{result['file']}`. [All tables](docs/benchmarks.md)"
    )


def update_readme(readme: Path, markdown: str, block: str = "bench") -> bool:
    """Put the Markdown between a block's markers; False if the file lacks them."""
    begin, end = f"<!-- {block}:begin -->", f"<!-- {block}:end -->"
    text = readme.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        return False
    head, tail = text.partition(begin)[0], text.partition(end)[2]
    readme.write_text(f"{head}{begin}\n{markdown}\n{end}{tail}", encoding="utf-8")
    return True


def publish(file: Path, page: Path, blocks: dict[str, Callable[[Result], str]]) -> None:
    """Print what each block's function makes of a result file, and put it into the page.

    Raises:
        SystemExit: the page lacks a block.
    """
    result = json.loads(file.read_text(encoding="utf-8"))
    for block, render_block in blocks.items():
        markdown = render_block(result)
        print(markdown, end="\n\n")
        if not update_readme(page, markdown, block):
            sys.exit(f"{page.name} has no block {block!r} to renew")


def verdict(met: bool | None) -> str:
    """Whether a target is met, in words; a dash for what was not measured."""
    return {True: "met", False: "**not met**", None: DASH}[met]


def made_by(result: Result) -> str:
    """Commit, machine and day of a result, to end a line with."""
    made = result["provenance"]
    dirty = "-dirty" if made["dirty"] else ""  # as `git describe --dirty` writes uncommitted changes
    processor = made["processor"].replace("(R)", "").removesuffix(" Processor")
    return f"commit {str(made['commit'])[:8]}{dirty}; {processor}, {made['cpus']} cores; {result['date'][:10]}."


def made_now(command: str | None = None) -> Result:
    """Where a result comes from, to begin its file with: command, time, versions, commit and machine.

    Args:
        command: the command that made it; None for a part of a result, which was measured again.
    """
    made = {"date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "provenance": provenance()}
    return made if command is None else {"command": command, **made}


def told(lines: Sequence[str], text: str, result: Result) -> str:
    """A table's lines, and under them what is to know of it, the command that made it, and where."""
    return "\n".join([*lines, "", f"{text} `{result['command']}`; {made_by(result)}"])


def _origin(result: Result) -> str:
    made = result["provenance"]
    commit = (made.get("commit") or DASH)[:12] + (" with uncommitted changes" if made.get("dirty") else "")
    versions = ", ".join(f"{name} {made['versions'].get(name) or DASH}" for name in ("torch", "transformers", "peft"))
    load = result["load"]
    return (
        f"`{result['command']}`, {result['date'][:10]}, commit {commit}; {made.get('processor') or DASH}, "
        f"{made.get('cpus') or DASH} cores, {result.get('threads') or DASH} threads; {versions}. "
        f"Medians of {result['rounds']} alternating steps (min-max), from fetching a batch of {load['pairs']} pairs "
        f"with {load['tokens']} tokens to the optimizer. `K=... LoRA` has adapters only in layers from K on"
        f"{'' if _has_lora_at_k(result) else ', which is not measured yet'}. Peak: resident memory during training. "
        f"All numbers: `{result['file']}`."
    )


def _targets(result: Result) -> str:
    lines = ["| target (UniXcoder's shape, fp32) | required | measured | |", "|---|---:|---:|---|"]
    for target in TARGETS:
        value = target.value(result)
        limit = ("at least " if target.at_least else "at most ") + _write(target.limit, target.unit)
        met = verdict(target.met(value))
        lines.append(f"| {target.text} | {limit} | {_write(value, target.unit)} | {met} |")
    return "\n".join(lines)


def _variants(shape: Result) -> str:
    """One row per variant in the precision of the targets: time, speed-ups and memory."""
    steps, memory = (shape.get(part, {}).get(TARGET_PRECISION, {}) for part in ("steps", "memory"))
    heads = ["s/step", "vs full", "vs frozen", "peak MB"]
    lines = [f"| {TARGET_PRECISION} | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for name in steps or memory:
        cells = [
            _seconds(steps.get(name, {})),
            *(_write(_speed_up(steps, other, name), "x") for other in ("full", frozen_peer(name))),
            _write(memory.get(name, {}).get("training_peak"), "MB"),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def short_title(shape: Result) -> str:
    """A model's title without what the page says of it anyway."""
    title: str = shape["title"]
    return EMBEDDED if title.endswith(EMBEDDED) else title.partition(",")[0]


def _others(result: Result) -> str:
    """The speed-ups of the cached variants over full and frozen ones, for all other models and precisions."""
    parts = []
    for name, shape in result.get("shapes", {}).items():
        for precision, steps in shape.get("steps", {}).items():
            if (name, precision) == (TARGET_SHAPE, TARGET_PRECISION):
                continue
            ratios = [
                f"{variant.partition(' ')[0]} {_write(_speed_up(steps, 'full', variant), 'x')} and "
                f"{_write(_speed_up(steps, frozen_peer(variant), variant), 'x')}"
                for variant in steps
                if variant.endswith("cached")
            ]
            parts.append(f"{short_title(shape)}, {precision}: {', '.join(ratios)}")
    return f"Cached steps, vs full and vs frozen. {'; '.join(parts)}." if parts else ""


def _whole_runs(runs: Result) -> str:
    clocks = ("prefix", "train")
    lines = [
        "| whole run, fp32 | s | vs full | vs frozen | " + " | ".join(clocks) + " |",
        "|---|" + "---:|" * (3 + len(clocks)),
    ]
    for name, run in runs.items():
        parts = [_write(run.get("clocks", {}).get(clock), "s") for clock in clocks]
        peers = ("full", frozen_peer(name))
        ratios = [_write(_ratio(_wall(runs, peer), run.get("wall_seconds")), "x") for peer in peers]
        label = f"{name} (did not use the cache)" if name.endswith("cached") and not run.get("cache_used") else name
        lines.append("| " + " | ".join([label, _write(run.get("wall_seconds"), "s"), *ratios, *parts]) + " |")
    first: Result = next(iter(runs.values()))
    if "train_pairs" not in first:
        return "\n".join(lines)
    text = (
        f"{first['epochs']} epochs of {first['train_pairs']} pairs, {first['evaluate_pairs']} each for validation and "
        "test; `prefix` builds the activation cache."
    )
    return "\n".join([*lines, "", text])


def _seconds(step: Result) -> str:
    if not step:
        return DASH
    return f"{step['median_seconds']:.3g} ({step['min_seconds']:.3g}-{step['max_seconds']:.3g})"


def _write(value: float | None, unit: str) -> str:
    if value is None:
        return DASH
    return {
        "x": f"{value:.2f}x",
        "%": f"{100 * value:.1f} %",
        "MB": f"{value / 1e6:,.0f}",
        "s": f"{value:.2f}" if value < 10 else f"{value:.1f}",
    }[unit]


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other


def frozen_peer(name: str) -> str:
    """The variant that freezes what a cached one does and stores nothing; an empty name for variants without one."""
    k, _, kind = name.partition(" ")
    return f"{k} frozen" if kind == "cached" else ""


def _has_lora_at_k(result: Result) -> bool:
    shapes = result.get("shapes", {}).values()
    return any(
        name.endswith(" LoRA") for shape in shapes for steps in shape.get("steps", {}).values() for name in steps
    )


def _speed_up(steps: Result, peer: str, name: str) -> float | None:
    """How many steps of `name` fit into one of `peer`, by medians."""
    return _ratio(steps.get(peer, {}).get("median_seconds"), steps.get(name, {}).get("median_seconds"))


def _wall(runs: Result, name: str) -> float | None:
    seconds: float | None = runs.get(name, {}).get("wall_seconds")
    return seconds


def _part(result: Result, part: str) -> Result:
    """A part of the shape that targets are for, in their precision."""
    found: Result = result.get("shapes", {}).get(TARGET_SHAPE, {}).get(part, {})
    return found if part == "whole" else found.get(TARGET_PRECISION, {})


def _steps_target(peer: str, name: str) -> Callable[[Result], float | None]:
    return lambda result: _speed_up(_part(result, "steps"), peer, name)


def _longest_wait(result: Result) -> float | None:
    steps = _part(result, "steps")
    return max((step["waiting_share"] for name, step in steps.items() if name.endswith("cached")), default=None)


def _memory_share(result: Result) -> float | None:
    memory = _part(result, "memory")
    return _ratio(*(memory.get(name, {}).get("training_peak") for name in ("K=9 cached", "full")))


def _whole_speed_up(result: Result) -> float | None:
    runs = _part(result, "whole")
    return _ratio(_wall(runs, "full"), _wall(runs, "K=9 cached"))


def _help_seconds(result: Result) -> float | None:
    seconds: float | None = result.get("startup", {}).get("telly --help", {}).get("median_seconds")
    return seconds


TARGETS = (
    Target("step, full / K=9 cached", _steps_target("full", "K=9 cached"), 3.5, True, "x"),
    Target("step, LoRA in all layers / K=9 cached", _steps_target("LoRA", "K=9 cached"), 2.2, True, "x"),
    Target("step, full / K=11 cached", _steps_target("full", "K=11 cached"), 12, True, "x"),
    Target("longest wait for the activation cache, of a step", _longest_wait, 0.05, False, "%"),
    Target("peak training memory, K=9 cached / full", _memory_share, 0.5, False, "%"),
    Target("whole run of 5 epochs, full / K=9 cached", _whole_speed_up, 2.5, True, "x"),
    Target("`telly --help`, seconds", _help_seconds, 0.3, False, "s"),
)
