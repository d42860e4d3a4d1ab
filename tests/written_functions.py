"""One function as a tree of statements, written in each of the eleven languages, under any name and in any layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from textwrap import indent

Statement = tuple[str, "str | int | list[Statement]"]
"""A kind and its value: `+` or `-` a number, `say` a text, `again` call the function itself, `if` a block."""


@dataclass(frozen=True)
class Layout:
    """How a function is written that stays the same."""

    name: str
    unit: str
    gap: str
    comments: bool


@dataclass(frozen=True)
class Style:
    """How a language writes a function and its statements."""

    file: str
    head: str
    tail: str
    variable: str = "x"
    end: str = ";"
    condition: str = "if (%s) {"
    close: str = "}"
    comment: str = "//"
    say: str = "say(%s)"


STYLES = {
    "python": Style("a.py", "def %s(x):", "", end="", condition="if %s:", close="", comment="#"),
    "java": Style("A.java", "class A {\nvoid %s(int x) {", "}\n}"),
    "javascript": Style("a.js", "function %s(x) {", "}", end=""),
    "typescript": Style("a.ts", "const %s = (x: number) => {", "}"),
    "go": Style("a.go", "package a\nfunc %s(x int) {", "}", end="", condition="if %s {"),
    "ruby": Style("a.rb", "def %s(x)", "end", end="", condition="if %s", close="end", comment="#"),
    "php": Style("a.php", "<?php\nfunction %s($x) {", "}", variable="$x"),
    "c": Style("a.c", "static void %s(int x) {", "}"),
    "cpp": Style("a.cpp", "void A::%s(int x) {", "}"),
    "c-sharp": Style("a.cs", "class A {\nvoid %s(int x) {", "}\n}"),
    "rust": Style("a.rs", "fn %s(mut x: i32) {", "}", condition="if %s {"),
}


def written(style: Style, body: list[Statement], layout: Layout) -> str:
    lines = "\n".join(_lines(style, body, layout))
    head = style.head % layout.name
    return "\n".join([head, indent(lines, layout.unit), style.tail, ""])


def _lines(style: Style, body: list[Statement], layout: Layout) -> list[str]:
    found = []
    for kind, value in body:
        if layout.comments:
            found.append(f"{style.comment} {layout.name} {kind}")
        if isinstance(value, list):
            found.append(style.condition % f"{style.variable}{layout.gap}>{layout.gap}0")
            found.append(indent("\n".join(_lines(style, value, layout)), layout.unit))
            found += [style.close] if style.close else []
        elif kind == "say":
            found.append(style.say % f'"{value}"' + style.end)
        elif kind == "again":
            call: Statement = ("call", f"{layout.name}({layout.gap}{value}{layout.gap}){style.end}")
            found += _lines(style, [("if", [call])], replace(layout, comments=False))
        elif kind == "call":
            found.append(str(value))
        else:
            found.append(f"{style.variable}{layout.gap}{kind}={layout.gap}{value}{style.end}")
    return found
