"""`telly.compare`: how similar the layers of models are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from telly.analysis.compare import CompareConfig, CompareResult, write_result
from telly.analysis.compare import compare as compare_layers
from telly.analysis.layers import LayerExtractor
from telly.runs.provenance import provenance
from telly.settings.resolve import default_cache_dir
from telly.training.progress import counting_bar


def compare(
    model: str | Path,
    others: str | Path | Sequence[str | Path],
    *,
    data: str | Path | None = None,
    task: str | None = None,
    split: str | None = None,
    limit: int = 5000,
    max_tokens: int = 256,
    paper: bool = False,
    seed: int = 0,
    output: str | Path | None = None,
    figures: bool = False,
    with_paper: bool = False,
    cache_dir: Path | None = None,
) -> CompareResult:
    """Compare models layer by layer: representational similarity (RSA), CKA, Procrustes distance.

    Every model runs once over the texts; its pooled states are cached.

    Example:
        >>> import telly
        >>> result = telly.compare("telly-mini", "runs/search-telly-mini-base-s0")
        >>> [layer.cka for layer in result.comparisons[0].layers]

    Args:
        model: run folder, model folder, hub id, or `telly-mini`.
        others: models to compare it with.
        data: data with a column of code. [default: the sample]
        task: task whose layout the data have.
        split: part of a folder or hub data set.
        limit: maximum number of distinct texts, drawn at random.
        max_tokens: length limit of a text.
        paper: compute RSA with padding and diagonal, as the paper's scripts do.
        seed: seed of the random choice of texts and of the bootstrap.
        output: folder for tables. [default: none]
        figures: draw figures as well.
        with_paper: draw the paper's values as well.
        cache_dir: folder of the activation caches.

    Raises:
        ConfigError: there is nothing to compare with.
        DataError: there are too few distinct texts.
        ModelError: a model cannot be loaded or has no stack of layers.
        CacheError: the pooled states do not fit on the disk.
    """
    names = tuple(map(str, [others] if isinstance(others, (str, Path)) else others))
    source = None if data is None else str(data)
    config = CompareConfig(str(model), names, source, task, split, limit, max_tokens, paper, seed=seed)
    extractor = LayerExtractor(cache_dir or default_cache_dir(), counting_bar)
    result = compare_layers(config, extractor)
    if output is not None:
        write_result(result, Path(output), {"settings": asdict(config), "provenance": provenance()})
        if figures:
            from telly.analysis.figures import draw_comparison

            draw_comparison(result, Path(output), with_paper=with_paper)
    return result
