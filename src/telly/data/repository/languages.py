"""The languages whose functions are mined; a new one is an entry in `LANGUAGES` and its wheel in the extra `mining`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True)
class Language:
    """How functions and what documents them look like in tree-sitter's trees.

    Args:
        name: as users write it and rows hold it.
        suffixes: of its files, in lower case.
        functions: a query that captures functions with a body as `@function`.
        classes: types of nodes whose name comes before those of the functions in them.
        style: how what documents a function is written; a name of `telly.data.repository.comments.STYLES`.
        wrappers: types around a function that belong to its code.
        shells: types around a function that do not, but a comment before them documents it.
        bodies: types around functions; the comment of the first one stands before the body.
        between: types of nodes that may stand between a comment and its function.
        wheel: which tree-sitter wheel has the grammar. [default: the name]
        dialect: which grammar of the wheel.
    """

    name: str
    suffixes: tuple[str, ...]
    functions: str
    classes: tuple[str, ...] = ()
    style: str = "javadoc"
    wrappers: tuple[str, ...] = ()
    shells: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    wheel: str = ""
    dialect: str = ""

    @property
    def grammar(self) -> tuple[str, str]:
        """The wheel, and the dialect in it."""
        return self.wheel or self.name, self.dialect

    @property
    def query(self) -> str:
        """Captures `@function` and `@class`."""
        return " ".join([self.functions, *(f"({kind}) @class" for kind in self.classes)])


_JS_VALUE = "[(arrow_function) (function_expression) (generator_function)]"
_JS_FUNCTIONS = f"""
(function_declaration) @function (generator_function_declaration) @function (method_definition) @function
(variable_declarator value: {_JS_VALUE}) @function (assignment_expression right: {_JS_VALUE}) @function
(pair value: {_JS_VALUE}) @function
"""
_JS_WRAPPERS = ("lexical_declaration", "variable_declaration", "expression_statement")
_JS_SHELLS = (
    "export_statement",
    "variable_declarator",
    "assignment_expression",
    "call_expression",
    "new_expression",
    "arguments",
    "parenthesized_expression",
    "as_expression",
    "satisfies_expression",
)
_JS_BETWEEN = ("decorator", ";")
_TS_FUNCTIONS = f"{_JS_FUNCTIONS} (public_field_definition value: {_JS_VALUE}) @function"
_TS_CLASSES = ("class_declaration", "abstract_class_declaration", "internal_module")
_C_FUNCTIONS = "(function_definition body: (compound_statement)) @function"
_C_SHARP_BETWEEN = ("preproc_pragma", "preproc_region", "preproc_endregion", "preproc_nullable", "preproc_line")

LANGUAGES: tuple[Language, ...] = (
    Language(
        "python",
        (".py", ".pyi"),
        "(function_definition) @function",
        ("class_definition",),
        style="docstring",
    ),
    Language(
        "java",
        (".java",),
        "(method_declaration body: (_)) @function (constructor_declaration) @function",
        ("class_declaration", "interface_declaration", "enum_declaration", "record_declaration"),
    ),
    Language(
        "javascript",
        (".js", ".jsx", ".mjs", ".cjs"),
        f"{_JS_FUNCTIONS} (field_definition value: {_JS_VALUE}) @function",
        ("class_declaration",),
        wrappers=_JS_WRAPPERS,
        style="jsdoc",
        shells=_JS_SHELLS,
        between=_JS_BETWEEN,
    ),
    Language(
        "typescript",
        (".ts", ".mts", ".cts"),
        _TS_FUNCTIONS,
        _TS_CLASSES,
        wrappers=_JS_WRAPPERS,
        style="jsdoc",
        shells=_JS_SHELLS,
        between=_JS_BETWEEN,
    ),
    Language(
        "typescript",
        (".tsx",),
        _TS_FUNCTIONS,
        _TS_CLASSES,
        wrappers=_JS_WRAPPERS,
        style="jsdoc",
        shells=_JS_SHELLS,
        between=_JS_BETWEEN,
        dialect="tsx",
    ),
    Language(
        "go",
        (".go",),
        "(function_declaration body: (_)) @function (method_declaration body: (_)) @function",
        style="godoc",
    ),
    Language(
        "ruby",
        (".rb",),
        "(method) @function (singleton_method) @function",
        ("module", "class"),
        style="rubydoc",
        shells=("argument_list", "call"),
        bodies=("body_statement",),
    ),
    Language(
        "php",
        (".php",),
        "(function_definition) @function (method_declaration body: (_)) @function",
        ("class_declaration", "interface_declaration", "trait_declaration", "enum_declaration"),
        style="phpdoc",
        dialect="php",
    ),
    Language("c", (".c", ".h"), _C_FUNCTIONS, style="doxygen"),
    Language(
        "cpp",
        (".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".cu", ".cuh"),
        _C_FUNCTIONS,
        ("class_specifier", "struct_specifier", "namespace_definition"),
        style="doxygen",
        wrappers=("template_declaration",),
        shells=("linkage_specification", "friend_declaration"),
        between=("access_specifier", ":"),
    ),
    Language(
        "c-sharp",
        (".cs",),
        "(method_declaration body: (_)) @function (constructor_declaration body: (_)) @function",
        ("class_declaration", "interface_declaration", "struct_declaration", "record_declaration"),
        style="xmldoc",
        between=_C_SHARP_BETWEEN,
        wheel="c_sharp",
    ),
    Language(
        "rust",
        (".rs",),
        "(function_item) @function",
        ("impl_item", "trait_item", "mod_item"),
        style="rustdoc",
        between=("attribute_item",),
    ),
)
NAMES = tuple(dict.fromkeys(language.name for language in LANGUAGES))
_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}
_CPP_HEADER = re.compile(rb"^\s*(class|namespace|template|using|public:|private:)\b|\w::\w", re.MULTILINE)


def language_of(path: str) -> Language | None:
    """The language that a file's name tells; None for any other file."""
    return _BY_SUFFIX.get(PurePath(path).suffix.lower())


def refined(language: Language, path: str, source: bytes) -> Language:
    """The language that the content tells: a header `.h` may be C++."""
    if path.lower().endswith(".h") and _CPP_HEADER.search(source):
        return _BY_SUFFIX[".cpp"]
    return language
