"""Follows the tokens of a value in any of the languages, and collects its string literals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from telly.mining.repository.secret_values import Strength, is_secret, secret_parts, words

LONGEST = 5000
"""Characters of a string literal that are looked at."""
TOKENS = 80
"""Tokens of a value that are looked at."""
DEEPEST = 8
"""Brackets within each other that are followed."""

_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)|(?P<line>\r?\n)|(?P<comment>(?<=\s)(?:\#|//)[^\n]{0,2000}|/\*[^*]{0,500}\*/)
    |(?P<raw>(?:u8|[uUL])?R"(?P<mark>[^()\\\s"]{0,16})\()|(?P<rust>[bc]?r(?P<hashes>\#{1,6})")
    |(?P<triple>\"{3}|'{3})|(?P<verbatim>(?:@\$?|\$@)")|(?P<escaped>\\{1,3}["'])|(?P<quote>["'`])
    |(?P<heredoc><<<[ \t]?["']?(?P<php>\w{1,40})["']?(?=\r?\n)
        |<<[~-]?["'`]?(?P<ruby>[A-Z_]\w{0,40})["'`]?(?=[^\n"'`]{0,80}\n))
    |(?P<percent>%[qQwW]?[(\[{<|!/](?=\S))
    |(?P<word>[\w$]+)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<end>;)|(?P<comma>,)
    |(?P<equal>===?|!==?|=>|->|[-+*/.|&?:]?=(?!=))|(?P<join>\.(?!\w)|\+|\\\r?\n?|<<)|(?P<sign>::|.)""",
    re.VERBOSE,
)
_OPENERS = frozenset({"raw", "rust", "triple", "verbatim", "escaped", "quote", "heredoc", "percent"})
_TO_QUOTE = {
    '"': re.compile(r'(?:[^"\\\n]|\\[\s\S]){0,2000}+(?=")'),
    "'": re.compile(r"(?:[^'\\\n]|\\[\s\S]){0,2000}+(?=')"),
    "`": re.compile(r"(?:[^`\\]|\\[\s\S]){0,5000}+(?=`)"),
}
_FOLDED = re.compile(r"[^\"'`\\;=(){}]{0,1000}+(?=[\"'])")
"""A quoted text over several lines, in languages that allow it; what looks like code is none."""
_VERBATIM = re.compile(r'(?:[^"]|""){0,5000}+(?=")')
_CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_AHEAD = re.compile(r"\s{0,200}+(\S?)")
_KEY_AHEAD = re.compile(r"\s{0,5}(?::(?!:)|=>)")
_STOPS = words("def class function fn func lambda async for while struct interface end do then elsif elif case")
_PREFIXES = words("b r u f t rb br fr rf B R U F L u8 c")
_GLUE = words("or and if else unless not is in new await return const final")
_HOLDERS = re.compile(
    r"default|value|val|fallback|initial|data|text|str|secret|key|raw|content|plain|password|token", re.IGNORECASE
)
_LOOKUP = re.compile(
    r"(?!get\w{0,20}bytes)(?:get|env|environ|config|cfg|conf|setting|param|query|form|header|cookie|prop|prompt|input|find|select|field|attr"
    r"|read|load|fetch|lookup|has|contains|require|pop|arg|option|flag|column|label|gettext|translate|i18n|print"
    r"|log|error|exception|raise|throw|warn|info|debug|fatal|panic)\w{0,30}\Z|t\Z|_\Z"
    r"|\w{0,30}(?:env|environ|error|exception|get|config|settings|params|request|cookies|headers|args|query)\Z",
    re.IGNORECASE,
)
"""Functions whose first argument is the name of a value, or a message."""
_CHARACTER = re.compile(r".|\\x[0-9a-fA-F]{2}|\\.", re.DOTALL)
_JOINING = frozenset({"join", "concat", "implode"})
_COMPARISONS = frozenset({"==", "===", "!=", "!=="})


@dataclass(frozen=True)
class _Literal:
    """Span of the content of a string literal, and end of the literal."""

    start: int
    end: int
    after: int


class ValueReader:
    """Reads one value, from what binds it to its end."""

    def __init__(self, text: str, at: int, name: Strength, *, bound: bool, inside: bool = False, several: bool = False):
        """Start where the value begins.

        Args:
            text: the whole text.
            at: the first character after what binds the value.
            name: how surely the value's name announces a secret.
            bound: whether the value is assigned to the name.
            inside: whether the value is the arguments of a call whose bracket is open.
            several: whether values of several names follow, with commas between.
        """
        self.text, self.at, self.name, self.bound = text, at, name, bound
        self.inside, self.several = inside, several
        self.depth = 1 if inside else 0
        self.groups: list[list[_Literal]] = []
        self.aside: list[_Literal] = []
        self.previous, self.word, self.argument = "start", "", ""
        self.chained = self.skip = self.ternary = self.joined = False

    def read(self, *, same_line: bool = False) -> list[tuple[int, int]]:
        """Start and end of every secret in the value.

        Args:
            same_line: whether the value has to begin on the line of its name.
        """
        for _ in range(TOKENS):
            match = _TOKEN.match(self.text, self.at)
            if match is None:
                break
            self.at = match.end()
            kind = match.lastgroup or "sign"
            if kind in {"space", "comment"}:
                continue
            if kind == "percent" and self.previous in {"word", "literal", "close"}:
                kind = "sign"
            if kind == "line":
                going = not (same_line and self.previous == "start") and self._goes_on()
            elif kind in _OPENERS:
                going = self._literal(match, kind)
            else:
                going = getattr(self, f"_{kind}")(match[0])
            if not going:
                break
        return list(self._secrets())

    @property
    def found(self) -> bool:
        """True if the value has a string literal."""
        return bool(self.groups or self.aside)

    def _secrets(self) -> Iterator[tuple[int, int]]:
        for group in [[*chain(*self.groups)]] if self.joined else self.groups:
            value = "".join(self.text[one.start : one.end].strip() for one in group)
            if len(group) > 1 and is_secret(value, self.name, bound=self.bound):
                yield from ((one.start, one.end) for one in group if one.end > one.start)
                continue
            for one in group:
                yield from self._parts(one, self.name, bound=self.bound)
        for one in self.aside:
            yield from self._parts(one, min(self.name, Strength.TOKEN), bound=False)

    def _parts(self, one: _Literal, name: Strength, *, bound: bool) -> Iterator[tuple[int, int]]:
        for start, end in secret_parts(self.text[one.start : one.end], name, bound=bound):
            yield one.start + start, one.start + end

    def _goes_on(self) -> bool:
        """Return whether the value continues on the next line."""
        if self.depth > 0 or self.previous in {"start", "join", "equal", "sign", "comma", "glue"}:
            return True
        ahead = _AHEAD.match(self.text, self.at)
        follows = ahead[1] if ahead else ""
        return follows in {*"+.?|&:"} or (self.previous == "literal" and follows in {'"', "'"})

    def _literal(self, match: re.Match[str], kind: str) -> bool:
        literal = _content(self.text, match, kind)
        if literal is None:
            return False
        self.at = literal.after
        key = self.depth > 0 and not self.ternary and _KEY_AHEAD.match(self.text, literal.after)
        unrelated = self.skip or key or (self.argument and not _HOLDERS.search(self.argument))
        before, self.previous, self.argument, self.skip = self.previous, "literal", "", False
        if unrelated:
            return True
        if before == "lookup":
            self.aside.append(literal)
        elif self.groups and (before in {"join", "literal"} or (before == "comma" and self._is_piece(literal))):
            self.groups[-1].append(literal)
        else:
            self.groups.append([literal])
        return True

    def _is_piece(self, literal: _Literal) -> bool:
        """Return whether a literal is one character, as the one before is, in a list of characters."""
        last = self.groups[-1][-1]
        return all(_CHARACTER.fullmatch(self.text, one.start, one.end) for one in (last, literal))

    def _word(self, word: str) -> bool:
        if word in _PREFIXES and self.text[self.at : self.at + 1] in {'"', "'"}:
            return True
        plain = word not in _GLUE
        self.joined = self.joined or word in _JOINING
        if word in _STOPS or (plain and self.previous == "word" and self.depth == 0):
            return False
        self.previous, self.word = ("word", word) if plain else ("glue", "")
        self.skip = False
        return True

    def _open(self, bracket: str) -> bool:
        before = self.previous
        if bracket == "{" and self._opens_block():
            return False
        index = bracket == "[" and before in {"word", "close"}
        asked = bracket == "(" and before == "word" and _LOOKUP.match(self.word)
        self.depth += 1
        if self.depth > DEEPEST:
            return False
        self.previous, self.argument = ("lookup" if index or asked else "start"), ""
        return True

    def _opens_block(self) -> bool:
        """Return whether a brace begins a block of code rather than a list, as `T{`, `[]string{` and `new[] {` do."""
        if self.previous == "word":
            return not self.word[0].isupper() and self.text[self.at - 2].isspace()
        if self.previous == "close":
            return not self.text[max(0, self.at - 4) : self.at - 1].rstrip().endswith("]")
        return self.previous in {"arrow", "literal"}

    def _close(self, bracket: str) -> bool:
        self.depth -= 1
        self.previous, self.argument = "close", ""
        return self.depth >= (1 if self.inside else 0)

    def _end(self, sign: str) -> bool:
        return False

    def _comma(self, sign: str) -> bool:
        self.previous, self.argument = "comma", ""
        return self.depth > 0 or self.several

    def _equal(self, sign: str) -> bool:
        before = self.previous
        self.previous = "arrow" if sign in {"=>", "->"} else "equal"
        if before not in {"word", "close"} or self.previous == "arrow":
            return True
        if sign in _COMPARISONS:
            self.skip = True
        elif self.depth > 0:
            self.argument = self.word
        elif self.chained:
            return False
        else:
            self.chained = True
        return True

    def _join(self, sign: str) -> bool:
        self.previous = "join"
        return True

    def _sign(self, sign: str) -> bool:
        if sign == ":" and self.previous == "word" and self.depth > 0 and not self.ternary:
            self.argument = self.word
        self.ternary = self.ternary or sign == "?"
        self.previous = "sign"
        return True


def _content(text: str, match: re.Match[str], kind: str) -> _Literal | None:
    """The content of the literal that begins there; None where it does not end."""
    start = match.end()
    if kind == "heredoc":
        return _heredoc(text, start, match["php"] or match["ruby"])
    if kind in {"quote", "verbatim"}:
        quote = match[0][-1]
        found = (_VERBATIM if kind == "verbatim" else _TO_QUOTE[quote]).match(text, start)
        if found is None and quote != "`":
            found = _FOLDED.match(text, start)
            found = found if found and text[found.end()] == quote else None
        return _Literal(start, found.end(), found.end() + 1) if found else None
    closer = {
        "raw": lambda: f'){match["mark"]}"',
        "rust": lambda: f'"{match["hashes"]}',
        "percent": lambda: _CLOSERS.get(match[0][-1], match[0][-1]),
    }.get(kind, lambda: match[0])()
    end = text.find(closer, start, start + LONGEST)
    return _Literal(start, end, end + len(closer)) if end >= 0 else None


def _heredoc(text: str, start: int, mark: str) -> _Literal | None:
    body = text.find("\n", start, start + 200)
    found = re.compile(rf"\n[ \t]{{0,40}}{mark}\b").search(text, body, body + LONGEST) if body >= 0 else None
    return _Literal(body + 1, max(body + 1, found.start()), found.end()) if found else None
