"""Constructs that hold code, each in a source of its own, with the names that are to be found and what is counted."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    file: str
    source: str
    names: list[str]
    left_out: dict[str, int]


NO_NAME, WITHIN, BROKEN = "no name", "within another function", "does not parse"
MACRO, IN_MACRO = "a macro", "within a macro"


def case(file: str, source: str, *names: str, **left_out: int) -> Case:
    """A case; `no_name=1` stands for one of the reason "no name"."""
    return Case(file, source, list(names), {reason.replace("_", " "): count for reason, count in left_out.items()})


def java(members: str, *names: str, **left_out: int) -> Case:
    return case("A.java", f"class A {{ {members} }}", *names, **left_out)


def cs(members: str, *names: str, **left_out: int) -> Case:
    return case("a.cs", f"class A {{ {members} }}", *names, **left_out)


PYTHON = [
    case("a.py", "async def f():\n    pass\n", "f"),
    case("a.py", "class A:\n    class B:\n        @property\n        def f(self): return 1\n", "A.B.f"),
    case("a.py", "f = lambda a: a\n", "f"),
    case("a.py", "f: Callable = (lambda a: a)\n", "f"),
    case("a.py", "(f := lambda a: a)\n", "f"),
    case("a.py", "f, g = (lambda: 1), (lambda: 2)\n", "f", within_another_function=1),
    case("a.py", "A.f = lambda a: a\n", "A.f"),
    case("a.py", "a().f = lambda a: a\n", "f"),
    case("a.py", "a[b] = lambda a: a\n", no_name=1),
    case("a.py", "class A:\n    f = property(lambda self: 1)\n", "A.f"),
    case("a.py", "f = lambda a: a if a else (lambda: 1)\n", "f", within_another_function=1),
    case("a.py", "f = sorted(a, key=lambda b: b)\n", no_name=1),
    case("a.py", "a = {'f': lambda b: b}\n", no_name=1),
    case("a.pyi", "@overload\ndef f(a: int) -> int: ...\n@overload\ndef f(a: str) -> str: ...\n", "f", "f"),
    case("a.py", "def f():\n    def g(): return 1\n    return lambda: g\n", "f", within_another_function=2),
    case("a.py", "if a:\n    def f(): return 1\nelse:\n    def f(): return 2\n", "f", "f"),
]
JAVA = [
    java("A(int a) { b(); } A() { this(1); }", "A.A", "A.A"),
    java("static { b(); } { c(); }", no_name=2),
    case("A.java", "record R(int a) { R { b(); } R() { this(1); } int f() { return 1; } }", "R.R", "R.R", "R.f"),
    case("A.java", "interface I { default int f() { return 1; } static int g() { return 1; } int h(); }", "I.f", "I.g"),
    case("A.java", "enum E { P { int f() { return 1; } }, Q; E() { b(); } abstract int f(); }", "E.P.f", "E.E"),
    case("A.java", "enum E { A; static { b(); } { c(); } }", no_name=2),
    case("A.java", "@interface N { int v() default 1; class M { int f() { return 1; } } }", "N.M.f"),
    java("final F f = a -> { return a; };", "A.f"),
    java("F f = (F) (a -> a), g = b ? c -> c : d -> d;", "A.f", "A.g", within_another_function=1),
    java("F f = wrap(a -> a); { run(() -> b()); }", no_name=3),
    java("A() { this.f = a -> a; }", "A.A", within_another_function=1),
    java("F f = new F() { public int g() { return 1; } };", "A.f.g"),
    java("F f() { return new F() { public int g() { return 1; } }; }", "A.f", within_another_function=1),
    java("class B { int f() { return 1; } }", "A.B.f"),
    java("@Override public synchronized <T> T f() { return null; } abstract int g(); native int h();", "A.f"),
    case("A.java", "void main() { a(); }", "main"),
]
JAVASCRIPT = [
    case("a.js", "export default function (a) { return a; }", "default"),
    case("a.js", "export default async (a) => { return a; };", "default"),
    case("a.js", "export default function f(a) { return a; }", "f"),
    case("a.js", "export default class { f() {} }", "default.f"),
    case("a.js", "export default { data() { return 1; }, get k() { return 1; } };", "data", "k"),
    case("a.js", "export default memo(function F() {});", "F"),
    case("a.js", "export default memo(() => {});", "default"),
    case("a.js", "export default connect(a)((b) => b);", "default"),
    case("a.jsx", "const F = React.memo(function G(a) { return <b/>; });", "F"),
    case("a.jsx", "const F = forwardRef((a, ref) => { return <b ref={ref}/>; });", "F"),
    case("a.js", "const f = withRouter((a) => a);", "f"),
    case("a.js", "const f = a.map((b) => b);", no_name=1),
    case("a.js", "describe('a', () => { it('b', function () {}); });", no_name=2),
    case("a.js", "app.get('/', function f(a) { return a; });", "f"),
    case("a.js", "(function () { function f() {} })(); !function () {}(); (() => {})();", "f", no_name=3),
    case("a.js", "const f = (function () { return () => 1; })();", no_name=2),
    case("a.js", "const f = a ? () => 1 : () => 2;", "f", within_another_function=1),
    case("a.js", "const f = function () {}.bind(this), g = (() => 1).call();", "f", no_name=1),
    case("a.js", "const f = a || function () {};", "f"),
    case("a.js", "let e, f = function () {}, g = () => 1;", "f", "g"),
    case("a.js", "f ||= () => 1; f += () => 1;", "f", no_name=1),
    case("a.js", "a.b = c.d = function () {};", "c.d"),
    case("a.js", "var a = module.exports = function () {};", "module.exports"),
    case("a.js", "module.exports = class A { f() {} }; exports.default = function g() {};", "A.f", "g"),
    case("a.js", "module.exports = function f() {};", "f"),
    case("a.js", "class A { [Symbol.for('b')]() {} [c('d', e)]() {} } a[Symbol.iterator] = () => 1;")._replace(
        names=["A.[Symbol.for('b')]", "a.[Symbol.iterator]"], left_out={NO_NAME: 1}
    ),
    case("a.js", "exports.f = async function* () {};", "exports.f"),
    case("a.js", "A.prototype.f = function () {};", "A.prototype.f"),
    case("a.js", "this.f = () => 1; a().g = () => 1; a['h'] = () => 1; a[b] = () => 1;", "f", "g", "a.h", no_name=1),
    case(
        "a.js", "const a = { f() {}, g: () => 1, async *h() {}, 'i-j': function () {}, [k]: () => 1, 2() {} };"
    )._replace(names=["f", "g", "h", "i-j", "[k]", "2"]),
    case(
        "a.js", "class A { get f() {} set f(a) {} static g() {} #h() {} async i() {} *j() {} constructor() {} }"
    )._replace(names=["A.f", "A.f", "A.g", "A.#h", "A.i", "A.j", "A.constructor"]),
    case("a.js", "class A { [Symbol.iterator]() {} ['b']() {} ['b' + c]() {} [`d${e}`]() {} }")._replace(
        names=["A.[Symbol.iterator]", "A.b"], left_out={NO_NAME: 2}
    ),
    case("a.js", "class A { f = () => 1; static g = function () {}; #h = () => 1; static { b(); } }")._replace(
        names=["A.f", "A.g", "A.#h"], left_out={NO_NAME: 1}
    ),
    case("a.js", "Object.defineProperty(A.prototype, 'b', { get: function () {}, set(c) {} });")._replace(
        names=["A.prototype.b", "A.prototype.b"]
    ),
    case("a.js", "Object.defineProperties(A, { b: { get() {} }, c: { value: () => 1 } });", "A.b", "A.c"),
    case(
        "a.js", "Object.defineProperty(this, 'b', { get: () => 1 }); Object.create(A, { c: { get() {} } });", "b", "c"
    ),
    case("a.js", "Object.defineProperty(A, b, { get() {} }); f('a', { get() {} }); c = { d: { set() {} } };")._replace(
        names=["get", "get", "set"]
    ),
    case("a.js", "const A = class B { f() {} }; (class { g() {} });", "A.f", "g"),
    case("a.js", "const { f = () => 1 } = a; function g(b = () => 1) {}", "g", no_name=1, within_another_function=1),
    case("a.jsx", "const a = <b onClick={() => 1}/>;", no_name=1),
    case("a.js", "function f() { return a.map((b) => b); }", "f", within_another_function=1),
]
TYPESCRIPT = [
    case("a.ts", "const f = ((a: number) => { return a; }) as F;", "f"),
    case("a.ts", "const f = (function () {} satisfies F)!;", "f"),
    case("a.ts", "const f = <F>(a => a);", "f"),
    case("a.ts", "const f = useCallback<F>(() => 1, []);", "f"),
    case("a.ts", "export = function () {};", "default"),
    case("a.ts", "namespace a.b { export function f() {} }", "a.b.f"),
    case("a.ts", "declare module 'a' { export function f(): void; }"),
    case("a.ts", "declare module 'a' { namespace B { const f = () => 1; } }", "B.f"),
    case("a.ts", "abstract class A { abstract f(): void; g(): void {} private h = (a: B) => a; }", "A.g", "A.h"),
    case("a.ts", "function f(a: A): void; function f(a: any) { b(); }", "f"),
    case("a.ts", "class A { f(a: A): void; f(a: any) { b(); } constructor(private b: B) {} }", "A.f", "A.constructor"),
    case("a.tsx", "const F = memo<P>((a) => <b/>);", "F"),
    case(
        "a.tsx",
        "export const F: FC<P> = ({ a }) => { return <b onClick={() => 1}/>; };",
        "F",
        within_another_function=1,
    ),
    case("a.ts", "enum E { A = 1 } interface I { f(): void; g: () => void }"),
]
GO = [
    case("a.go", "package p\nfunc f() { a() }\nfunc g()\n", "f"),
    case(
        "a.go",
        "package p\nfunc (a *A[T]) F() { b() }\nfunc (A) G() { b() }\nfunc (a A) H() { b() }",
        "A.F",
        "A.G",
        "A.H",
    ),
    case("a.go", "package p\nvar f = func(a int) error { return a }", "f"),
    case("a.go", "package p\nvar (\n\tf = func() { a() }\n\tg func() = func() { a() }\n\th = 1\n)", "f", "g"),
    case("a.go", "package p\nvar f, g = func() { a() }, func() { b() }", "f", within_another_function=1),
    case("a.go", "package p\nvar f = http.HandlerFunc(func(a A) { b() })", "f"),
    case("a.go", "package p\nvar a = &A{Run: func() { b() }}", "Run"),
    case("a.go", 'package p\nvar a = map[string]F{"b": func() { c() }}', no_name=1),
    case("a.go", "package p\nvar a = func() int { return 1 }()", no_name=1),
    case("a.go", "package p\nfunc f() { g := func() {}; go func() { a() }(); g() }", "f", within_another_function=2),
    case("a.go", "package p\nfunc f[T any](a T) T { return a }\nfunc init() { a() }", "f", "init"),
]
RUBY = [
    case("a.rb", "class A::B\n  def f; end\nend", "A.B.f"),
    case(
        "a.rb",
        "class A\n  def f=(a); end\n  def ==(a); end\n  def [](a); end\n  def -@; end\n  def g?; end; def h!; end\nend",
    )._replace(names=["A.f=", "A.==", "A.[]", "A.-@", "A.g?", "A.h!"]),
    case(
        "a.rb",
        "class A\n  def self.f; end\n  def A.g; end\n  class << self\n    def h; end\n  end\nend",
        "A.f",
        "A.g",
        "A.h",
    ),
    case("a.rb", "def a.f; end\ndef f(b) = b * b", "a.f", "f"),
    case(
        "a.rb", "F = lambda do |a| a end\ng = ->(a) { a }\n@h = proc { |a| a }\nI = Proc.new { 1 }", "F", "g", "@h", "I"
    ),
    case("a.rb", "F = ->(a) { a }.freeze\ng = proc { 1 }.call", "F", no_name=1),
    case("a.rb", "def []=(a, b); end\ndef `(a); end", "[]=", "`"),
    case("a.rb", "a.f = ->(b) { b }\nself.g = -> { 1 }\na[b] = -> { 1 }", "a.f", "g", no_name=1),
    case(
        "a.rb", "class A\n  define_method(:f) { 1 }\n  define_method('g') do |a| a end\n  define_method(b) { 1 }\nend"
    )._replace(names=["A.f", "A.g"], left_out={NO_NAME: 1}),
    case("a.rb", "class A\n  private def f; end\n  scope :g, -> { 1 }\nend", "A.f", no_name=1),
    case("a.rb", "A = Struct.new(:a) do\n  def f; end\nend\nB = Class.new(A) { def g; end }", "A.f", "B.g"),
    case("a.rb", "class << a\n  def f; end\nend\nclass A\n  class << self\n    def g; end\n  end\nend", "a.f", "A.g"),
    case("a.rb", "A::B.class_eval do\n  def f; end\nend\na.class_eval do\n  def g; end\nend", "A.B.f", "g", no_name=1),
    case("a.rb", "get '/' do\n  a\nend\na.each { |b| b }", no_name=2),
    case("a.rb", "module A\n  included do\n    def f; end\n  end\nend", "A.f", no_name=1),
    case("a.rb", "BEGIN { a }\nEND { b }", no_name=2),
    case("a.rb", "def f\n  a.each { |b| b }\n  c = -> { 1 }\nend", "f", within_another_function=1),
]
PHP = [
    case("a.php", "<?php $f = function ($a) { return $a; }; $g = fn($a) => $a;", "$f", "$g"),
    case("a.php", "<?php $this->f = static function () {}; A::$g = function () {}; $$h = function () {};")._replace(
        names=["f", "A.$g"], left_out={NO_NAME: 1}
    ),
    case("a.php", "<?php function \u00e4() { return 1; }", "\u00e4"),
    case("a.php", "<?php usort($a, function ($b, $c) { return 1; }); return ['d' => fn() => 1];", no_name=2),
    case("a.php", "<?php $a = new class { public function f() { return 1; } };", "$a.f"),
    case("a.php", "<?php return new class { public function f() { return 1; } };", "f"),
    case(
        "a.php",
        "<?php class A { public int $f { get { return 1; } set(int $a) { b(); } } public int $g { get => 1; } }",
    )._replace(names=["A.$f", "A.$g"]),
    case(
        "a.php",
        "<?php interface A { public int $f { get; } function g(); } abstract class B { abstract function h(); }",
    ),
    case("a.php", "<?php trait A { function f() {} } enum B { case C; function g() {} }", "A.f", "B.g"),
    case(
        "a.php",
        "<?php class A { function __construct(private int $a) {} static function f() {} }",
        "A.__construct",
        "A.f",
    ),
    case("a.php", "<?php namespace A\\B; function f() {} class C { function g() {} }", "f", "C.g"),
    case("a.php", "<?php namespace A { function f() {} }", "f"),
    case("a.php", "<?php $f = $a ?? function () {}; $g = $a ?: fn() => 1;", "$f", "$g"),
    case("a.php", "<?php function f() { return function () { return fn() => 1; }; }", "f", within_another_function=2),
]
C = [
    case("a.c", "int f(a, b) int a; char *b; { return a; }", "f"),
    case("a.c", "static inline const char *f(void) { return 0; }", "f"),
    case("a.c", "void (*f(int a))(int) { return 0; }", "f"),
    case("a.c", "int (f)(int a) { return a; }", "f"),
    case("a.c", "struct a **f(void) { return 0; } struct a g(void) { return b; } int h(void);", "f", "g"),
    case("a.c", "__attribute__((noinline)) int f(void) { return 1; } int __stdcall g(void) { return 1; }", "f", "g"),
    case("a.c", "#define F(a) do { a; } while (0)\n#define G 1\n", a_macro=1),
    case("a.c", "int f(void)\n{\n#define F(a) a\n  return F(1);\n}\n", "f", within_another_function=1),
    case("a.c", "TEST(a, b) { c(); }\n", no_name=1),
    case("a.c", "DEFINE(f)\n{\n  a();\n}\n", "f"),
    case("a.c", "#ifdef A\nint f(int a)\n#else\nint f(long a)\n#endif\n{\n  return a;\n}\n", "f"),
    case("a.c", "static\n#ifdef A\ninline\n#endif\nint f(int a\n#ifdef B\n  , int b\n#endif\n) { return 1; }\n", "f"),
    case(
        "a.c", "int f(int a) {\n#ifdef B\n  if (a) {\n#else\n  if (!a) {\n#endif\n    a++;\n  }\n  return a;\n}\n", "f"
    ),
    case("a.c", "int f(int a) {\n  if (a) { b(); }\n#ifdef B\n  else if (!a) { c(); }\n#endif\n  return a;\n}\n", "f"),
    case("a.c", "int f(int a) {\n  return a\n#if 0\n    + 1\n#else\n    + 2\n#endif\n  ;\n}\n", "f"),
    case("a.c", "#ifdef A\nint f(void) { return 1; }\n#else\nint g(void) { return 2; }\n#endif\nint x(] ;\n", "f", "g"),
    case(
        "a.c",
        '#ifdef __cplusplus\nextern "C" {\n#endif\nint f(void) { return 1; }\n#ifdef __cplusplus\n}\n#endif\n',
        "f",
    ),
    case("a.c", "static int __init f(void) { return 1; }\nBOOL WINAPI g(HANDLE a) { return 1; }\n", "f", "g"),
    case("a.c", "static INLINE int f(void) { return 1; }\n", "f"),
    case("a.c", "JNIEXPORT jint JNICALL Java_f(JNIEnv *e) { return 1; }\n", "Java_f"),
    case("a.c", "JNIEXPORT jint JNICALL\nJava_f(JNIEnv *e)\n{\n  return 1;\n}\n", "Java_f"),
    case("a.c", "static __always_inline int f(void) { return 1; }\n", "f"),
    case("a.c", "static A * _Py_HOT g(void) { return 0; }\nAPI_FUNC(A *) f(void) { return 0; }\n", "g", "f"),
    case("a.c", "int x(int a) { return a; }\nstatic A * hot f(void) { return 0; }\n", "x", does_not_parse=1),
    case("a.c", "int f(int a)\n#ifdef A\n{\n  b();\n}\n#else\n{\n  c();\n}\n#endif\n", "f"),
    case("a.c", "int f(void) { return ]; }\nint g(void) { return 1; }\n", "g", does_not_parse=1),
]
CPP = [
    case("a.cpp", "struct A { int& f(int i) { return i; } const B* const& g() { return b; } };", "A.f", "A.g"),
    case(
        "a.cpp", "struct A { explicit operator bool() const { return 1; } operator const char *() { return 0; } };"
    )._replace(names=["A.operator bool", "A.operator const char*"]),
    case("a.cpp", "struct A { friend B& operator<<(B& o, const A& a) { return o; } };", "A.operator<<"),
    case("a.cpp", "struct A { bool operator ()(int a) { return 1; } A& operator [] (int a) { return b; } };")._replace(
        names=["A.operator()", "A.operator[]"]
    ),
    case("a.cpp", "void* operator new[](size_t n) { return 0; } void operator delete(void* p) { a(); }")._replace(
        names=["operator new[]", "operator delete"]
    ),
    case("a.cpp", 'long double operator"" _km(long double a) { return a; }', 'operator""_km'),
    case(
        "a.cpp", "bool operator==(const A& a, const A& b) { return 1; } A& A::operator=(A&& a) { return b; }"
    )._replace(names=["operator==", "A.operator="]),
    case("a.cpp", "struct A { A() : a(1) { b(); } A(int) = default; A(A&) = delete; ~A() { c(); } };", "A.A", "A.~A"),
    case(
        "a.cpp", "A::A() : a(1) {} A::~A() {} A::operator bool() const { return 1; } int ::f() { return 1; }"
    )._replace(names=["A.A", "A.~A", "A.operator bool", "f"]),
    case("a.cpp", "template<class T> T& a::A<T>::f(int i) { return 1; }", "a.A.f"),
    case(
        "a.cpp",
        "template<> int f<int>(int a) { return a; } template<> struct A<B> { int g() { return 1; } };",
        "f",
        "A.g",
    ),
    case(
        "a.cpp",
        "int f() try { return 1; } catch (...) { return 2; } A::A() try : a(1) { b(); } catch (...) { }",
        "f",
        "A.A",
    ),
    case(
        "a.cpp", "namespace a::b { inline namespace c { int f() { return 1; } } } namespace { int g() { return 1; } }"
    )._replace(names=["a.b.c.f", "g"]),
    case("a.cpp", "auto f = [](int a) { return a; }; std::function<int()> g{[] { return 1; }};", "f", "g"),
    case(
        "a.cpp", "struct A { std::function<int()> f = [] { return 1; }; }; void g() { sort(a, [](B b) { return 1; }); }"
    )._replace(names=["A.f", "g"], left_out={WITHIN: 1}),
    case("a.cpp", "std::map<int, F> a = {{1, [](int b) { return b; }}};", no_name=1),
    case("a.cpp", "export int f() { return 1; } \nexport namespace a { int g() { return 1; } }", "f", "a.g"),
    case("a.cpp", "int a = run([] { return 1; });", no_name=1),
    case("a.cpp", 'extern "C" int f() { return 1; } extern "C" { int g() { return 1; } }', "f", "g"),
    case(
        "a.cpp", "union A { int f() { return 1; } }; auto g() -> int { return 1; } [[nodiscard]] int h() { return 1; }"
    )._replace(names=["A.f", "g", "h"]),
    case(
        "a.cpp",
        "class API A { public: int f() { return 1; } A() {} }; class API(x) B : public A { int g() { return 1; } };",
    )._replace(names=["A.f", "A.A", "B.g"]),
    case(
        "a.cpp", 'TEST(A, B) { a(); } TEST_F(C, D) { a(); } RUN("a") { a(); } class URL { URL(int a) { b(); } };'
    )._replace(names=["A.B", "C.D", "URL.URL"], left_out={NO_NAME: 1}),
    case("a.cu", "__global__ void f(int a) { b(); }\n", "f"),
    case(
        "a.cu",
        "template <class T> __global__ void __launch_bounds__(8) f(T* a) { b(); }\n"
        "__host__ __device__ __forceinline__ float g(float a) { return a; }\n",
        "f",
        "g",
    ),
    case("a.cpp", 'extern "C" JNIEXPORT jint JNICALL\nJava_f(JNIEnv* e) { return 1; }\n', "Java_f"),
    case(
        "a.cpp",
        "class A : public B {\n  Q_OBJECT\npublic:\n  Q_INVOKABLE void f() { a(); }\nsignals:\n  void s();\n};\n",
        "A.f",
    ),
    case(
        "a.cpp",
        "API std::string f(A& a) { return b; }\nAPI void A::g() { b(); }\nAPI std::vector<int> h() { return b; }\n",
        "f",
        "A.g",
        "h",
    ),
    case("a.cpp", "void f() NOEXCEPT { a(); }\nint g() const REQUIRES(b) { return 1; }\n", "f", "g"),
    case("a.cpp", "int f() { try { a(); }\n#ifdef A\n  catch (B b) { c(); }\n#endif\n  catch (...) {} }\n", "f"),
    case("a.cpp", "template <class T> concept A = requires(T a) { a.f(); };"),
]
C_SHARP = [
    cs("public static A operator +(A a, A b) { return a; } static A operator checked -(A a) => a;")._replace(
        names=["A.operator +", "A.operator checked -"]
    ),
    cs("public static explicit operator int(A a) { return 1; } static implicit operator List<int>(A a) => b;")._replace(
        names=["A.explicit operator int", "A.implicit operator List<int>"]
    ),
    cs(
        "int F { get { return 1; } set => a = value; } int G => 1; int H { get; set; } = 2; int I { init { b(); } }"
    )._replace(names=["A.F", "A.G", "A.I"]),
    cs(
        "int this[int i] { get { return 1; } } int this[string i] => 2; int IB.this[int i] { get { return 1; } }"
    )._replace(names=["A.this[]", "A.this[]", "A.IB.this[]"]),
    cs("event H F { add { a(); } remove { b(); } } event H G;", "A.F"),
    cs("A() : base(1) { a(); } static A() { a(); } ~A() { a(); }", "A.A", "A.A", "A.~A"),
    cs("int IB.F() { return 1; } int IB<C>.G => 1; abstract int H(); partial void I();", "A.IB.F", "A.IB.G"),
    cs("int F() { int g(int a) { return a; } return g(1); }", "A.F", within_another_function=1),
    cs("Func<int, int> F = a => a; Func<int> G { get; } = () => { return 1; }; Action H = delegate { a(); };")._replace(
        names=["A.F", "A.G", "A.H"]
    ),
    cs("Func<int> F = Wrap(() => 1); A() { B += (s, e) => { c(); }; }", "A.A", no_name=1, within_another_function=1),
    case(
        "a.cs",
        "var f = (int a) => { return a; };\nint g(int a) { return a; }\na.B += (s, e) => { c(); };",
        "f",
        "g",
        no_name=1,
    ),
    case(
        "a.cs",
        "namespace A.B;\nrecord struct R(int A) { int F() { return 1; } }\ninterface I { int G() => 1; int H(); }",
    )._replace(names=["R.F", "I.G"]),
    cs("struct B { class C { int F() => 1; } }", "A.B.C.F"),
    cs("\n#if X\nint F() { return 1; }\n#else\nint F() { return 2; }\n#endif\n", "A.F", "A.F"),
    cs("int F()\n#if X\n{ a(); }\n#else\n{ b(); }\n#endif\n", "A.F"),
    cs("\n#if X\nint F(int a)\n#else\nint F(long a)\n#endif\n{ return 1; }\nint G() { return 1; }", "A.F", "A.G"),
    cs("int F(int a) {\n#if X\nif (a > 1) {\n#else\nif (a > 2) {\n#endif\nb(); } }\nint G() => 1;", "A.F", "A.G"),
    cs(
        'string s = @"a\\";\nint F(int a) {\n#if X\nif (a) {\n#else\nif (b) {\n#endif\nb(); } }\n'
        'string t = """\n{ "\n""";\nint G() => 1;',
        "A.F",
        "A.G",
    ),
    cs("int F() { try { b(); }\n#if X\ncatch (E e) { c(); }\n#endif\nfinally { d(); } }", "A.F"),
]
RUST = [
    case("a.rs", 'async fn f() {} const fn g() {} unsafe fn h() {} extern "C" fn i() {}', "f", "g", "h", "i"),
    case(
        "a.rs", "impl A { fn f() {} } impl<T> B<T> { fn g() {} } impl C for a::D { fn h() {} }", "A.f", "B.g", "a.D.h"
    ),
    case(
        "a.rs", "impl A for &B<C> { fn f() {} } impl A for [u8] { fn g() {} } impl A for (B, C) { fn h() {} }"
    )._replace(names=["B.f", "A.g", "A.h"]),
    case(
        "a.rs",
        "impl<T: B> A for T { fn f() {} } impl A for i32 { fn g() {} } impl dyn B { fn h() {} }",
        "A.f",
        "i32.g",
        "B.h",
    ),
    case("a.rs", "impl fmt::Display for dyn A + Send { fn f() {} }", "A.f"),
    case("a.rs", "trait A { fn f() { b() } fn g(); } mod a { mod b { fn h() {} } }", "A.f", "a.b.h"),
    case("a.rs", "fn r#type() {}", "r#type"),
    case("a.rs", "static F: fn() = || { a() }; const G: fn(i32) -> i32 = |a| a;", "F", "G"),
    case("a.rs", "fn f() { let g = |a| a; fn h() {} b(|| 1); }", "f", within_another_function=3),
    case("a.rs", "static A: L<B> = L::new(|| { 1 });", "A"),
    case("a.rs", "static A: B = C::from(|| { 1 });", no_name=1),
    case("a.rs", "macro_rules! m { ($a:expr) => { fn f() { $a } }; }", a_macro=1),
    case("a.rs", "cfg_if! { if #[cfg(unix)] { pub fn f(a: i32) { b() } } else { fn g() {} } }", within_a_macro=2),
    case("a.rs", "vec![1, 2]; lazy_static! { static ref A: B = { 1 }; }"),
]
CASES = [*PYTHON, *JAVA, *JAVASCRIPT, *TYPESCRIPT, *GO, *RUBY, *PHP, *C, *CPP, *C_SHARP, *RUST]
