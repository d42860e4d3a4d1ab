"""A tokenizer with the mode in its template gives the ids that the tasks read, cut or not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from telly.errors import ModelError
from telly.models.load import embedded_folder, load_tokenizer
from telly.models.modes import InputMode, encode_texts, put_mode_in_template
from tiny_models import tiny_tokenizer

TEXTS = ["", " x ", "\tdef f(x):\n\t\treturn x\n", "Größe 変数 naïve", "<encoder-only> in text", "word " * 600]


@pytest.mark.parametrize("mode", list(InputMode))
def test_the_template_gives_the_tasks_ids_at_every_limit(mode: InputMode):
    plain, changed = load_tokenizer(str(embedded_folder())), load_tokenizer(str(embedded_folder()))
    assert changed(TEXTS)["input_ids"] != encode_texts(plain, TEXTS, 512, mode), "the switch must have an effect"
    put_mode_in_template(changed, mode)
    for limit in (5, 6, 17, 128, 512):
        found = changed(TEXTS, truncation=True, max_length=limit)["input_ids"]
        assert found == encode_texts(plain, TEXTS, limit, mode)
        assert max(map(len, found)) == limit


def test_telly_reads_the_same_through_a_changed_tokenizer():
    """So an exported folder can be given to telly again."""
    plain, changed = load_tokenizer(str(embedded_folder())), load_tokenizer(str(embedded_folder()))
    put_mode_in_template(changed)
    assert encode_texts(changed, TEXTS, 48) == encode_texts(plain, TEXTS, 48)


def test_a_tokenizer_without_modes_stays_as_it_is():
    tokenizer = tiny_tokenizer()
    before = tokenizer("w7 w8")["input_ids"]
    put_mode_in_template(tokenizer)
    assert tokenizer("w7 w8")["input_ids"] == before == [0, 7, 8, 2]


def test_a_tokenizer_without_a_template_is_refused():
    vocabulary = {mode.value: number for number, mode in enumerate(InputMode)}
    slow = SimpleNamespace(get_vocab=lambda: vocabulary, cls_token_id=0, sep_token_id=2, is_fast=False)
    with pytest.raises(ModelError, match=r"no template for the mode tokens; expected a tokenizer with tokenizer\.json"):
        put_mode_in_template(slow)
