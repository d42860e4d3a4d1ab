from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from telly.mining.repository.comments import STYLES, is_description
from telly.mining.repository.comments.docstrings import docstring_value

DOCSTRINGS = [
    ("Return a List[int] of all ids.", "Return a List[int] of all ids."),
    ("Sum of x[i] * y[i] over all i, where a[0][1] > 2.", "Sum of x[i] * y[i] over all i, where a[0][1] > 2."),
    ("Forward __call__ and __getattr__ to it.", "Forward __call__ and __getattr__ to it."),
    ("__call__ is forwarded to __x__", "__call__ is forwarded to __x__"),
    ("Wrap it in <b> and </b>, then in <table>.", "Wrap it in <b> and </b>, then in <table>."),
    ("Escape & as &amp; and < as &lt; here.", "Escape & as &amp; and < as &lt; here."),
    ("Compute |x| + |y| where int | None | str.", "Compute |x| + |y| where int | None | str."),
    ("Map {name: [values]} to dict[str, (int, ...)].", "Map {name: [values]} to dict[str, (int, ...)]."),
    ("Match a ** b ** c and glob *.py, *.txt files.", "Match a ** b ** c and glob *.py, *.txt files."),
    ("Call handlers[key](event) for each event.", "Call handlers[key](event) for each event."),
    ("Take A @ b for a matrix, x @p y.", "Take A @ b for a matrix, x @p y."),
    ("#11035: calls should not alter it", "#11035: calls should not alter it"),
    ("Run ``a[i] <b> __x__ *y*`` as `**kwargs` does.", "Run a[i] <b> __x__ *y* as **kwargs does."),
    ("Use :class:`~a.Tree`, :meth:`Tree.add <add>` and :code:`List<int>`.", "Use a.Tree, Tree.add and List<int>."),
    ("See `the docs <http://a.b>`_, `~pkg.mod.Name`, `~mask` and [1]_.", "See the docs, pkg.mod.Name, ~mask and [1]."),
    ("Read [the guide](https://a.b/c_(d)) and [`Tree`][a.Tree].", "Read the guide and Tree."),
    ("Convert [`Entry`] objects to [the type][a.Type].", "Convert Entry objects to the type."),
    ("Pass \\*args and \\**kwargs on to it.", "Pass *args and **kwargs on to it."),
    ("It has the following form::\n\n    a = b", "It has the following form:"),
    ("Parameters\n----------\nx : int\n    The width of it.", ""),
    ("Parameters (internal use only)\n---------\nx : int\n    The width of it.", ""),
    ("Converts it to a :class:``Finite`` and [`~Tree`].", "Converts it to a Finite and Tree."),
    ("Parameters\n==========\n\nx : int\n    The width of it.", ""),
    ("Returns\n-------\nfloat\n    The inner radial limit.", ""),
    ("Args:\n    x: the width of it", ""),
    ("Args: x, the width of the picture", ""),
    (":param x: the width of it\n:returns: the height of it", ""),
    ("@param x: the width of it\n@return: the height of it", ""),
    ("**Parameters**:\n\nx is the width", ""),
    ("Parameters\n    x is the width of it", ""),
    ("Add both numbers.\nReturns: the sum of them", "Add both numbers."),
    ("Add both numbers.\nReturns\n  the sum of them", "Add both numbers."),
    ("Returns\nthe sum of them", "Returns the sum of them"),
    ("add(a, b=(1, 2)) -> int\n\nAdd both numbers.", "Add both numbers."),
    ("add(a) -> int if that is possible", "add(a) -> int if that is possible"),
    (".. deprecated:: 1.0\n   Use another.\n\nAdd both numbers.", "Add both numbers."),
    ("Add both of the numbers\n=======================\n\nMore.", "Add both of the numbers"),
    ("# Adding\n\nAdd both numbers.", "Add both numbers."),
    ("@property decorator for a class.", "@property decorator for a class."),
    (">>> f(1)\n2", ""),
    ("Kwargs:\n    x: the width of it", ""),
    ("Optional Parameters:\n    x: the width of it", ""),
    ("Args (all optional):\n    x: the width of it", ""),
    ("Optional arguments\n------------------\nx is the width of it", ""),
    ("Parse the arguments:\n\n- all of them", "Parse the arguments:"),
    ("Return value: the number of all", ""),
    ("Return Value\n------------\nthe number of all", ""),
    ("Parameter x: the width of it", ""),
    ("\\param x the width of it", ""),
    ("Parameter values are added up.", "Parameter values are added up."),
    ("add(x, y=1, *args)\n    Add both numbers.", "Add both numbers."),
    ("TODO: write this text\n\nAdd both numbers.", "Add both numbers."),
    ("This file is licensed under the Apache License.", ""),
    ("!!! note\n    It is slow.\n\nAdd both numbers.", "Add both numbers."),
    ("Add both numbers.\n!!! note\n    It is slow.", "Add both numbers."),
]


@pytest.mark.parametrize(("docstring", "expected"), DOCSTRINGS)
def test_docstrings_keep_what_is_code(docstring: str, expected: str) -> None:
    assert STYLES["docstring"].describe(docstring) == expected


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        (r'r"""Split at \n and \d+."""', r"Split at \n and \d+."),
        (r'"Split at \\n and \u00e4."', "Split at \\n and ä."),
        (r'"Match \d+ here."', r"Match \d+ here."),
        ('"Add both " "numbers."', "Add both numbers."),
        ('"Add both "  # first\n    "numbers."', "Add both numbers."),
        ("u'''Add both.'''", "Add both."),
        ('"Add " r"\\n"', "Add \\n"),
        ('f"Add {a}."', None),
        ('"Add " f"{a}."', None),
        ('b"Add both."', None),
        ('"Add %s." % a', None),
        ('"Add", "both"', None),
        ('"Add".upper()', None),
        (r'"\N{no such name}"', None),
        ("1", None),
    ],
)
def test_docstrings_are_read_as_python_reads_them(literal: str, value: str | None) -> None:
    assert docstring_value(literal) == value


JAVADOC = [
    ("/** One line of text. */", "One line of text."),
    ("/**\n * Two lines\n * of text.\n *\n * More.\n */", "Two lines of text."),
    ("/**\n * Sees {@link Cart#add(Item) the cart} and {@link Item}.\n */", "Sees the cart and Item."),
    ("/** Like {@link #put(Map, int)} or {@linkplain Map#get(A, B) this one}. */", "Like put(Map, int) or this one."),
    ("/** A <code>List&lt;T&gt;</code> of<br/>things. */", "A List<T> of things."),
    ("/** Turns {@code Map<K, {V}> &amp; <b>} to x[i] of T[]. */", "Turns Map<K, {V}> &amp; <b> to x[i] of T[]."),
    ("/** Maps Function<A, B> to <i>one</i> <B>more</B> List<T>. */", "Maps Function<A, B> to one more List<T>."),
    ("/** Parses a <table> and gives its rows. */", "Parses a <table> and gives its rows."),
    ("/**\n * Adds it.<p>More of it.\n */", "Adds it."),
    ("/** Replaces <br> with blanks, <br/> too.<br>More. */", "Replaces <br> with blanks, <br/> too. More."),
    ("/**\n * <p>Adds both numbers.</p>\n * <ul><li>One</li></ul>\n */", "Adds both numbers."),
    ("/** Calls __init__ and a * b * c. */", "Calls __init__ and a * b * c."),
    ("/** {@return the number of items} */", "Returns the number of items."),
    ("/** {@inheritDoc} */", ""),
    ("/** @param a only tags */", ""),
    ("/**\n * @return the sum\n *   of both\n */", ""),
    ("/** TODO */", "TODO"),
    ("/// Adds **both** [numbers](http://a.b).\n/// @param a one", "Adds both numbers."),
]
JSDOC = [
    ("/** @summary Says what it does. */", "Says what it does."),
    ("/**\n * @param {string} a\n * @description Says what it does.\n */", "Says what it does."),
    ("/**\n * @private\n * @function add\n * Says what it does.\n */", "Says what it does."),
    (
        "/** Gets [the page]{@link Page} or {@link Page|this} of {@linkcode Foo.bar}. */",
        "Gets the page or this of Foo.bar.",
    ),
    ("/** Sets `a[i] **b** <c>` and **then** [more](./x.md). */", "Sets a[i] **b** <c> and then more."),
    ("/** Renders a <Button> in a <div> as Promise<void>. */", "Renders a <Button> in a <div> as Promise<void>."),
    ("/** Reads x[i] and args[0][1] of __proto__ */", "Reads x[i] and args[0][1] of __proto__"),
    ("/** Escapes &lt;b&gt; in *some* text. */", "Escapes <b> in some text."),
    ("/**\n * @param {string} a - the width of it\n * @returns {number} the height\n */", ""),
    ("/** @angular/core modules are loaded. */", "@angular/core modules are loaded."),
    ("/** eslint-disable no-undef */", ""),
    ("/**\n * # Parameters\n * the width of it\n */", ""),
]
PHPDOC = [
    ("/** Adds $this->x[$i] to array<int, string>. */", "Adds $this->x[$i] to array<int, string>."),
    ("/** {@inheritdoc} */", ""),
    ("/**\n * Counts in {@see Cart}.\n *\n * @return int\n */", "Counts in Cart."),
    ("/** @var Item[] $items the items of it */", ""),
]
DOXYGEN = [
    ("/**\n * @brief Frees \\p list\n * and \\c all in it.\n * @param list\n */", "Frees list and all in it."),
    ("/*!\n \\brief Frees a list.\n\n More.\n*/", "Frees a list."),
    ("/* Plain comment\n   of C. */", "Plain comment of C."),
    ("/* Parse <b> & a[i] in \\c x. */", "Parse <b> & a[i] in \\c x."),
    ("///< What a \\ref Cart is.", "What a Cart is."),
    ("// ------------------\n// Opens the door.\n// ------------------", "Opens the door."),
    ("// ===== Helpers of the door =====", ""),
    ("/** Maps std::map<K, V> to a[i] * b[j] in @c x->y[0]. */", "Maps std::map<K, V> to a[i] * b[j] in x->y[0]."),
    ("/// \\param a the width of it\n/// \\return the height of it", ""),
    ("/// \\param a the width of it\n///\n/// Adds both numbers.", "Adds both numbers."),
    ("/** @fn int add(int)\n * @ingroup math\n * Adds both numbers. */", "Adds both numbers."),
    ("/** Adds both numbers.\n * @stable ICU 60 */", "Adds both numbers."),
    ("/** @code\n f(1);\n @endcode */", ""),
    ("/**\n * add() - Adds both numbers.\n * @a: the first of them\n */", "Adds both numbers."),
    ("/* Licensed under the Apache License. */", ""),
    ("/* Copyright 2020 A. B.\n * All rights reserved. */", ""),
    ("/// TODO: make it faster\n///\n/// Adds both numbers.", "Adds both numbers."),
    ("/** Reads %s, %5d and %lu of %Cart for 100% of %NULL. */", "Reads %s, %5d and %lu of Cart for 100% of NULL."),
    ("/*\n * Input: a the width of it\n * Output: the height of it\n */", ""),
    ("/* Adds both numbers.\n * Returns: the sum of them */", "Adds both numbers."),
    ("/* Optional parameters:\n *   a: the width of it */", ""),
    ("/* Takes the input: both numbers. */", "Takes the input: both numbers."),
]
XMLDOC = [
    ("/// <summary>\n/// Adds <c>x</c> to y.\n/// </summary>\n/// <returns>z</returns>", "Adds x to y."),
    ("/// <inheritdoc/>", ""),
    ('/// <param name="x">The width of it.</param>', ""),
    ("/// <returns>The height of the picture.</returns>", ""),
    ("/// Adds both numbers.", "Adds both numbers."),
    (
        '/// <summary>Maps <see cref="T:A.List{T}"/> to <see langword="null"/> &amp; <c>a &lt; b[0]</c>.</summary>',
        "Maps A.List{T} to null & a < b[0].",
    ),
    ('/// <summary>Maps List<int> & <see cref="M:A.B"/>.</summary>', "Maps List<int> & A.B."),
    ("/// <summary><para>Adds both numbers.</para><para>More.</para></summary>", "Adds both numbers."),
    ("/** <summary>Adds both numbers.</summary> */", "Adds both numbers."),
    ("/// <summary>Adds <code>x[i]</code> to all.</summary>", "Adds x[i] to all."),
    ("/// <summary>Adds all numbers:\n/// <code>\n/// x();\n/// </code></summary>", "Adds all numbers:"),
    ("/// <summary>Maps List<int> to &copy; &amp;lt;.</summary>", "Maps List<int> to \u00a9 &lt;."),
]
RUSTDOC = [
    ("/// Adds [`Item`] to a [cart](crate::Cart).\n///\n/// # Errors\n/// None.", "Adds Item to a cart."),
    ("/// Maps [Vec] to Vec<T>, a[i], [i] and [start, end).", "Maps Vec to Vec<T>, a[i], [i] and [start, end)."),
    ("/// Like [`push`](Self::push) or [the other][Vec::pop].", "Like push or the other."),
    ("/// Runs `__x__ [i] *y*` &amp; **then** more.", "Runs __x__ [i] *y* & then more."),
    ("/// # Panics\n/// It panics now and then.", ""),
    ("/// ```\n/// add(1);\n/// ```", ""),
]
GODOC = [
    ("// Open opens the door.\n//go:noinline", "Open opens the door."),
    (
        "// Open takes a [Key] or [*bytes.Buffer] to [encoding/json].",
        "Open takes a Key or *bytes.Buffer to encoding/json.",
    ),
    ("// Open maps map[string][]int and x[i] to [i].", "Open maps map[string][]int and x[i] to [i]."),
    ("// Open sets *p and <b> as __x__ does.\n//\n//\tx := 1", "Open sets *p and <b> as __x__ does."),
    ("// Deprecated: Use the other.", ""),
    ("//go:generate stringer -type=Pill", ""),
    ("// Open reads [RFC 1].\n//\n// [RFC 1]: https://a.b", "Open reads RFC 1."),
    ("// Open godoc\n// @Summary Opens the door.\n// @Param id path int true", "Opens the door."),
    ("// @Tags doors\n// @Description Opens the door.\n// @Router /x [get]", "Opens the door."),
    ("// Open opens the door.\n// @Success 200", "Open opens the door."),
]
RUBYDOC = [
    ("# Adds an +item+.\n# @param item [Item]\n# @return [Cart]", "Adds an item."),
    ("=begin\nComputes a total.\n=end", "Computes a total."),
    ("# @param item [Item] what to add to it", ""),
    ("# @api private\n# Adds both numbers.", "Adds both numbers."),
    ("# @param a [Hash]\n#   the width of it\n# Adds both numbers.", "Adds both numbers."),
    ("# Reads {Shop::Cart#add} or {Cart the cart} of <tt>a[i]</tt>.", "Reads Shop::Cart#add or the cart of a[i]."),
    (
        "# Sets params[:agent] and {a: 1} by __FILE__ & a + b + c.",
        "Sets params[:agent] and {a: 1} by __FILE__ & a + b + c.",
    ),
    ("# Public: Adds both numbers.\n#\n# a - the first", "Adds both numbers."),
    ("# call-seq:\n#   add(a) -> b\n#\n# Adds both numbers.", "Adds both numbers."),
    ("# :call-seq:\n#   add(a) -> b\n#\n# Adds both numbers.", "Adds both numbers."),
    ("#: (Integer) -> Integer\n# Adds both numbers.", "Adds both numbers."),
    ("# rubocop:disable Style/Foo", ""),
]
COMMENTS = [
    (style, *row)
    for style, rows in {
        "javadoc": JAVADOC,
        "jsdoc": JSDOC,
        "phpdoc": PHPDOC,
        "doxygen": DOXYGEN,
        "xmldoc": XMLDOC,
        "rustdoc": RUSTDOC,
        "godoc": GODOC,
        "rubydoc": RUBYDOC,
    }.items()
    for row in rows
]


@pytest.mark.parametrize(("style", "comment", "expected"), COMMENTS)
def test_comments_in_plain_words(style: str, comment: str, expected: str) -> None:
    assert STYLES[style].describe(comment) == expected


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Return the sum.\n\n    Args:\n        a: one", "Return the sum."),
        ("Return the sum.\n    Args:\n        a: one", "Return the sum."),
        ("Return the sum.\n\nParameters\n----------\na : int", "Return the sum."),
        ("Return the sum.\nParameters\n----------\na : int", "Return the sum."),
        ("Return the sum.\n:param a: one\n:rtype: int", "Return the sum."),
        ("Return the L{sum<Sum>} of B{all}.\n@param a: one", "Return the sum of all."),
        ("Return :py:func:`~a.sum` or ``None`` for *no* **input**.", "Return a.sum or None for no input."),
        ("See `the docs <http://a.b>`_ for |version| notes.", "See the docs for version notes."),
        ("Take *args and **kwargs and 2*x*y.", "Take *args and **kwargs and 2*x*y."),
        ("Summary\n=======\n\nReturn the sum.", "Return the sum."),
        ("Return the sum.\n>>> f(1)\n2", "Return the sum."),
        ("\n\n  Return\n  the sum  ", "Return the sum"),
        ("Übersetzt größere Texte.", "Übersetzt größere Texte."),
        ("", ""),
    ],
)
def test_docstrings_in_plain_words(docstring: str, expected: str) -> None:
    assert STYLES["docstring"].describe(docstring) == expected


def test_how_many_words_are_a_description() -> None:
    assert is_description("Return the sum") and not is_description("Return it")
    for text in ("返回所有元素的总和", "ユーザー一覧", "사용자 목록 반환", "คืนรายการผู้ใช้", "ສົ່ງຄືນລາຍການ", "ត្រឡប់បញ្ជី"):
        assert is_description(text), text
    assert not is_description("返回")


@given(st.sampled_from(sorted(STYLES)), st.text(max_size=300))
def test_any_text_gives_one_line(style: str, text: str) -> None:
    found = STYLES[style].describe(text)
    assert "\n" not in found
    assert found == found.strip()
    found.encode()


SIGNS = {
    "docstring": "{}",
    "javadoc": "/** {} */",
    "jsdoc": "/** {} */",
    "phpdoc": "/** {} */",
    "doxygen": "/// {}",
    "xmldoc": "/// <summary>{}</summary>",
    "rustdoc": "/// {}",
    "godoc": "// {}",
    "rubydoc": "# {}",
}
WORDS = st.lists(st.text("abcdefgäß", min_size=1, max_size=8), min_size=1, max_size=4).map(" ".join)
CODE = st.text("ab_*[]<>{}()&;:,|+-=/#$!?01 ", min_size=1, max_size=20).map(lambda text: " ".join(text.split()))
UNMARKED = (
    "x[i] a[0][1] T[] List<T> Map<K,V> a*b i++ x->y a&&b a|b __init__ __FILE__ snake_case _x f(a,b) {a:1} a/b ~x !x "
    "50% C# x=y <= >= 'a' (b) a::b $this->x \\d+ é 数 **kwargs"
)
PIECES = st.sampled_from(UNMARKED.split())


@given(st.sampled_from(sorted(SIGNS)), st.lists(st.one_of(WORDS, PIECES), min_size=1, max_size=8))
def test_text_without_markup_stays(style: str, parts: list[str]) -> None:
    text = f"Adds {' '.join(parts)} here"
    assert STYLES[style].describe(SIGNS[style].format(text)) == text


@given(st.lists(st.one_of(WORDS, PIECES, st.sampled_from(["<b>", "</b>", "<table>", "&lt;", "<p>"])), min_size=1))
def test_tags_and_entities_of_docstrings_stay(parts: list[str]) -> None:
    text = f"Return {' '.join(parts)} here"
    assert STYLES["docstring"].describe(text) == text


@given(st.sampled_from(sorted(set(SIGNS) - {"xmldoc"})), CODE)
def test_inline_code_stays(style: str, code: str) -> None:
    assume(code)
    assert STYLES[style].describe(SIGNS[style].format(f"Adds `{code}` to it.")) == f"Adds {code} to it."
