"""Words of any script: what BM25, baselines and highlighting compare."""
# ruff: noqa: RUF001

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telly.metrics.bm25 import Bm25, bm25_ranks, stop_words, terms
from telly.metrics.judgments import Judgments
from telly.metrics.words import _ASCII_WORD, _spans, folded, spans, tokens, words
from telly.mining.duplicates import signature

TEXTS = st.text(
    st.characters(categories=["L", "M", "N", "P", "Zs", "Cf"]) | st.sampled_from("aZé_9 图のア글สीह\u0301\u200d\u00ad"),
    max_size=30,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("naïve café", ["naïve", "café"]),
        ("größeÄndern ÄndereGRÖSSE_9", ["grösse", "ändern", "ändere", "grösse", "9"]),  # ß folds to ss, as SS does
        ("ПоказатьПортфель показать_портфель", ["показать", "портфель"] * 2),
        ("λόγος ΛΌΓΟΣ", ["λόγοσ"] * 2),
        ("हिन्दी में खोज", ["हिन्दी", "में", "खोज"]),  # vowel signs are marks, and end no word
        ("חיפוש בקובץ", ["חיפוש", "בקובץ"]),
        ("می\u200cخواهم", ["میخواهم"]),  # the joiner is invisible
        ("用户", ["用户"]),
        ("返回用户JSON", ["返回", "回用", "用户", "json"]),
        ("图", ["图"]),
        ("データ ﾃﾞｰﾀ", ["デー", "ータ"] * 2),  # half-width letters with their own voice marks
        ("ค้นหา", ["ค้น", "นห", "หา"]),
        ("사용자를", ["사용", "용자", "자를"]),
        ("ｐａｒｓｅＤａｔｅ", ["parse", "date"]),
        ("soft\u00adhyphen", ["softhyphen"]),
        ("\U0001d40c\U0001d41a\U0001d42d\U0001d421", ["math"]),  # bold letters, folded only once they are plain ones
        ("٣ x²", ["٣", "x", "2"]),
        ("İSTANBUL istanbul KİŞİ kişi", ["istanbul"] * 2 + ["kişi"] * 2),  # the dot of Turkish capitals
        ("HTTPСервер parse用户Name", ["http", "сервер", "parse", "用户", "name"]),
        ("e\u0301te\u0301 \u212bngström", ["été", "ångström"]),
        ("தமிழ்_சொல் Ծառի", ["தமிழ்", "சொல்", "ծառի"]),
        ("!? …", []),
    ],
)
def test_words_of_any_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(TEXTS)
def test_words_do_not_depend_on_how_characters_are_encoded(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert words(composed) == words(decomposed)
    assert tokens(composed) == tokens(decomposed)


@given(TEXTS)
def test_every_letter_and_number_is_in_a_word(text: str) -> None:
    covered = {at for start, end in _spans(text, characters=False) for at in range(start, end)}
    assert {at for at, char in enumerate(text) if unicodedata.category(char)[0] in "LN"} <= covered


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_the_fast_way_for_ascii_gives_the_same(text: str) -> None:
    assert [folded(text[start:end]) for start, end in _spans(text, characters=False)] == words(text)
    assert words(text) == [word.lower() for word in _ASCII_WORD.findall(text)]


def test_spans_are_places_in_the_text_as_it_is() -> None:
    text = unicodedata.normalize("NFD", "def café(GRÖSSE): 所有用户")
    found = [text[start:end] for start, end in spans(text, set(words("Café größe 用户 有")))]
    assert [unicodedata.normalize("NFC", word) for word in found] == ["café", "GRÖSSE", "有", "用户"]


def test_tokens_keep_case_and_identifiers() -> None:
    text = "def größe_2(x): # 用户"
    assert tokens(text) == ["def", "größe_2", "(", "x", ")", ":", "#", "用", "户"]
    assert tokens(unicodedata.normalize("NFD", text)) == tokens(text)


def test_near_duplicates_do_not_depend_on_how_characters_are_encoded() -> None:
    code = "def größe(fläche):\n    # 返回所有用户\n    return fläche * naïve"
    composed, decomposed = (signature(unicodedata.normalize(form, code)) for form in ("NFC", "NFD"))
    assert (composed == decomposed).all()
    changed = signature(code.replace("所有", "全部"))
    assert 0 < (changed == composed).mean() < 1, "a comment without spaces is several tokens"


def test_bm25_finds_words_of_other_scripts() -> None:
    """A word of one character is found within a run, and a word within a sentence without spaces."""
    documents = [
        "返回所有用户的列表",
        "绘制图形",
        "Показать портфель",
        "Berechne die Größe",
        unicodedata.normalize("NFD", "café"),
    ]
    queries = ["用户", "图", "ПОРТФЕЛЬ", "GRÖSSE", "café"]
    scores = Bm25.of(documents)
    for number, query in enumerate(queries):
        found = scores.scores(query)
        assert found[number] > 0
        assert sorted(found)[-2] == 0, f"{query} is in one document alone"


def test_stop_words_count_neither_in_queries_nor_in_documents() -> None:
    """bm25s's own list and defaults: without it, the five stop words of the first document would win."""
    import bm25s

    documents = ["the list of the names is not in it", "def names(users): pass", "def area(shape): pass"]
    query = "the names of the users in it"
    assert terms(query) == ["names", "users"] and "def" not in stop_words() and len(stop_words()) == 33
    assert bm25_ranks([query], documents, Judgments.one_each([1])).tolist() == [1]
    theirs = bm25s.BM25()
    theirs.index(
        bm25s.tokenize(documents, stopwords="en", token_pattern=r"\w+", show_progress=False), show_progress=False
    )
    expected = theirs.get_scores(["names", "users"])
    assert Bm25.of(documents).scores(query) == pytest.approx(expected)
