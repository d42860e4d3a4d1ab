"""The table of probes, and the data of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from telly.analysis.fitting import Classification, Pairs, Retrieval
from telly.analysis.probes import lexical, structural
from telly.analysis.probes.skipped import require
from telly.analysis.probes.syntactic import syntactic_pairs
from telly.analysis.probing import Probe, ProbeConfig, ProbeItems
from telly.analysis.texts import code_texts, labelled_texts
from telly.models.modes import encode_texts


def lexical_items(config: ProbeConfig, tokenizer: Any, max_tokens: int) -> ProbeItems:
    """Data of the lexical probe: the type of some random code tokens of every text."""
    texts = code_texts(config.data, config.limit)
    examples = lexical.lexical_examples(texts, tokenizer, max_tokens, config.language)
    require(examples.encodings, examples.skipped, "lexical")
    rng = np.random.default_rng(0)
    token_positions = []
    for labels in examples.labels:
        positions = np.flatnonzero(labels >= 0)
        chosen = rng.permutation(positions)[: config.tokens_per_text]
        token_positions.append(sorted(chosen.tolist()))
    usable = [i for i, positions in enumerate(token_positions) if positions]
    labels = np.concatenate([examples.labels[i][token_positions[i]] for i in usable])
    groups = np.repeat(usable, [len(token_positions[i]) for i in usable])
    fitter = Classification(torch.from_numpy(labels), groups, tuple(lexical.CLASSES))
    return ProbeItems(
        [examples.encodings[i] for i in usable], [token_positions[i] for i in usable], fitter, tuple(examples.skipped)
    )


def syntactic_items(config: ProbeConfig, tokenizer: Any, max_tokens: int) -> ProbeItems:
    """Data of the syntactic probe: whether a syntax tree without names and values belongs to a text."""
    texts = code_texts(config.data, config.limit)
    pairs = syntactic_pairs(texts, 0, hard=config.hard, language=config.language)
    require(pairs.asts, pairs.skipped, "syntactic")
    codes = [texts[i] for i in pairs.indices]
    fitter = Pairs(
        torch.from_numpy(pairs.code),
        torch.from_numpy(pairs.ast + len(codes)),
        torch.from_numpy(pairs.labels),
        pairs.code,
    )
    encodings = encode_texts(tokenizer, [*codes, *pairs.asts], max_tokens)
    return ProbeItems(encodings, None, fitter, tuple(pairs.skipped))


def semantic_items(config: ProbeConfig, tokenizer: Any, max_tokens: int) -> ProbeItems:
    """Data of the semantic probe: texts with a label of what they do."""
    texts, labels = labelled_texts(config.data, config.limit)
    return ProbeItems(encode_texts(tokenizer, texts, max_tokens), None, Retrieval(torch.tensor(labels)), ())


def structural_items(config: ProbeConfig, tokenizer: Any, max_tokens: int) -> ProbeItems:
    """Data of the structural probe: the cyclomatic complexity of functions, 1 to 5 and more."""
    texts = code_texts(config.data, config.limit)
    examples = structural.structural_examples(texts, config.language)
    require(examples.labels, examples.skipped, "structural")
    encodings = encode_texts(tokenizer, [texts[i] for i in examples.indices], max_tokens)
    fitter = Classification(torch.from_numpy(examples.labels), examples.indices, tuple(structural.CLASSES))
    return ProbeItems(encodings, None, fitter, tuple(examples.skipped))


PROBES = {
    probe.name: probe
    for probe in (
        Probe("lexical", "accuracy", lexical_items),
        Probe("syntactic", "accuracy", syntactic_items),
        Probe("semantic", "map_at_r", semantic_items),
        Probe("structural", "accuracy", structural_items),
    )
}
"""All probes by name, in the paper's order."""
