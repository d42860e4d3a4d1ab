"""Every construct that holds code is found under its name, or counted."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import pytest
import tree_sitter
from construct_sources import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st

from telly.mining.grammars import grammar
from telly.mining.repository.extract import Function, UnparsableError, extract
from telly.mining.repository.languages import LANGUAGES, Language, language_of, refined


def read(case: Case) -> tuple[list[Function], dict[str, int]]:
    language = language_of(case.file)
    assert language is not None
    found = extract(case.source, refined(language, case.file, case.source.encode()), documented=False, every=True)
    return found.functions, dict(found.left_out)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}: {case.source}"[:100])
def test_constructs_are_found_or_counted(case: Case) -> None:
    functions, left_out = read(case)
    assert ([function.name for function in functions], left_out) == (case.names, case.left_out)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CASES), st.data())
def test_broken_constructs_never_give_raw_text_as_a_name(case: Case, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(case.source)))
    end = data.draw(st.integers(start, len(case.source)))
    insert = data.draw(st.sampled_from(["", "{", ")", ";", "#if A\n", "\n#endif\n", '"', "<", "function", "def "]))
    with suppress(UnparsableError):
        functions, _ = read(case._replace(source=case.source[:start] + insert + case.source[end:]))
        for function in functions:
            name = re.sub(r"operator\W+(?=$)", "operator", function.name)
            assert re.fullmatch(
                r"[^\s(){};,]+(?: (?:checked|operator|int|bool|List<int>|new|delete|const|char|\S)+)*\S*", name
            )


@pytest.mark.parametrize(
    ("file", "source", "names", "left_out"),
    [
        ("a.js", f"a{'.b' * 5_000} = function () {{}};", ["b"], {}),
        ("a.cpp", f"int {'*' * 5_000}f() {{ return 1; }}", [], {"no name": 1}),
        ("a.js", f"x = (() => 1){' || a' * 5_000};", [], {"no name": 1}),
    ],
    ids=["members", "pointers", "alternatives"],
)
def test_long_chains_are_not_followed(file: str, source: str, names: list[str], left_out: dict[str, int]) -> None:
    functions, counted = read(Case(file, source, names, left_out))
    assert ([function.name.rpartition(".")[2] for function in functions], counted) == (names, left_out)


def test_every_language_has_constructs() -> None:
    assert {language_of(case.file) for case in CASES} == set(LANGUAGES)


BLOCKS = (
    *("block", "statement_block", "compound_statement", "body_statement", "do_block", "block_body", "constructor_body"),
    *("statement_list", "token_tree", "try_statement", "accessor_list", "arrow_expression_clause"),
    "property_hook_list",
)
LOOPS = (
    *("while_statement", "do_statement", "for_statement", "foreach_statement", "for_in_statement", "for_range_loop"),
    *("enhanced_for_statement", "for", "while", "until", "for_expression", "while_expression", "loop_expression"),
    *("while_modifier", "until_modifier"),
)
BRANCHES = (
    *("if_statement", "elif_clause", "else_clause", "else_if_clause", "switch_statement", "switch_expression"),
    *("switch_case", "switch_default", "switch_rule", "switch_section", "switch_block_statement_group", "case_clause"),
    *("case_statement", "default_statement", "match_statement", "communication_case", "default_case"),
    *("expression_case", "type_case", "in_clause", "when", "if_modifier", "unless_modifier", "if_expression"),
    *("match_arm", "match_expression", "match_pattern", "conditional_expression"),
)
TRIES = (
    *("try_statement", "except_clause", "finally_clause", "catch_clause", "try_with_resources_statement", "rescue"),
    *("rescue_modifier", "begin", "seh_try_statement", "seh_except_clause", "seh_finally_clause", "try_block"),
    "try_expression",
)
STATEMENTS = (
    *("with_statement", "labeled_statement", "attributed_statement", "synchronized_statement", "lock_statement"),
    *("checked_statement", "unsafe_statement", "fixed_statement", "using_statement", "expression_statement"),
    *("declare_statement", "global_statement", "let_declaration", "return_expression", "yield_expression"),
    "break_expression",
)
EXPRESSIONS = (
    *("dictionary_comprehension", "list_comprehension", "set_comprehension", "generator_expression", "for_in_clause"),
    *("binary_expression", "binary", "unary", "unary_expression", "parenthesized_expression", "query_expression"),
    *("composite_literal", "element_access_expression", "invocation_expression", "arguments", "argument_list"),
    *("array_expression", "assignment_expression", "async_block", "await_expression", "call_expression", "const_block"),
    *("compound_assignment_expr", "field_expression", "field_initializer", "base_field_initializer", "gen_block"),
    *("index_expression", "let_chain", "let_condition", "range_expression", "reference_expression", "unsafe_block"),
    *("struct_expression", "tuple_expression", "type_cast_expression", "list_literal", "heredoc_body", "find_pattern"),
    "array_pattern",
)
TYPES = (
    *("enum_declaration", "enum_specifier", "enum_item", "enum_variant", "struct_item", "union_item", "array_type"),
    *("type_definition", "sized_type_specifier", "type_arguments", "template_argument_list", "base_class_clause"),
    *("const_parameter", "parameter_list", "implicit_parameter", "abstract_function_declarator", "name"),
    *("function_declarator", "attribute"),
)
DECLARATIONS = ("declaration", "field_declaration", "const_declaration", "const_item", "static_item")
PLACES = (
    *("module", "program", "source_file", "module_declaration", "ambient_declaration", "namespace_declaration"),
    *("namespace_definition", "namespace_use_declaration", "singleton_class", "foreign_mod_item", "macro_rule"),
    *("linkage_specification", "enum_body_declarations", "class_body", "interface_declaration"),
    *("preproc_if", "preproc_elif", "preproc_elifdef", "preproc_else", "token_repetition", "colon_block"),
    *("struct_specifier", "union_specifier"),
)
"""What functions stand in; in C no functions stand in structures."""
RUN_WHERE_THEY_STAND = {
    *(*BLOCKS, *LOOPS, *BRANCHES, *TRIES, *STATEMENTS, *EXPRESSIONS, *TYPES, *DECLARATIONS, *PLACES),
}


def is_possible(made: tree_sitter.Language, pattern: str) -> bool:
    """Whether a grammar has a tree that a pattern fits."""
    try:
        tree_sitter.Query(made, pattern)
    except tree_sitter.QueryError:
        return False
    return True


FUNCTION_LIKE = "func|method|lambda|closure|proc|construct|destruct|initial|access|operator|hook|macro|block|defin|decl"


def bodies(language: Language, names: str) -> set[str]:
    """The kinds of nodes with a body or a block that the query does not capture and that are not known otherwise."""
    made = grammar(*language.grammar)
    ids = range(made.node_kind_count)
    kinds = {made.node_kind_for_id(at) for at in ids if made.node_kind_is_named(at) and made.node_kind_is_visible(at)}
    known = {*re.findall(r"\((\w+)", language.query), *RUN_WHERE_THEY_STAND, ""}
    inside = ["body: (_)", *(f"({block})" for block in BLOCKS if block in kinds)]
    found = {kind for kind in kinds - known if re.search(names, kind)}
    return {kind for kind in found if any(is_possible(made, f"({kind} {one})") for one in inside)}


@pytest.mark.parametrize("names", [FUNCTION_LIKE, pytest.param("", marks=pytest.mark.slow)], ids=["functions", "all"])
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda one: f"{one.name} {one.dialect}")
def test_every_node_with_a_body_is_captured_or_known(language: Language, names: str) -> None:
    """A grammar that gets a new kind of function fails here: capture it in `LANGUAGES`, or name it above."""
    assert bodies(language, names) == set()


def test_nodes_with_a_body_that_are_not_captured_are_noticed() -> None:
    language = next(one for one in LANGUAGES if one.name == "c-sharp")
    without = replace(language, functions=language.functions.replace("destructor_declaration", "block"))
    assert bodies(without, "destruct") == {"destructor_declaration"}
