"""Explanation of an advice: the reason for the chosen K and its risk, in sentences."""

from __future__ import annotations

from telly.advice.decision import PROOF, chance_beyond
from telly.advice.k_search import KSearch, name_of
from telly.advice.rule import SHARE
from telly.advice.samples import PilotSamples


def explain_choice(search: KSearch, chosen: int | None, examples: int) -> list[str]:
    """Explain how K, or None for base, was chosen; `examples` is the number of examples of a pilot."""
    change = f"{SHARE:.1%} of what it changed the last layer"
    changed = (
        f"changed layer 1 by more than {change}"
        if search.rule == 0
        else f"changed no layer up to {search.rule} by more than {change}"
    )
    reference = name_of(search.reference)
    sentences = [f"Tuning {reference} on {examples} examples {changed}: the similarity rule says K={search.rule}."]
    for k in search.results:
        if k is None or k == search.reference or (k == search.needs_proof and search.acceptable(k)):
            continue  # said elsewhere: the reference first, a proven K last
        loss = search.expected(k).loss
        within = f"within {search.tolerance:.1%}" if loss <= search.tolerance else f"beyond {search.tolerance:.1%}"
        if loss <= search.tolerance and not search.acceptable(k):
            within += (
                f", but so far above K={search.rule} only a pilot that proves it counts"
                if k == search.needs_proof
                else ", but its pilot alone shows that it loses more"
            )
        sentences.append(
            f"K={k}: expected to {'lose' if loss >= 0 else 'gain'} {abs(loss):.1%} of the {search.metric} of "
            f"{name_of(search.reference)}, {within}."
        )
    if chosen is None or chosen == search.reference:
        lowest = "" if chosen is None else f"K={chosen} is the lowest that fits the memory. "
        sentences.append(f"{lowest}No {'higher ' if lowest else ''}K that was tried is good enough.")
    elif not search.acceptable(chosen):
        sentences.append(f"No K that was tried within the budget is good enough; K={chosen} is expected to lose least.")
    elif chosen == search.needs_proof:
        sentences.append(
            f"The pilot of K={chosen} alone is within {search.tolerance:.1%} by {PROOF:.0f} standard deviations, so "
            "none below it was tried."
        )
    else:
        sentences.append(f"K={chosen} is the largest of those that are good enough.")
    return sentences


def explain_risk(search: KSearch, chosen: int | None, samples: PilotSamples) -> list[str]:
    """Explain what may be wrong with the chosen K."""
    sentences = []
    if chosen is not None and chosen != search.reference:
        chance = chance_beyond(search.expected(chosen), search.tolerance)
        sentences.append(
            f"The chance that K={chosen} loses more than {search.tolerance:.1%} is about {chance:.0%}, by the pilots "
            "and the paper's rows, if your model and data are like theirs."
        )
        measured = search.measured(chosen)
        if measured is None:
            sentences.append("The pilots' scores could not be compared; only published cases speak for it.")
        else:
            low, high = -measured.interval.high, -measured.interval.low
            sentences.append(
                f"Its pilot alone says {-measured.loss:+.1%} (95 % interval {low:+.1%} to {high:+.1%}, of "
                f"{len(samples.valid)} examples). Both pilots have one seed, so this compares two trained models and "
                "not two methods; another seed may say otherwise."
            )
    sentences.append(
        f"A pilot of {len(samples.train)} of {samples.total_train:,} examples sees the start of tuning, not its end. "
        "Times and memory are meant to be right within a factor of two."
    )
    return sentences
