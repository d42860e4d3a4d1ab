"""Similarity of representations against independent oracles and known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from telly.analysis import similarity
from telly.analysis.similarity import debiased_cka, linear_cka, procrustes, rsa


def drawn(items: int = 120, features: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(items, features, generator=torch.Generator().manual_seed(seed))


def related(x: torch.Tensor, share: float = 0.7, seed: int = 1) -> torch.Tensor:
    return share * x + (1 - share) * drawn(*x.shape, seed=seed)


def rotation(features: int = 8) -> torch.Tensor:
    return torch.linalg.qr(drawn(features, features, seed=5)).Q


def rsa_in_numpy(x: torch.Tensor, y: torch.Tensor, diagonal: bool) -> tuple[float, float]:
    """The textbook's way, with whole matrices."""
    from scipy.stats import pearsonr, spearmanr

    matrices = []
    for raw in (x.double().numpy(), y.double().numpy()):
        z = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        matrices.append((z @ z.T)[np.triu_indices(len(z), 0 if diagonal else 1)])
    return pearsonr(*matrices).statistic, spearmanr(*matrices).statistic


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("chunk", [7, 512])
def test_rsa_equals_the_textbook(diagonal: bool, chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(similarity, "CHUNK", chunk)
    x = drawn()
    y = related(x)
    found = rsa(x, y, diagonal=diagonal)
    pearson, spearman = rsa_in_numpy(x, y, diagonal)
    assert found.pearson == pytest.approx(pearson, abs=1e-9)
    assert found.spearman == pytest.approx(spearman, abs=1e-5), "the diagonal is rounded otherwise"
    assert 0.5 < pearson < 0.99, "neither trivial answer"


def test_ties_share_their_mean_rank():
    assert similarity._ranks(torch.tensor([5.0, 1.0, 5.0, 7.0])).tolist() == [2.5, 1.0, 2.5, 4.0]


def test_the_interval_is_that_of_drawn_items():
    """Against a bootstrap that really repeats the drawn items, and leaves out pairs of an item with itself."""
    x = drawn(40)
    y = related(x)
    found = rsa(x, y, resamples=200, seed=3)
    generator = torch.Generator().manual_seed(3)
    items = torch.randint(40, (200, 40), generator=generator)
    values = []
    for some in items:
        a, b = (torch.nn.functional.normalize(z.double(), dim=-1)[some] for z in (x, y))
        pairs = torch.triu(torch.ones(40, 40), 1).bool() & (some[:, None] != some[None])
        values.append(np.corrcoef((a @ a.T)[pairs].numpy(), (b @ b.T)[pairs].numpy())[0, 1])
    assert found.low == pytest.approx(np.quantile(values, 0.025), abs=1e-6)
    assert found.high == pytest.approx(np.quantile(values, 0.975), abs=1e-6)
    assert found.low < found.pearson < found.high


@pytest.mark.parametrize("chunk", [7, 512])
def test_the_interval_with_the_diagonal_is_that_of_the_same_quantity(chunk: int, monkeypatch: pytest.MonkeyPatch):
    """Against resamples written out: distinct pairs as above, and the diagonal with 2 of every n + 1 pairs."""
    monkeypatch.setattr(similarity, "CHUNK", chunk)
    x = drawn(40)
    y = related(x)
    found = rsa(x, y, resamples=200, seed=3, diagonal=True)
    items = torch.randint(40, (200, 40), generator=torch.Generator().manual_seed(3))
    values = []
    for some in items:
        a, b = (torch.nn.functional.normalize(z.double(), dim=-1)[some] for z in (x, y))
        pairs = torch.triu(torch.ones(40, 40), 1).bool() & (some[:, None] != some[None])
        matrices = np.stack([(a @ a.T)[pairs].numpy(), (b @ b.T)[pairs].numpy()])
        together = np.hstack([matrices, np.ones((2, 1))])
        share = 2 / 41
        counts = np.append(np.full(matrices.shape[1], (1 - share) / matrices.shape[1]), share)
        covariance = np.cov(together, aweights=counts, bias=True)
        values.append(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))
    assert found.low == pytest.approx(np.quantile(values, 0.025), abs=1e-6)
    assert found.high == pytest.approx(np.quantile(values, 0.975), abs=1e-6)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("items", [20, 150])
def test_the_estimate_lies_in_its_interval(items: int, share: float, diagonal: bool):
    """With the diagonal, pairs of 1 and 1 lift the correlation; the interval has to be lifted with it."""
    for seed in range(3):
        x = drawn(items, seed=seed)
        found = rsa(x, related(x, share, seed=seed + 50), resamples=100, diagonal=diagonal)
        assert found.low is not None and found.high is not None
        assert found.low - 1e-9 <= found.pearson <= found.high + 1e-9


@pytest.mark.parametrize("features", [8, 300])
def test_cka_equals_a_published_implementation(features: int):
    from ckatorch.core import cka_base

    x = drawn(120, features)
    y = related(x)[:, : features - 2]
    assert debiased_cka(x, y) == pytest.approx(cka_base(x, y, "linear", unbiased=True).item(), abs=1e-9)
    assert linear_cka(x, y) == pytest.approx(cka_base(x, y, "linear").item(), abs=1e-9)


def test_procrustes_equals_the_best_rotation():
    from scipy.linalg import orthogonal_procrustes

    x = drawn()
    y = related(x, 0.5)
    a, b = ((z - z.mean(axis=0)) for z in (x.double().numpy(), y.double().numpy()))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    best, _ = orthogonal_procrustes(a, b)
    assert procrustes(x, y) == pytest.approx(np.linalg.norm(a @ best - b) ** 2 / 2, abs=1e-9)


def test_known_answers():
    x = drawn(400)
    turned = 3 * x @ rotation() + 1
    noise = drawn(400, seed=9)
    assert rsa(x, x).pearson == pytest.approx(1.0)
    assert rsa(x, 2 * x @ rotation()).spearman == pytest.approx(1.0, abs=1e-6)
    for cka in (debiased_cka, linear_cka):
        assert cka(x, x) == pytest.approx(1.0)
        assert cka(x, turned) == pytest.approx(1.0)
    assert procrustes(x, turned) == pytest.approx(0.0, abs=1e-6)
    assert abs(rsa(x, noise).pearson) < 0.05
    assert abs(debiased_cka(x, noise)) < 0.05
    assert procrustes(x, noise) > 0.7


def test_few_items_of_many_features_do_not_look_alike():
    """The plain estimate calls independent states alike; the debiased one does not."""
    x, noise = drawn(30, 500), drawn(30, 500, seed=9)
    assert linear_cka(x, noise) > 0.9
    assert abs(debiased_cka(x, noise)) < 0.2


def test_other_items_are_refused():
    with pytest.raises(ValueError, match="found 120 and 60"):
        rsa(drawn(), drawn(60))
    with pytest.raises(ValueError, match="4 or more items, found 3 and 3"):
        debiased_cka(drawn(3), drawn(3))
