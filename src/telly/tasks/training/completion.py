"""Line completion: CodeXGLUE's markers removed, contexts truncated on the left, one line generated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from telly.errors import ConfigError
from telly.metrics.interval import values_of
from telly.metrics.text import restore_literals
from telly.models.generation import Architecture
from telly.models.modes import InputMode, mode_head
from telly.tasks.training.generation import Prompt, TextGenerationTask, Texts, start_token

_STATEMENT = re.compile(r"(?<=[;{}])")
_AT_LINE_START = re.compile(r"\n[ \t]*\Z")


class CompletionTask(TextGenerationTask):
    """Generation of a line from its context.

    Contexts are truncated on the left, and single-sequence models attend to the past only.
    """

    mode = InputMode.DECODER_ONLY
    loss_on_source = True

    def clean_source(self, text: str) -> str:
        """The context without CodeXGLUE's markers, up to the beginning of the line.

        A line begins after a line break and its indentation, or, in code that is one long line, after a word.
        """
        text = re.sub(r"\A<s> ?| ?</s>\Z", "", text)
        text = restore_literals(re.sub(" ?<EOL> ?", "\n", text))
        if "\n" not in text:
            return text.strip()
        return text if _AT_LINE_START.search(text) else f"{text.rstrip()}\n"

    def clean_target(self, text: str) -> str:
        """The line with its literals restored; one that would then be blank keeps its placeholders."""
        plain = text.replace("<EOL>", "").strip()
        return restore_literals(plain).strip() or plain

    def finish(self, text: str) -> str:
        """The first generated line."""
        return text.strip().partition("\n")[0].strip()

    def prompts(self, texts: list[str], tokenizer: Any, max_tokens: int, architecture: Architecture) -> list[Prompt]:
        """Contexts truncated on the left.

        An encoder-decoder reads them like any source; in the other architectures tokens attend to their past only.
        """
        cleaned = [self.clean_source(text) for text in texts]
        if architecture is Architecture.ENCODER_DECODER:
            return [Prompt(ids, None) for ids in _last_tokens(tokenizer, cleaned, max_tokens, framed=True)]
        head = mode_head(tokenizer, InputMode.DECODER_ONLY) or [start_token(tokenizer)]
        prefix_length = 0 if architecture is Architecture.PREFIX_LM else None
        return [
            Prompt([*head, *ids], prefix_length) for ids in _last_tokens(tokenizer, cleaned, max_tokens - len(head))
        ]

    def target_texts(self, sources: list[str], targets: list[str]) -> list[str]:
        """Lines as they follow their contexts, with a blank between if the context is one long line."""
        one_line = ["\n" not in self.clean_source(source) for source in sources]
        return [" " * blank + self.clean_target(text) for blank, text in zip(one_line, targets, strict=True)]

    def extra_end_ids(self, tokenizer: Any) -> tuple[int, ...]:
        """The line break, if it is a token of the vocabulary and not read as a blank or an unknown token."""
        ids = tokenizer("\n", add_special_tokens=False)["input_ids"]
        return tuple(ids) if len(ids) == 1 and tokenizer.decode(ids) == "\n" else ()

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Texts) -> dict[str, dict[str, float]]:
        """A copy of the context's last line (or statement), and the line of the nearest training context."""
        gold = [self.clean_target(text) for text in datasets[split][self.target]]
        copies = [last_line(self.clean_source(text)) for text in datasets[split][self.source]]
        return {"copy of the last line": values_of(self.spec.score(copies, gold))} | super().baselines(
            datasets, split, train
        )


def _last_tokens(tokenizer: Any, texts: list[str], max_tokens: int, *, framed: bool = False) -> list[list[int]]:
    """The last tokens of texts; with the tokenizer's special tokens if `framed`.

    Raises:
        ConfigError: `max_tokens` leaves no room for a token.
    """
    if max_tokens < 1 + framed * tokenizer.num_special_tokens_to_add():
        raise ConfigError(
            f"max_tokens: context leaves {max_tokens} tokens beside the special ones; expected at least 1"
        )
    side, tokenizer.truncation_side = tokenizer.truncation_side, "left"
    try:
        encoded = tokenizer(texts, add_special_tokens=framed, truncation=True, max_length=max_tokens)
    finally:
        tokenizer.truncation_side = side
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def last_line(context: str) -> str:
    """The last line of a context that is not blank; of a context without line breaks the last statement."""
    lines = context.splitlines() if "\n" in context else _STATEMENT.split(context)
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
