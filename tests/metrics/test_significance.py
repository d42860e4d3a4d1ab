"""Holm, tests over examples and runs, similar-or-better: by hand, against independent ways, and by simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from telly.metrics.estimate import Estimate, difference_of, student_p, student_quantile
from telly.metrics.interval import Interval, mean_statistic
from telly.metrics.significance import LEVEL, Difference, Verdict, bootstrap_runs, differences, enough_resamples, holm


def test_holm_by_hand():
    """Four tests: .01 * 4, then .02 * 3, and .03 * 2 = .06 and .04 * 1 are no less than what came before."""
    assert holm({"d": 0.04, "a": 0.01, "b": 0.02, "c": 0.03}) == pytest.approx(
        {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06}
    )
    assert holm({"a": 0.7, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p: list[float]):
    """Marcus, Peritz and Gabriel (1976): a test's corrected p is the largest Bonferroni p of all sets it is in."""
    numbers = range(len(p))
    expected = {}
    for i in numbers:
        sets = [s for size in numbers for s in combinations(numbers, size + 1) if i in s]
        expected[i] = max(min(1.0, len(s) * min(p[j] for j in s)) for s in sets)
    assert holm(dict(enumerate(p))) == pytest.approx(expected)


def test_holm_of_rows_by_hand():
    """Two rows of two tests that exclude each other: twice the smallest; still two rows; then one is used up."""
    p = {("a", 0): 0.01, ("b", 0): 0.02, ("a", 1): 0.022, ("b", 1): 0.03}
    assert holm(p, row=lambda test: test[0]) == pytest.approx(
        {("a", 0): 0.02, ("b", 0): 0.04, ("a", 1): 0.044, ("b", 1): 0.044}
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.0001, 1)), min_size=1, max_size=7))
def test_holm_of_rows_rejects_nothing_that_the_closure_keeps(tests: list[tuple[int, float]]):
    """Closed testing by Bonferroni over all sets of tests with at most one of each row, since no more can be true."""
    p = {(row, number): value for number, (row, value) in enumerate(tests)}
    corrected = holm(p, row=lambda test: test[0])
    for test in p:
        sets = [s for size in range(len(p)) for s in combinations(p, size + 1)
                if test in s and len({row for row, _ in s}) == len(s)]  # fmt: skip
        closed = max(min(1.0, len(s) * min(p[other] for other in s)) for s in sets)
        assert corrected[test] >= closed - 1e-12
        assert corrected[test] <= min(1.0, len({row for row, _ in p}) * max(p.values())) + 1e-12


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30])
@pytest.mark.parametrize("p", [1e-6, 0.001, 0.05, 0.4, 0.99])
def test_student_as_scipy_has_it(degrees: int, p: float):
    assert student_quantile(p, degrees) == pytest.approx(stats.t.isf(p / 2, degrees), rel=1e-6)
    assert student_p(stats.t.isf(p / 2, degrees), degrees) == pytest.approx(p, rel=1e-6)


def test_one_run_is_the_usual_paired_bootstrap():
    """The interval of a mean difference, as scipy's percentile bootstrap of the differences has it."""
    rng = np.random.default_rng(0)
    base = rng.random(300)
    system = base + rng.normal(0.02, 0.2, 300)
    found = bootstrap_runs({"s": {0: {"m": mean_statistic(system)}}, "b": {0: {"m": mean_statistic(base)}}}, 4000)
    difference = differences({"m": (found["s", "m"], found["b", "m"], True)}, 0.01)["m"]
    theirs = stats.bootstrap(
        (system - base,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert difference.difference == pytest.approx((system - base).mean())
    assert (difference.interval.low, difference.interval.high) == pytest.approx((theirs.low, theirs.high), abs=0.002)
    normal = 2 * stats.norm.sf(abs((system - base).mean()) / ((system - base).std() / np.sqrt(300)))
    assert difference.p == pytest.approx(normal, abs=0.03)


def constant(values: dict[int, float], examples: int = 5):
    """Runs that score the same on every example, so that examples vary nothing."""
    return {seed: {"m": mean_statistic(np.full(examples, value))} for seed, value in values.items()}


def test_training_is_in_the_interval_of_several_runs():
    """Runs of 0 and 1 everywhere: standard error .5, one degree of freedom, so 12.706 times as much to either side."""
    found = bootstrap_runs({"s": constant({0: 0.0, 1: 1.0})}, 200)["s", "m"]
    assert found.estimate.value == 0.5
    assert (found.interval.low, found.interval.high) == pytest.approx((0.5 - 6.353, 0.5 + 6.353), abs=1e-3)


def test_without_variation_by_examples_it_is_the_t_test():
    """Equal seeds: the paired one. Other seeds: by the degrees of freedom of either, which is on the safe side."""
    base, system = {0: 0.2, 1: 0.5, 2: 0.8}, {0: 0.31, 1: 0.57, 2: 0.93}
    other = {seed + 7: value for seed, value in system.items()}
    found = bootstrap_runs({"s": constant(system), "b": constant(base), "o": constant(other)}, 200)
    paired = difference_of(found["s", "m"], found["b", "m"])
    assert paired.p() == pytest.approx(stats.ttest_rel([*system.values()], [*base.values()]).pvalue, rel=1e-6)
    apart = difference_of(found["o", "m"], found["b", "m"])
    welch = stats.ttest_ind([*system.values()], [*base.values()], equal_var=False)
    assert apart.p() == pytest.approx(2 * stats.t.sf(abs(welch.statistic), 2), rel=1e-6)
    assert apart.p() > paired.p()


def test_without_variation_by_training_it_is_the_normal_test_over_examples():
    rng = np.random.default_rng(0)
    base = rng.random(300)
    system = base + rng.normal(0.02, 0.2, 300)
    runs = {name: {seed: {"m": mean_statistic(rows)} for seed in range(3)} for name, rows in
            (("s", system), ("b", base))}  # fmt: skip
    found = bootstrap_runs(runs, 4000)
    difference = difference_of(found["s", "m"], found["b", "m"])
    z = (system - base).mean() / ((system - base).std() / np.sqrt(300))
    assert difference.p() == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.05)


def test_what_differs_by_run_and_example_counts_once():
    """Every run errs on examples of its own: the runs show all of that, so the examples add nothing to it."""
    rng = np.random.default_rng(2)
    runs = {seed: {"m": mean_statistic(rng.normal(0.5, 0.3, 400))} for seed in range(4)}
    found = bootstrap_runs({"s": runs}, 2000)["s", "m"]
    half = stats.t.isf(0.025, 3) * found.values.std(ddof=1) / 2
    assert (found.interval.high - found.interval.low) / 2 == pytest.approx(half, rel=0.1)


def test_a_single_run_on_either_side_compares_models():
    found = bootstrap_runs({"s": constant({0: 0.5}), "b": constant({0: 0.4, 1: 0.6})}, 200)
    difference = differences({"m": (found["s", "m"], found["b", "m"], True)}, 0.01)["m"]
    assert not difference.compares_methods
    assert difference.compared == "two trained models (1 and 2 seeds)"


def rates(seeds: int, training: float, simulations: int = 300) -> tuple[float, float]:
    """How often methods of equal quality are called different, and how often one that loses the margin is similar.

    Examples are hard or easy for both, differ by method, and by run; training shifts a run's score on all of them, with
    `training` times the variance that the examples give a difference of two runs.
    """
    rng, examples = np.random.default_rng(5), 60
    different = similar = 0
    for number in range(simulations):
        runs = {}
        hard = rng.normal(1, 0.3, examples)
        for name in ("s", "b"):
            level = hard + rng.normal(0, 0.15, examples)
            shifts = rng.normal(0, np.sqrt(training * (0.15**2 + 0.15**2) / examples), seeds)
            runs[name] = {seed: {"m": mean_statistic(level + shift + rng.normal(0, 0.15, examples))}
                          for seed, shift in enumerate(shifts)}  # fmt: skip
        found = bootstrap_runs(runs, 200, seed=number)
        difference = difference_of(found["s", "m"], found["b", "m"])
        different += difference.p() < LEVEL
        similar += difference.p_above(0.0) < LEVEL  # the true loss is the margin, in units in which both are 0
    return different / simulations, similar / simulations


@pytest.mark.parametrize("seeds", [3, 5])
def test_false_positives_are_near_nominal_over_seeds(seeds: int):
    """Nominal: 5 % and 2.5 %. Two standard errors of 300 simulations are 2.5 and 1.8 percentage points."""
    different, similar = rates(seeds, training=2.0)
    assert different < 0.075 and similar < 0.043


def test_false_positives_of_single_runs_are_not_nominal_and_verdicts_say_what_they_are_about():
    different, similar = rates(1, training=2.0)
    assert different > 0.15 and similar > 0.07
    assert "Compared are two trained models (1 seed)." in difference(-0.03, -0.02, 0.01, runs=1).sentence("a", "m", 2)


def test_many_comparisons_of_single_runs_get_enough_resamples():
    """A difference that no resample contradicts: found among any number of comparisons."""
    for comparisons in (1, 60, 1000):
        resamples = enough_resamples(200, comparisons)
        estimate = Estimate(0.1, np.full(resamples, 0.1))
        assert comparisons * estimate.p() < LEVEL and comparisons * estimate.p_above(0.0) < LEVEL
    assert enough_resamples(5000, 3) == 5000


def difference(
    low: float, high: float, corrected: float, similar: float = 1.0, *, greater: bool = True, runs: int = 3
) -> Difference:
    middle = (low + high) / 2
    return Difference(0.5, middle, Interval(low, high), corrected, similar, corrected, similar, 0.02, (runs, runs),
                      greater)  # fmt: skip


@pytest.mark.parametrize(("found", "verdict"), [
    (difference(0.01, 0.03, 0.01, 0.001), Verdict.BETTER),
    (difference(0.01, 0.03, 0.2, 0.04), Verdict.SIMILAR),  # not shown to be better, once all tests are counted
    (difference(0.01, 0.03, 0.2, 0.06), Verdict.OPEN),  # nor that it is within the margin
    (difference(-0.009, 0.03, 0.4, 0.04), Verdict.SIMILAR),  # at most .01 = 2 % of .5 may be lost
    (difference(-0.009, 0.03, 0.4, 0.2), Verdict.OPEN),  # the interval alone does not count the other tests
    (difference(-0.009, -0.001, 0.01, 0.04), Verdict.SIMILAR),  # less, but within the margin
    (difference(-0.011, 0.03, 0.4, 0.1), Verdict.OPEN),
    (difference(-0.03, -0.02, 0.01), Verdict.WORSE),
    (difference(-0.03, -0.02, 0.2), Verdict.OPEN),
    (difference(-0.03, -0.02, 0.01, greater=False), Verdict.BETTER),
    (difference(0.02, 0.03, 0.01, greater=False), Verdict.WORSE),
    (difference(-0.03, 0.009, 0.4, 0.04, greater=False), Verdict.SIMILAR),
    (difference(0.0, 0.0, 1.0, 1.0), Verdict.OPEN),
])  # fmt: skip
def test_verdicts(found: Difference, verdict: Verdict):
    assert found.verdict is verdict


def test_a_verdict_in_words():
    assert difference(-0.009, 0.03, 0.4, 0.04).sentence("K=9", "mrr", 4) == (
        "mrr of K=9: similar to base or better: shown to lose less than 0.0100 (2 % of base) "
        "(difference +0.0105, 95 % interval -0.0090 to +0.0300; corrected p 0.04). Compared are two methods (3 seeds)."
    )
    assert difference(-0.03, -0.02, 0.012, runs=1).sentence("K=9", "mrr", 4) == (
        "mrr of K=9: worse than base (difference -0.0250, 95 % interval -0.0300 to -0.0200; corrected p 0.012). "
        "Compared are two trained models (1 seed)."
    )
    assert difference(-0.009, 0.03, 0.4, 0.2).sentence("K=9", "mrr", 4) == (
        "mrr of K=9: not decided: neither shown to lose less than 0.0100 (2 % of base) nor to differ from base "
        "(difference +0.0105, 95 % interval -0.0090 to +0.0300; corrected p 0.2 and 0.4). Compared are two methods "
        "(3 seeds)."
    )


@pytest.mark.parametrize("greater", [True, False])
def test_the_direction_turns_the_test_of_the_margin(greater: bool):
    """A mean loss of .3 of 1 with a margin of .5 is similar; as a gain of the other direction likewise."""
    rng = np.random.default_rng(0)
    base = rng.normal(1, 0.1, 400)
    system = base + (-0.3 if greater else 0.3) + rng.normal(0, 0.1, 400)
    found = bootstrap_runs({"s": {0: {"m": mean_statistic(system)}}, "b": {0: {"m": mean_statistic(base)}}}, 500)
    pair = (found["s", "m"], found["b", "m"], greater)
    verdicts = [differences({"m": pair}, margin)["m"].verdict for margin in (0.5, 0.2)]
    assert verdicts == [Verdict.SIMILAR, Verdict.WORSE]


def test_all_pairs_of_a_page_are_one_family():
    """The same difference alone, and among twenty that show nothing: p is multiplied by the rows."""
    rng = np.random.default_rng(1)
    base = rng.normal(1, 0.1, 100)
    systems = {str(i): {0: {"m": mean_statistic(base + rng.normal(0, 0.1, 100))}} for i in range(20)}
    systems |= {"lower": {0: {"m": mean_statistic(base - 0.03 + rng.normal(0, 0.1, 100))}}}
    found = bootstrap_runs(systems | {"b": {0: {"m": mean_statistic(base)}}}, 2000)
    pairs = {name: (found[name, "m"], found["b", "m"], True) for name in systems}
    alone = differences({"lower": pairs["lower"]}, 0.01)["lower"]
    among = differences(pairs, 0.01)["lower"]
    assert alone.corrected == alone.p == among.p
    assert among.corrected == pytest.approx(21 * among.p)


def test_a_small_margin_is_not_met_by_few_examples():
    """Equal on average, but 40 examples say little: not decided; 40,000 say enough."""
    verdicts = {}
    for count in (40, 40_000):
        rng = np.random.default_rng(3)
        base = (rng.random(count) < 0.6).astype(float)
        system = np.where(rng.random(count) < 0.1, 1 - base, base)
        system[: count // 20] = base[: count // 20]
        found = bootstrap_runs({"s": {0: {"m": mean_statistic(system)}}, "b": {0: {"m": mean_statistic(base)}}}, 300)
        verdicts[count] = differences({"m": (found["s", "m"], found["b", "m"], True)}, 0.05)["m"].verdict
    assert verdicts == {40: Verdict.OPEN, 40_000: Verdict.SIMILAR}
