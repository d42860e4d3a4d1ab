"""Fitters of probes: classification of states, pairs, and retrieval.

Every fitter has two modes, as in the paper: every layer alone, and all layers mixed by weights that depend on the
input. Both take states [items, layers, hidden] and a split of the items; scores are those of the test items.
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
VALIDATE_EVERY = 40
LEARNING_RATE = 1e-2
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
        """Assign groups to the parts at random, each part its share of the groups.

        Args:
            groups: group of every item, [items].
            seed: seed of the draw.
        """
        names, members = np.unique(groups, return_inverse=True)
        order = np.random.default_rng(seed).permutation(len(names))
        rank = np.empty(len(names), dtype=np.int64)
        rank[order] = np.arange(len(names))
        # An item's position among the shuffled groups, from 0 to 1; all items of a group have the same.
        share = rank[members] / len(names)
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
        """Group of every item, [items]; a group is in one part of the split."""

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
        labels: class indices, [items].
        groups: group of every item, [items].
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
        predicted = classify(weights, scaler(states[split.test]))
        return [self._score(labels[split.test], predicted[:, layer]) for layer in range(states.shape[1])]

    def weighted(self, states: torch.Tensor, split: Split, seed: int) -> tuple[Metrics, list[float]]:
        """Score a linear classifier on mixed layers, trained with Adam; the best weights on validation items count."""
        scaler = Scaler.of(states[split.train])
        torch.manual_seed(seed)
        model = MixedClassifier(states.shape[1], states.shape[2], len(self.classes))

        def loss(items: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(model(scaler(states[items])), self.labels[items])

        def validate() -> float:
            return float((self._predict(model, scaler(states[split.valid])) == self.labels[split.valid]).float().mean())

        train(model, split.train, seed, loss, validate)
        test = scaler(states[split.test])
        metrics = self._score(self.labels[split.test], self._predict(model, test))
        return metrics, mean_weights(model.mix, test)

    def majority(self, split: Split) -> Metrics:
        """Score the most frequent class of the training items."""
        majority = int(torch.bincount(self.labels[split.train]).argmax())
        gold = self.labels[split.test]
        return self._score(gold, torch.full_like(gold, majority))

    @torch.no_grad()
    def _predict(self, model: nn.Module, states: torch.Tensor) -> torch.Tensor:
        classes: torch.Tensor = model(states).argmax(dim=-1)
        return classes

    def _score(self, gold: torch.Tensor, predicted: torch.Tensor) -> Metrics:
        metrics = multiclass_metrics(gold.numpy(), predicted.numpy(), len(self.classes))
        f1 = {f"f1_{name}": _f1(gold == i, predicted == i) for i, name in enumerate(self.classes)}
        return {"accuracy": float(metrics["accuracy"]), "macro_f1": float(metrics["macro_f1"])} | f1


@dataclass(frozen=True)
class Pairs:
    """Binary classification of text pairs; states are [texts, layers, hidden].

    Attributes:
        left: index of each pair's first text, [pairs].
        right: index of each pair's second text, [pairs].
        labels: 1 if the two belong together, else 0; balanced, [pairs].
        groups: group of every pair, [pairs].
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
        accuracies = ((cosines > 0.5).long() == labels[split.test][:, None]).float().mean(dim=0)
        return [{"accuracy": float(accuracy)} for accuracy in accuracies]

    def weighted(self, states: torch.Tensor, split: Split, seed: int) -> tuple[Metrics, list[float]]:
        """Score a linear map on mixed layers; one layer mix computes the weights of both texts."""
        scaled = self._scaled(states, split)
        model = nn.ModuleDict({"mix": LayerMix(*states.shape[1:]), "map": PairMap(1, states.shape[2])})

        def cosines(items: torch.Tensor) -> torch.Tensor:
            sides = (model["mix"](side)[0][:, None] for side in self._sides(scaled, items))
            by_pair: torch.Tensor = model["map"](*sides)
            return by_pair

        self._train(model, cosines, self.labels, split, seed)
        with torch.no_grad():
            correct = (cosines(split.test)[:, 0] > 0.5).long() == self.labels[split.test]
        texts = torch.cat([self.left[split.test], self.right[split.test]])
        return {"accuracy": float(correct.float().mean())}, mean_weights(model["mix"], scaled[texts])

    def majority(self, split: Split) -> Metrics:
        """Score the more frequent label of the training pairs."""
        majority = int(torch.bincount(self.labels[split.train]).argmax())
        return {"accuracy": float((self.labels[split.test] == majority).float().mean())}

    def _scaled(self, states: torch.Tensor, split: Split) -> torch.Tensor:
        # A text may be in many pairs, so the scaler is fitted to the distinct texts of the training pairs.
        texts = torch.unique(torch.cat([self.left[split.train], self.right[split.train]]))
        return Scaler.of(states[texts])(states)

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
        labels: label of what each text does, [items]; all texts of a label are in one part of the split.
    """

    labels: torch.Tensor

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """The labels."""
        groups: npt.NDArray[np.int64] = self.labels.numpy()
        return groups

    def layerwise(self, states: torch.Tensor, split: Split, seed: int, *, control: bool) -> list[Metrics]:
        """Score the map that whitens the differences within a label; the control fits it to shuffled labels."""
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

        def embed(items: torch.Tensor) -> torch.Tensor:
            return F.normalize(model["map"](model["mix"](scaler(states[items]))[0]), dim=-1)

        def loss(items: torch.Tensor) -> torch.Tensor:
            # Supervised contrastive loss (Khosla et al. 2020): the mean log-probability of an item's positives, the
            # other items of its label in the batch. Items without one have no loss.
            embeddings = embed(items)
            logits = CONTRAST_SCALE * embeddings @ embeddings.T
            diagonal = torch.eye(len(items), dtype=torch.bool)
            positive = (self.labels[items][:, None] == self.labels[items][None]) & ~diagonal
            log_probabilities = logits.masked_fill(diagonal, float("-inf")).log_softmax(dim=1)
            counts = positive.sum(dim=1)
            # Masked with zeros rather than multiplied: the diagonal is -inf, and 0 times -inf would be NaN.
            sums = log_probabilities.masked_fill(~positive, 0.0).sum(dim=1)
            return -(sums[counts > 0] / counts[counts > 0]).mean()

        train(model, split.train, seed, loss, groups=self.labels)
        with torch.no_grad():
            metrics = self._score(embed(split.test), self.labels[split.test])
        return metrics, mean_weights(model["mix"], scaler(states[split.test]))

    def majority(self, split: Split) -> Metrics:
        """Score a random order: its expected MAP@R is about the share of items with the same label."""
        gold = self.labels[split.test]
        generator = torch.Generator().manual_seed(0)
        return self._score(torch.randn(len(gold), 64, generator=generator), gold)

    def _score(self, embeddings: torch.Tensor, gold: torch.Tensor) -> Metrics:
        return {"map_at_r": float(map_at_r(F.normalize(embeddings.float(), dim=-1), gold).value)}


def shuffled(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """Shuffle labels for the control task (Hewitt and Liang 2019): same frequencies, no meaning."""
    generator = torch.Generator().manual_seed(seed)
    return labels[torch.randperm(len(labels), generator=generator)]


def train(
    model: nn.Module,
    items: torch.Tensor,
    seed: int,
    loss: Callable[[torch.Tensor], torch.Tensor],
    validate: Callable[[], float] | None = None,
    groups: torch.Tensor | None = None,
) -> None:
    """Train with Adam for `STEPS` batches of item indices; with `validate`, its best weights are restored at the end.

    With `groups`, the items of a group are next to each other, so that a batch has several of them.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, STEPS)
    best_score, best_weights = float("-inf"), None
    for step, batch in enumerate(_batches(items, groups, seed), start=1):
        value = loss(batch)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        score = validate() if validate is not None and step % VALIDATE_EVERY == 0 else float("-inf")
        if score > best_score:
            best_score, best_weights = score, {name: value.clone() for name, value in model.state_dict().items()}
    if best_weights is not None:
        model.load_state_dict(best_weights)


def _batches(items: torch.Tensor, groups: torch.Tensor | None, seed: int) -> Iterator[torch.Tensor]:
    """Yield `STEPS` batches of item indices, in a new order every epoch."""
    generator = torch.Generator().manual_seed(seed)
    remaining = STEPS
    while remaining:
        order = items[torch.randperm(len(items), generator=generator)]
        if groups is not None:
            _, indices = torch.unique(groups[order], return_inverse=True)
            # Groups in random order, and items of a group in the random order drawn above: the sort is stable.
            rank = torch.randperm(int(indices.max()) + 1, generator=generator)
            order = order[torch.argsort(rank[indices], stable=True)]
        batches = torch.split(order, BATCH)[:remaining]
        remaining -= len(batches)
        yield from batches


@torch.no_grad()
def mean_weights(mix: nn.Module, states: torch.Tensor) -> list[float]:
    """Compute the mean weight of every layer over some items."""
    weights: list[float] = mix(states)[1].mean(dim=0).tolist()
    return weights


def _f1(gold: torch.Tensor, predicted: torch.Tensor) -> float:
    hits = int((gold & predicted).sum())
    return 2 * hits / max(1, int(gold.sum()) + int(predicted.sum()))
