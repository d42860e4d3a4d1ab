"""Token ids of a text: UniXcoder's input modes (Guo et al. 2022, section 3.1), and prompts before the text.

A mode is a token that tells the model how it is used. A prompt is text that an embedding model expects before queries
or documents; it is put before the text and both are tokenized together, as sentence-transformers does.
"""

from __future__ import annotations

import copy
from enum import StrEnum
from typing import Any

from telly.errors import ConfigError, ModelError
from telly.models.embedding import EmbeddingConfig, shorten
from telly.models.folder import MODULES


class InputMode(StrEnum):
    """Mode of a model with one stack; the value is the token in the published vocabulary."""

    ENCODER_ONLY = "<encoder-only>"
    DECODER_ONLY = "<decoder-only>"
    ENCODER_DECODER = "<encoder-decoder>"


def supports_modes(tokenizer: Any) -> bool:
    """Check that the vocabulary has all three mode tokens, and the start and end tokens around them."""
    vocabulary = tokenizer.get_vocab()
    framed = tokenizer.cls_token_id is not None and tokenizer.sep_token_id is not None
    return framed and all(mode.value in vocabulary for mode in InputMode)


def mode_head(tokenizer: Any, mode: InputMode) -> list[int]:
    """Token ids at the start of a text, `<s> MODE </s>`; empty if the vocabulary has no modes."""
    if not supports_modes(tokenizer):
        return []
    return [tokenizer.cls_token_id, tokenizer.convert_tokens_to_ids(mode.value), tokenizer.sep_token_id]


def put_mode_in_template(tokenizer: Any, mode: InputMode = InputMode.ENCODER_ONLY) -> None:
    """Make a tokenizer add the mode token itself, so that its users need not know of modes.

    It then gives `<s> MODE </s> tokens </s>`, the ids of `encode_texts`, also for truncated texts. A tokenizer without
    modes is left as it is.

    Raises:
        ModelError: the tokenizer has no template that could be changed.
    """
    if not supports_modes(tokenizer):
        return
    if not tokenizer.is_fast:
        raise ModelError(
            f"{type(tokenizer).__name__} has no template for the mode tokens; expected a tokenizer with tokenizer.json"
        )
    from tokenizers.processors import TemplateProcessing

    begin, end = tokenizer.cls_token, tokenizer.sep_token
    single = f"{begin} {mode.value} {end} $A {end}"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single,
        pair=f"{single} $B {end}",
        special_tokens=list({part: tokenizer.convert_tokens_to_ids(part) for part in (begin, mode.value, end)}.items()),
    )


UNLIMITED = 1 << 30
"""Length limit of a prompt that is encoded alone, to measure it."""


def mode_of(config: EmbeddingConfig) -> InputMode | None:
    """Mode in which an encoder reads texts; None leaves the tokenizer's own template as it is.

    A folder of sentence-transformers has the template that its model was made with. Those that telly writes have the
    mode tokens in it.
    """
    return None if config.source == MODULES else InputMode.ENCODER_ONLY


def prompt_length(tokenizer: Any, prompt: str, mode: InputMode | None) -> int:
    """Number of tokens that a prompt takes at the start of a text, special tokens before it included.

    The prompt is measured alone, without a special token at its end, as sentence-transformers does it to leave the
    prompt out of the pooling.
    """
    [ids] = encode_texts(tokenizer, [prompt], UNLIMITED, mode)
    return len(ids) - (bool(ids) and ids[-1] in tokenizer.all_special_ids)


def encode_prompted(
    tokenizer: Any, texts: list[str], max_tokens: int, prompt: str, mode: InputMode | None
) -> list[list[int]]:
    """Encode texts as `encode_texts` does, with a prompt before each; the limit includes the prompt.

    Raises:
        ConfigError: the limit leaves no room for text.
    """
    if not prompt:
        return encode_texts(tokenizer, texts, max_tokens, mode)
    [ids] = encode_texts(tokenizer, [prompt], UNLIMITED, mode)
    if len(ids) >= max_tokens:
        raise ConfigError(
            f"the prompt {shorten(prompt, 60)!r} has {len(ids)} tokens with special tokens and leaves no room for text "
            f"in {max_tokens}; expected at least {len(ids) + 1}. Raise --max-tokens, or give a shorter prompt with "
            "--query-prompt or --document-prompt"
        )
    return encode_texts(tokenizer, [prompt + text for text in texts], max_tokens, mode)


def plain_tokenizer(tokenizer: Any, max_tokens: int, mode: InputMode | None) -> Any:
    """A copy of a tokenizer that gives the ids of `encode_texts` without telly, cut at a length limit.

    A tokenizer with mode tokens adds them itself, if it has a template that can be changed.
    """
    plain = copy.deepcopy(tokenizer)
    if plain.is_fast and mode is not None:
        put_mode_in_template(plain, mode)
    plain.model_max_length = max_tokens
    return plain


def encode_texts(
    tokenizer: Any, texts: list[str], max_tokens: int, mode: InputMode | None = InputMode.ENCODER_ONLY
) -> list[list[int]]:
    """Encode texts, truncated on the right to at most `max_tokens` tokens, special tokens included.

    Models with mode tokens get `<s> MODE </s> tokens </s>`, as UniXcoder was trained. For others, and if `mode` is
    None, the tokenizer's own template is used.

    Raises:
        ConfigError: the limit leaves no room for text.
    """
    head = [] if mode is None else mode_head(tokenizer, mode)
    if not head:
        min_tokens = tokenizer.num_special_tokens_to_add() + 1
        if max_tokens < min_tokens:  # the library would leave the texts as long as they are
            raise ConfigError(f"max_tokens must be at least {min_tokens} with special tokens, found {max_tokens}")
        encoded: list[list[int]] = tokenizer(texts, truncation=True, max_length=max_tokens)["input_ids"]
        return encoded
    room = max_tokens - len(head) - 1
    if room < 1:
        raise ConfigError(f"max_tokens must be at least {len(head) + 2} with mode tokens, found {max_tokens}")
    plain = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
    return [[*head, *ids, tokenizer.sep_token_id] for ids in plain]
