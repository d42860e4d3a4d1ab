"""Secrets that belong to a name such as `password`, in any language's form of assignment.

Names that announce a secret are searched for in the text itself, not in a syntax tree, so that files that do not parse,
comments, and code within literals are covered as well. From each name the next tokens are read: those that bind a value
to it (`=`, `:`, `=>`, a call, a type in between) and the string literals of that value. Every name costs a bounded
number of steps, so the time is linear in the length of the text: the patterns repeat nothing without a bound, or see
only a short window of the text.

In comments on the patterns, `a` stands for the name, `T` for a type and `"v"` for the value. Patterns with an anchor at
their end are for the text before the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from telly.mining.repository.secret_reader import ValueReader
from telly.mining.repository.secret_values import Strength, is_secret, secret_parts, strength

MAX_NAME = 80
"""Maximum number of characters of a name."""
_HIT = re.compile(
    r"pass|pwd|psw|pword|pw|secr|token|key|auth|cred|jwt|bearer|pin|otp|seed|salt|cookie|session|signature|hmac|dsn|login"
    r"|licen|mysqli|pdo|connect(?:ion)?(?=\()|csrf|sid|sas|senha|logon|authent|contrase|kennwort|wachtwoord|lösenord|пароль|密码|密碼|パスワード|비밀번호",
    re.IGNORECASE,
)
"""Part of a name that may announce a secret, in several languages; `strength` judges the whole name."""
_QUALIFIED = re.compile(
    r"(?:api|access|auth|secret|private|client|master|encryption|signing|service|shared)[ .]\Z", re.IGNORECASE
)
"""A word before the name that makes it more certain, as in `api key`."""
# Type of a variable, between `:` and `=`. Possessive repetitions, such as `{1,30}+`, never backtrack.
_TYPE = r"(?:[\w.&*?|$\\]|\[[^\]\n\"']{0,60}\]|'\w{1,30}+(?!')|<[^<>=\n\"]{0,60}>|[ \t]){1,100}+"
# Quote and brackets after a name within them, as in `env["a"] = "v"`, and an index after the name.
_CLOSING = r"""(?:\\{0,3}["'`])?(?:\s{0,2}[\])]){0,3}(?:\[[^\]\n]{0,60}\]){0,3}"""
# Words between a name and `=` that are not a type.
_NO_TYPE = r"(?!(?:if|else|unless|and|or|in|is|not|for|return|like|then|when)\b)"
_BINDERS = tuple(
    (binder, re.compile(pattern, re.IGNORECASE))
    for binder, pattern in (
        # switch (a) { case "v", match a: case "v", case a when "v"; and match a { "v" =>, a switch { "v" =>
        (
            "branch",
            r"(?:\.\w{1,20}\(\))?\)?\s{0,3}(?:[:{]?\s{0,60}\b(?:case|when)\s{1,3}(?=\(?\w{0,2}[\"'`])"
            r"|(?:switch\s{1,3})?\{\s{0,60}(?=(?P<quote>[\"'])[^\"'\n]{0,100}(?P=quote)\s{0,3}(?:\||=>)))",
        ),
        # a T `default:"v"`, a tag of a field in Go
        ("tag", r"[ \t]{1,20}[\w.*\[\]]{1,40}[ \t]{1,9}`[^`\n]{0,80}?\b\w{0,10}(?:default|value):(?=\")"),
        # a = "v", a += "v" and so on, a == "v", and C#'s a { get; } = "v"
        (
            "assigned",
            rf"{_CLOSING}(?:\s{{0,3}}\{{[^{{}}\"'\n]{{0,60}}\}})?\s{{0,60}}"
            r"(?:(?:\|\||&&|\?\?|//|[-+*/.|&^%:?!<])?={1,3}[>~]?|<-|->(?=\s{0,3}[\"'`])|<<(?=\s)|\b(?:is|default)\b(?=\s{0,3}[\"'`]))",
        ),
        # a: T = "v" and, as in Go, a T = "v"
        (
            "assigned",
            rf"{_CLOSING}(?:[!?]?\s{{0,4}}:(?![:=]){_TYPE}"
            rf"|[ \t]{{1,20}}{_NO_TYPE}[\w.*\[\]]{{1,40}}[ \t]{{1,9}}):?=(?![=>])",
        ),
        # a: "v", an entry of a mapping
        ("entry", rf"{_CLOSING}[!?]?\s{{0,20}}:(?!:)"),
        # a("v"), a.equals("v"), a { "v" }
        (
            "called",
            r"(?:\)(?=\.\w))?(?:[!?]?(?:\.|->|::|\?\.)\w{1,30}[!?]?){0,3}[!?]?"
            r"(?:\((?!\))|[ \t]?\{(?=[ \t]{0,3}\w{0,2}[\"'])|[ \t](?=\w{1,20}\([\"']))",
        ),
        # f(a, "v") and f("a", "v"); in C also f(a, sizeof a, "v")
        ("argument", r"""\\{0,3}["'`]?(?:\.\w{1,20}\(\))?\s{0,3},(?:\s{0,3}sizeof[^,;\n]{1,40},(?:\s{0,3}"%s",)?)?"""),
        # a "v", as in commands and settings
        (
            "beside",
            r"""\\{0,3}["'`]?[ \t]{1,20}(?:\\\n[ \t]{0,40})?"""
            r"""(?:value\s{0,3}=\s{0,3})?(?=\(?(?:u8|[LuUbrfR@$])?\\{0,3}["'`])""",
        ),
    )
)
"""Ways to bind a value to a name, as patterns of the text between them.

The first that matches is taken, except that a call without a string literal is passed over.
"""
_FUNCTION = re.compile(
    r"\([^()\"'`\n]{0,100}\)(?:[^\"'`=;(){}\n]|'\w{1,20}+(?!')){0,60}(?:\{|:|;|\n|=>)\s{0,60}(?:return\b)?\s{0,5}(?=[\"'`])"
    r"|[\"'`]?\)\s{0,3}(?:\{|do\b)\s{0,60}(?:\|[^|\n]{0,40}\|\s{0,60})?(?=[\"'`])"
    r"|\s{0,5}\{\s{0,60}get\s{0,5}(?:\{\s{0,60}return\b|=>)\s{0,5}(?=[\"@$])"
    r"|[;\s]\s{0,60}(?=[\"'])"
)
"""The head of a function up to the text that it returns."""
_SETTER = re.compile(r"(?:set|with|put|add|use)(?![a-z])[\w-]*", re.IGNORECASE)
"""The name of a method that sets a value, such as `setPassword`."""
_STORING = re.compile(
    r"(?:define|const|set|put|add|with|env|insert|store|register|append|param|property|bind|config|header|override)\w{0,30}"
    r"\s{0,3}\(\s{0,5}(?:[\w.$]{1,40},\s{0,5})?[bru:@$]{0,2}\\{0,3}[\"'`:][\w.:/-]{0,40}\Z",
    re.IGNORECASE,
)
"""A call that stores a value under a quoted name, up to that name: `define("a`."""
_COMPARING = re.compile(
    r"(?:cmp|compare|equals?|assert|verify|check|digest|cpy|set|put|printf)\w{0,30}[!?]?\(\s{0,5}[$&*@]?(?:\w{1,40}(?:\.|->|::)){0,3}\Z",
    re.IGNORECASE,
)
"""A call that compares or copies, up to the variable that is its first argument: `strcmp(`."""
_COMPARED = re.compile(
    r"\s{0,4}(?:[!=]==?|\)\s{0,3}=(?=\s)|\.\w{1,20}[!?]?\(|,)\s{0,4}[$&*@]?(?:\w{1,40}(?:\.|->|::)){0,3}\Z"
)
"""Text between a literal and the name that it is compared with."""
_ATTRIBUTE = re.compile(
    r"(?:@\w{1,40}|#?\[\w{1,40})\([^\n\"]{0,60}\"([^\"\n]{3,100})\"[^\n\"]{0,20}\)\]?\s{1,60}(?:[\w.<>?$]{1,40}\s{1,5}){0,5}\Z"
)
"""An attribute or annotation with a text, up to the name to which it belongs."""
_UNQUOTED = re.compile(
    r"""["'`]?(?:[ \t]{0,10}(=>|->|→|=|:(?![:/])|>|[ \t](?:is|was)[: \t])[ \t]{0,10}|[ \t]{1,10})"""
    r"""([^\s"'`,;&<>(){}\[\]|\\]{4,300})"""
)
"""A value without quotes after a name, with or without a sign between them."""
_FILLED_IN = re.compile(
    r"\s{0,3}[=:]\s{0,3}(?:%[sdvq]|\{\w{0,20}\})[^\"'`\n]{0,30}[\"'`](?:\s{0,3}[,%]|\.format\()\s{0,3}\(?"
)
"""A variable in a format string, up to the first value that is filled in."""
_COMMENT = re.compile(r"(?:^|\s)(?:#|//|/\*|--|;|%)|^\s*\*")
"""Beginning of a comment, in any of the languages, before a name on its line."""
_MIN_STRENGTH = {"=": Strength.KEY, ":": Strength.KEY}
"""Certainty that a name in a comment needs, by the sign between it and a value without quotes; else `PASSWORD`."""
_SETTING = re.compile(r"\s*(?:export\s+|set\s+|ENV\s+)?[A-Z][A-Z0-9_]*\Z")
"""A line of an environment file, shell script or Dockerfile, up to the end of the name."""
_FIRST = re.compile(r"[({\[]\s{0,5}(?:(?:name|key|id)\s{0,3}[=:]\s{0,3})?[bru:@$]{0,2}\\{0,3}[\"'`:][\w.:/-]{0,40}\Z")
"""An open bracket, up to a quoted name that is the first thing in it: `("a`."""
_QUOTE = re.compile(r"""\\{0,3}["'`]""")
_SYMBOL = re.compile(r"(?<![:\w]):\Z")
"""The colon before a symbol, as Ruby and Clojure write names of values."""
_LISTED = re.compile(
    r"\s*(?:(?:const|let|var|local|my|auto|list)\b\s*)?[\[{(]?\s*(?:[$@*&]?[\w.]+,\s*)*[$@*&]?(?:[\w]+\.)?\Z"
)
"""A line up to a name in a list of assigned ones, as in `user, a = "x", "v"`."""
_MORE_NAMES = re.compile(r"(?:\s{0,3},\s{0,4}[\w.$*&@]{1,60}){0,6}")
"""The names after it in such a list."""


def bound_secrets(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of every secret that belongs to a name that announces one; they may overlap."""
    name_end = 0
    for hit in _HIT.finditer(text):
        if hit.start() < name_end:
            continue
        start, name_end = _name_around(text, hit.start(), hit.end())
        name = text[start:name_end]
        # A word such as `api` before the name, separated by a blank or dot, makes a secret more certain.
        name_strength = strength(f"api_{name}" if _QUALIFIED.search(text, max(0, start - 14), start) else name)
        if name_strength is not None:
            yield from _after(text, start, name_end, name_strength)
            yield from _before(text, start, name_strength)


def _name_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Start and end of the whole name around a match of `_HIT`."""
    while start > 0 and end - start < MAX_NAME and (text[start - 1].isalnum() or text[start - 1] in "_-"):
        start -= 1
    while end < len(text) and end - start < MAX_NAME and (text[end].isalnum() or text[end] in "_-"):
        end += 1
    while text[end - 1] == "-":
        end -= 1
    return start, end


def _after(text: str, start: int, end: int, name_strength: Strength) -> Iterator[tuple[int, int]]:
    """Secrets in the value that follows the name between `start` and `end`."""
    quoted = _QUOTE.match(text, end) is not None or _SYMBOL.search(text, max(0, start - 2), start) is not None
    line = text[max(0, start - 120) : start].rpartition("\n")[2]  # what is before the name, of a long line the end
    in_list = _LISTED.match(line) is not None
    more_names = _MORE_NAMES.match(text, end) if in_list else None
    after = more_names.end() if more_names else end
    several = "," in line or after > end
    for binder, pattern in _BINDERS:
        match = pattern.match(text, after if binder == "assigned" else end)
        if match is None:
            continue
        if binder == "beside" and text[start:end].lower() == "pass":
            continue  # `pass "v"` is the verb: to hand over
        value_strength, bound = _value_strength(text, start, end, name_strength, binder, quoted)
        reader = ValueReader(
            text,
            match.end(),
            value_strength,
            bound=bound,
            inside=binder == "called",
            several=several and in_list and binder == "assigned",
        )
        yield from reader.read(same_line=binder == "beside" or (binder == "entry" and not quoted))
        # A call without a literal may be the beginning of another form, which comes later in the list.
        if reader.has_literal or binder != "called":
            break
    yield from _unquoted(text, start, end, name_strength)
    head = _FUNCTION.match(text, end)
    if head:
        yield from ValueReader(text, head.end(), min(name_strength, Strength.MENTIONED), bound=True).read(
            same_line=True
        )


def _value_strength(
    text: str, start: int, end: int, name_strength: Strength, binder: str, quoted: bool
) -> tuple[Strength, bool]:
    """The strength with which to judge a value, and whether it counts as assigned to its name.

    Args:
        text: the whole text.
        start: start of the name.
        end: end of the name.
        name_strength: certainty with which the name announces a secret.
        binder: way in which the value is bound, a name of `_BINDERS`.
        quoted: whether the name is a string literal or a symbol, such as a key of a mapping.
    """
    if binder in {"assigned", "entry"}:
        return name_strength, True
    mentioned = min(name_strength, Strength.MENTIONED)
    if binder == "called":
        # A setter, a method of an object (`x.a("v")`, `x->a("v")`), or a call on the value or a block (`a.set("v")`).
        is_setter = (
            _SETTER.match(text, start, end) or text[max(0, start - 1) : start] in {".", ">"} or text[end] in ".{"
        )
        return (name_strength if is_setter else mentioned), True
    if binder == "argument":
        # `-` begins the name of an option: `run("--a", "v")`.
        pattern = _STORING if quoted else _COMPARING
        stored = pattern.search(text, max(0, start - 80), start) is not None
        is_first = _FIRST.search(text, max(0, start - 60), start) is not None or text[start] == "-"
        return (name_strength if stored else mentioned), stored or (quoted and is_first) or text[start:end].isupper()
    return mentioned, True


def _before(text: str, start: int, name_strength: Strength) -> Iterator[tuple[int, int]]:
    """Secrets in a string literal before a name: one compared with it, or in an attribute of its declaration."""
    attribute = _ATTRIBUTE.search(text, max(0, start - 200), start)
    if attribute:
        for first, last in secret_parts(attribute[1], min(name_strength, Strength.MENTIONED)):
            yield attribute.start(1) + first, attribute.start(1) + last
    window = text[max(0, start - 100) : start]
    match = _COMPARED.search(window)
    if match is None or match.start() == 0 or window[match.start() - 1] not in "\"'`":
        return
    # The literal's quotes: `close` is the one before the comparison, `opened` the same one further left.
    close = start - len(window) + match.start() - 1
    opened = text.rfind(text[close], max(0, close - 200), close)
    comma = match[0].lstrip().startswith(",")
    if opened >= 0 and "\n" not in text[opened:close]:
        # With a comma between them, literal and name are compared only as arguments of a call such as `strcmp`.
        compared = not comma or _COMPARING.search(text, max(0, opened - 60), opened)
        value_strength = (
            Strength.HINT if not compared else min(name_strength, Strength.MENTIONED) if comma else name_strength
        )
        for first, last in secret_parts(text[opened + 1 : close], value_strength):
            yield opened + 1 + first, opened + 1 + last


def _unquoted(text: str, start: int, end: int, name_strength: Strength) -> Iterator[tuple[int, int]]:
    """Secrets without quotes of their own: in comments, within literals, in lines of settings and as options."""
    filled = _FILLED_IN.match(text, end)
    if filled:
        yield from ValueReader(text, filled.end(), Strength.HINT, bound=False).read(same_line=True)
    match = _UNQUOTED.match(text, end)
    if match is None:
        return
    value = match[2].rstrip(".:!?*")
    if text[match.end() : match.end() + 1] == "(":  # the name of a function that is called
        return
    head = text[max(0, start - 400) : start].rpartition("\n")[2]
    in_comment = _COMMENT.search(head) is not None
    # An odd number of quotes before the name on its line means that it is within a literal.
    in_text = any(head.count(quote) % 2 for quote in "\"'`")
    is_setting = match[0].startswith("=") and _SETTING.fullmatch(head + text[start:end]) is not None
    is_option = text[start] == "-"
    # From the surest context to the least: the less certain it is, the more random the value has to look.
    if (in_text and match[1] == "=") or is_setting:
        is_value_secret = is_secret(value, name_strength)
    elif (in_comment or in_text or is_option) and (match[1] or is_option or name_strength >= Strength.KEY):
        announced = (match[1] or is_option) and (
            in_text or is_option or name_strength >= _MIN_STRENGTH.get(match[1], Strength.PASSWORD)
        )
        digits = any(map(str.isdigit, value)) and not value.isdigit()
        value_strength = name_strength if digits else min(name_strength, Strength.TOKEN)
        is_value_secret = is_secret(value, value_strength if announced else Strength.HINT)
    else:
        is_value_secret = bool(match[1]) and value.isalnum() and len(value) >= 12 and is_secret(value, Strength.HINT)
    if is_value_secret:
        yield match.start(2), match.start(2) + len(value)
