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
        comments: how a comment begins that documents what follows; () where the docstring within does.
        wrappers: types around a function that belong to its code.
        shells: types around a function that do not, but what documents it stands before them.
        bodies: types around functions whose first comment stands before them.
        between: types of nodes that may stand between a comment and its function.
        wheel: which tree-sitter wheel has the grammar. [default: the name]
        dialect: which grammar of the wheel.
    """

    name: str
    suffixes: tuple[str, ...]
    functions: str
    classes: tuple[str, ...] = ()
    comments: tuple[str, ...] = ("/**",)
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
_TS_FUNCTIONS = f"{_JS_FUNCTIONS} (public_field_definition value: {_JS_VALUE}) @function"
_TS_CLASSES = ("class_declaration", "abstract_class_declaration", "internal_module")
_C_FUNCTIONS = "(function_definition body: (compound_statement)) @function"

LANGUAGES: tuple[Language, ...] = (
    Language(
        "python",
        (".py", ".pyi"),
        "(function_definition) @function",
        ("class_definition",),
        comments=(),
        shells=("decorated_definition",),
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
        shells=("export_statement",),
        between=("decorator",),
    ),
    Language(
        "typescript",
        (".ts", ".mts", ".cts"),
        _TS_FUNCTIONS,
        _TS_CLASSES,
        wrappers=_JS_WRAPPERS,
        shells=("export_statement",),
        between=("decorator",),
    ),
    Language(
        "typescript",
        (".tsx",),
        _TS_FUNCTIONS,
        _TS_CLASSES,
        wrappers=_JS_WRAPPERS,
        shells=("export_statement",),
        between=("decorator",),
        dialect="tsx",
    ),
    Language(
        "go",
        (".go",),
        "(function_declaration body: (_)) @function (method_declaration body: (_)) @function",
        comments=("//", "/*"),
    ),
    Language(
        "ruby",
        (".rb",),
        "(method) @function (singleton_method) @function",
        ("module", "class"),
        comments=("#", "=begin"),
        shells=("argument_list", "call"),
        bodies=("body_statement",),
    ),
    Language(
        "php",
        (".php",),
        "(function_definition) @function (method_declaration body: (_)) @function",
        ("class_declaration", "interface_declaration", "trait_declaration", "enum_declaration"),
        dialect="php",
    ),
    Language("c", (".c", ".h"), _C_FUNCTIONS, comments=("/*", "//")),
    Language(
        "cpp",
        (".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".cu", ".cuh"),
        _C_FUNCTIONS,
        ("class_specifier", "struct_specifier", "namespace_definition"),
        comments=("/*", "//"),
        wrappers=("template_declaration",),
    ),
    Language(
        "c-sharp",
        (".cs",),
        "(method_declaration body: (_)) @function (constructor_declaration body: (_)) @function",
        ("class_declaration", "interface_declaration", "struct_declaration", "record_declaration"),
        comments=("///", "/**"),
        wheel="c_sharp",
    ),
    Language(
        "rust",
        (".rs",),
        "(function_item) @function",
        ("impl_item", "trait_item", "mod_item"),
        comments=("///", "/**"),
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
