"""`telly.probe`: what the layers of models encode about code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from telly.analysis.layers import LayerExtractor
from telly.analysis.probes.table import PROBES
from telly.analysis.probing import ProbeConfig, ProbeResult, run_probes, write_results
from telly.errors import ConfigError
from telly.runs.provenance import provenance
from telly.settings.resolve import default_cache_dir
from telly.training.progress import counting_bar


def probe(
    models: str | Path | Sequence[str | Path],
    probes: Sequence[str] = (),
    *,
    data: str | Path | None = None,
    language: str = "python",
    limit: int = 1000,
    max_tokens: int = 256,
    seeds: int = 3,
    hard: bool = False,
    output: str | Path | None = None,
    figures: bool = False,
    with_paper: bool = False,
    cache_dir: Path | None = None,
) -> list[ProbeResult]:
    """Probe every layer of models: tokens, syntax, meaning, structure.

    Every model runs once over the texts of all probes; its hidden states are cached.

    Example:
        >>> import telly
        >>> [result] = telly.probe("telly-mini", ["lexical"])
        >>> [layer.metrics[result.metric].mean for layer in result.models[0].layers]

    Args:
        models: run folders, model folders, hub ids, or `telly-mini`.
        probes: names of probes. [default: all]
        data: data with a column of code. [default: the sample]
        language: language of the code, `python` or the name of a tree-sitter grammar.
        limit: maximum number of texts per probe.
        max_tokens: length limit of a text.
        seeds: number of fits per probe, each with another split.
        hard: draw the syntactic probe's negatives from trees of similar size.
        output: folder for tables. [default: none]
        figures: draw figures as well.
        with_paper: draw the paper's values as well.
        cache_dir: folder of the activation caches.

    Raises:
        ConfigError: there is no such probe.
        DataError: a probe has fewer than 50 usable texts.
        ModelError: a model cannot be loaded or has no stack of layers.
        CacheError: the hidden states do not fit on the disk.
    """
    model_names = [models] if isinstance(models, (str, Path)) else models
    names = tuple(PROBES) if not probes or "all" in probes else tuple(dict.fromkeys(probes))
    unknown = [name for name in names if name not in PROBES]
    if unknown:
        raise ConfigError(f"unknown probe {unknown[0]!r}; known: all, {', '.join(PROBES)}")
    source = None if data is None else str(data)
    config = ProbeConfig(
        tuple(dict.fromkeys(map(str, model_names))), names, source, language, limit, max_tokens, seeds, hard
    )
    extractor = LayerExtractor(cache_dir or default_cache_dir(), counting_bar)
    results = run_probes([PROBES[name] for name in names], config, extractor)
    if output is not None:
        write_results(results, Path(output), {"settings": asdict(config), "provenance": provenance()})
        if figures:
            from telly.analysis.figures import draw_probes

            draw_probes(results, Path(output), with_paper=with_paper)
    return results
