"""Which functions are copies: one list of equal and of different pairs, and generated functions in all languages."""

from __future__ import annotations

from dataclasses import replace
from textwrap import indent

import pytest
import tree_sitter
from hypothesis import given, settings
from hypothesis import strategies as st

from telly.mining.copies import content_key, tree_key
from telly.mining.grammars import grammar
from telly.mining.own_names import of_type
from telly.mining.repository.extract import extract
from telly.mining.repository.languages import LANGUAGES, NAMES, language_of
from written_functions import STYLES, Layout, Statement, written


def keys(file: str, source: str) -> list[str]:
    language = language_of(file)
    assert language is not None
    return [found.key for found in extract(source, language, documented=False, every=True).functions]


def key(file: str, source: str) -> str:
    [found] = keys(file, source)
    return found


# Pairs of one function under two names; the words are what differs.
COPIES = {
    "python: name": ("a.py", "def f(a):\n    return a\n", "def g(a):\n    return a\n"),
    "python: async": ("a.py", "async def f(a):\n    return a\n", "async def g(a):\n    return a\n"),
    "python: indentation": (
        "a.py",
        "def f(a):\n    if a:\n        b()\n    c()\n",
        "def g(a):\n\tif a:\n\t\tb()\n\tc()\n",
    ),
    "python: layout": ("a.py", "def f(a):\n    if a: b(); c()\n", "def g(a):\n  if a:\n    b()\n\n    c( )\n"),
    "python: continued lines": ("a.py", "def f(a):\n    return a + 1\n", "def g(a):\n    return a + \\\n  1\n"),
    "python: comments": ("a.py", "def f(a):\n    return a\n", "def g(a):\n    # what\n    return a  # it is\n"),
    "python: docstrings": (
        "a.py",
        'def f(a):\n    "One."\n    def h():\n        r"Two."\n        return 1\n    return h\n',
        'def g(a):\n    """Three.\n\n    Four."""\n    def h():\n        return 1\n    return h\n',
    ),
    "python: of a class": (
        "a.py",
        'def f(self):\n    s = """a\n      b"""\n    return s\n',
        'class A:\n    class B:\n        def g(self):\n            s = """a\n      b"""\n            return s\n',
    ),
    "python: recursion": ("a.py", "def f(n):\n    return f(n - 1)\n", "def g(n):\n    return g(n - 1)\n"),
    "python: recursion as a value": ("a.py", "def f(n):\n    return map(f, n)\n", "def g(n):\n    return map(g, n)\n"),
    "python: recursive method": (
        "a.py",
        "class A:\n    def f(self, n):\n        return self.f(n) + A.f(self, n)\n",
        "class A:\n    def g(self, n):\n        return self.g(n) + A.g(self, n)\n",
    ),
    "python: parameter of the same name": ("a.py", "def f(f):\n    return f(1)\n", "def g(f):\n    return f(1)\n"),
    "python: variable of the same name": (
        "a.py",
        "def f(a):\n    f, b = a\n    return f\n",
        "def g(a):\n    f, b = a\n    return f\n",
    ),
    "python: method that delegates": (
        "a.py",
        "class A:\n    def f(self):\n        return f(self.b.f) + self.b.f(f=1) + super().f()\n",
        "class A:\n    def g(self):\n        return f(self.b.f) + self.b.f(f=1) + super().f()\n",
    ),
    "ruby: name": ("a.rb", "def f(a)\n  a + 1\nend\n", "def g?(a)\n\n      a+1 # more\nend\n"),
    "ruby: operator": ("a.rb", "def +(o)\n  join(o)\nend\n", "def concat(o)\n  join(o)\nend\n"),
    "ruby: semicolons": ("a.rb", "def f(a)\n  b(a); c\nend\n", "def g(a)\n  b(a)\n  c\nend\n"),
    "ruby: recursion": ("a.rb", "def f!(n)\n  f!(n) + self.f!(n)\nend\n", "def g(n)\n  g(n) + self.g(n)\nend\n"),
    "go: name": (
        "a.go",
        "package a\nfunc F(n int) int { return F(n - 1) }",
        "package b\nfunc g(n int) int {\n\treturn g(n-1)\n}",
    ),
    "go: receiver's type": (
        "a.go",
        "package a\nfunc (s *Stack[T]) Len(n int) int { return s.Len(n) + s.b.Len() }",
        "package a\nfunc (s *Queue[T]) Size(n int) int {\n\treturn s.Size(n) + s.b.Len()\n}",
    ),
    "java: name": (
        "A.java",
        "class A { int f(int a) { return a; } }",
        "class B { int g(int a)\n{\n  return a; // so\n} }",
    ),
    "java: constructor": ("A.java", "class A { A(int a) { b = a; } }", "class C { C(int a) { b = a; } }"),
    "java: recursion": (
        "A.java",
        "class A { int f(int a) { return a < 1 ? f(1) + this.f(2) : A.f(3); } }",
        "class A { int g(int a) { return a < 1 ? g(1) + this.g(2) : A.g(3); } }",
    ),
    "java: variable of the same name": (
        "A.java",
        "class A { int f(int a) { int f = a; return f; } }",
        "class A { int g(int a) { int f = a; return f; } }",
    ),
    "javascript: name": ("a.js", "function f(a) { return a }", "function g(a) {\n  return a;\n}"),
    "javascript: generator": ("a.js", "function* f(a) { yield a }", "function *g(a) { yield a }"),
    "javascript: assigned": ("a.js", "const f = (a) => { b(a) };", "const g = (a) => {\n  b(a)\n}"),
    "javascript: of an object": (
        "a.js",
        "x.f = function (a) { return x.f(a) }",
        "x.g = function (a) { return x.g(a) }",
    ),
    "javascript: of a prototype": (
        "a.js",
        "A.prototype.f = function (a) { return this.f(a) };",
        "B.prototype.g = function (a) { return this.g(a) };",
    ),
    "javascript: inner name": (
        "a.js",
        "const f = function h(a) { return h(a) };",
        "const g = function (a) { return g(a) };",
    ),
    "javascript: key": ("a.js", "x = { f: function (a) { return a } }", "x = { 'a b': function (a) { return a } }"),
    "javascript: method": (
        "a.js",
        "class A { f(a) { return this.f(a) + f(a) } }",
        "class B { g(a) { return this.g(a) + f(a) } }",
    ),
    "javascript: private method": (
        "a.js",
        "class A { #f(a) { return this.#f(a) } }",
        "class A { #g(a) { return this.#g(a) } }",
    ),
    "javascript: destructured": (
        "a.js",
        "function f(a) { const {f} = a; f(1) }",
        "function g(a) { const {f} = a; f(1) }",
    ),
    "javascript: JSX": (
        "a.jsx",
        "function F(a) { return <ul a='b  c'>one {a} two<F/></ul> }",
        "function G(a) {\n  return <ul a='b  c'>\n      one {a} two\n {/* more */}\n      <G />\n    </ul>;\n}",
    ),
    "typescript: name": (
        "a.ts",
        "function f(a: number): number { return a }",
        "function g(a: number): number {\n  return a;\n}",
    ),
    "typescript: field": ("a.ts", "class A { f = (a: X) => this.f(a) }", "class A { g = (a: X) => this.g(a) }"),
    "php: name": (
        "a.php",
        "<?php function f($a) { return f($a - 1); }",
        "<?php\nfunction g( $a ) {\n  # so\n  return g($a - 1);\n}",
    ),
    "php: method": (
        "a.php",
        "<?php class A { function f($f) { return $this->f($f) + self::f(1) + static::f(2) + f(3); } }",
        "<?php class A { function g($f) { return $this->g($f) + self::g(1) + static::g(2) + f(3); } }",
    ),
    "c: name": ("a.c", "int *f(int a) { return f(a - 1); }", "int *\ng(int a)\n{\n  return g(a - 1); /* so */\n}"),
    "c: structure of the same name": (
        "a.c",
        "int f(struct f *f) { return f->f; }",
        "int g(struct f *f) { return f->f; }",
    ),
    "cpp: qualified": (
        "a.cpp",
        "int A::f(int a) const { if (a) return f(a - 1) + A::f(1) + this->f(2); return f(0, 0); }",
        "int A::g(int a) const { if (a) return g(a - 1) + A::g(1) + this->g(2); return f(0, 0); }",
    ),
    "cpp: in and outside of the class": (
        "a.cpp",
        "struct A { int f(int a) { return a; } };",
        "int B<int>::g(int a) { return a; }",
    ),
    "cpp: operator": (
        "a.cpp",
        "bool A::operator==(const A& a) const { return cmp(a); }",
        "bool A::equals(const A& a) const { return cmp(a); }",
    ),
    "cpp: destructor": ("a.cpp", "A::~A() { close(); }", "B::~B() { close(); }"),
    "cpp: reference": ("a.cpp", "int& f(int a) { return b[a]; }", "int &g(int a) { return b[a]; }"),
    "c-sharp: name": (
        "a.cs",
        "class A { int f(int a) => a > 0 ? f(a - 1) : 0; }",
        "class A { int g(int a)\n => a > 0 ? g(a-1) : 0; }",
    ),
    "c-sharp: constructor": ("a.cs", "class A { A(int a) { b = a; } }", "class C { C(int a) { b = a; } }"),
    "rust: name": ("a.rs", "fn f(n: u8) -> u8 { f(n - 1) }", "fn g(n: u8) -> u8 {\n    /// so\n    g(n-1)\n}"),
    "rust: method": (
        "a.rs",
        "impl A { fn f(&self, n: u8) -> u8 { self.f(n) + Self::f(n) + f(n) } }",
        "impl B { fn g(&self, n: u8) -> u8 { self.g(n) + Self::g(n) + f(n) } }",
    ),
    "python: value": ("a.py", "f = lambda a: a + 1\n", "g = lambda a: a + 1\n"),
    "javascript: export": (
        "a.js",
        "export default function f(a) { return a; }",
        "export default function g(a) { return a; }",
    ),
    "javascript: private": ("a.js", "class A { static #f(a) { return a; } }", "class B { static #g(a) { return a; } }"),
    "javascript: async generator": ("a.js", "async function* f(a) { yield a; }", "async function* g(a) { yield a; }"),
    "typescript: in a namespace": (
        "a.ts",
        "namespace N { export function f(a: any) { return a; } }",
        "namespace M { export function g(a: any) { return a; } }",
    ),
    "go: generic": (
        "a.go",
        "package a\nfunc f[T any](a T) T { return a }",
        "package a\nfunc g[T any](a T) T { return a }",
    ),
    "java: compact constructor": (
        "A.java",
        "record R(int a) { R { check(a); } }",
        "record S(int a) { S { check(a); } }",
    ),
    "java: default method": (
        "A.java",
        "interface I { default int f() { return 1; } }",
        "interface J { default int g() { return 1; } }",
    ),
    "c-sharp: base constructor": (
        "a.cs",
        "class A { A(int a) : base(a) { x = a; } }",
        "class B { B(int a) : base(a) { x = a; } }",
    ),
    "c: gives a function": ("a.c", "int (*f(int a))(int) { return p; }", "int (*g(int a))(int) { return p; }"),
    "cpp: inside and outside": (
        "a.cpp",
        "class A { int f(int a) const { return a; } };",
        "int B::g(int a) const { return a; }",
    ),
    "cpp: reference to a constant": (
        "a.cpp",
        "const std::string& A::name() const { return n_; }",
        "const std::string& B::title() const { return n_; }",
    ),
    "ruby: one line": ("a.rb", "def f(a) = a + 1\n", "def g(a) = a + 1\n"),
    "ruby: of the class": ("a.rb", "def self.f(a)\n  a\nend\n", "def self.g(a)\n  a\nend\n"),
    "rust: through Self": (
        "a.rs",
        "impl A { fn f(&self, n: u8) -> u8 { Self::f(self, n) } }",
        "impl B { fn g(&self, n: u8) -> u8 { Self::g(self, n) } }",
    ),
    "php: through self": (
        "a.php",
        "<?php class A { static function f($a) { return self::f($a); } }",
        "<?php class B { static function g($a) { return self::g($a); } }",
    ),
}
# Pairs that look alike; the words are what makes them different functions.
OTHERS = {
    "python: indentation": (
        "a.py",
        "def f(a):\n    if a:\n        b()\n        c()\n",
        "def f(a):\n    if a:\n        b()\n    c()\n",
    ),
    "python: else of which if": (
        "a.py",
        "def f(a, b):\n    if a:\n        if b:\n            c()\n        else:\n            d()\n",
        "def f(a, b):\n    if a:\n        if b:\n            c()\n    else:\n        d()\n",
    ),
    "python: white space in a text": ("a.py", "def f():\n    return 'a b'\n", "def f():\n    return 'a  b'\n"),
    "python: indentation of a text": (
        "a.py",
        'def f():\n    return """a\n  b"""\n',
        'def f():\n    return """a\n    b"""\n',
    ),
    "python: format": ("a.py", "def f(a):\n    return f'{a:>2}'\n", "def f(a):\n    return f'{a: >2}'\n"),
    "python: words without a blank": ("a.py", "def f(a):\n    return a\n", "def f(a):\n    returna\n"),
    "python: text that documents nothing": ("a.py", "def f(a):\n    a()\n    'b'\n", "def f(a):\n    a()\n"),
    "python: nothing but a docstring": ("a.py", 'def f(a):\n    """B."""\n', 'def f(a):\n    """C."""\n'),
    "python: bytes": ("a.py", "def f(a):\n    b'b'\n    a()\n", "def f(a):\n    a()\n"),
    "python: async": ("a.py", "async def f(a):\n    return a\n", "def f(a):\n    return a\n"),
    "python: parameter": ("a.py", "def f(a):\n    return a\n", "def f(b):\n    return b\n"),
    "python: recursion and a call": ("a.py", "def f(n):\n    return f(n)\n", "def g(n):\n    return f(n)\n"),
    "python: attribute": ("a.py", "def f(n):\n    return n.f\n", "def g(n):\n    return n.g\n"),
    "python: key of a call": ("a.py", "def f(n):\n    return h(f=n)\n", "def g(n):\n    return h(g=n)\n"),
    "ruby: one call or two": ("a.rb", "def f(a)\n  b a\nend\n", "def f(a)\n  b\n  a\nend\n"),
    "ruby: symbol": ("a.rb", "def f(a)\n  send :f\nend\n", "def g(a)\n  send :g\nend\n"),
    "ruby: setter": ("a.rb", "def f(a)\n  @b = a\nend\n", "def f=(a)\n  @b = a\nend\n"),
    "ruby: of the class": ("a.rb", "def f(a)\n  b(a)\nend\n", "def self.f(a)\n  b(a)\nend\n"),
    "go: parts of a loop": (
        "a.go",
        "package a\nfunc f() { for ; a; { b() } }",
        "package a\nfunc f() { for ; ; a { b() } }",
    ),
    "go: pointer": ("a.go", "package a\nfunc (a *A) f() { a.b() }", "package a\nfunc (a A) f() { a.b() }"),
    "go: white space in a text": ("a.go", "package a\nfunc f() { b(`a\n b`) }", "package a\nfunc f() { b(`a\nb`) }"),
    "java: operator": (
        "A.java",
        "class A { int f(int a) { return a - -a; } }",
        "class A { int f(int a) { return a-- -a; } }",
    ),
    "java: overloads": (
        "A.java",
        "class A { void f(int a) { if (a > 0) f(a, 0); } }",
        "class A { void g(int a) { if (a > 0) g(a, 0); } }",
    ),
    "java: overloads of as many parameters": (
        "A.java",
        "class A { void f(char a) { f(String.valueOf(a)); /* if */ } }",
        "class A { void g(char a) { g(String.valueOf(a)); /* if */ } }",
    ),
    "java: of another object": (
        "A.java",
        "class A { int f() { return b.f(); } }",
        "class A { int g() { return b.g(); } }",
    ),
    "java: annotation": ("A.java", "class A { @B int f() { return 1; } }", "class A { int f() { return 1; } }"),
    "javascript: return": ("a.js", "function f(a) { return a }", "function f(a) { return\n a }"),
    "javascript: parts of a loop": ("a.js", "function f() { for (a;;) b() }", "function f() { for (;;a) b() }"),
    "javascript: text": ("a.js", "function f(a) { return `${a} ` }", "function f(a) { return `${ a }  ` }"),
    "javascript: regular expression": ("a.js", "function f() { return /a b/ }", "function f() { return /a  b/ }"),
    "javascript: blank in JSX": (
        "a.jsx",
        "function F(a) { return <p>a {a}</p> }",
        "function F(a) { return <p>a{a}</p> }",
    ),
    "javascript: accessor": ("a.js", "class A { get f() { return this.b } }", "class A { f() { return this.b } }"),
    "javascript: declaration": ("a.js", "const f = function (a) { b(a) }", "let f = function (a) { b(a) }"),
    "typescript: type": ("a.ts", "function f(a: A) { return a }", "function f(a: B) { return a }"),
    "php: text": ("a.php", '<?php function f($a) { return "$a b"; }', '<?php function f($a) { return "$a  b"; }'),
    "php: variable": ("a.php", "<?php function f($f) { return $f; }", "<?php function g($g) { return $g; }"),
    "c: text": ("a.c", 'char *f() { return "a b"; }', 'char *f() { return "a  b"; }'),
    "c: character": ("a.c", "int f() { return ' '; }", "int f() { return '\t'; }"),
    "c: increments": ("a.c", "int f(int a) { return a++ + a; }", "int f(int a) { return a + ++a; }"),
    "cpp: destructor": ("a.cpp", "A::A() { close(); }", "A::~A() { close(); }"),
    "cpp: conversion": ("a.cpp", "A::operator bool() { return b; }", "A::operator int() { return b; }"),
    "cpp: const": ("a.cpp", "int A::f() const { return b; }", "int A::f() { return b; }"),
    "cpp: raw text": ("a.cpp", 'auto f() { return R"(a b)"; }', 'auto f() { return R"(a  b)"; }'),
    "c-sharp: verbatim text": (
        "a.cs",
        'class A { string f() { return @"a b"; } }',
        'class A { string f() { return @"a  b"; } }',
    ),
    "c-sharp: format": ("a.cs", 'class A { string f() => $"{a:d M}"; }', 'class A { string f() => $"{a:d  M}"; }'),
    "rust: statement and value": ("a.rs", "fn f(a: u8) { b(a) }", "fn f(a: u8) { b(a); }"),
    "rust: raw text": ("a.rs", 'fn f() { b(r"a b") }', 'fn f() { b(r"a  b") }'),
    "python: else of a loop": (
        "a.py",
        "def f(a):\n    for i in a:\n        x()\n    else:\n        y()\n",
        "def f(a):\n    for i in a:\n        x()\n    y()\n",
    ),
    "python: break": (
        "a.py",
        "def f(a):\n    while a:\n        if b:\n            c()\n            break\n",
        "def f(a):\n    while a:\n        if b:\n            c()\n        break\n",
    ),
    "python: within with": (
        "a.py",
        "def f(a):\n    with a:\n        b()\n    return 1\n",
        "def f(a):\n    with a:\n        b()\n        return 1\n",
    ),
    "ruby: minus": ("a.rb", "def f(a)\n  puts a\n  -1\nend\n", "def f(a)\n  puts a -1\nend\n"),
}


@pytest.mark.parametrize(("file", "one", "other"), COPIES.values(), ids=COPIES)
def test_a_function_under_another_name_is_a_copy(file: str, one: str, other: str) -> None:
    assert key(file, one) == key(file, other)


@pytest.mark.parametrize(("file", "one", "other"), OTHERS.values(), ids=OTHERS)
def test_what_looks_alike_is_no_copy(file: str, one: str, other: str) -> None:
    assert key(file, one) != key(file, other)


# Functions that are values or calls: the language, the types of the nodes with the name and with the body, two sources.
VALUES = {
    "python": ("python", "assignment", "lambda", "f = lambda n: f(n)", "g = lambda n: g(n)"),
    "python: attribute": ("python", "assignment", "lambda", "a.f = lambda n: n.f", "b.g = lambda n: n.f"),
    "go": ("go", "var_spec", "func_literal", "var f = func() { f() }", "var g = func() {\n g()\n}"),
    "go: list": (
        "go",
        "short_var_declaration",
        "func_literal",
        "func a() { f := func() { b() } }",
        "func a() { g := func() { b() } }",
    ),
    "go: key": ("go", "keyed_element", "func_literal", "var a = A{F: func() { b() }}", "var a = A{G: func() { b() }}"),
    "ruby": ("ruby", "assignment", "lambda", "f = ->(a) { b(a) }", "@g = ->(a) { b(a) }"),
    "ruby: define_method": (
        "ruby",
        "call",
        "block",
        "define_method(:f) { |a| f(a) }",
        "define_method(:g) { |a| g(a) }",
    ),
    "rust": (
        "rust",
        "let_declaration",
        "closure_expression",
        "fn a() { let f = |b| b + 1; }",
        "fn a() { let g = |b| b+1; }",
    ),
    "php": (
        "php",
        "assignment_expression",
        "anonymous_function",
        "<?php $f = function ($a) { b($a); };",
        "<?php $g = function($a) { b($a); };",
    ),
    "java": (
        "java",
        "variable_declarator",
        "lambda_expression",
        "class A { B f = a -> b(a); }",
        "class A { B g = a -> b( a ); }",
    ),
    "cpp": (
        "cpp",
        "init_declarator",
        "lambda_expression",
        "auto f = [](int a) { return b(a); };",
        "auto g = [](int a) { return b( a ); };",
    ),
    "cpp: test": ("cpp", "function_definition", "function_definition", "TEST(A, f) { b(); }", "TEST(B, g) { b(); }"),
    "javascript: within a call": (
        "javascript",
        "variable_declarator",
        "function_expression",
        "const F = memo(function F(a) { return F(a) })",
        "const G = memo(function H(a) { return G(a) })",
    ),
    "c-sharp: property": (
        "c-sharp",
        "property_declaration",
        "property_declaration",
        "class A { int F => b; }",
        "class A { int G=> b; }",
    ),
}


def value_key(language: str, named: str, holder: str, source: str) -> str:
    [known] = {one.grammar for one in LANGUAGES if one.name == language and one.dialect != "tsx"}
    text = source.encode()
    root = tree_sitter.Parser(grammar(*known)).parse(text).root_node
    assert not root.has_error
    node = next(of_type(root, named))
    return tree_key(node, node, next(of_type(node, holder)), text, language)


@pytest.mark.parametrize(("language", "named", "holder", "one", "other"), VALUES.values(), ids=VALUES)
def test_the_name_of_a_value_does_not_count(language: str, named: str, holder: str, one: str, other: str) -> None:
    found = value_key(language, named, holder, one)
    assert found == value_key(language, named, holder, other)
    changed = other.replace("b(", "c(")
    assert changed == other or found != value_key(language, named, holder, changed)


def test_what_was_blanked_before_parsing_counts() -> None:
    """Branches of the preprocessor that a parser cannot read are blanked; two functions that differ there are two."""
    sources = [f"int f(int a) {{\n#ifdef A\n  {{ b({n});\n#endif\n return a; }}".encode() for n in (1, 1, 2)]
    blanked = b"int f(int a) {\n        \n         \n      \n return a; }"
    root = tree_sitter.Parser(grammar("c")).parse(blanked).root_node
    node = root.children[0]
    keys = [tree_key(node, node, node, source, "c") for source in sources]
    assert keys[0] == keys[1] != keys[2]


def test_every_language_is_in_both_lists() -> None:
    assert {name.split(":")[0] for name in COPIES} == set(NAMES)
    assert {name.split(":")[0] for name in OTHERS} == set(NAMES)


# Generated functions: the same statements under several names and in several layouts.

LEAVES = st.one_of(
    st.tuples(st.sampled_from("+-"), st.integers(0, 9)),
    st.tuples(st.just("say"), st.text("ab ", max_size=4)),
    st.tuples(st.just("again"), st.integers(0, 9)),
)
BODIES = st.lists(
    st.one_of(LEAVES, st.tuples(st.just("if"), st.lists(LEAVES, min_size=1, max_size=3))), min_size=1, max_size=4
)
LAYOUTS = st.builds(
    Layout,
    st.sampled_from(["alpha", "b2", "fetchAll", "Load_it"]),
    st.sampled_from(["  ", "    ", "\t"]),
    st.sampled_from(["", " "]),
    st.booleans(),
)


def changed(body: list[Statement], at: int) -> list[Statement]:
    """The same with one statement that does something else: another sign, number or text, or no longer in a block."""
    kind, value = body[at]
    match value:
        case list():
            new = [(kind, value[:-1]), value[-1]] if len(value) > 1 else value
        case int():
            new = [(kind, (value + 1) % 10)]
        case _:
            new = [(kind, f"{value} ")]
    return [*body[:at], *new, *body[at + 1 :]]


@pytest.mark.parametrize("language", NAMES)
@given(body=BODIES, one=LAYOUTS, other=LAYOUTS, data=st.data())
@settings(max_examples=40, deadline=None)
def test_generated_functions(
    language: str, body: list[Statement], one: Layout, other: Layout, data: st.DataObject
) -> None:
    style = STYLES[language]
    own = key(style.file, written(style, body, one))
    assert own == key(style.file, written(style, body, other)), "name, comments and layout do not count"
    different = changed(body, data.draw(st.integers(0, len(body) - 1)))
    assert own != key(style.file, written(style, different, replace(other, name=one.name))), "what it does counts"


@given(body=BODIES, layout=LAYOUTS)
@settings(max_examples=40, deadline=None)
def test_the_text_of_a_python_function_has_the_key_of_its_tree(body: list[Statement], layout: Layout) -> None:
    source = written(STYLES["python"], body, layout)
    [found] = keys("a.py", f"class A:\n{indent(source, '  ')}")
    assert found == content_key(source) == key("a.py", source)
