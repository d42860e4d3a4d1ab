"""Advice on K before a run: a pilot of base, the similarity rule, pilots from the activation cache, the cost model."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from telly.advice.budget import RunBudget
from telly.advice.decision import Measured
from telly.advice.explanation import explain_choice, explain_risk
from telly.advice.k_search import KSearch
from telly.advice.pilot import Pilots
from telly.advice.rule import TOLERANCE, Expectation
from telly.advice.samples import PilotSamples, draw_samples, must_hold_out
from telly.disk import write_json
from telly.freezing.build import check_writable
from telly.freezing.cost import VariantCost
from telly.freezing.variants import BASE, Variant
from telly.runs.provenance import provenance
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.settings.digests import digests_of_models, models_of
from telly.settings.lists import ADVICE_SETTINGS
from telly.tasks import get_spec, get_task
from telly.tuning.estimate import costs_of, encode_training_data, trained_parameters, workload_of
from telly.tuning.inputs import load_datasets

logger = logging.getLogger(__name__)

ADVICE_FILE = "advice.json"
ADVICE_FORMAT = 1
WORKLOAD_EXAMPLES = 5000
"""Maximum number of examples that are encoded to estimate the tokens of an epoch."""


@dataclass(frozen=True)
class Option:
    """A variant of the run to come, with its predicted costs and expected quality.

    Attributes:
        variant: `base` or K.
        trainable: trained parameters, head included.
        seconds: predicted training time, including the frozen layers' single run; the cost model scaled by a pilot.
        peak_bytes: predicted peak memory.
        fits: whether time and memory are within the budget.
        similarity: similarity of the highest frozen layer before and after the pilot; None for base.
        score: score of its pilot; None without a pilot.
        measured: loss of its pilot against the reference's.
        expected: expected loss of the whole run against the reference; None without a pilot.
    """

    variant: str
    trainable: int
    seconds: float
    peak_bytes: int
    fits: bool
    similarity: float | None
    score: float | None
    measured: Measured | None
    expected: Expectation | None


@dataclass(frozen=True)
class Advice:
    """The variant to run, and how it was chosen.

    Attributes:
        variant: `base` or K.
        reason: how it was chosen, in sentences.
        risk: how the choice may be wrong, in sentences.
        metric: validation metric of the scores.
        tolerance: relative loss against the reference that is allowed.
        budget: maximum time and memory of the run.
        reference: the variant that others are compared with: base, or the lowest K whose memory fits.
        rule: K of the similarity rule alone.
        similarity: similarity (RSA, Pearson) of embeddings and every layer before and after the reference's pilot.
        options: one for base and one for every K.
        train_examples, valid_examples: number of examples that the pilots read.
        of_train: total number of training examples of the run to come.
        seconds: time that the advice took.
        saved: share of base's training time that the variant is predicted to save, after the advice's own cost.
        settings: settings of the run.
        key: everything that the advice depends on.
    """

    variant: str
    reason: tuple[str, ...]
    risk: tuple[str, ...]
    metric: str
    tolerance: float
    budget: RunBudget
    reference: str
    rule: int
    similarity: tuple[float, ...]
    options: tuple[Option, ...]
    train_examples: int
    valid_examples: int
    of_train: int
    seconds: float
    saved: float
    settings: dict[str, Any]
    key: dict[str, Any]

    @property
    def option(self) -> Option:
        """The option of the chosen variant."""
        return next(option for option in self.options if option.variant == self.variant)

    def to_dict(self) -> dict[str, Any]:
        """The advice as JSON-ready data, with provenance."""
        return {"format": ADVICE_FORMAT, **asdict(self), "provenance": provenance()}


def advise(
    config: TuneConfig,
    *,
    tolerance: float = TOLERANCE,
    budget: RunBudget | None = None,
    output: Path | None = None,
    reuse: bool = False,
) -> dict[str, Any]:
    """Choose K for a run from short pilot runs, and write the reasons to `advice.json`.

    Example:
        >>> import telly
        >>> advice = telly.advise(telly.TuneConfig(task="search"), tolerance=0.01)
        >>> advice["variant"], advice["reason"]

    Args:
        config: the run's settings; `freeze` is ignored.
        tolerance: relative loss of quality that is allowed.
        budget: maximum time and memory of the run; None means no limit.
        output: folder for `advice.json`; None writes nothing.
        reuse: return the advice in that folder if it has the same settings and data.

    Returns:
        the content of `advice.json`: `Advice.to_dict()`.

    Raises:
        DataError: there is too little data for a pilot.
        PlanError: no variant fits the budget; the text names the smallest one.
        ConfigError, ModelError, CacheError, TrainingError: as for a run.
    """
    started = time.perf_counter()
    config = config.model_copy(update={"freeze": BASE}).resolve()
    budget = budget or RunBudget()
    task = get_task(config.task)
    datasets = load_datasets(config, task)
    key = _key(config, tolerance, budget, datasets)
    if reuse and output is not None and (earlier := _earlier_advice(output / ADVICE_FILE, key)) is not None:
        logger.info("advice: taken over from %s", output / ADVICE_FILE)
        return earlier
    hold_out = must_hold_out(config.data, config.valid)
    samples = draw_samples(datasets["train"], datasets["valid"], task.schema, config.seed, hold_out=hold_out)
    costs, share = _costs(config, datasets["train"], samples)
    check_writable(config.cache_dir)
    with tempfile.TemporaryDirectory(dir=config.cache_dir, prefix=".advice-") as folder:
        pilots = Pilots(config, samples.train, samples.valid, Path(folder))
        search = KSearch(config, tolerance, budget, costs, pilots).run(share)
    seconds = time.perf_counter() - started
    advice = _advice(search, trained_parameters(config), samples, key, seconds).to_dict()
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        write_json(output / ADVICE_FILE, advice)
    return advice


def _key(config: ResolvedConfig, tolerance: float, budget: RunBudget, datasets: dict[str, Any]) -> dict[str, Any]:
    settings = {name: value for name, value in config.model_dump(mode="json").items() if name in ADVICE_SETTINGS}
    data = {name: dataset._fingerprint for name, dataset in datasets.items() if name != "test"}
    models = digests_of_models(models_of(config), get_spec(config.task).is_generative)
    return {"settings": settings, "tolerance": tolerance, "budget": asdict(budget), "data": data, "models": models}


def _earlier_advice(file: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    """Read an advice of the same settings and data; None if there is none."""
    try:
        advice: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return advice if advice.get("format") == ADVICE_FORMAT and advice.get("key") == key else None


def _costs(config: ResolvedConfig, train: Any, samples: PilotSamples) -> tuple[list[VariantCost], float]:
    """Costs of every variant, and the share of an epoch's tokens that a pilot reads.

    Tokens are counted on at most `WORKLOAD_EXAMPLES` examples, so the cache is overestimated if sequences repeat.
    """
    counted = train
    if len(train) > WORKLOAD_EXAMPLES:
        counted = train.shuffle(seed=config.seed).select(range(WORKLOAD_EXAMPLES))
    work = workload_of(config, encode_training_data(config, counted))
    scale = len(train) / len(counted)
    whole = replace(work, tokens=round(work.tokens * scale), distinct_tokens=round(work.distinct_tokens * scale))
    return costs_of(config, whole), len(samples.train) / len(train)


def _advice(
    search: KSearch, trained: dict[int | None, int], samples: PilotSamples, key: dict[str, Any], seconds: float
) -> Advice:
    chosen = search.chosen()
    base_seconds = search.seconds(None)
    return Advice(
        variant=Variant(chosen).slug,
        reason=tuple(explain_choice(search, chosen, len(samples.train))),
        risk=tuple(explain_risk(search, chosen, samples)),
        metric=search.metric,
        tolerance=search.tolerance,
        budget=search.budget,
        reference=Variant(search.reference).slug,
        rule=search.rule,
        similarity=tuple(search.similarity),
        options=tuple(_option(search, cost, trained) for cost in search.costs),
        train_examples=len(samples.train),
        valid_examples=len(samples.valid),
        of_train=samples.total_train,
        seconds=seconds,
        saved=1 - (search.seconds(chosen) + seconds) / base_seconds,
        settings=search.config.model_dump(mode="json"),
        key=key,
    )


def _option(search: KSearch, cost: VariantCost, trained: dict[int | None, int]) -> Option:
    k = cost.k
    pilot = search.results.get(k)
    compared = k if pilot is not None and k != search.reference else None
    return Option(
        variant=cost.variant,
        trainable=trained[k],
        seconds=search.seconds(k),
        peak_bytes=search.memory(k),
        fits=search.fits(k),
        similarity=None if k is None else search.similarity[k],
        score=None if pilot is None else pilot.score,
        measured=None if compared is None else search.measured(compared),
        expected=None if compared is None else search.expected(compared),
    )
