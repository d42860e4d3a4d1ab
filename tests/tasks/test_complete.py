"""Line completion: marks, where contexts are cut, what is learned, where a line ends; all by hand."""

from __future__ import annotations

from typing import Any

import pytest
import tokenizers
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from telly.errors import ConfigError
from telly.freezing.source import RowSource
from telly.models.generation import Architecture
from telly.pretraining.tokenizer import train_tokenizer
from telly.tasks import get_task
from telly.tasks.training.completion import last_line
from telly.tasks.training.generation import Texts
from tiny_models import CONFIGS, tiny_tokenizer

TASK = get_task("complete")
PLAIN = {"context": ["w10 w11 w12", "w13"], "line": ["w20", "w21 w22"]}


def encoded(family: str, columns: dict[str, list[str]] = PLAIN, tokenizer: Any = None, **limits: int) -> Texts:
    data = {"train": Dataset.from_dict(columns)}
    limits = {"context": 12, "line": 8} | limits
    found = TASK.encode(data, tokenizer or tiny_tokenizer(), limits, CONFIGS[family]())["train"]
    assert isinstance(found, Texts)
    return found


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<s> import os <EOL> x = f ( ) <EOL>", "import os\nx = f ( )\n"),
        ("    a = 1 <EOL> b = `<s>` </s>", "    a = 1\nb = `<s>`\n"),
        ("import os <EOL> x = <STR_LIT:a b> + <NUM_LIT:1> + <NUM_LIT>", "import os\nx = a b + 1 + 0\n"),
        ("<s> int x = <NUM_LIT:1> ; return", "int x = 1 ; return"),
        ("def f():\n    return 1\n    ", "def f():\n    return 1\n    "),
        ("def f():\n    return 1   ", "def f():\n    return 1\n"),
        ("<s>", ""),
    ],
    ids=[
        "line breaks",
        "marks at the ends only",
        "literals",
        "one long line",
        "indentation stays",
        "cut at a line's end",
        "nothing",
    ],
)
def test_contexts_lose_codexglues_marks(raw: str, clean: str):
    assert TASK.clean_source(raw) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [("y = <STR_LIT:a> <EOL>", "y = a"), ("  pass\n", "pass"), ("<STR_LIT>", "<STR_LIT>"), ("<NUM_LIT>", "0")],
    ids=["literal", "blanks", "a bare docstring stays a line", "number"],
)
def test_lines_lose_codexglues_marks(raw: str, clean: str):
    assert TASK.clean_target(raw) == clean


def test_a_line_that_is_only_a_placeholder_can_be_scored():
    """Its text is empty, and a reference without text is refused; a prediction without literals is still right."""
    data = {"context": ["w10"], "line": ["<STR_LIT>"]}
    datasets = {"train": Dataset.from_dict(data), "test": Dataset.from_dict(data)}
    found = TASK.baselines(datasets, "test", encoded("gpt2"))
    assert found["nearest training answer"] == {"exact_match": 100.0, "edit_similarity": 100.0}


def test_a_line_that_follows_a_long_one_begins_with_a_blank():
    """Byte-level tokens hold the blank before a word, so that `return` and ` x ;` give the text that is there."""
    assert TASK.target_texts(["<s> a ; return", "a <EOL>"], ["x ;", "x <EOL>"]) == [" x ;", "x"]


@pytest.mark.parametrize(
    ("family", "options", "head"),
    [
        ("roberta", {}, [0]),
        ("gpt2", {}, [0]),
        ("roberta", {"modes": True}, [0, 6, 2]),
        ("roberta", {"modes": True, "placeholder": True}, [0, 6, 2]),
    ],
)
def test_context_and_line_are_learned_from_left_to_right(family: str, options: dict[str, bool], head: list[int]):
    """`<s> <decoder-only> </s>` (0 6 2) where there are modes. No token sees a later one: `prefix_lengths` is 0.

    All tokens but the first are predicted, those of the context as well.
    """
    data = encoded(family, tokenizer=tiny_tokenizer(**options))
    rows = [[*head, 10, 11, 12, 20, 2], [*head, 13, 21, 22, 2]]
    assert [data.table[int(row)].tolist() for row in data.rows["source"]] == rows
    batch = TASK.collate(RowSource(data.table, 1), data, [0, 1])
    prefix_lengths = batch["inputs"].get("prefix_lengths")
    assert (prefix_lengths.tolist() if family == "roberta" else prefix_lengths) == (
        [0, 0] if family == "roberta" else None
    )
    assert [row.nonzero().flatten().tolist() for row in batch["selected"]] == [
        list(range(len(ids) - 1)) for ids in rows
    ]
    assert batch["labels"].tolist() == [*rows[0][1:], *rows[1][1:]]


def test_an_encoder_decoder_learns_the_line_only():
    data = encoded("t5")
    assert [data.table[int(row)].tolist() for row in data.rows["source"]] == [[0, 10, 11, 12, 2], [0, 13, 2]]
    batch = TASK.collate(RowSource(data.table, 1), data, [0, 1])
    assert batch["decoder_input_ids"].tolist() == [[0, 20, 1], [0, 21, 22]]
    assert batch["labels"].tolist() == [20, 2, 21, 22, 2]


@pytest.mark.parametrize(
    ("kind", "options", "cut", "whole"),
    [
        (Architecture.PREFIX_LM, {"modes": True}, [0, 6, 2, 27, 28, 29], [0, 6, 2, 10]),
        (Architecture.PREFIX_LM, {}, [0, 25, 26, 27, 28, 29], [0, 10]),
        (Architecture.DECODER, {}, [0, 25, 26, 27, 28, 29], [0, 10]),
        (Architecture.ENCODER_DECODER, {}, [0, 26, 27, 28, 29, 2], [0, 10, 2]),
    ],
)
def test_long_contexts_lose_their_beginning(
    kind: Architecture, options: dict[str, bool], cut: list[int], whole: list[int]
):
    """6 tokens, special ones included: what stands right before the line is what counts."""
    tokenizer = tiny_tokenizer(**options)
    texts = [" ".join(f"w{i}" for i in range(10, 30)), "w10"]
    assert [prompt.ids for prompt in TASK.prompts(texts, tokenizer, 6, kind)] == [cut, whole]
    assert tokenizer.truncation_side == "right", "the tokenizer is as it was"


def test_a_limit_without_room_for_code_is_refused():
    with pytest.raises(ConfigError) as error:
        TASK.prompts(["w10"], tiny_tokenizer(modes=True), 3, Architecture.PREFIX_LM)
    assert str(error.value) == "max_tokens: context leaves 0 tokens beside the special ones; expected at least 1"
    assert encoded("roberta", tokenizer=tiny_tokenizer(modes=True), context=4).table[0].tolist() == [0, 6, 2, 12, 20, 2]


def test_an_answer_ends_at_a_line_break_where_that_is_a_token():
    """Byte-level vocabularies have one. Where the tokenizer drops it, or knows it not, only the end token ends."""
    bytes_level = train_tokenizer(["def add(a, b):\n    return a + b\n"] * 5, 300)
    line_break = bytes_level.convert_tokens_to_ids("Ċ")
    assert TASK.extra_end_ids(bytes_level) == (line_break,)
    assert encoded("gpt2", tokenizer=bytes_level).end_ids == (2, line_break)
    assert TASK.extra_end_ids(tiny_tokenizer()) == ()
    unknown = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=unknown, unk_token="<unk>", eos_token="<unk>")
    assert tokenizer("\n")["input_ids"] == [1]
    assert TASK.extra_end_ids(tokenizer) == (), "else every unknown word would end an answer"


def test_only_the_first_written_line_counts():
    assert TASK.finish("\n  return x  \n  y = 2") == "return x"
    assert TASK.finish(" \n") == ""


@pytest.mark.parametrize(
    ("context", "line"),
    [
        ("a = 1\nb = 2\n\n", "b = 2"),
        ("a = 1\n    b = 2\n    ", "b = 2"),
        ("int a = 1 ; if ( a ) { return", "return"),
        ("int a = 1 ; a ++ ;", "a ++ ;"),
        ("", ""),
    ],
    ids=["lines", "indented", "statement", "whole statement", "nothing"],
)
def test_last_line(context: str, line: str):
    assert last_line(context) == line


def test_baselines_by_hand():
    """Copying is right for the first (100) and shares no character in the second (0).

    The nearest training contexts are `open file` and `parse date`, in this order; only the second answer is right.
    """
    train = {"context": ["open file <EOL>", "parse date <EOL>"], "line": ["close", "zzz"]}
    test = {"context": ["open the file <EOL> b = 2 <EOL>", "parse <EOL> d = 4 <EOL>"], "line": ["b = 2", "zzz <EOL>"]}
    datasets = {"train": Dataset.from_dict(train), "test": Dataset.from_dict(test)}
    found = TASK.baselines(datasets, "test", encoded("gpt2"))
    assert found == {
        "copy of the last line": {"exact_match": 50.0, "edit_similarity": 50.0},
        "nearest training answer": {"exact_match": 50.0, "edit_similarity": 50.0},
    }
