"""Keys and tokens in sources: found by the shape that their issuers give them, and by entropy, and masked.

A small table instead of a scanner's library: those report lines and leave masking to the reader, and of a private key
they find the first line only. False alarms are cheap here (a hash in a test is masked too), a missed key is not; still,
no table knows every key, so look at what you publish.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

MASK = "MASKED_SECRET"
"""What stands in a secret's place. A secret of several lines leaves its line breaks behind, so lines keep numbers."""
MIN_ENTROPY = {"hex": 3.0, "mixed": 4.3, "named": 2.8}
"""Bits a character from which a quoted text is taken for random."""
RUN = 8
"""So many neighbours of an alphabet in a row are a table of characters and no secret."""
_ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "0123456789")

_KEY_BODY = r"(?:[A-Za-z0-9+/=\s\"'\\,.:;+-]{0,20000}?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
_KNOWN = {
    "private key": rf"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    rf"{_KEY_BODY}|(?:[^A-Za-z0-9+/=]{{0,12}}[A-Za-z0-9+/=]{{16,}})*)",
    "AWS access key": r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})",
    "GitLab token": r"\bgl(?:pat|oas|dt|rt|ft)-[\w-]{20,}",
    "Slack token": r"\bxox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/[\w/]{20,}",
    "Stripe key": r"\b[rs]k_(?:live|test)_[0-9A-Za-z]{16,}",
    "Google key": r"\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bGOCSPX-[\w-]{20,}",
    "model provider's key": r"\bsk-(?:ant-|proj-)?[\w-]{20,}|\bhf_[A-Za-z0-9]{30,}",
    "package registry's token": r"\bnpm_[A-Za-z0-9]{36}|\bpypi-[\w-]{50,}|\brubygems_[0-9a-f]{48}",
    "SendGrid key": r"\bSG\.[\w-]{16,}\.[\w-]{16,}",
    "Telegram token": r"\b\d{8,10}:AA[\w-]{32,}",
    "DigitalOcean token": r"\bdo[opr]_v1_[0-9a-f]{64}",
    "Azure key": r"\bAccountKey=[A-Za-z0-9+/]{40,}={0,2}",
    "JSON web token": r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*",
    "password in an address": r"(?<=://)[^\s:/@\"'<>{}%$]{1,60}:[^\s:/@\"'<>{}%$]{3,200}(?=@[\w.-])",
}
_KNOWN_PATTERN = re.compile(
    "|".join(f"(?P<k{number}>{pattern})" for number, pattern in enumerate(_KNOWN.values())),
)
_NAMES = tuple(_KNOWN)
_NAMED = re.compile(
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|api_?key|access_?key|auth_?key|private_?key|credentials?)\w{0,20}"
    r"[\"'`]?\]?\s{0,4}(?::\s{0,4}\w{1,30}\s{0,4})?(?:=>|:=|=|:)\s{0,4}[\"'`]([^\"'`\s\\]{8,200})[\"'`]",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[\"'`]([A-Za-z0-9+/_=-]{32,500})[\"'`]")
_HEX = re.compile(r"(?:[0-9a-f]+|[0-9A-F]+)")

Secret = tuple[int, str]
"""Line, from 1, and kind."""


def mask(text: str) -> tuple[str, list[Secret]]:
    """The text with `MASK` in the place of every secret, and where and what they were."""
    spans = sorted(_spans(text))
    if not spans:
        return text, []
    parts: list[str] = []
    found: list[Secret] = []
    done = counted = 0
    line = 1
    for start, end, kind in spans:
        if start < done:
            continue
        line += text.count("\n", counted, start)
        counted = start
        found.append((line, kind))
        parts += [text[done:start], MASK, "\n" * text.count("\n", start, end)]
        done = end
    return "".join([*parts, text[done:]]), found


def _spans(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _KNOWN_PATTERN.finditer(text):
        yield *match.span(), _NAMES[int((match.lastgroup or "k0")[1:])]
    for match in _NAMED.finditer(text):
        value = match[1]
        mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
        if mixed and MASK not in value and entropy(value) >= MIN_ENTROPY["named"] and not _has_run(value):
            yield *match.span(1), "named password, key or token"
    for match in _QUOTED.finditer(text):
        if _is_random(match[1]):
            yield *match.span(1), "text of high entropy"


def _is_random(value: str) -> bool:
    if _has_run(value):
        return False
    if _HEX.fullmatch(value):
        return entropy(value) >= MIN_ENTROPY["hex"]
    kinds = (any(map(test, value)) for test in (str.isdigit, str.islower, str.isupper))
    return all(kinds) and entropy(value) >= MIN_ENTROPY["mixed"]


def _has_run(value: str) -> bool:
    low = value.lower()
    return any(part[at : at + RUN] in low for part in _ALPHABETS for at in range(len(part) - RUN + 1))


def entropy(text: str) -> float:
    """Shannon's entropy of a text's characters, in bits a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
