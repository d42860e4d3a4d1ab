"""Solvers of probes against scikit-learn and known answers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from telly.analysis.solvers import (
    PENALTIES,
    LayerMix,
    PairMap,
    Scaler,
    classify,
    discriminant_map,
    ridge_classifier,
)


def drawn(items: int = 300, layers: int = 3, hidden: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randn(items, layers, hidden, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def labelled(items: int = 300, informative: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of which one layer tells the class (with noise) and the others nothing."""
    features = drawn(items, seed=seed)
    labels = features[:, informative, :3].argmax(dim=-1)
    return features + 0.05 * drawn(items, seed=seed + 1), labels


def test_scaling_uses_the_training_items_alone():
    features = 5 * drawn() + 3
    features[..., 0] = 2.0
    scaler = Scaler.of(features)
    scaled = scaler(features)
    assert scaled[..., 0].abs().max() < 1e-6, "what does not vary is left at zero"
    assert torch.allclose(scaled.mean(0), torch.zeros(3, 6, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(scaled[..., 1:].std(0), torch.ones(3, 5, dtype=torch.float64))
    assert torch.allclose(scaler(features[:1]), scaled[:1])


def test_ridge_equals_scikit_learn(monkeypatch: pytest.MonkeyPatch):
    from sklearn.linear_model import Ridge

    monkeypatch.setattr("telly.analysis.solvers.PENALTIES", (0.1,))
    features, labels = labelled()
    features = features + 1  # so that the intercept matters
    weights = ridge_classifier(features, labels, features, labels, 3)
    for layer in range(3):
        oracle = Ridge(alpha=0.1 * len(features)).fit(features[:, layer].numpy(), F.one_hot(labels, 3).numpy())
        assert torch.allclose(weights[layer, :-1], torch.from_numpy(oracle.coef_.T), atol=1e-9)
        assert torch.allclose(weights[layer, -1], torch.from_numpy(oracle.intercept_), atol=1e-9)


def test_only_the_informative_layer_is_read():
    features, labels = labelled(600)
    weights = ridge_classifier(features[:400], labels[:400], features[400:500], labels[400:500], 3)
    right = (classify(weights, features[500:]) == labels[500:, None]).float().mean(dim=0)
    assert right[1] > 0.85 and right[0] < 0.5 and right[2] < 0.5


def test_each_layer_takes_its_own_penalty():
    features, labels = labelled(60)
    weights = ridge_classifier(features[:40], labels[:40], features[40:], labels[40:], 3)
    for layer in range(3):
        alone = ridge_classifier(
            features[:40, layer : layer + 1], labels[:40], features[40:, layer : layer + 1], labels[40:], 3
        )
        assert torch.allclose(weights[layer], alone[0])
    assert len(PENALTIES) > 1


def test_the_discriminant_map_whitens_within_classes():
    labels = torch.arange(300) % 30
    centres = drawn(30, seed=4)
    spread = torch.tensor([5.0, 3.0, 1.0, 1.0, 0.5, 0.2], dtype=torch.float64)
    features = centres[labels] + drawn(seed=5) * spread
    mapped = torch.einsum("ilh,lhg->ilg", features, discriminant_map(features, labels))
    means = torch.stack([mapped[labels == c].mean(0) for c in range(30)])
    within = (mapped - means[labels]).var(dim=0)
    assert within.max() / within.min() < 25, "from 625 before; shrinkage leaves some"

    def separation(z: torch.Tensor) -> float:
        similarity = F.cosine_similarity(z[:, None, 0], z[None, :, 0], dim=-1)
        same = labels[:, None] == labels[None]
        return float(similarity[same].mean() - similarity[~same].mean())

    assert separation(mapped) > separation(features) + 0.05


def test_mixing_starts_even_and_learns_where_to_look():
    features, labels = labelled(400)
    mix = LayerMix(3, 6).double()
    mixed, weights = mix(features)
    assert torch.allclose(weights, torch.full((400, 3), 1 / 3, dtype=torch.float64))
    assert torch.allclose(mixed, features.mean(dim=1))
    linear = torch.nn.Linear(6, 3).double()
    optimizer = torch.optim.Adam([*mix.parameters(), *linear.parameters()], lr=0.05)
    for _ in range(150):
        loss = F.cross_entropy(linear(mix(features)[0]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    learned = mix(features)[1].mean(dim=0)
    assert learned.argmax() == 1 and learned[1] > 0.6
    assert torch.allclose(learned.sum(), torch.ones((), dtype=torch.float64))


def test_pairs_begin_with_their_own_cosine():
    left, right = drawn(10), drawn(10, seed=2)
    found = PairMap(3, 6).double()(left, right)
    assert torch.allclose(found, F.cosine_similarity(left, right, dim=-1))
