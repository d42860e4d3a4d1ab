from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.data.repository.comments import STYLES, is_description
from telly.data.repository.comments.docstrings import docstring_value


@pytest.mark.parametrize(
    ("style", "comment", "expected"),
    [
        ("javadoc", "/** One line of text. */", "One line of text."),
        ("javadoc", "/**\n * Two lines\n * of text.\n *\n * More.\n */", "Two lines of text."),
        ("javadoc", "/**\n * Sees {@link Cart#add(Item) the cart} and {@link Item}.\n */", "Sees the cart and Item."),
        ("javadoc", "/** A <code>List&lt;T&gt;</code> of<br/>things. */", "A List<T> of things."),
        ("javadoc", "/** @param a only tags */", ""),
        ("jsdoc", "/** @summary Says what it does. */", "Says what it does."),
        ("doxygen", "/**\n * @brief Frees \\p list\n * and \\c all in it.\n * @param list\n */", "Frees list and all in it."),
        ("doxygen", "/*!\n \\brief Frees a list.\n\n More.\n*/", "Frees a list."),
        ("doxygen", "/* Plain comment\n   of C. */", "Plain comment of C."),
        ("doxygen", "///< What a \\ref Cart is.", "What a Cart is."),
        ("xmldoc", "/// <summary>\n/// Adds <c>x</c> to y.\n/// </summary>\n/// <returns>z</returns>", "Adds x to y."),
        ("xmldoc", "/// <inheritdoc/>", ""),
        ("rustdoc", "/// Adds [`Item`] to a [cart](crate::Cart).\n///\n/// # Errors\n/// None.", "Adds Item to a cart."),
        ("godoc", "// Open opens the door.\n//go:noinline", "Open opens the door."),
        ("rubydoc", "# Adds an +item+.\n# @param item [Item]\n# @return [Cart]", "Adds an item."),
        ("rubydoc", "=begin\nComputes a total.\n=end", "Computes a total."),
        ("doxygen", "// ------------------\n// Opens the door.\n// ------------------", "Opens the door."),
        ("javadoc", "/** TODO */", "TODO"),
        ("jsdoc", "/** eslint-disable no-undef */", ""),
    ],
)  # fmt: skip
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
    assert is_description("返回所有元素的总和")


@given(st.sampled_from(sorted(STYLES)), st.text(max_size=300))
def test_any_text_gives_one_line(style: str, text: str) -> None:
    found = STYLES[style].describe(text)
    assert "\n" not in found
    assert found == found.strip()
    found.encode()
