"""Decides whether a name announces a secret, and whether a value looks like one."""

from __future__ import annotations

import base64
import binascii
import enum
import math
import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise

MASK = "MASKED_SECRET"
"""Replacement of a secret. The line breaks of a secret stay, so that all lines keep their numbers."""
RUN = 8
"""Length of a stretch of the alphabet or the digits that marks a table of characters instead of a secret."""
LONG_RUN = 16
"""The same for values assigned to a name such as `password`: `12345678` and `abcdefgh` are in use."""
_ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "0123456789")


class Strength(enum.IntEnum):
    """Certainty with which a name announces a secret: the higher, the more values count as one.

    `HINT` is a name such as `key`, or one with more after the telling word (`token_type`): only random values count.
    `TOKEN` needs letters and digits, `MENTIONED` (beside a password's name, but not assigned to it) fewer of them.
    `KEY` (`api_key`, `client_secret`) also takes long words, and `PASSWORD` nearly any value but a placeholder.
    """

    HINT = 1
    TOKEN = 2
    MENTIONED = 3
    KEY = 4
    PASSWORD = 5


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_PIECES = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_PASSWORD = re.compile(
    r"\w*(?:password|passwd|passphrase|passcode|passwort|kennwort|contrase[nñ]a|motdepasse|wachtwoord|lösenord"
    r"|пароль|密码|密碼|パスワード|비밀번호)s?"
    r"|(?:[a-z]{0,3}db|user|usr|my|root|admin|mysql|pg|postgres|smtp|ftp|ssh|sql|redis|mongo|mail|email|ldap|proxy|login)?"
    r"(?:pwd|passw|pswd|psw|pword|pw|passwrd)|senha|pwds"
    r"|(?:db|user|usr|my|root|admin|mysql|pg|smtp|ftp|ssh|sql|redis|mongo|mail|email|ldap|proxy)pass",
)
_SECRET = re.compile(r"\w*secrets?|secr")
_JOINED_KEY = re.compile(
    r"\w*(?:api|access|auth|secret|private|priv|service|account|encryption|signing|master|client|consumer|storage|app"
    r"|subscription|license|crypto|hmac|aes|jwt|ssh|db|deploy|deployment|shared|webhook|cookie|session)keys?"
    r"|\w{0,20}(?:auth|access|refresh|bearer|bot|api|session|user|csrf|id)tokens?|jwts?"
)
_KEY_QUALIFIERS = words(
    "api access auth authentication secret private priv service account encryption encrypt decryption crypto "
    "cipher signing sign signature master client consumer storage subscription license licence hmac aes des rsa "
    "jwt ssh gpg pgp db database deploy deployment shared webhook cookie session app application server admin "
    "root user security web integration write ingest rest vault host"
)
_PASSES = words(
    "first second third last next final two one single multi render forward backward should will must can each"
)
_TOKEN = re.compile(r"\w{0,20}tokens?|bearer|authorization|credentials?|creds?|passkeys?|otp|totp|pin|pincode")
_HINT = re.compile(r"keys?|auth|salt|cookie|hmac|dsn|csrf|sid|login|logon|authenticate|mysqli|pdo|connect(?:ion)?")
_DESCRIBING = words(
    "field label name names type types kind url uri path file filename dir folder format regex regexp pattern "
    "prompt message msg error errors help hint placeholder title id ids header headers param parameter params "
    "column col length len size min max policy validator validation rule rules endpoint prefix suffix class input "
    "text description desc encoding algorithm algo alg scope scopes count key keys index attr attribute option "
    "options flag env var variable version status state source provider page form view template link route query "
    "schema table method mode strength required expired expires expiry timeout ttl lifetime age created updated "
    "changed reset manager store service helper change location place role roles group item element selector css "
    "html icon separator delimiter char chars charset alphabet subject issuer audience test tests case example "
    "examples doc docs note notes comment comments question answer word words set list dict map usage info data"
)
_HARMLESS_TAIL = words("key keys value val string str text data bytes raw env default")


@lru_cache(maxsize=20_000)
def strength(name: str) -> Strength | None:
    """Certainty with which a name announces a secret; None if it does not."""
    pieces = [piece.lower() for piece in _PIECES.findall(name)]
    strongest: Strength | None = None
    last = 0
    for index, piece in enumerate(pieces):
        before = pieces[index - 1] if index else ""
        current = _of_pass(before, index + 1 == len(pieces)) if piece == "pass" else _of_piece(piece, before)
        if current is not None and (strongest is None or current >= strongest):
            strongest, last = current, index
    if strongest is None:
        return None
    # Words after the telling one may say that the value is something else: `password_field`, `token_count`.
    tail = [piece for piece in pieces[last + 1 :] if piece not in _HARMLESS_TAIL]
    if any(piece in _DESCRIBING for piece in tail):
        return Strength.HINT
    if pieces[last + 1 :] and pieces[-1] in {"key", "keys"} and strongest is Strength.TOKEN:
        return Strength.HINT
    return strongest


def _of_pass(before: str, last: bool) -> Strength | None:
    """Strength of the piece `pass`: `db_pass` is a password, `first_pass`, `pass_value` and `2pass` are not."""
    if not last or before in _PASSES or before.isdigit():
        return None
    return Strength.PASSWORD if before else Strength.KEY


def _of_piece(piece: str, before: str) -> Strength | None:
    """Strength of any other piece of a name after the piece before it."""
    if _PASSWORD.fullmatch(piece) or (piece in {"word", "phrase", "code"} and before == "pass"):
        return Strength.PASSWORD
    joined = _JOINED_KEY.fullmatch(piece) or (piece in {"key", "keys"} and before in _KEY_QUALIFIERS)
    if joined or _SECRET.fullmatch(piece) or (piece in {"token", "tokens"} and before in _KEY_QUALIFIERS):
        return Strength.KEY
    if _TOKEN.fullmatch(piece):
        return Strength.TOKEN
    return Strength.HINT if _HINT.fullmatch(piece) else None


_FILLED = r"#?\$?\{\{?[^{}\n]{0,100}\}\}?|\$\([^()\n]{0,100}\)|<[^<>\n]{0,60}>|%\(\w{1,40}\)s|\[\[[^\[\]\n]{0,60}\]\]"
_INTERPOLATED = re.compile(_FILLED)
_VARIABLE = re.compile(
    rf"(?:{_FILLED}|%[sdrqv]|\$[A-Za-z_]\w{{0,60}}|%[A-Z_]{{2,40}}%|@[A-Z_]{{2,40}}@|[\s:/@._=-]){{1,20}}+"
)
"""Values that consist of variables to be filled in."""
_PLACEHOLDER_WORDS = words(
    "change replace fill insert enter put your my some any the a an example sample dummy fake test todo fixme "
    "redacted hidden masked removed none null nil undefined true false empty default optional required string str "
    "text bytes varchar number int integer boolean object unknown invalid valid wrong correct bad good new old "
    "current confirm here me it this value goes with not set is of in for to and or by no yes on off basic bearer "
    "digest oauth jwt header body query cookie form json xml utf ascii hex base plain random local user admin "
    "root login client server auth api access refresh private public shared id key keys name type foo bar baz "
    "password passwd passwort passphrase passcode pass pwd pw secret secrets token tokens credential credentials "
    "word phrase code contraseña hash hashed encrypted db database email username authorization authentication "
    "grant reset forgot"
)
_PLACEHOLDER = re.compile(
    r"(?:(.)\1*|[xX*.#?_-]+|(?:"
    + "|".join(sorted(_PLACEHOLDER_WORDS, key=len, reverse=True))  # the longest first, since nothing is tried twice
    + r"|[\s_.:/<>()\[\]{}-])++[!.:?…]*)",
    re.IGNORECASE,
)
"""Values of words that replace a value, describe it, or repeat the name."""
_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|[a-z][a-z0-9]*(?:[._/:-][a-z0-9]+)+|[a-z]+(?:[A-Z][a-z]+)+\d?")
"""Names of variables, constants, settings and paths."""
_CODE_PATH = re.compile(r"(?:[A-Za-z_]\w*[.:\\/])+[A-Za-z_]\w*")
_PATH = re.compile(r"\.{0,2}/\S*|[A-Za-z]:\\\S*|https?://\S*|(?:application|audio|font|image|multipart|text|video)/\S+")
_PATTERN = re.compile(
    r"\[\^?[^\]\s]{0,20}(?:a-z|A-Z|0-9|1-9|a-f|A-F)|\\[dswDSW](?:[*+?{\])|]|\Z)|\(\?[:=!P]|\)\.\w+\(|\$\{|\[[^\]\s]{1,20}\][*+]"
)
"""A part of a regular expression, or code between two quotes that belong to other texts."""
_TECHNICAL = re.compile(
    r"0x[0-9a-f_]{1,16}|~/\S*|[\w/.~-]+\.(?:pem|key|crt|cer|pub|p12|jks|json|ya?ml|toml|ini|env|txt|py)|(?:[\w.+-]+@)?(?:[\w-]+\.)+(?:com|org|net|edu|gov|io|dev|app|co|de|uk|eu|local|localdomain|example"
    r"|test|internal|lan)(?::\d{1,5})?(?:/\S*)?|localhost:\d{1,5}\S{0,40}|"
    r"v?\d+(?:\.\d+)+\S{0,12}|\d{4}-\d\d-\d\d\S{0,20}|[A-Za-z_]\w*(?:::|->)\w+|\w+\([^()]*\)"
    r"|(?:sha|md|aes|rsa|des|hs|rs|es|ps|ed|utf|iso|base|oauth|pbkdf|pkcs|secp|prime|curve|ecdsa|hmac|blake|ripemd|crc|x"
    r"|sm|sslv|tlsv|argon|ipv|int|uint|float)-?\d{1,5}(?:[-_/:.]\w{1,12}|[a-z]{1,8}\d{0,4}){0,3}",
    re.IGNORECASE,
)
"""Numbers, versions, dates, addresses, calls, and names of algorithms and types."""
_MARKED = re.compile(r"[:#.@$&*]+[\w-]*|[^\W\d_]+(?:[:?…*]|\.\.\.)+")
"""A reference such as `:password` or `#password`, and a label."""
_SENTENCE = words(
    "a an the is are was be must should may can cannot not no your you please enter to of for and or in on with "
    "from by at this that it if has have invalid missing required expired use using new old current when than"
)


MAX_CHARACTERS = 5000
"""Maximum length of a value; longer ones are not secrets."""
_BLANK = re.compile(r"(?:\s|\\[\snrt])*+")
_ESCAPED_BLANK = re.compile(r"\\[nrt]")
_WORD = re.compile(r"(?:[^\s\\]|\\[^\snrt])+")


def is_secret(value: str, name: Strength, *, bound: bool = True) -> bool:
    """Return whether a value that belongs to a name is a secret.

    Args:
        value: the text between the quotes.
        name: certainty with which the name announces a secret.
        bound: whether the value is assigned to the name, and not merely beside it.
    """
    if len(value) > MAX_CHARACTERS or is_placeholder(value):
        return False
    bare = _INTERPOLATED.sub("", value).strip()
    is_certain = bound and name >= Strength.KEY
    if _PATTERN.search(bare) or (has_run(bare, LONG_RUN if is_certain else RUN)):
        return False
    if re.search(r"\s", bare):
        return name is Strength.PASSWORD and bound and _is_phrase(bare)
    irregular = is_irregular(bare)
    if len(bare) <= 100 and (_TECHNICAL.fullmatch(bare) or (not irregular and _PATH.fullmatch(bare))):
        return False
    if name is Strength.HINT or not bound:
        return len(bare) >= 10 and irregular and any(map(str.isdigit, bare)) and "\\x" not in bare
    return _is_password(bare, irregular) if name is Strength.PASSWORD else _is_key(bare, name, irregular)


def _is_key(value: str, name: Strength, irregular: bool) -> bool:
    if len(value) >= 8 and (irregular or _is_jumbled(value)):
        return True
    if not _is_mixed(value):
        return name is Strength.KEY and (_is_long_word(value) or (value.isdigit() and len(value) >= 6))
    return len(value) >= (8 if name is Strength.TOKEN else 6) and not _is_named(value, name)


def _is_jumbled(value: str) -> bool:
    """Return whether upper and lower case, or letters, digits and signs are mixed, with hardly any word in it."""
    kinds = (re.search(kind, value) is not None for kind in ("[a-z]", "[A-Z]", "[0-9]", r"[^\w\s./:\\-]"))
    plain = sum(map(str.isalnum, value)) >= 0.7 * len(value)
    return sum(kinds) >= 2 and plain and wordiness(value) < 0.3 and not _NAME.fullmatch(value) and len(set(value)) >= 6


def _is_named(value: str, name: Strength) -> bool:
    """Return whether a value is an identifier with a number in it."""
    if _NAME.fullmatch(value):
        return name is Strength.TOKEN or any(map(strength, _PIECES.findall(value)))
    return name is Strength.TOKEN and re.fullmatch(r"[a-z]*(?:[A-Z]+[a-z]{2,}[0-9]*_?){2,}", value) is not None


def is_placeholder(value: str, shortest: int = 4) -> bool:
    """Return whether a value is too short for a secret or replaces one: a placeholder, a variable, a mask."""
    bare = _INTERPOLATED.sub("", value).strip()
    short = MASK in value or len(bare) < shortest
    return short or any(pattern.fullmatch(bare) is not None for pattern in (_PLACEHOLDER, _VARIABLE))


def secret_parts(value: str, name: Strength, *, bound: bool = True) -> list[tuple[int, int]]:
    """Spans of secrets in a value: all of it without surrounding space, or those of its words that look random."""
    lead = _BLANK.match(value)
    start, end = lead.end() if lead else 0, len(value)
    while end > start and (value[end - 1].isspace() or _ESCAPED_BLANK.fullmatch(value, end - 2, end)):
        end -= 1 if value[end - 1].isspace() else 2
    if is_secret(value[start:end], name, bound=bound):
        return [(start, end)]
    parts = [match.span() for match in _WORD.finditer(value)]
    return [span for span in parts if len(parts) > 1 and is_secret(value[slice(*span)], Strength.HINT)]


def _is_phrase(value: str) -> bool:
    """Return whether several words are a passphrase instead of a sentence."""
    parts = value.split()
    if any(word.lower().strip(".,:!?'") in _SENTENCE or strength(word) for word in parts):
        return False
    plain = all(re.fullmatch(r"[a-z0-9]+", word) for word in parts)
    return (plain and 3 <= len(parts) <= 12) or (
        len(parts) <= 4 and any(map(str.isdigit, value)) and not value[0].isupper()
    )


def _is_password(value: str, irregular: bool) -> bool:
    if value.isdigit():
        return True
    if value.isalpha():
        return len(value) >= 6 and value.isascii() and not (value[0].isupper() and value[1:].islower())
    if _CODE_PATH.fullmatch(value) and not irregular:
        return False
    if _NAME.fullmatch(value):
        parts = re.split(r"[^A-Za-z0-9]", value)
        return any(map(str.isdigit, value)) or (value.count("-") >= 2 and not any(map(strength, parts)))
    return len(value) >= 5 and not _MARKED.fullmatch(value)


def _is_mixed(value: str) -> bool:
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and entropy(value) >= 2.3


def _is_long_word(value: str) -> bool:
    """Return whether a value is letters alone, as `supersecretkey`, but not the name of a variable or constant."""
    if not value.isascii() or not value.isalpha() or len(value) < 8:
        return False
    return value.islower() or (
        entropy(value) >= 3.4 and not re.fullmatch(r"[A-Za-z][a-z]+(?:[A-Z][a-z]+)*|[A-Z]+", value)
    )


_FOLLOWERS = words(
    "abcdgilmnprstuv baelou caehiklortu daeiosu eacdefglmnprstvx faefiou geis haeio iabcdefglmnoprstvz ke "
    "ladeilostuy maeiop nacdegiostu obcdlmnoprstuvw paeiloprt qu radegimnorstuy sacehiopstu taehiorstuy "
    "ueilmnprst vaei wahi xt yp ze"
)
_PAIRS = frozenset(group[0] + letter for group in _FOLLOWERS for letter in group[1:])
"""Pairs of letters that are common in English words: the first letter, then those that follow it."""


def is_irregular(value: str) -> bool:
    """Return whether digits and capitals are mixed with letters as in no word or identifier, even one with a number."""
    parts = re.findall(r"\d+|[A-Z]+[a-z]*|[^\W\d_A-Z]+|[\W_]+", value)
    changes = sum(part[0].isalnum() and following[0].isalnum() for part, following in pairwise(parts))
    min_changes = 3 if any(map(str.isdigit, value)) else 4
    return changes >= min_changes and wordiness(value) < 0.5 and entropy(value) >= 2.3


def wordiness(value: str) -> float:
    """Ratio of a text's characters that may belong to English words, judged by common pairs of letters."""
    covered = 0
    for run in re.findall(r"[A-Z][a-z]{2,}|[A-Z]{4,}|[a-z]{4,}", value):
        word = run.lower()
        if sum(letter + following in _PAIRS for letter, following in pairwise(word)) >= 0.6 * (len(word) - 1):
            covered += len(word)
    return covered / len(value)


def is_random(value: str) -> bool:
    """Return whether a long text is random, regardless of a name."""
    if has_run(value):
        return False
    if re.fullmatch(r"[0-9a-f]+|[0-9A-F]+", value):  # at most 4 bits a character, so a limit of its own
        return entropy(value) >= 3.0
    kinds = (any(map(test, value)) for test in (str.isdigit, str.islower, str.isupper))
    return all(kinds) and entropy(value) >= 4.3


def is_basic(value: str) -> bool:
    """Return whether a text is user and password of HTTP's basic authentication in base64."""
    try:
        # Padded, since the `=` at the end is often left out or not matched.
        plain = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return False
    return ":" in plain and plain.isprintable()


def has_run(value: str, length: int = RUN) -> bool:
    """Return whether a text contains a stretch of the alphabet or the digits of at least this length."""
    lower = value.lower()
    return any(
        alphabet[at : at + length] in lower for alphabet in _ALPHABETS for at in range(len(alphabet) - length + 1)
    )


def entropy(text: str) -> float:
    """Shannon entropy of a text's characters, in bits per character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
