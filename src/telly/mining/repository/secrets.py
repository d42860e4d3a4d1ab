"""Masks keys, passwords and tokens in sources before anything else looks at the text.

It finds private keys; tokens by the prefix that their issuer gives them (`secret_issuers`); texts that
belong to a name such as `password`, in any language's form of assignment (`secret_bindings`); passwords in addresses
and headers; and long random texts. Published detectors report lines, and they miss most forms of assignment of the
eleven languages (docs/repository.md has the figures). A false alarm is cheap, a missed key is not; still, no table
knows every key, so look at what you publish.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from telly.mining.repository.secret_bindings import bound_secrets
from telly.mining.repository.secret_issuers import issued
from telly.mining.repository.secret_values import MASK, Strength, is_basic, is_placeholder, is_random, is_secret

__all__ = ["MASK", "Secret", "mask", "secret_spans"]

_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z0-9 ]{0,60}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"[A-Za-z0-9+/=\s\"'\\,.:;+()-]*+")
_KEY_LINES = re.compile(r"(?:[^A-Za-z0-9+/=]{0,12}+[A-Za-z0-9+/=]{16,}+){0,400}+")
_MAX_KEY_CHARACTERS = 20_000
_ADDRESS = re.compile(
    r"(?<=://)(?P<user>[^\s:/\"'<>]{0,60}):(?P<password>[^\s/\"'`<>]{1,200})(?=@[\w.{$\[-])"
    r"|(?<=[\"'`])[\w.-]{1,40}:(?P<bare>[^\s:/@\"'`<>]{3,100})(?=@(?:tcp|udp|unix)\(|@[\w.-]{1,100}[:/])"
    r"|(?<=://)(?P<token>[\w-]{16,200}+)(?=@[\w.-])"
)
_HEADER = re.compile(
    r"\b(?:(?P<basic>Basic)|(?P<bearer>Bearer)|Token|ApiKey|Api-Key|OAuth)[ \t]{1,3}(?:token=)?[\"']?"
    r"(?P<value>[A-Za-z0-9+/=_.~!@#$%^&*-]{8,2000}+)",
    re.IGNORECASE,
)
_USER_OPTION = re.compile(r"(?<=\s)(?:-u|--user)[ =]?[\"']?([\w.@-]{1,60}:([^\s\"'@]{4,100}))")
_COMMAND = re.compile(
    r"\b(?:IDENTIFIED\s{1,5}(?:WITH\s{1,5}\w{1,40}\s{1,5})?BY\s{1,5}\\?[\"']"  # SQL
    r"|sshpass\s{1,5}-p\s{0,5}\\?[\"']?|jdbc:oracle:\w{1,10}:[\w.]{1,40}/"
    r"|(?:mysql|mysqldump|mysqladmin|mariadb)\b[^\n;|]{0,80}?[\s\"',]-p)"
    r"([^\s\"'\\@]{4,100})",
    re.IGNORECASE,
)
"""Commands and addresses with a place for a password that no name announces."""
_QUOTED = re.compile(r"[\"'`]([A-Za-z0-9+/_=-]{32,500})(?=[\"'`])")

Secret = tuple[int, str]
"""Line, from 1, and kind."""


def mask(text: str) -> tuple[str, list[Secret]]:
    """The text with `MASK` in the place of every secret, and the lines and kinds of these."""
    parts: list[str] = []
    secrets: list[Secret] = []
    done = 0
    line = 1
    for start, end, kind in secret_spans(text):
        line += text.count("\n", done, start)
        secrets.append((line, kind))
        lines = text.count("\n", start, end)
        # The line breaks of a secret stay, so that all other lines keep their numbers.
        parts += [text[done:start], MASK, "\n" * lines]
        line += lines
        done = end
    return "".join([*parts, text[done:]]), secrets


def secret_spans(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and kind of every secret in order; overlapping ones become one, of the most specific kind."""
    findings = sorted(_findings(text))
    at = 0
    while at < len(findings):
        start, end, rank, kind = findings[at]
        at += 1
        while at < len(findings) and findings[at][0] < end:
            end = max(end, findings[at][1])
            rank, kind = min((rank, kind), findings[at][2:])
            at += 1
        yield start, end, kind


def _findings(text: str) -> Iterator[tuple[int, int, int, str]]:
    """Start, end, rank and kind of every finding; kinds of lower rank are more specific."""
    for start, end in _private_keys(text):
        yield start, end, 0, "private key"
    for start, end, kind in issued(text):
        yield start, end, 1, kind
    for start, end in _in_addresses(text):
        yield start, end, 2, "password in an address"
    for start, end in bound_secrets(text):
        yield start, end, 3, "named password, key or token"
    for match in _HEADER.finditer(text):
        value = match["value"]
        if is_secret(value, Strength.TOKEN if match["bearer"] else Strength.HINT) or (
            match["basic"] and is_basic(value)
        ):
            yield *match.span("value"), 4, "credentials in a header"
    for match in _USER_OPTION.finditer(text):
        if is_secret(match[2], Strength.TOKEN):
            yield *match.span(1), 4, "credentials in a command"
    for match in _COMMAND.finditer(text):
        if is_secret(match[1], Strength.TOKEN):
            yield *match.span(1), 4, "credentials in a command"
    for match in _QUOTED.finditer(text):
        if is_random(match[1]):
            yield *match.span(1), 5, "text of high entropy"


def _private_keys(text: str) -> Iterator[tuple[int, int]]:
    """Whole private keys, and of one that is cut off the first line and those of base64 after it."""
    done = 0
    for begin in _BEGIN.finditer(text):
        if begin.start() < done:
            continue
        body = _KEY_BODY.match(text, begin.end(), begin.end() + _MAX_KEY_CHARACTERS)
        limit = body.end() if body else begin.end()
        last = text.find("-----END ", begin.end(), limit)
        end = _END.match(text, last) if last >= 0 else None
        lines = _KEY_LINES.match(text, begin.end(), begin.end() + _MAX_KEY_CHARACTERS)
        done = end.end() if end else lines.end() if lines else begin.end()
        yield begin.start(), done


def _in_addresses(text: str) -> Iterator[tuple[int, int]]:
    """User and password, or token, in addresses such as `https://user:password@host`."""
    for match in _ADDRESS.finditer(text):
        if match["token"]:
            if is_secret(match["token"], Strength.HINT):
                yield match.span("token")
        elif not is_placeholder(match["password"] or match["bare"], shortest=3):
            yield match.span()
