"""Comparison groups: runs on the same data are compared, and the seeds of one setting share a row."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telly.freezing.variants import Method
from telly.metrics.table import METRICS
from telly.plots import short_name
from telly.runs.find import LeftOut, StoredRun
from telly.runs.record import RunRecord
from telly.settings.lists import DATA_SETTINGS, ROW_SETTINGS, SETTINGS

_OF_LORA, _NOTHING = "lora_", ("None", "[]")
FINGERPRINT = "data"


@dataclass(frozen=True)
class ResultRow:
    """The runs of one setting, one per seed.

    Attributes:
        model: the model's name, short.
        variant: `base`, `K=9 cached`, `K=9 frozen`, `lora`, `K=9 cached, lora`.
        settings: the other settings of the runs as text, with the data's fingerprint.
        runs: by seed.
        differing: names of the settings in which the model's lines that are trained alike differ.
    """

    model: str
    variant: str
    settings: dict[str, str]
    runs: tuple[StoredRun, ...]
    differing: tuple[str, ...] = ()

    @property
    def k(self) -> int | None:
        """K, or None for base."""
        return self.runs[0].record.k

    @property
    def method(self) -> Method:
        """What was trained in the layers that were not frozen."""
        return self.runs[0].record.method

    @property
    def is_base(self) -> bool:
        """Whether everything was trained."""
        return self.runs[0].record.is_base

    @property
    def line(self) -> str:
        """The variant, and the settings in which it differs from others."""
        return ", ".join([self.variant, *(f"{name} {self.settings[name]}" for name in self.differing)])

    @property
    def name(self) -> str:
        """Model and variant."""
        return f"{self.model}, {self.line}"

    @property
    def seeds(self) -> list[int]:
        """The runs' seeds."""
        return [run.seed for run in self.runs]

    @property
    def test_data(self) -> str | None:
        """Fingerprint of the examples that the runs were scored on."""
        split = self.runs[0].record.tested_split
        return None if split is None else split.fingerprint

    def mean(self, of: Callable[[RunRecord], float | None]) -> float | None:
        """Mean of a quantity of the record over the runs; None if a run lacks it."""
        values = [of(run.record) for run in self.runs]
        return None if any(v is None for v in values) else statistics.fmean(v for v in values if v is not None)

    def metric(self, name: str) -> float | None:
        """Mean test score."""
        return self.mean(lambda record: (record.test or {}).get(name))


@dataclass(frozen=True)
class ComparisonGroup:
    """All runs of one task on the same data.

    Attributes:
        task: its name.
        data: name and sizes of the data, in words.
        rows: model by model: base, its PEFT baselines, then rising K.
        metrics: names of the test metrics, the one that chose the best epoch first.
        notes: sentences that apply to all tables of the group.
    """

    task: str
    data: str
    rows: tuple[ResultRow, ...]
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def title(self) -> str:
        """Task and data."""
        return f"{self.task} on {self.data}"

    @property
    def models(self) -> list[str]:
        """The models, in the rows' order."""
        return list(dict.fromkeys(row.model for row in self.rows))

    def base_of(self, row: ResultRow) -> ResultRow | None:
        """What a line is compared with: its model's base with the same settings, else the only base there is on the
        same data.
        """
        if row.is_base:
            return None
        bases = [other for other in self.rows if other.model == row.model and other.is_base
                 and other.settings[FINGERPRINT] == row.settings[FINGERPRINT]]  # fmt: skip
        same = [other for other in bases if other.settings == row.settings]
        return same[0] if same else bases[0] if len(bases) == 1 else None

    def baselines(self, model: str) -> dict[str, dict[str, float]]:
        """Test metrics of methods without a trained model, by name, from a model's runs."""
        found: dict[str, dict[str, float]] = {}
        for row in self.rows:
            if row.model == model:
                found = row.runs[0].record.baselines | found
        return found


def group_runs(runs: Iterable[StoredRun]) -> tuple[list[ComparisonGroup], list[LeftOut]]:
    """Group runs; returns the groups, and the runs that were repeated later with the same settings and seed."""
    by_data: defaultdict[tuple[str, ...], list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_data[_data_key(run.record)].append(run)
    groups, repeated = [], []
    for group in by_data.values():
        told = _told_weights(group)
        latest, older = _latest(group, told)
        repeated += older
        groups.append(_comparison_group(latest, told))
    return sorted(groups, key=lambda group: group.title), repeated


def _data_key(record: RunRecord) -> tuple[str, ...]:
    settings = record.config.values
    examples = {name: split.examples for name, split in record.data.items()}
    return (
        record.config.task,
        *(str(settings.get(name)) for name in DATA_SETTINGS),
        str(examples),
        str(record.tested_on),
    )


def _told_weights(runs: Sequence[StoredRun]) -> frozenset[str]:
    """Model names that occur with several weights, which only their fingerprints tell apart.

    Records of older runs lack the fingerprint of the layers.
    """
    found: defaultdict[str, set[str | None]] = defaultdict(set)
    for run in runs:
        found[run.record.config.model] |= {_layers_fingerprint(run.record)} - {None}
    return frozenset(name for name, prints in found.items() if len(prints) > 1)


def _latest(runs: Sequence[StoredRun], told: frozenset[str]) -> tuple[list[StoredRun], list[LeftOut]]:
    """Keep only the latest of the runs with the same settings and seed; the others are returned as left out."""
    newest: dict[tuple[Any, ...], StoredRun] = {}
    older = []
    for run in sorted(runs, key=lambda run: run.record.started):
        key = (*_row_key(run.record, told), run.seed)
        if key in newest:
            older.append(LeftOut(newest[key].folder, f"done again later with the same settings and seed: {run.folder}"))
        newest[key] = run
    return list(newest.values()), older


def _row_key(record: RunRecord, told: frozenset[str]) -> tuple[Any, ...]:
    return (*_model_key(record, told), record.k, record.variant, tuple(sorted(_settings(record).items())),
            _stored_as(record))  # fmt: skip


def _model_key(record: RunRecord, told: frozenset[str]) -> tuple[str, str | None]:
    name = record.config.model
    return name, _layers_fingerprint(record) if name in told else None


def _layers_fingerprint(record: RunRecord) -> str | None:
    return None if record.model is None else record.model.layers_fingerprint


def _stored_as(record: RunRecord) -> str | None:
    return str(record.config.cache_dtype) if record.uses_cache else None


def _settings(record: RunRecord) -> dict[str, str]:
    # Settings that this version does not know may matter, so they are shown.
    values = record.config.values
    told = {name: str(value) for name, value in values.items() if name in ROW_SETTINGS or name not in SETTINGS}
    if "cache_dtype" not in told or not record.uses_cache:  # the setting means nothing to a run without a cache
        told["cache_dtype"] = str(SETTINGS["cache_dtype"].default)
    # Records of older runs have no settings of LoRA, and those of other runs say nothing there.
    told = {name: value for name, value in told.items() if not (name.startswith(_OF_LORA) and value in _NOTHING)}
    splits = (record.data.get("train"), record.tested_split)
    return told | {FINGERPRINT: " ".join(str(split and split.fingerprint)[:8] for split in splits)}


def _comparison_group(runs: Sequence[StoredRun], told: frozenset[str]) -> ComparisonGroup:
    names = _model_names({_model_key(run.record, told) for run in runs})
    grouped: defaultdict[tuple[Any, ...], list[StoredRun]] = defaultdict(list)
    for run in runs:
        grouped[_row_key(run.record, told)].append(run)
    rows = []
    for group in grouped.values():
        record = group[0].record
        rows.append(ResultRow(names[_model_key(record, told)], record.variant, _settings(record),
                        tuple(sorted(group, key=lambda run: run.seed))))  # fmt: skip
    stored = {_stored_as(run.record) for run in runs} - {None}
    rows = [_told_apart(row, rows, len(stored) > 1) for row in rows]
    rows.sort(key=lambda row: (row.model, -1 if row.k is None else row.k, row.method is not Method.FULL, row.line))
    record = rows[0].runs[0].record
    metrics = [name for name in record.test or {} if name in METRICS]
    metrics.sort(key=lambda name: name != record.metric)
    return ComparisonGroup(record.config.task, _data_name(record), tuple(rows), tuple(metrics), _notes(rows))


def _told_apart(row: ResultRow, rows: Sequence[ResultRow], by_cache: bool) -> ResultRow:
    """With the names of the settings in which the model's rows differ, and the store's precision where that differs.

    What differs between full training and its peers, such as their learning rate, is told by a note instead.
    """
    alike = [other.settings for other in rows if other.model == row.model and other.method is row.method]
    differing = [name for name in row.settings if len({other.get(name) for other in alike}) > 1]
    stored = _stored_as(row.runs[0].record)
    variant = f"{row.variant} {stored}" if by_cache and stored else row.variant
    return ResultRow(row.model, variant, row.settings, row.runs, tuple(differing))


def _model_names(keys: set[tuple[str, str | None]]) -> dict[tuple[str, str | None], str]:
    """Short model names; two models with the same one get the beginning of their fingerprint."""
    short = {key: short_name(key[0]) for key in keys}
    count = [*short.values()]
    return {key: name if count.count(name) == 1 else f"{name} ({(key[1] or '?')[:6]})" for key, name in short.items()}


def _data_name(record: RunRecord) -> str:
    source = record.config.data
    name = "the sample" if source is None else _last_parts(source)
    sizes = [f"{split.examples:,} {part}" for part, split in record.data.items() if split.examples]
    return f"{name} ({', '.join(sizes)})" if sizes else name


def _last_parts(source: str) -> str:
    parts = Path(source).parts
    return "/".join(parts[-2:])


def _notes(rows: Sequence[ResultRow]) -> tuple[str, ...]:
    records = [run.record for row in rows for run in row.runs]
    notes = []
    machines = {(r.provenance.processor, r.provenance.cpus, r.device) for r in records}
    if len(machines) > 1:
        notes.append("The runs were made on different machines or with different threads; their times do not compare.")
    if len({r.provenance.commit for r in records}) > 1 or any(r.provenance.dirty for r in records):
        notes.append("The runs were made with different versions of the code, or with changes that are not committed.")
    if any(r.cache is not None and r.cache.found_states for r in records):
        notes.append(
            "Some runs found stored states of earlier runs; what it took to build these is not in their seconds."
        )
    if any(r.tested_on == "valid" for r in records):
        notes.append("Scores are of the validation data, on which the best epoch was chosen: there was no test data.")
    if all(len(row.runs) == 1 for row in rows):
        notes.append("One seed a line: intervals know the chance of test examples, not that of seeds.")
    notes += _peft_notes(rows)
    return (*notes, *dict.fromkeys(warning for r in records for warning in r.data_warnings))


def _peft_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Notes on settings in which PEFT baselines differ from full tuning, or which only they have."""
    notes = []
    full = [row.settings for row in rows if row.method is Method.FULL]
    for method in (one for one in Method if one is not Method.FULL):
        mine = [row.settings for row in rows if row.method is method]
        told = []
        for name in dict.fromkeys(name for settings in mine for name in settings if name != FINGERPRINT):
            here, there = (sorted({s[name] for s in group if name in s}) for group in (mine, full))
            if full and here != there:
                told.append(f"{name} {', '.join(here)}" + (f" ({', '.join(there)})" if there else ""))
        if told:
            notes.append(f"Settings of {method} (in brackets those of base and K): {'; '.join(told)}.")
    return notes
