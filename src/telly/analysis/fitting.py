"""Fitters of probes: classification of states, pairs, and retrieval.

Each kind of probe has two modes, as in the paper: every layer alone, and all layers mixed by weights that depend on
the input. Both take states [items, layers, hidden] and a split of the items; scores are those of the test items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from telly.analysis.solvers import (
    LayerMix,
    MixedClassifier,
    PairMap,
    Scaler,
    classify,
    discriminant_map,
    ridge_classifier,
)
from telly.metrics.classification import multiclass_metrics
from telly.metrics.retrieval import map_at_r

BATCH = 256
STEPS = 400
JUDGE_EVERY = 40
RATE = 1e-2
CONTRAST_SCALE = 10.0
VALID_SHARE, TEST_SHARE = 0.2, 0.2

Metrics = dict[str, float]


@dataclass(frozen=True)
class Split:
    """Split of items into training, validation and test; items of one group stay together."""

    train: torch.Tensor
    valid: torch.Tensor
    test: torch.Tensor

    @classmethod
    def of(cls, groups: npt.NDArray[np.int64], seed: int) -> Split:
        """Draw groups at random until each part has its share of the items.

        Args:
            groups: group of every item, [items].
            seed: seed of the draw.
        """
        names, members = np.unique(groups, return_inverse=True)
        order = np.random.default_rng(seed).permutation(len(names))
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        share = place[members] / len(names)
        parts = (
            share >= VALID_SHARE + TEST_SHARE,
            share < VALID_SHARE,
            (share >= VALID_SHARE) & (share < VALID_SHARE + TEST_SHARE),
        )
        return cls(*(torch.from_numpy(np.flatnonzero(part)) for part in parts))


class Fitter(Protocol):
    """A kind of probe, with its labels."""

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Group of every item, [items]; a group is either trained or tested on."""

    def layerwise(self, states: torch.Tensor, split: Split, seed: int, *, control: bool) -> list[Metrics]:
        """Score every layer separately; `control` trains on shuffled labels."""

    def weighted(self, states: torch.Tensor, split: Split, seed: int) -> tuple[Metrics, list[float]]:
        """Score a learned mix of all layers; returns metrics and the layers' mean weights on the test items."""

    def majority(self, split: Split) -> Metrics:
        """Score the majority baseline, which reads no states."""


@dataclass(frozen=True)
class Classification:
    """Classification of tokens or texts; states are [items, layers, hidden].

    Attributes:
        labels: [items], in 0 .. classes - 1.
        groups: [items].
        classes: names of the classes.
    """

    labels: torch.Tensor
    groups: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def layerwise(self, states: torch.Tensor, split: Split, seed: int, *, control: bool) -> list[Metrics]:
        """Score ridge classifiers, fitted for all layers at once."""
        labels = shuffled(self.labels, seed) if control else self.labels
        scaler = Scaler.of(states[split.train])
        weights = ridge_classifier(
            scaler(states[split.train]), labels[split.train], scaler(states[split.valid]), labels[split.valid],
            len(self.classes),
        )  # fmt: skip
        found = classify(weights, scaler(states[split.test]))
        return [self._score(labels[split.test], found[:, layer]) for layer in range(states.shape[1])]

    def weighted(self, states: torch.Tensor, split: Split, seed: int) -> tuple[Metrics, list[float]]:
        """Score a linear classifier on mixed layers, trained with Adam; the best epoch on validation items counts."""
        scaler = Scaler.of(states[split.train])
        torch.manual_seed(seed)
        model = MixedClassifier(states.shape[1], states.shape[2], len(self.classes))

        def loss(items: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(model(scaler(states[items])), self.labels[items])

        def judge() -> float:
            return float((self._predict(model, scaler(states[split.valid])) == self.labels[split.valid]).float().mean())

        train(model, split.train, seed, loss, judge)
        test = scaler(states[split.test])
        metrics = self._score(self.labels[split.test], self._predict(model, test))
        return metrics, mean_weights(model.mix, test)

    def majority(self, split: Split) -> Metrics:
        """Score the most frequent class of the training items."""
        most = int(torch.bincount(self.labels[split.train]).argmax())
        gold = self.labels[split.test]
        return self._score(gold, torch.full_like(gold, most))

    @torch.no_grad()
    def _predict(self, model: nn.Module, states: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(states).argmax(dim=-1)
        return found

    def _score(self, gold: torch.Tensor, predicted: torch.Tensor) -> Metrics:
        found = multiclass_metrics(gold.numpy(), predicted.numpy(), len(self.classes))
        f1 = {f"f1_{name}": _f1(gold == i, predicted == i) for i, name in enumerate(self.classes)}
        return {"accuracy": float(found["accuracy"]), "macro_f1": float(found["macro_f1"])} | f1


@dataclass(frozen=True)
class Pairs:
    """Binary classification of text pairs; states are [texts, layers, hidden].

    Attributes:
        left: text of every pair, [pairs].
        right: the other text, [pairs].
        labels: 1 if they belong together, else 0; as many of each, [pairs].
        groups: [pairs].
    """

    left: torch.Tensor
    right: torch.Tensor
    labels: torch.Tensor
    groups: npt.NDArray[np.int64]

    def layerwise(self, states: torch.Tensor, split: Split, seed: int, *, control: bool) -> list[Metrics]:
        """Score one linear map per layer; all are trained together."""
        labels = shuffled(self.labels, seed) if control else self.labels
        scaled = self._scaled(states, split)
        model = PairMap(states.shape[1], states.shape[2])
        self._train(model, lambda items: model(*self._sides(scaled, items)), labels, split, seed)
        with torch.no_grad():
            cosines = model(*self._sides(scaled, split.test))
        right = ((cosines > 0.5).long() == labels[split.test][:, None]).float().mean(dim=0)
        return [{"accuracy": float(share)} for share in right]

    def weighted(self, states: torch.Tensor, split: Split, seed: int) -> tuple[Metrics, list[float]]:
        """Score a linear map on mixed layers; both texts use the same mixing weights' rule."""
        scaled = self._scaled(states, split)
        model = nn.ModuleDict({"mix": LayerMix(*states.shape[1:]), "map": PairMap(1, states.shape[2])})

        def cosines(items: torch.Tensor) -> torch.Tensor:
            sides = (model["mix"](side)[0][:, None] for side in self._sides(scaled, items))
            found: torch.Tensor = model["map"](*sides)
            return found

        self._train(model, cosines, self.labels, split, seed)
        with torch.no_grad():
            right = (cosines(split.test)[:, 0] > 0.5).long() == self.labels[split.test]
        texts = torch.cat([self.left[split.test], self.right[split.test]])
        return {"accuracy": float(right.float().mean())}, mean_weights(model["mix"], scaled[texts])

    def majority(self, split: Split) -> Metrics:
        """Score the more frequent label of the training pairs."""
        most = int(torch.bincount(self.labels[split.train]).argmax())
        return {"accuracy": float((self.labels[split.test] == most).float().mean())}

    def _scaled(self, states: torch.Tensor, split: Split) -> torch.Tensor:
        seen = torch.unique(torch.cat([self.left[split.train], self.right[split.train]]))
        return Scaler.of(states[seen])(states)

    def _sides(self, states: torch.Tensor, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return states[self.left[items]], states[self.right[items]]

    def _train(
        self,
        model: nn.Module,
        cosines: Callable[[torch.Tensor], torch.Tensor],
        labels: torch.Tensor,
        split: Split,
        seed: int,
    ) -> None:
        """Train with the squared difference of cosine and label, which makes one half the natural threshold."""

        def loss(items: torch.Tensor) -> torch.Tensor:
            # The sum over layers: each layer's map has its own gradient, as if it were trained alone.
            return (cosines(items) - labels[items][:, None].float()).square().mean(dim=0).sum()

        train(model, split.train, seed, loss)


@dataclass(frozen=True)
class Retrieval:
    """Retrieval of texts with the same label, scored by MAP@R among the test items; states are [items, layers, hidden].

    Attributes:
        labels: what a text does, [items]; a label is in one part of the split alone.
    """

    labels: torch.Tensor

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """The labels."""
        groups: npt.NDArray[np.int64] = self.labels.numpy()
        return groups

    def layerwise(self, states: torch.Tensor, split: Split, seed: int, *, control: bool) -> list[Metrics]:
        """Score the map that whitens the differences within a label; the control's is fitted to shuffled labels."""
        labels = shuffled(self.labels, seed) if control else self.labels
        scaler = Scaler.of(states[split.train])
        maps = discriminant_map(scaler(states[split.train]), labels[split.train])
        mapped = torch.einsum("ilh,lhg->ilg", scaler(states[split.test]), maps)
        gold = self.labels[split.test]
        return [self._score(mapped[:, layer], gold) for layer in range(states.shape[1])]

    def weighted(self, states: torch.Tensor, split: Split, seed: int) -> tuple[Metrics, list[float]]:
        """Score mixed layers and a linear map, trained with a contrastive loss between labels."""
        scaler = Scaler.of(states[split.train])
        torch.manual_seed(seed)
        model = nn.ModuleDict(
            {"mix": LayerMix(*states.shape[1:]), "map": nn.Linear(states.shape[2], states.shape[2], bias=False)}
        )

        def vectors(items: torch.Tensor) -> torch.Tensor:
            return F.normalize(model["map"](model["mix"](scaler(states[items]))[0]), dim=-1)

        def loss(items: torch.Tensor) -> torch.Tensor:
            found = vectors(items)
            scores = CONTRAST_SCALE * found @ found.T
            itself = torch.eye(len(items), dtype=torch.bool)
            same = (self.labels[items][:, None] == self.labels[items][None]) & ~itself
            logs = scores.masked_fill(itself, float("-inf")).log_softmax(dim=1)
            has = same.any(dim=1)
            return -(logs.masked_fill(~same, 0.0).sum(dim=1)[has] / same.sum(dim=1)[has]).mean()

        train(model, split.train, seed, loss, groups=self.labels)
        with torch.no_grad():
            metrics = self._score(vectors(split.test), self.labels[split.test])
        return metrics, mean_weights(model["mix"], scaler(states[split.test]))

    def majority(self, split: Split) -> Metrics:
        """Score a random order: its expected MAP@R is about the share of items with the same label."""
        gold = self.labels[split.test]
        generator = torch.Generator().manual_seed(0)
        return self._score(torch.randn(len(gold), 64, generator=generator), gold)

    def _score(self, vectors: torch.Tensor, gold: torch.Tensor) -> Metrics:
        return {"map_at_r": float(map_at_r(F.normalize(vectors.float(), dim=-1), gold).value)}


def shuffled(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """Shuffle labels for the control task (Hewitt and Liang 2019): same frequencies, no meaning."""
    generator = torch.Generator().manual_seed(seed)
    return labels[torch.randperm(len(labels), generator=generator)]


def train(
    model: nn.Module,
    items: torch.Tensor,
    seed: int,
    loss: Callable[[torch.Tensor], torch.Tensor],
    judge: Callable[[], float] | None = None,
    groups: torch.Tensor | None = None,
) -> None:
    """Train with Adam for `STEPS` batches of item indices; with a judge, the best weights it has seen are kept.

    With `groups`, items of a group stand in one batch.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, STEPS)
    best, kept = float("-inf"), None
    for step, batch in enumerate(_batches(items, groups, seed), start=1):
        value = loss(batch)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        found = judge() if judge is not None and step % JUDGE_EVERY == 0 else float("-inf")
        if found > best:
            best, kept = found, {name: value.clone() for name, value in model.state_dict().items()}
    if kept is not None:
        model.load_state_dict(kept)


def _batches(items: torch.Tensor, groups: torch.Tensor | None, seed: int) -> Iterator[torch.Tensor]:
    """Draw `STEPS` batches, in a new order every epoch."""
    generator = torch.Generator().manual_seed(seed)
    left = STEPS
    while left:
        order = items[torch.randperm(len(items), generator=generator)]
        if groups is not None:
            _, indices = torch.unique(groups[order], return_inverse=True)
            drawn = torch.randperm(int(indices.max()) + 1, generator=generator)
            order = order[torch.argsort(drawn[indices], stable=True)]
        batches = torch.split(order, BATCH)[:left]
        left -= len(batches)
        yield from batches


@torch.no_grad()
def mean_weights(mix: nn.Module, states: torch.Tensor) -> list[float]:
    """Compute the mean weight of every layer over some items."""
    weights: list[float] = mix(states)[1].mean(dim=0).tolist()
    return weights


def _f1(gold: torch.Tensor, predicted: torch.Tensor) -> float:
    hits = int((gold & predicted).sum())
    return 2 * hits / max(1, int(gold.sum()) + int(predicted.sum()))
