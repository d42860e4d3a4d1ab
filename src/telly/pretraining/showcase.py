"""Evidence in a pre-trained model's card: differences between layers, and generated examples."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from telly.analysis.similarity import linear_cka
from telly.models.generation import Decoding, decode_single_sequence
from telly.models.modes import InputMode, mode_head
from telly.models.prefix_lm import PrefixLM
from telly.pretraining.corpus import Corpus

SIMILARITY_PAIRS = 200
EXAMPLE_PAIRS = 3
NEW_TOKENS = {"summary": 24, "code": 80, "completion": 24}


@torch.no_grad()
def neighbour_similarity(encoder: Any, tokenizer: Any, corpus: Corpus) -> list[float]:
    """Linear CKA (Kornblith et al. 2019) of the token states of neighbouring layers, [layers].

    The first entry compares the embeddings with the first layer. 1 means equal up to rotation and scale. The texts are
    held-out functions.
    """
    states: list[list[torch.Tensor]] = []
    for row in corpus.held_out_pairs[:SIMILARITY_PAIRS, 0]:
        ids = _framed(tokenizer, InputMode.ENCODER_ONLY, corpus.code[row])
        states.append([s[0].float() for s in encoder(input_ids=ids[None], output_hidden_states=True).hidden_states])
    layers = [torch.cat(of_layer) for of_layer in zip(*states, strict=True)]  # each [tokens, hidden]
    return [linear_cka(a, b) for a, b in pairwise(layers)]


@torch.no_grad()
def examples(encoder: Any, tokenizer: Any, corpus: Corpus) -> list[dict[str, str]]:
    """Greedy generations for the first held-out pairs: a summary, code, and the next line.

    Each has `given` (the prompt, truncated as in training), `written` (the generation) and `right` (the reference).
    """
    stack = PrefixLM(encoder).eval()
    generated = []
    for code_row, docstring_row in corpus.held_out_pairs[:EXAMPLE_PAIRS]:
        code, docstring = corpus.code[code_row], corpus.docstrings[docstring_row]
        lines = tokenizer.decode(code).split("\n")
        prefix = "\n".join(lines[: max(1, len(lines) // 2)]) + "\n"
        prefix_ids = np.asarray(tokenizer(prefix, add_special_tokens=False)["input_ids"], dtype=np.int32)
        summary = _answer(stack, tokenizer, _prompt(tokenizer, code), NEW_TOKENS["summary"])
        function = _answer(stack, tokenizer, _prompt(tokenizer, docstring), NEW_TOKENS["code"])
        prompt = torch.tensor([*mode_head(tokenizer, InputMode.DECODER_ONLY), *prefix_ids])
        line = _answer(stack, tokenizer, (prompt, 0), NEW_TOKENS["completion"]).lstrip("\n").partition("\n")[0]
        generated += [
            {
                "kind": "summary",
                "given": tokenizer.decode(code),
                "written": summary,
                "right": tokenizer.decode(docstring),
            },
            {
                "kind": "code",
                "given": tokenizer.decode(docstring),
                "written": function,
                "right": tokenizer.decode(code),
            },
            {
                "kind": "next line",
                "given": prefix,
                "written": line,
                "right": "".join(lines[len(prefix.split("\n")) - 1 :][:1]),
            },
        ]
    return generated


def _framed(tokenizer: Any, mode: InputMode, ids: npt.NDArray[np.int32]) -> torch.Tensor:
    return torch.tensor([*mode_head(tokenizer, mode), *ids, tokenizer.sep_token_id])


def _prompt(tokenizer: Any, source: npt.NDArray[np.int32]) -> tuple[torch.Tensor, int]:
    prompt = _framed(tokenizer, InputMode.ENCODER_DECODER, source)
    return torch.cat([prompt, torch.tensor([tokenizer.cls_token_id])]), len(prompt)


def _answer(stack: PrefixLM, tokenizer: Any, prompt: tuple[torch.Tensor, int], max_tokens: int) -> str:
    ids, prefix_length = prompt
    decoding = Decoding(
        beams=1, max_new_tokens=max_tokens, end_ids=(tokenizer.sep_token_id,), pad_id=tokenizer.pad_token_id
    )
    answer = decode_single_sequence(stack, [ids], decoding, torch.tensor([prefix_length]))[0]
    text: str = tokenizer.decode(answer, skip_special_tokens=True)
    return text
