"""Reader of the tokens of a value in any of the languages, which collects its string literals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from telly.mining.repository.secret_values import Strength, is_secret, secret_parts, words

MAX_CHARACTERS = 5000
"""Maximum number of characters of a string literal."""
MAX_TOKENS = 80
"""Maximum number of tokens of a value that are read."""
MAX_DEPTH = 8
"""Maximum nesting of brackets."""

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
"""A quoted text over several lines, in languages that allow it; it must not look like code."""
_VERBATIM = re.compile(r'(?:[^"]|""){0,5000}+(?=")')
_CLOSERS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_AHEAD = re.compile(r"\s{0,200}+(\S?)")
_KEY_AHEAD = re.compile(r"\s{0,5}(?::(?!:)|=>)")
_STOPS = words("def class function fn func lambda async for while struct interface end do then elsif elif case")
_PREFIXES = words("b r u f t rb br fr rf B R U F L u8 c")
_GLUE = words("or and if else unless not is in new await return const final")
_VALUE_PARAMETERS = re.compile(
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
    """Reads one value, from its beginning to its end, in a bounded number of tokens."""

    def __init__(
        self, text: str, at: int, strength: Strength, *, bound: bool, inside: bool = False, several: bool = False
    ):
        """Start at the beginning of the value.

        Args:
            text: the whole text.
            at: offset of the value.
            strength: certainty with which the value's name announces a secret.
            bound: whether the value is assigned to the name.
            inside: whether the value is the arguments of a call whose bracket is open.
            several: whether the values of several names follow, separated by commas.
        """
        self.text, self.at, self.strength, self.bound = text, at, strength, bound
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
        for _ in range(MAX_TOKENS):
            match = _TOKEN.match(self.text, self.at)
            if match is None:
                break
            self.at = match.end()
            kind = match.lastgroup or "sign"
            if kind in {"space", "comment"}:
                continue
            # After a value `%` is an operator, and does not begin a literal of Ruby.
            if kind == "percent" and self.previous in {"word", "literal", "close"}:
                kind = "sign"
            if kind == "line":
                more = not (same_line and self.previous == "start") and self._continues()
            elif kind in _OPENERS:
                more = self._literal(match, kind)
            else:
                # a method for each other group of `_TOKEN`; it returns whether the value continues
                more = getattr(self, f"_{kind}")(match[0])
            if not more:
                break
        return list(self._secrets())

    @property
    def has_literal(self) -> bool:
        """True if the value has a string literal."""
        return bool(self.groups or self.aside)

    def _secrets(self) -> Iterator[tuple[int, int]]:
        for group in [[*chain(*self.groups)]] if self.joined else self.groups:
            value = "".join(self.text[literal.start : literal.end].strip() for literal in group)
            # Adjacent literals are first judged as one text: each piece alone may be too short.
            if len(group) > 1 and is_secret(value, self.strength, bound=self.bound):
                yield from ((literal.start, literal.end) for literal in group if literal.end > literal.start)
                continue
            for literal in group:
                yield from self._parts(literal, self.strength, bound=self.bound)
        for literal in self.aside:
            yield from self._parts(literal, min(self.strength, Strength.TOKEN), bound=False)

    def _parts(self, literal: _Literal, strength: Strength, *, bound: bool) -> Iterator[tuple[int, int]]:
        for start, end in secret_parts(self.text[literal.start : literal.end], strength, bound=bound):
            yield literal.start + start, literal.start + end

    def _continues(self) -> bool:
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
        is_key = self.depth > 0 and not self.ternary and _KEY_AHEAD.match(self.text, literal.after)
        # Keys, operands of comparisons, and arguments of other names are not the value.
        unrelated = self.skip or is_key or (self.argument and not _VALUE_PARAMETERS.search(self.argument))
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
        """Return whether a literal and the one before it are single characters, as in a list of characters."""
        last = self.groups[-1][-1]
        return all(_CHARACTER.fullmatch(self.text, piece.start, piece.end) for piece in (last, literal))

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
        # The text in `env["NAME"]` or `get("NAME")` is the name of a value or a message, and rarely the value itself.
        is_index = bracket == "[" and before in {"word", "close"}
        is_lookup = bracket == "(" and before == "word" and _LOOKUP.match(self.word)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            return False
        self.previous, self.argument = ("lookup" if is_index or is_lookup else "start"), ""
        return True

    def _opens_block(self) -> bool:
        """Return whether a brace begins a block of code rather than a list, as `T{`, `[]string{` and `new[] {` do."""
        if self.previous == "word":
            return not self.word[0].isupper() and self.text[self.at - 2].isspace()
        if self.previous == "close":
            return not self.text[max(0, self.at - 4) : self.at - 1].rstrip().endswith("]")
        return self.previous in {"arrow", "literal"}

    def _close(self, bracket: str) -> bool:
        # A bracket that was open before the value ends it.
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
    """The content of the literal that begins at a token; None if it does not end."""
    start = match.end()
    if kind == "heredoc":
        return _heredoc(text, start, match["php"] or match["ruby"])
    if kind in {"quote", "verbatim"}:
        quote = match[0][-1]
        body = (_VERBATIM if kind == "verbatim" else _TO_QUOTE[quote]).match(text, start)
        if body is None and quote != "`":
            body = _FOLDED.match(text, start)
            body = body if body and text[body.end()] == quote else None
        return _Literal(start, body.end(), body.end() + 1) if body else None
    closer = {
        "raw": lambda: f'){match["mark"]}"',
        "rust": lambda: f'"{match["hashes"]}',
        "percent": lambda: _CLOSERS.get(match[0][-1], match[0][-1]),
    }.get(kind, lambda: match[0])()
    end = text.find(closer, start, start + MAX_CHARACTERS)
    return _Literal(start, end, end + len(closer)) if end >= 0 else None


def _heredoc(text: str, start: int, mark: str) -> _Literal | None:
    """The content of a heredoc, from the next line to the line with its closing mark."""
    body = text.find("\n", start, start + 200)
    closing = re.compile(rf"\n[ \t]{{0,40}}{mark}\b").search(text, body, body + MAX_CHARACTERS) if body >= 0 else None
    return _Literal(body + 1, max(body + 1, closing.start()), closing.end()) if closing else None
