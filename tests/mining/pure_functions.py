"""Functions of the package's own sample that have no effects but on their arguments, and what to call them with.

Nothing else of the sample, and nothing that users mine, is ever run.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORDS = ("alpha", "beta", "Gamma", "alp", "a", "", "yes", "off", "%x y", "2", "=?-", "a_b", "ü", "al-fa")
Maker = Callable[[random.Random], Any]


def one_of(*values: Any) -> Maker:
    return lambda rng: rng.choice(values)


def integer(least: int = -40, most: int = 400) -> Maker:
    return lambda rng: rng.randint(least, most)


def listed(maker: Maker, most: int = 6, *, ordered: bool = False) -> Maker:
    def make(rng: random.Random) -> list[Any]:
        values = [maker(rng) for _ in range(rng.randint(0, most))]
        return sorted(values) if ordered else values

    return make


def mapped(keys: Maker, values: Maker) -> Maker:
    return lambda rng: {keys(rng): values(rng) for _ in range(rng.randint(0, 4))}


def text(alphabet: str, most: int = 14) -> Maker:
    return lambda rng: "".join(rng.choices(alphabet, k=rng.randint(0, most)))


@dataclass(frozen=True)
class Pure:
    """A function of the sample: where it is from, what its arguments are made by, and what it needs to run."""

    path: str
    name: str
    makers: tuple[Maker, ...]
    setup: str = ""

    def calls(self, rng: random.Random, count: int) -> list[str]:
        """Lists of arguments as literals."""
        return [repr([maker(rng) for maker in self.makers]) for _ in range(count)]


WORD = one_of(*WORDS)
INTS = listed(integer(-9, 9))
SOME_INTS = listed(integer(-9, 9), ordered=True)
PATH = text("ab/.:", 10)
LINES = text("ab \t\n", 30)
HOST = text("ab:@?#;/=12", 12)
SPEC = one_of(
    {"minimumwidth": 9, "fill": "*", "align": "<", "sign": "+"},
    {"minimumwidth": 7, "fill": " ", "align": "^", "sign": " "},
    {"minimumwidth": 8, "fill": "0", "align": "=", "sign": "-"},
    {"minimumwidth": 3, "fill": "-", "align": ">", "sign": "-"},
    {"minimumwidth": 3, "fill": "-", "align": "?", "sign": "-"},
)
BYTE = one_of(b"a", b" ", b"\t", b"=", b"_", b"\x80", b"~", b"Z")
PUNYCODE = "from encodings.punycode import *\nfrom encodings.punycode import adapt, digits, T"
SEPARATED = "import os, genericpath\nfrom posixpath import _get_sep"
FINDING_LINES = "class dis: findlinestarts = dict.items"
SIFTING = "from heapq import _siftup, _siftdown"

FUNCTIONS = (
    Pure("_pydecimal.py", "_decimal_lshift_exact", (integer(), integer(-3, 4))),
    Pure("_pydecimal.py", "_sqrt_nearest", (integer(-1), integer(-1, 20))),
    Pure("_pydecimal.py", "_rshift_nearest", (integer(), integer(0, 5))),
    Pure("_pydecimal.py", "_div_nearest", (integer(), integer(0, 12))),
    Pure("_pydecimal.py", "_group_lengths", (listed(integer(0, 3), 3),), "import locale as _locale"),
    Pure("_pydecimal.py", "_format_align", (one_of("", "-"), text("0123.", 8), SPEC)),
    Pure("_pydecimal.py", "_format_sign", (one_of(True, False), SPEC)),
    Pure("bisect.py", "bisect_right", (SOME_INTS, integer(-9, 9), integer(-1, 3))),
    Pure("bisect.py", "insort_right", (SOME_INTS, integer(-9, 9)), "from bisect import bisect_right"),
    Pure("distutils/util.py", "strtobool", (one_of("yes", "no", "On", "F", "1", "0", "maybe"),)),
    Pure("distutils/util.py", "rfc822_escape", (LINES,)),
    Pure("email/utils.py", "unquote", (text('"<>\\a', 8),)),
    Pure("email/utils.py", "decode_rfc2231", (text("'a%4", 8),), 'import urllib.parse\nTICK = "\'"'),
    Pure("genericpath.py", "commonprefix", (listed(one_of("alpha", "alp", "al", "alb"), 4),), "import os"),
    Pure("genericpath.py", "_splitext", (text("a./", 10), one_of("/"), one_of(None, "\\"), one_of("."))),
    Pure("heapq.py", "heappush", (SOME_INTS, integer(-9, 9)), SIFTING),
    Pure("heapq.py", "heappop", (SOME_INTS,), SIFTING),
    Pure("heapq.py", "heapreplace", (SOME_INTS, integer(-9, 9)), SIFTING),
    Pure("heapq.py", "heappushpop", (SOME_INTS, integer(-9, 9)), SIFTING),
    Pure("heapq.py", "heapify", (INTS,), SIFTING),
    Pure("html/__init__.py", "escape", (text("a<>&\"'", 9), one_of(True, False))),
    Pure("imaplib.py", "Int2AP", (integer(),)),
    Pure("inspect.py", "cleandoc", (LINES,), "import sys"),
    Pure("inspect.py", "indentsize", (text(" \ta", 8),)),
    Pure("ipaddress.py", "_count_righthand_zero_bits", (integer(0), integer(0, 9))),
    Pure("mailcap.py", "parsefield", (text("ab;\\ ", 12), integer(0, 3), integer(0, 12))),
    Pure("ntpath.py", "splitdrive", (text("ab:/\\", 10),), "import os"),
    Pure("operator.py", "concat", (one_of([1], "a", 3), one_of([2], "b", 4))),
    Pure("posixpath.py", "join", (PATH, PATH, PATH), SEPARATED),
    Pure("posixpath.py", "split", (PATH,), SEPARATED),
    Pure("posixpath.py", "basename", (PATH,), SEPARATED),
    Pure("posixpath.py", "dirname", (PATH,), SEPARATED),
    Pure("quopri.py", "needsquoting", (BYTE, one_of(True, False), one_of(True, False)), 'ESCAPE = b"="'),
    Pure("quopri.py", "quote", (BYTE,), 'ESCAPE = b"="\nHEX = b"0123456789ABCDEF"'),
    Pure("quopri.py", "ishex", (one_of(b"a", b"F", b"g", b"0", b"~"),)),
    Pure("quopri.py", "unhex", (one_of(b"a", b"F0", b"1c9", b"", b"zz"),)),
    Pure("textwrap.py", "indent", (LINES, one_of("> ", " "))),
    Pure("unittest/util.py", "sorted_list_difference", (SOME_INTS, SOME_INTS)),
    Pure("unittest/util.py", "unorderable_list_difference", (INTS, INTS)),
    Pure("unittest/util.py", "_count_diff_all_purpose", (INTS, INTS), "from unittest.util import _Mismatch"),
    Pure("urllib/parse.py", "unwrap", (one_of("<URL:a:b>", " URL:x ", "<c>", "d"),)),
    Pure("urllib/parse.py", "_splituser", (HOST,)),
    Pure("urllib/parse.py", "_splitpasswd", (HOST,)),
    Pure("urllib/parse.py", "_splitnport", (HOST,)),
    Pure("urllib/parse.py", "_splitquery", (HOST,)),
    Pure("urllib/parse.py", "_splittag", (HOST,)),
    Pure("urllib/parse.py", "_splitattr", (HOST,)),
    Pure("xml/sax/saxutils.py", "__dict_replace", (text("abc", 9), mapped(one_of("a", "b"), WORD))),
    Pure("encodings/__init__.py", "normalize_encoding", (one_of(*WORDS, b"utf-8", "ISO 8859.1"),)),
    Pure("encodings/punycode.py", "segregate", (text("aüßbé", 9),)),
    Pure("encodings/punycode.py", "selective_len", (text("aüßbé", 9), integer(90, 250))),
    Pure("encodings/punycode.py", "selective_find", (text("aüb", 9), one_of("a", "ü"), integer(-1, 3), integer(-1, 3))),
    Pure("encodings/punycode.py", "generate_generalized_integer", (integer(0), integer(20, 80)), PUNYCODE),
    Pure("encodings/punycode.py", "generate_integers", (integer(0, 5), listed(integer(0, 90), 4)), PUNYCODE),
    Pure("calendar.py", "leapdays", (integer(1890, 2030), integer(1890, 2030))),
    Pure("codecs.py", "make_encoding_map", (mapped(integer(0, 9), integer(0, 3)),)),
    Pure("datetime.py", "_divide_and_round", (integer(), integer(-4, 9))),
    Pure("difflib.py", "_keep_original_ws", (text(" a\t", 8), text(" +-", 8))),
    Pure("difflib.py", "_format_range_unified", (integer(0, 9), integer(0, 12))),
    Pure("functools.py", "_c3_merge", (listed(listed(one_of("a", "b", "c"), 2, ordered=True), 3),)),
    Pure("ast.py", "_pad_whitespace", (text(" \ta\f", 9),)),
    Pure("ast.py", "_splitlines_no_ff", (text("a\r\n\f", 9),)),
    Pure("dis.py", "pretty_flags", (integer(),), "from dis import COMPILER_FLAG_NAMES"),
    Pure("distutils/dep_util.py", "newer_pairwise", (INTS, INTS), "newer = int.__gt__"),
    Pure(
        "pyclbr.py", "readmodule", (mapped(WORD, one_of(1, "a")),), "Class, _readmodule = int, lambda module, _: module"
    ),
    Pure("trace.py", "_find_lines_from_code", (mapped(integer(0, 9), integer(0, 9)), INTS), FINDING_LINES),
    Pure("zipfile.py", "_ancestry", (PATH,), "import posixpath"),
)
