"""Solvers of probes: in closed form for all layers at once, or by gradient descent for probes that are not linear.

Features are [items, layers, hidden]; every layer is standardised by the training items, so that no layer wins by scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Penalties of ridge regression, in units of the features' mean variance; the best on validation items is taken."""
SHRINKAGE = 0.1
"""Share of the mean variance that is mixed into the within-class covariance, so that few items can be whitened."""


@dataclass(frozen=True)
class Scaler:
    """Mean and scale of training features, [layers, hidden] each."""

    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> Scaler:
        """Fit to states [items, layers, hidden]; a constant feature keeps scale 1."""
        scale = features.std(dim=0)
        return cls(features.mean(dim=0), torch.where(scale > 1e-6, scale, torch.ones_like(scale)))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Standardise features."""
        return (features - self.mean) / self.scale


def ridge_classifier(
    train: torch.Tensor, labels: torch.Tensor, valid: torch.Tensor, valid_labels: torch.Tensor, classes: int
) -> torch.Tensor:
    """Fit one ridge classifier (least squares on one-hot labels) per layer, in closed form.

    Args:
        train: standardised features, [items, layers, hidden].
        labels: class indices, [items].
        valid: features for choosing the penalty, separately for every layer.
        valid_labels: class indices of `valid`.
        classes: number of classes.

    Returns:
        [layers, hidden + 1, classes]; the last row is the intercept, which has no penalty.
    """
    items, _, hidden = train.shape
    target = F.one_hot(labels, classes).to(train.dtype)
    # Centring targets and features takes the intercept out of the system, so it is not penalised.
    centre = target.mean(dim=0)
    x = train.transpose(0, 1)  # [layers, items, hidden]
    gram = x.transpose(1, 2) @ x / items  # standardised, so the mean variance is 1
    moment = x.transpose(1, 2) @ (target - centre) / items
    means = x.mean(dim=1)
    gram = gram - means[:, :, None] * means[:, None]
    eye = torch.eye(hidden, dtype=train.dtype)
    best: torch.Tensor | None = None
    scores = torch.full((len(x),), -1.0, dtype=train.dtype)
    for penalty in PENALTIES:
        weights = torch.linalg.solve(gram + penalty * eye, moment)  # [layers, hidden, classes]
        intercept = centre - (means[:, None] @ weights)
        candidate = torch.cat([weights, intercept], dim=1)
        accuracy = (classify(candidate, valid) == valid_labels[:, None]).to(train.dtype).mean(dim=0)
        better = accuracy > scores  # every layer chooses its own penalty
        scores = torch.where(better, accuracy, scores)
        best = candidate if best is None else torch.where(better[:, None, None], candidate, best)
    assert best is not None
    return best


def classify(weights: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Predict classes with ridge classifiers, [items, layers]."""
    scores = torch.einsum("ilh,lhc->ilc", features, weights[:, :-1]) + weights[:, -1]
    return scores.argmax(dim=-1)


def discriminant_map(train: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Fit the linear map that whitens differences within a class (Fisher 1936), one per layer, in closed form.

    Args:
        train: standardised features, [items, layers, hidden].
        labels: class indices, [items]; classes with a single item are left out.

    Returns:
        [layers, hidden, hidden]; mapped features are `x @ map`.
    """
    _, classes, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), *train.shape[1:], dtype=train.dtype).index_add_(0, classes, train)
    repeated = counts[classes] > 1
    deviations = (train - (sums / counts[:, None, None])[classes])[repeated].transpose(0, 1)  # [layers, items, hidden]
    within = deviations.transpose(1, 2) @ deviations / max(1, deviations.shape[1])
    variance = within.diagonal(dim1=1, dim2=2).mean(dim=1)[:, None, None]
    eye = torch.eye(train.shape[-1], dtype=train.dtype)
    # Scaling the eigenvectors by 1 / sqrt(eigenvalue) gives unit covariance within classes.
    eigenvalues, eigenvectors = torch.linalg.eigh((1 - SHRINKAGE) * within + SHRINKAGE * variance * eye)
    whitening: torch.Tensor = eigenvectors / eigenvalues.clamp(min=1e-12).sqrt()[:, None]
    return whitening


class LayerMix(nn.Module):
    """Mix of all layers' states with input-dependent weights (the paper's weighted layer-wise mode).

    Every layer has a score vector; the softmax over the layers' scores weighs the layers.
    """

    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers, hidden))
        self.bias = nn.Parameter(torch.zeros(layers))

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix states [items, layers, hidden]; returns features [items, hidden] and weights [items, layers]."""
        scores = (features * self.scores).sum(dim=-1) / math.sqrt(features.shape[-1]) + self.bias
        weights = scores.softmax(dim=-1)
        return (weights[..., None] * features).sum(dim=1), weights


class MixedClassifier(nn.Module):
    """Linear classifier on mixed layers."""

    def __init__(self, layers: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.mix = LayerMix(layers, hidden)
        self.linear = nn.Linear(hidden, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Compute logits [items, classes]."""
        logits: torch.Tensor = self.linear(self.mix(features)[0])
        return logits


class PairMap(nn.Module):
    """Linear maps, one per layer, that map both members of a pair into one space, where the cosine is compared.

    Args:
        layers: number of independent maps.
        hidden: width of the states.
    """

    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.eye(hidden).repeat(layers, 1, 1))

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Compute cosines [pairs, layers] of mapped states, each given as [pairs, layers, hidden]."""
        mapped = [torch.einsum("plh,lhg->plg", side, self.maps) for side in (left, right)]
        return F.cosine_similarity(mapped[0], mapped[1], dim=-1)
