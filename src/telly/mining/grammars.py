"""tree-sitter's grammars, from the wheel of each language: nothing is fetched at run time."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from telly.errors import ConfigError


def grammar(language: str, dialect: str = "") -> Any:
    """A `tree_sitter.Language`.

    Args:
        language: name of its wheel: `java` for `tree-sitter-java`, `c_sharp` for `tree-sitter-c-sharp`.
        dialect: name of one of several grammars in a wheel: `tsx` of `typescript`. [default: the plain one]

    Raises:
        ConfigError: tree-sitter or the language's grammar is not installed.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", language):
        raise ConfigError(
            f"a language must be named as its tree-sitter wheel is, such as java or cpp, found {language!r}"
        )
    try:
        import tree_sitter
    except ImportError:
        raise ConfigError("code other than Python's needs tree-sitter: pip install 'telly[probing]'") from None
    try:
        module = import_module(f"tree_sitter_{language}")
    except ImportError:
        wheel = f"tree-sitter-{language.replace('_', '-')}"
        raise ConfigError(f"{language} code needs its tree-sitter grammar: pip install {wheel}") from None
    # PHP's wheel has one grammar for bare code and one for pages with code in them; TypeScript's has no plain name
    plain = (f"language_{language}_only", "language", f"language_{language}")
    names = (f"language_{dialect}",) if dialect else plain
    make = next(getattr(module, name) for name in names if hasattr(module, name))
    return tree_sitter.Language(make())
