"""Similarity of two representations of the same items: RSA, CKA, Procrustes distance.

All functions take two tensors [items, features]; the numbers of features may differ where the formula allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

CHUNK = 512
"""Number of rows of the similarity matrices in memory at once."""
RESAMPLES = 200


@dataclass(frozen=True)
class Rsa:
    """Representational similarity, with a 95 % interval of `pearson` over items if it was requested."""

    pearson: float
    spearman: float
    low: float | None = None
    high: float | None = None


def rsa(x: torch.Tensor, y: torch.Tensor, *, resamples: int = 0, seed: int = 0, diagonal: bool = False) -> Rsa:
    """Representational similarity analysis (Kriegeskorte et al. 2008): correlation of two cosine-similarity matrices.

    Pairs are the upper triangle; the paper includes the diagonal. The interval is that of a bootstrap over items, for
    the same quantity as the estimate: pairs of two draws of one item are left out, and the diagonal, if included,
    keeps its share of all pairs in every resample. Memory holds `CHUNK` rows of the
    matrices for Pearson, and all pairs for Spearman.

    Args:
        x: [items, features].
        y: [items, features].
        resamples: number of bootstrap resamples; 0 gives no interval.
        seed: seed of the bootstrap.
        diagonal: count every item's similarity with itself, which is 1 in both.

    Raises:
        ValueError: the numbers of items differ, or are below three.
    """
    _check(x, y)
    x, y = F.normalize(x.double(), dim=-1), F.normalize(y.double(), dim=-1)
    whole = torch.ones(len(x), 1, dtype=torch.float64)
    pearson = float(_correlations(x, y, whole, diagonal)[0])
    spearman = _pearson(*(_ranks(pairs) for pairs in _pairs(x, y, diagonal)))
    if not resamples:
        return Rsa(pearson, spearman)
    generator = torch.Generator().manual_seed(seed)
    resampled = torch.randint(len(x), (resamples, len(x)), generator=generator)
    # An item drawn n times counts n times, so all resamples are one product of the matrices with these weights.
    weights = torch.stack([torch.bincount(items, minlength=len(x)) for items in resampled], dim=1).double()
    correlations = _correlations(x, y, weights, diagonal).sort().values
    low, high = (float(torch.quantile(correlations, q)) for q in (0.025, 0.975))
    return Rsa(pearson, spearman, low, high)


def _correlations(x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, diagonal: bool) -> torch.Tensor:
    """Pearson correlation over pairs (i, j) that count `weights[i] * weights[j]` times, [columns of weights].

    Items count `weights[i]` times on the diagonal, scaled so that the diagonal's share of all pairs is always that of
    weights of one: fewer pairs of distinct items are left where an item is drawn twice.
    """
    sums = torch.zeros(6, weights.shape[1], dtype=torch.float64)
    on_diagonal = torch.zeros_like(sums)
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        a, b = x[part] @ x.T, y[part] @ y.T  # [chunk, items]
        upper = torch.ones_like(a).triu(start + 1)  # row r of the chunk is item start + r
        for moment, values in enumerate(_moments(a, b)):
            sums[moment] += (weights[part] * ((values * upper) @ weights)).sum(dim=0)
            on_diagonal[moment] += values.diagonal(start) @ weights[part]
    if diagonal:
        pairs = len(x) * (len(x) - 1) / 2
        sums += on_diagonal * sums[0] / pairs
    count, sx, sy, sxx, syy, sxy = sums
    covariance = sxy / count - sx * sy / count**2
    variances = (sxx / count - (sx / count) ** 2) * (syy / count - (sy / count) ** 2)
    correlations: torch.Tensor = covariance / variances.clamp(min=1e-300).sqrt()
    return correlations


def _moments(a: torch.Tensor, b: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the terms whose sums give a correlation, one at a time, since each is as large as `a`."""
    yield torch.ones_like(a)
    yield a
    yield b
    yield a * a
    yield b * b
    yield a * b


def _pairs(x: torch.Tensor, y: torch.Tensor, diagonal: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Similarities of all pairs of items in `x` and in `y`, [pairs] each."""
    chunks: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        for parts, z in zip(chunks, (x, y), strict=True):
            similarity = z[rows] @ z.T
            parts.append(similarity[torch.ones_like(similarity, dtype=torch.bool).triu(start + (not diagonal))].float())
    return torch.cat(chunks[0]), torch.cat(chunks[1])


def _ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks from 1; equal values share their mean rank."""
    _, inverse, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()  # a value that occurs n times has the n ranks up to its last
    ranks: torch.Tensor = (last - (counts.double() - 1) / 2)[inverse]
    return ranks


def _pearson(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / (a.norm() * b.norm()).clamp(min=1e-300))


def debiased_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Linear CKA with the unbiased HSIC estimator (Song et al. 2012; Nguyen et al. 2021, equation 3).

    1 for states that are equal up to rotation and scale, about 0 for independent ones, even with few items. Memory is
    linear in the number of items, since only features are multiplied.

    Raises:
        ValueError: the numbers of items differ, or are below four.
    """
    return cka_matrix([x], [y])[0][0]


def cka_matrix(xs: Sequence[torch.Tensor], ys: Sequence[torch.Tensor]) -> tuple[tuple[float, ...], ...]:
    """Compute `debiased_cka` of every representation of the first list (row) with every one of the second (column)."""
    for x in xs:
        for y in ys:
            _check(x, y, min_items=4)
    xs, ys = ([z.double() - z.double().mean(dim=0) for z in zs] for zs in (xs, ys))
    self_x, self_y = ([_hsic(z, z) for z in zs] for zs in (xs, ys))
    return tuple(
        tuple(float(_hsic(x, y) / (xx * yy).clamp(min=1e-300).sqrt()) for y, yy in zip(ys, self_y, strict=True))
        for x, xx in zip(xs, self_x, strict=True)
    )


def _hsic(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Compute the unbiased HSIC of linear kernels whose diagonals are zero."""
    # With kernels K = x x^T and L = y y^T, tr(K L) = |x^T y|^2, and the row sums of K are x (x^T 1): neither kernel,
    # [items, items], is ever formed. Their diagonals are subtracted.
    n = len(x)
    diagonal_x, diagonal_y = (x * x).sum(dim=1), (y * y).sum(dim=1)
    trace = (x.T @ y).square().sum() - diagonal_x @ diagonal_y
    rows_x, rows_y = x @ x.sum(dim=0) - diagonal_x, y @ y.sum(dim=0) - diagonal_y  # row sums of the kernels
    means = rows_x.sum() * rows_y.sum() / ((n - 1) * (n - 2))
    return (trace + means - 2 * (rows_x @ rows_y) / (n - 2)) / (n * (n - 3))


def linear_cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Linear centred kernel alignment as first published (Kornblith et al. 2019), 0 to 1; biased upwards for few items.

    Raises:
        ValueError: the numbers of items differ, or are below three.
    """
    _check(x, y)
    x, y = (z.double() - z.double().mean(dim=0) for z in (x, y))
    return float((y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()).clamp(min=1e-300))


def procrustes(x: torch.Tensor, y: torch.Tensor) -> float:
    """Orthogonal Procrustes distance (Ding et al. 2021), squared and halved; 0 if equal up to rotation and scale.

    The representations are centred and have norm 1, so the distance is 1 minus the nuclear norm of their
    product, and at most 1.

    Raises:
        ValueError: the numbers of items differ, or are below three.
    """
    _check(x, y)
    x, y = (z.double() - z.double().mean(dim=0) for z in (x, y))
    x, y = x / x.norm().clamp(min=1e-300), y / y.norm().clamp(min=1e-300)
    return 1.0 - float(torch.linalg.svdvals(x.T @ y).sum())


def _check(x: torch.Tensor, y: torch.Tensor, min_items: int = 3) -> None:
    if len(x) != len(y) or len(x) < min_items:
        raise ValueError(
            f"expected two representations of the same {min_items} or more items, found {len(x)} and {len(y)}"
        )
