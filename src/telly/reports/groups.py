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

_LORA_PREFIX, _UNSET = "lora_", ("None", "[]")
FINGERPRINT = "data"
"""Key of the data's fingerprint among the settings of a row."""


@dataclass(frozen=True)
class ResultRow:
    """The runs of one setting, one per seed.

    Attributes:
        model: short name of the model.
        variant: `base`, `K=9 cached`, `K=9 frozen`, `lora`, `K=9 cached, lora`.
        settings: the other settings of the runs as text, with the data's fingerprint.
        runs: the runs, in the order of their seeds.
        differing: names of the settings that are not equal in all rows of the same model and tuning method.
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
        """Tuning method of the layers that were not frozen."""
        return self.runs[0].record.method

    @property
    def is_base(self) -> bool:
        """True if everything was trained."""
        return self.runs[0].record.is_base

    @property
    def label(self) -> str:
        """The variant, and the settings in which it differs from other rows."""
        return ", ".join([self.variant, *(f"{name} {self.settings[name]}" for name in self.differing)])

    @property
    def name(self) -> str:
        """Model and variant."""
        return f"{self.model}, {self.label}"

    @property
    def seeds(self) -> list[int]:
        """The runs' seeds."""
        return [run.seed for run in self.runs]

    @property
    def test_data(self) -> str | None:
        """Fingerprint of the examples that the runs were scored on."""
        split = self.runs[0].record.tested_split
        return None if split is None else split.fingerprint

    def mean(self, quantity: Callable[[RunRecord], float | None]) -> float | None:
        """Mean of a quantity of the record over the runs; None if a run lacks it."""
        values = [quantity(run.record) for run in self.runs]
        return None if any(v is None for v in values) else statistics.fmean(v for v in values if v is not None)

    @property
    def truncated_sizes(self) -> list[int]:
        """Numbers of dimensions at which the runs' embeddings were scored as well."""
        return list(self.runs[0].record.test_truncated)

    def metric(self, name: str) -> float | None:
        """Mean test score."""
        return self.mean(lambda record: (record.test or {}).get(name))


@dataclass(frozen=True)
class ComparisonGroup:
    """All runs of one task on the same data.

    Attributes:
        task: name of the task.
        data: name and sizes of the data, in words.
        rows: model by model: base, its PEFT baselines, then rising K.
        metrics: names of the test metrics; the metric by which the best epoch was chosen comes first.
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
        """The row that a row is compared with: its model's base with the same settings, else the only base on the same
        data; None if there is no such row, or the row is a base itself.
        """
        if row.is_base:
            return None
        bases = [base for base in self.rows if base.model == row.model and base.is_base
                 and base.settings[FINGERPRINT] == row.settings[FINGERPRINT]]  # fmt: skip
        equal = [base for base in bases if base.settings == row.settings]
        return equal[0] if equal else bases[0] if len(bases) == 1 else None

    def baselines(self, model: str) -> dict[str, dict[str, float]]:
        """Test metrics of methods without a trained model, by name, from a model's runs."""
        metrics: dict[str, dict[str, float]] = {}
        for row in self.rows:
            if row.model == model:
                metrics = row.runs[0].record.baselines | metrics  # earlier rows have precedence
        return metrics


def group_runs(runs: Iterable[StoredRun]) -> tuple[list[ComparisonGroup], list[LeftOut]]:
    """Group runs; returns the groups, and the runs that were repeated later with the same settings and seed."""
    by_data: defaultdict[tuple[str, ...], list[StoredRun]] = defaultdict(list)
    for run in runs:
        by_data[_data_key(run.record)].append(run)
    groups, repeated = [], []
    for group in by_data.values():
        ambiguous = _ambiguous_models(group)
        latest, older = _latest_runs(group, ambiguous)
        repeated += older
        groups.append(_comparison_group(latest, ambiguous))
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


def _ambiguous_models(runs: Sequence[StoredRun]) -> frozenset[str]:
    """Names that stand for more than one model: their runs have different fingerprints of the layers.

    Records of older runs lack this fingerprint.
    """
    fingerprints: defaultdict[str, set[str | None]] = defaultdict(set)
    for run in runs:
        fingerprints[run.record.config.model] |= {_layers_fingerprint(run.record)} - {None}
    return frozenset(name for name, known in fingerprints.items() if len(known) > 1)


def _latest_runs(runs: Sequence[StoredRun], ambiguous: frozenset[str]) -> tuple[list[StoredRun], list[LeftOut]]:
    """The latest run of all with the same settings and seed; the earlier ones are returned as left out."""
    latest: dict[tuple[Any, ...], StoredRun] = {}
    older = []
    for run in sorted(runs, key=lambda run: run.record.started):
        key = (*_row_key(run.record, ambiguous), run.seed)
        if key in latest:
            older.append(LeftOut(latest[key].folder, f"done again later with the same settings and seed: {run.folder}"))
        latest[key] = run
    return list(latest.values()), older


def _row_key(record: RunRecord, ambiguous: frozenset[str]) -> tuple[Any, ...]:
    return (*_model_key(record, ambiguous), record.k, record.variant, tuple(sorted(_settings(record).items())),
            _cache_dtype(record))  # fmt: skip


def _model_key(record: RunRecord, ambiguous: frozenset[str]) -> tuple[str, str | None]:
    name = record.config.model
    return name, _layers_fingerprint(record) if name in ambiguous else None


def _layers_fingerprint(record: RunRecord) -> str | None:
    return None if record.model is None else record.model.layers_fingerprint


def _cache_dtype(record: RunRecord) -> str | None:
    return str(record.config.cache_dtype) if record.uses_cache else None


def _settings(record: RunRecord) -> dict[str, str]:
    values = record.config.values
    # settings that this version does not know may matter, so they are shown
    shown = {name: str(value) for name, value in values.items() if name in ROW_SETTINGS or name not in SETTINGS}
    if "cache_dtype" not in shown or not record.uses_cache:  # without a cache the setting has no effect
        shown["cache_dtype"] = str(SETTINGS["cache_dtype"].default)
    # records of older runs lack the settings of LoRA, and runs without LoRA have them unset: both count as equal
    shown = {name: value for name, value in shown.items() if not (name.startswith(_LORA_PREFIX) and value in _UNSET)}
    splits = (record.data.get("train"), record.tested_split)
    return shown | {FINGERPRINT: " ".join(str(split and split.fingerprint)[:8] for split in splits)}


def _comparison_group(runs: Sequence[StoredRun], ambiguous: frozenset[str]) -> ComparisonGroup:
    names = _model_names({_model_key(run.record, ambiguous) for run in runs})
    grouped: defaultdict[tuple[Any, ...], list[StoredRun]] = defaultdict(list)
    for run in runs:
        grouped[_row_key(run.record, ambiguous)].append(run)
    rows = []
    for group in grouped.values():
        record = group[0].record
        rows.append(ResultRow(names[_model_key(record, ambiguous)], record.variant, _settings(record),
                        tuple(sorted(group, key=lambda run: run.seed))))  # fmt: skip
    cache_dtypes = {_cache_dtype(run.record) for run in runs} - {None}
    rows = [_with_differing_settings(row, rows, len(cache_dtypes) > 1) for row in rows]
    rows.sort(key=lambda row: (row.model, -1 if row.k is None else row.k, row.method is not Method.FULL, row.label))
    record = rows[0].runs[0].record
    metrics = [name for name in record.test or {} if name in METRICS]
    metrics.sort(key=lambda name: name != record.metric)
    return ComparisonGroup(record.config.task, _data_name(record), tuple(rows), tuple(metrics), _notes(rows))


def _with_differing_settings(row: ResultRow, rows: Sequence[ResultRow], show_cache_dtype: bool) -> ResultRow:
    """The row with the names of the settings in which rows of its model and method differ, and if asked with the
    precision of its activation cache.

    Differences between full training and PEFT methods, such as their learning rate, are in a note instead.
    """
    comparable = [other.settings for other in rows if other.model == row.model and other.method is row.method]
    differing = [name for name in row.settings if len({settings.get(name) for settings in comparable}) > 1]
    dtype = _cache_dtype(row.runs[0].record)
    variant = f"{row.variant} {dtype}" if show_cache_dtype and dtype else row.variant
    return ResultRow(row.model, variant, row.settings, row.runs, tuple(differing))


def _model_names(keys: set[tuple[str, str | None]]) -> dict[tuple[str, str | None], str]:
    """Short model names; two models with the same one get the beginning of their fingerprint."""
    short = {key: short_name(key[0]) for key in keys}
    names = [*short.values()]
    return {key: name if names.count(name) == 1 else f"{name} ({(key[1] or '?')[:6]})" for key, name in short.items()}


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
        notes.append(
            "The runs were made on different machines or with other numbers of threads; their times cannot be compared."
        )
    if len({r.provenance.commit for r in records}) > 1 or any(r.provenance.dirty for r in records):
        notes.append("The runs were made with different versions of the code, or with changes that are not committed.")
    if any(r.cache is not None and r.cache.found_states for r in records):
        notes.append(
            "Some runs reused activation caches of earlier runs; the time to build these is not in their seconds."
        )
    if any(r.tested_on == "valid" for r in records):
        notes.append("Scores are of the validation data, on which the best epoch was chosen: there was no test data.")
    if all(len(row.runs) == 1 for row in rows):
        notes.append("One seed per row: intervals cover the choice of test examples, not that of seeds.")
    notes += _peft_notes(rows)
    return (*notes, *dict.fromkeys(warning for r in records for warning in r.data_warnings))


def _peft_notes(rows: Sequence[ResultRow]) -> list[str]:
    """Notes on settings in which PEFT baselines differ from full tuning, or which only they have."""
    notes = []
    full = [row.settings for row in rows if row.method is Method.FULL]
    for method in (method for method in Method if method is not Method.FULL):
        peft = [row.settings for row in rows if row.method is method]
        differences = []
        for name in dict.fromkeys(name for settings in peft for name in settings if name != FINGERPRINT):
            values, full_values = (sorted({s[name] for s in group if name in s}) for group in (peft, full))
            if full and values != full_values:
                differences.append(
                    f"{name} {', '.join(values)}" + (f" ({', '.join(full_values)})" if full_values else "")
                )
        if differences:
            notes.append(f"Settings of {method} (in brackets those of base and K): {'; '.join(differences)}.")
    return notes
