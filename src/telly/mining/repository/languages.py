"""The languages whose functions are mined; a new one is an entry in `LANGUAGES` and its wheel in the extra `mining`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePath


@dataclass(frozen=True)
class Language:
    """Types of a language's nodes for functions and their documentation in tree-sitter's trees.

    Args:
        name: its name in options and in rows of data.
        suffixes: suffixes of its files, in lower case.
        functions: a query that captures every construct with code of its own: as `@function` those that may be
            taken, as `@block` blocks that count only outside of functions, as `@macro` macros, and as `@invocation`
            calls of macros whose arguments may define functions.
        classes: types of nodes whose name comes before those of the functions in them.
        containers: a query that captures further nodes of that kind as `@class`.
        values: types of functions that are values; their name is that of the variable or property to which they are
            assigned, or their own if they have one.
        binders: types of nodes that give a value a name, each with the field of the name.
        passes: types of nodes that pass a value on unchanged, such as parentheses and casts.
        calls: functions that return their argument, a function, or a version of it.
        style: style of documentation, a name of `telly.mining.repository.comments.STYLES`.
        wrappers: types of nodes around a function that belong to its code.
        shells: types of nodes around a function that do not, but whose preceding comment documents it.
        bodies: types of nodes around functions; the comment of the first function precedes the body.
        between: types of nodes that may come between a comment and its function.
        wheel: the tree-sitter wheel with the grammar. [default: the name]
        dialect: the grammar within the wheel.
    """

    name: str
    suffixes: tuple[str, ...]
    functions: str
    classes: tuple[str, ...] = ()
    containers: str = ""
    values: tuple[str, ...] = ()
    binders: tuple[tuple[str, str], ...] = ()
    passes: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
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
        """Captures of functions and classes, and `@error` for what does not parse."""
        values = [f"({kind}) @function" for kind in self.values]
        classes = [f"({kind}) @class" for kind in self.classes]
        return " ".join([self.functions, *values, *classes, self.containers, "(ERROR) @error"])


_JS_FUNCTIONS = """
(function_declaration) @function (generator_function_declaration) @function (method_definition) @function
(class_static_block) @function
"""
_JS_VALUES = ("arrow_function", "function_expression", "generator_function")
_JS_BINDERS = (
    ("variable_declarator", "name"),
    ("assignment_expression", "left"),
    ("augmented_assignment_expression", "left"),
    ("pair", "key"),
    ("field_definition", "property"),
    ("export_statement", ""),
)
_JS_PASSES = ("parenthesized_expression", "ternary_expression", "binary_expression", "sequence_expression")
_JS_CALLS = (
    *("memo", "forwardRef", "observer", "connect", "inject", "defineComponent", "useCallback", "debounce", "throttle"),
    *(
        "once",
        "memoize",
        "memoizeOne",
        "curry",
        "curryN",
        "partial",
        "partialRight",
        "wrap",
        "promisify",
        "callbackify",
    ),
    *("cache", "cached", "asyncHandler", "catchAsync", "wrapAsync", "action", "flow", "fn", "assign", "freeze"),
)
_JS_WRAPPERS = (
    *("lexical_declaration", "variable_declaration", "expression_statement"),
    *("variable_declarator", "assignment_expression"),
)
_JS_SHELLS = (
    *("export_statement", "call_expression", "new_expression", "arguments"),
    *("parenthesized_expression", "as_expression", "satisfies_expression"),
)
_JS_BETWEEN = ("decorator", ";")
# TypeScript extends JavaScript's grammar.
_TS_CLASSES = ("class_declaration", "abstract_class_declaration", "class", "internal_module", "module")
_TS_BINDERS = (*_JS_BINDERS, ("public_field_definition", "name"))
_TS_PASSES = (*_JS_PASSES, "as_expression", "satisfies_expression", "non_null_expression", "type_assertion")

_JAVASCRIPT = Language(
    "javascript",
    (".js", ".jsx", ".mjs", ".cjs"),
    _JS_FUNCTIONS,
    ("class_declaration", "class"),
    values=_JS_VALUES,
    binders=_JS_BINDERS,
    passes=_JS_PASSES,
    calls=_JS_CALLS,
    wrappers=_JS_WRAPPERS,
    style="jsdoc",
    shells=_JS_SHELLS,
    between=_JS_BETWEEN,
)
_TYPESCRIPT = replace(
    _JAVASCRIPT,
    name="typescript",
    suffixes=(".ts", ".mts", ".cts"),
    classes=_TS_CLASSES,
    binders=_TS_BINDERS,
    passes=_TS_PASSES,
)
# A block outside of functions is the body of a function whose head does not parse, for instance because of a macro.
_C_FUNCTIONS = """
(function_definition body: (_)) @function
(translation_unit (compound_statement) @function) (preproc_ifdef (compound_statement) @function)
(preproc_if (compound_statement) @function) (preproc_else (compound_statement) @function)
(preproc_elif (compound_statement) @function) (preproc_elifdef (compound_statement) @function)
(declaration_list (compound_statement) @function)
(preproc_function_def) @macro
"""
_CPP_FUNCTIONS = "(function_definition (try_statement)) @function"
_C_SHARP_BETWEEN = ("preproc_pragma", "preproc_region", "preproc_endregion", "preproc_nullable", "preproc_line")

LANGUAGES: tuple[Language, ...] = (
    Language(
        "python",
        (".py", ".pyi"),
        "(function_definition) @function",
        ("class_definition",),
        values=("lambda",),
        binders=(("assignment", "left"), ("named_expression", "name")),
        passes=("parenthesized_expression", "conditional_expression", "boolean_operator", "expression_list"),
        calls=("property", "cached_property", "staticmethod", "classmethod", "cache", "lru_cache", "wraps", "partial"),
        style="docstring",
        wrappers=("expression_statement",),
        shells=("decorated_definition",),
    ),
    Language(
        "java",
        (".java",),
        """
        (method_declaration body: (_)) @function (constructor_declaration) @function
        (compact_constructor_declaration) @function (static_initializer) @function
        (class_body (block) @function) (enum_body_declarations (block) @function)
        """,
        (
            *("class_declaration", "interface_declaration", "enum_declaration", "record_declaration"),
            *("annotation_type_declaration", "enum_constant"),
        ),
        containers="(object_creation_expression (class_body)) @class",
        values=("lambda_expression",),
        binders=(("variable_declarator", "name"), ("assignment_expression", "left")),
        passes=("parenthesized_expression", "cast_expression", "ternary_expression"),
        wrappers=("field_declaration", "constant_declaration", "local_variable_declaration", "expression_statement"),
    ),
    _JAVASCRIPT,
    _TYPESCRIPT,
    replace(_TYPESCRIPT, suffixes=(".tsx",), dialect="tsx"),
    Language(
        "go",
        (".go",),
        "(function_declaration body: (_)) @function (method_declaration body: (_)) @function",
        values=("func_literal",),
        binders=(
            *(("var_spec", "name"), ("short_var_declaration", "left"), ("assignment_statement", "left")),
            ("keyed_element", "key"),
        ),
        passes=("parenthesized_expression", "expression_list", "literal_element", "type_conversion_expression"),
        calls=("HandlerFunc", "OnceFunc", "OnceValue", "OnceValues"),
        style="godoc",
        wrappers=("var_declaration",),
    ),
    Language(
        "ruby",
        (".rb",),
        # A block may define a method or a class, as those of `define_method` and `Struct.new` do.
        """
        (method) @function (singleton_method) @function (begin_block) @function (end_block) @function
        (call block: [(block) (do_block)]) @block (element_reference block: [(block) (do_block)]) @block
        """,
        ("module", "class", "singleton_class"),
        values=("lambda",),
        binders=(("assignment", "left"), ("operator_assignment", "left")),
        passes=("parenthesized_statements",),
        style="rubydoc",
        shells=("argument_list", "call"),
        bodies=("body_statement",),
    ),
    Language(
        "php",
        (".php",),
        """
        (function_definition) @function (method_declaration body: (_)) @function
        (property_declaration (property_hook_list (property_hook body: (_)))) @function
        (property_promotion_parameter (property_hook_list (property_hook body: (_)))) @function
        """,
        (
            *("class_declaration", "interface_declaration", "trait_declaration", "enum_declaration"),
            "anonymous_class",
        ),
        values=("anonymous_function", "arrow_function"),
        binders=(
            *(("assignment_expression", "left"), ("augmented_assignment_expression", "left")),
            *(("property_element", "name"), ("static_variable_declaration", "name")),
        ),
        passes=("parenthesized_expression", "conditional_expression", "binary_expression", "cast_expression"),
        wrappers=("expression_statement", "property_declaration"),
        style="phpdoc",
        dialect="php",
    ),
    Language("c", (".c", ".h"), _C_FUNCTIONS, style="doxygen", wrappers=("linkage_specification",)),
    Language(
        "cpp",
        (".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".cu", ".cuh"),
        f"{_C_FUNCTIONS} {_CPP_FUNCTIONS}",
        ("class_specifier", "struct_specifier", "union_specifier", "namespace_definition"),
        values=("lambda_expression",),
        binders=(
            *(
                ("init_declarator", "declarator"),
                ("field_declaration", "declarator"),
                ("assignment_expression", "left"),
            ),
        ),
        passes=("parenthesized_expression", "cast_expression", "conditional_expression", "initializer_list"),
        calls=("move", "forward", "function"),
        style="doxygen",
        between=("access_specifier", ":"),
        wrappers=(
            *("template_declaration", "friend_declaration", "linkage_specification", "declaration"),
            "expression_statement",
        ),
    ),
    Language(
        "c-sharp",
        (".cs",),
        """
        (method_declaration body: (_)) @function (constructor_declaration body: (_)) @function
        (destructor_declaration body: (_)) @function (operator_declaration body: (_)) @function
        (conversion_operator_declaration body: (_)) @function (local_function_statement body: (_)) @function
        (property_declaration (accessor_list (accessor_declaration body: (_)))) @function
        (property_declaration value: (arrow_expression_clause)) @function
        (indexer_declaration (accessor_list (accessor_declaration body: (_)))) @function
        (indexer_declaration value: (arrow_expression_clause)) @function
        (event_declaration (accessor_list (accessor_declaration body: (_)))) @function
        """,
        ("class_declaration", "interface_declaration", "struct_declaration", "record_declaration"),
        values=("lambda_expression", "anonymous_method_expression"),
        binders=(
            *(("variable_declarator", "name"), ("property_declaration", "name"), ("assignment_expression", "left")),
        ),
        passes=("parenthesized_expression", "cast_expression", "conditional_expression"),
        style="xmldoc",
        between=_C_SHARP_BETWEEN,
        wrappers=(
            *("variable_declaration", "field_declaration", "local_declaration_statement", "expression_statement"),
            *("global_statement", "event_field_declaration"),
        ),
        wheel="c_sharp",
    ),
    Language(
        "rust",
        (".rs",),
        # The arguments of a macro have no tree; functions in them are counted by their tokens.
        "(function_item) @function (macro_definition) @macro (macro_invocation) @invocation",
        ("impl_item", "trait_item", "mod_item"),
        values=("closure_expression",),
        binders=(
            *(("let_declaration", "pattern"), ("static_item", "name"), ("const_item", "name")),
            *(("assignment_expression", "left"), ("field_initializer", "field")),
        ),
        passes=("parenthesized_expression", "reference_expression", "type_cast_expression"),
        calls=("new",),
        style="rustdoc",
        wrappers=("expression_statement",),
        between=("attribute_item",),
    ),
)
NAMES = tuple(dict.fromkeys(language.name for language in LANGUAGES))
_BY_SUFFIX = {suffix: language for language in LANGUAGES for suffix in language.suffixes}
UNREAD = {
    **dict.fromkeys((".ipynb", ".rmd", ".qmd", ".dib", ".zpln"), "notebooks"),
    **dict.fromkeys(
        (".vue", ".svelte", ".astro", ".riot", ".marko", ".razor", ".cshtml", ".gjs", ".gts"), "single-file components"
    ),
}
"""Suffixes and kinds of files with functions of a known language within another format, which is not read."""
_CPP_HEADER = re.compile(rb"^\s*(class|namespace|template|using|public:|private:)\b|\w::\w", re.MULTILINE)


def language_of(path: str) -> Language | None:
    """The language of a file by its suffix; None for any other file."""
    return _BY_SUFFIX.get(PurePath(path).suffix.lower())


def unread(path: str) -> str | None:
    """The kind of a file with functions within another format; None for any other file."""
    return UNREAD.get(PurePath(path).suffix.lower())


def refined(language: Language, path: str, source: bytes) -> Language:
    """The language of a file by its content as well: a header `.h` may be C++."""
    if path.lower().endswith(".h") and _CPP_HEADER.search(source):
        return _BY_SUFFIX[".cpp"]
    return language
