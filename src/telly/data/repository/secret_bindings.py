"""Finds texts that belong to a name such as `password`, whatever the language's form of assignment is.

A name that announces a secret is looked for in the text itself, not in a syntax tree, so that files which do not parse,
comments, and texts within texts are read as well. From each name the next tokens are followed: what binds a value to it
(`=`, `:`, `=>`, a call, a type between) and the string literals of that value. Every name costs a bounded number of
steps, so the time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from telly.data.repository.secret_reader import Reader
from telly.data.repository.secret_values import Strength, is_irregular, is_secret, secret_parts, strength

LONGEST_NAME = 80
_HIT = re.compile(
    r"pass|pwd|psw|pword|pw|secr|token|key|auth|cred|jwt|bearer|pin|otp|seed|salt|cookie|session|signature|hmac|dsn|login"
    r"|licen|csrf|sid|sas|senha|contrase|kennwort|wachtwoord|lösenord|пароль|密码|密碼|パスワード|비밀번호",
    re.IGNORECASE,
)
_QUALIFIED = re.compile(
    r"(?:api|access|auth|secret|private|client|master|encryption|signing|service|shared)[ .]\Z", re.IGNORECASE
)
_TYPE = r"(?:[\w.&*?|$\\]|\[[^\]\n\"']{0,60}\]|'\w{1,30}+(?!')|<[^<>=\n\"]{0,60}>|[ \t]){1,100}+"
_CLOSING = r"""(?:\\{0,3}["'`])?(?:\s{0,2}[\])]){0,3}(?:\[[^\]\n]{0,60}\]){0,3}"""
_NO_TYPE = r"(?!(?:if|else|unless|and|or|in|is|not|for|return|like|then|when)\b)"
_BINDERS = tuple(
    (how, re.compile(pattern, re.IGNORECASE))
    for how, pattern in (
        # a =, a += and so on, a ==, a, b =, and C#'s a { get; } =
        (
            "assigned",
            rf"{_CLOSING}(?:\s{{0,3}},\s{{0,4}}[\w.$*&]{{1,60}}){{0,4}}(?:\s{{0,3}}\{{[^{{}}\"'\n]{{0,60}}\}})?\s{{0,60}}"
            r"(?:(?:\|\||&&|\?\?|//|[-+*/.|&^%:?!<])?={1,3}[>~]?|<-|<<(?=\s)|\bis\b|\bdefault\b)",
        ),
        # a: T = and, as in Go, a T =
        (
            "assigned",
            rf"{_CLOSING}(?:[!?]?\s{{0,4}}:(?![:=]){_TYPE}|[ \t]{{1,20}}{_NO_TYPE}[\w.*\[\]]{{1,40}}[ \t]{{1,9}}):?=(?![=>])",
        ),
        ("entry", rf"{_CLOSING}[!?]?\s{{0,20}}:(?!:)"),
        ("called", r"(?:[!?]?(?:\.|->|::|\?\.)\w{1,30}[!?]?){0,2}[!?]?(?:\(|\{(?=\s{0,5}\w{0,2}[\"']))"),
        ("argument", r"""\\{0,3}["'`]?(?:\.\w{1,20}\(\))?\s{0,3},"""),
        ("beside", r"""\\{0,3}["'`]?[ \t]{1,20}(?:value\s{0,3}=\s{0,3})?(?=\\{0,3}["'`])"""),
    )
)
_FUNCTION = re.compile(
    r"\([^()\"'`\n]{0,100}\)(?:[^\"'`=;(){}\n]|'\w{1,20}+(?!')){0,60}(?:\{|:|;|\n)\s{0,60}(?:return\b)?\s{0,5}(?=[\"'`])"
    r"|[\"'`]?\)\s{0,3}(?:\{|do\b)\s{0,60}(?:\|[^|\n]{0,40}\|\s{0,60})?(?=[\"'`])"
    r"|\s{0,5}\{\s{0,60}get\s{0,5}(?:\{\s{0,60}return\b|=>)\s{0,5}(?=[\"@$])"
    r"|[;\s]\s{0,60}(?=[\"'])"
)
"""The head of a function up to the text that it gives back."""
_SETTER = re.compile(r"(?:set|with|put|add|use)(?![a-z])[\w-]*", re.IGNORECASE)
_STORING = re.compile(
    r"(?:define|const|set|put|add|with|env|insert|store|register|append|param|property|bind|config|header|override)\w{0,30}"
    r"\s{0,3}\(\s{0,5}[bru:@$]{0,2}\\{0,3}[\"'`:]\Z",
    re.IGNORECASE,
)
_COMPARING = re.compile(
    r"(?:cmp|compare|equals?|assert|verify|check|digest|cpy|set|put)\w{0,30}[!?]?\(\s{0,5}[$&*@]?(?:\w{1,40}(?:\.|->|::)){0,3}\Z",
    re.IGNORECASE,
)
_COMPARED = re.compile(r"\s{0,4}(?:[!=]==?|\.\w{1,20}[!?]?\(|,)\s{0,4}[$&*@]?(?:\w{1,40}(?:\.|->|::)){0,3}\Z")
"""What stands between a text and the name that it is compared with."""
_UNQUOTED = re.compile(
    r"""["'`]?(?:[ \t]{0,10}(=>|->|→|=|:(?![:/])|>|[ \t](?:is|was)[: \t])[ \t]{0,10}|[ \t]{1,10})"""
    r"""([^\s"'`,;&<>(){}\[\]|\\]{4,300})"""
)
_COMMENT = re.compile(r"(?:^|\s)(?:#|//|/\*|--|;|%)|^\s*\*")
_SETTING = re.compile(r"\s*(?:export\s+|set\s+|ENV\s+)?[A-Z][A-Z0-9_]*\Z")


def bound_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every secret that belongs to a telling name; they may overlap."""
    done = 0
    for hit in _HIT.finditer(text):
        if hit.start() < done:
            continue
        start, done = _name_around(text, hit.start(), hit.end())
        name = text[start:done]
        sure = strength(f"api_{name}" if _QUALIFIED.search(text, max(0, start - 14), start) else name)
        if sure is not None:
            yield from _after(text, start, done, sure)
            yield from _before(text, start, sure)


def _name_around(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and end - start < LONGEST_NAME and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    while end < len(text) and end - start < LONGEST_NAME and (text[end].isalnum() or text[end] in "_-"):
        end += 1
    while text[end - 1] == "-":
        end -= 1
    return start, end


def _after(text: str, start: int, end: int, name: Strength) -> Iterator[tuple[int, int]]:
    """Secrets in the value that follows a name."""
    quoted = start > 0 and text[start - 1] in "\"'`:"
    for how, pattern in _BINDERS:
        match = pattern.match(text, end)
        if match is None:
            continue
        sure, bound = _certainty(text, start, end, name, how, quoted)
        several = how == "assigned" and ("," in match[0] or _is_in_list(text, start))
        reader = Reader(text, match.end(), sure, bound=bound, inside=how == "called", several=several)
        yield from reader.read(same_line=how == "beside" or (how == "entry" and not quoted))
        if reader.found:
            return
        if how != "called":
            break
    head = _FUNCTION.match(text, end)
    if head:
        yield from Reader(text, head.end(), min(name, Strength.TOKEN), bound=True).read(same_line=True)
    yield from _unquoted(text, start, end, name)


def _certainty(text: str, start: int, end: int, name: Strength, how: str, quoted: bool) -> tuple[Strength, bool]:
    """How surely a value belongs to its name: of a mentioned one only texts that look random are taken."""
    if how in {"assigned", "entry"}:
        return name, True
    lower = min(name, Strength.TOKEN)
    if how == "called":
        setting = _SETTER.match(text, start, end) or text[max(0, start - 1) : start] in {".", ">"} or text[end] in ".{"
        return (name if setting else lower), True
    if how == "argument":
        pattern = _STORING if quoted else _COMPARING
        stored = pattern.search(text, max(0, start - 80), start) is not None
        return (name if stored else lower), stored or quoted
    return lower, True


def _is_in_list(text: str, start: int) -> bool:
    """Whether other names with commas stand before a name on its line, as where several are assigned at once."""
    line = text[max(0, start - 120) : start].rpartition("\n")[2]
    return (
        re.fullmatch(r"\s*(?:(?:const|let|var|local|my|auto)\s*[\[{(]?\s*)?[(]?(?:[\w.$]+,\s*)+[$@]?", line) is not None
    )


def _before(text: str, start: int, name: Strength) -> Iterator[tuple[int, int]]:
    """The text that a name is compared with, where the text comes first."""
    window = text[max(0, start - 100) : start]
    match = _COMPARED.search(window)
    if match is None or match.start() == 0 or window[match.start() - 1] not in "\"'`":
        return
    close = start - len(window) + match.start() - 1
    opened = text.rfind(text[close], max(0, close - 200), close)
    comma = match[0].lstrip().startswith(",")
    if opened >= 0 and "\n" not in text[opened:close]:
        sure = Strength.HINT if comma else min(name, Strength.TOKEN)
        for first, last in secret_parts(text[opened + 1 : close], sure, bound=not comma):
            yield opened + 1 + first, opened + 1 + last


def _unquoted(text: str, start: int, end: int, name: Strength) -> Iterator[tuple[int, int]]:
    """A value without quotes: in comments, within texts, and in lines of settings."""
    match = _UNQUOTED.match(text, end)
    if match is None:
        return
    value = match[2].rstrip(".:!?*")
    head = text[max(0, start - 400) : start].rpartition("\n")[2]
    comment = _COMMENT.search(head) is not None
    within = any(head.count(quote) % 2 for quote in "\"'`")
    setting = match[0].startswith("=") and _SETTING.fullmatch(head + text[start:end]) is not None
    option = head.endswith("--")
    if within and match[1] == "=" or setting:
        found = is_secret(value, name)
    elif (comment or within or option) and (match[1] or option or name >= Strength.KEY):
        found = is_secret(value, min(name, Strength.KEY) if match[1] or option else Strength.HINT)
    else:
        found = bool(match[1]) and len(value) >= 10 and is_irregular(value) and is_secret(value, Strength.HINT)
    if found:
        yield match.start(2), match.start(2) + len(value)
