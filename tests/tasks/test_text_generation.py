"""Tasks that write text: what is predicted where, by hand; and that what was learned is what is written."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn

from telly.errors import ConfigError, ModelError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.text import exact_match
from telly.models.generation import Architecture
from telly.models.modes import encode_texts
from telly.tasks import get_task
from telly.tasks.options import GenerationOptions
from telly.tasks.training.base import length_batches
from telly.tasks.training.generation import TextGenerationModel, Texts, end_token, start_token
from tiny_models import CONFIGS, WRITERS, tiny_model, tiny_tokenizer

PAIRS = {"code": ["w10 w11", "w12"], "summary": ["w20 w21", "w22"]}
TASK = get_task("summarize")
LIMITS = {"code": 10, "summary": 8}
NO_AUTOCAST = torch.autocast("cpu", enabled=False)


def encoded(
    family: str,
    columns: dict[str, list[str]] = PAIRS,
    limits: dict[str, int] = LIMITS,
    split: str = "train",
    tokenizer: Any = None,
    task: str = "summarize",
) -> Texts:
    data = {"train": Dataset.from_dict(columns)} | {split: Dataset.from_dict(columns)}
    found = get_task(task).encode(data, tokenizer or tiny_tokenizer(), limits, CONFIGS[family]())[split]
    assert isinstance(found, Texts)
    return found


def sequences(data: Texts) -> list[list[int]]:
    return [data.table[int(row)].tolist() for row in data.rows["source"]]


def batch_of(data: Texts, numbers: list[int], pad_id: int = 1) -> dict[str, Any]:
    return TASK.collate(RowSource(data.table, pad_id), data, numbers)


def predicted(batch: dict[str, Any]) -> list[list[int]]:
    """Positions where the next token is predicted, by row."""
    return [row.nonzero().flatten().tolist() for row in batch["selected"]]


def test_prefix_lm_predicts_the_answer_behind_the_source():
    """`<s> w10 w11 </s>` is seen as a whole, `<s>` starts the answer `w20 w21 </s>`, which positions 4 to 6 predict."""
    data = encoded("roberta")
    assert sequences(data) == [[0, 10, 11, 2, 0, 20, 21, 2], [0, 12, 2, 0, 22, 2]]
    batch = batch_of(data, [0, 1])
    assert batch["inputs"]["input_ids"].tolist() == [[0, 10, 11, 2, 0, 20, 21, 2], [0, 12, 2, 0, 22, 2, 1, 1]]
    assert batch["inputs"]["prefix_lengths"].tolist() == [4, 3]
    assert predicted(batch) == [[4, 5, 6], [3, 4]]
    assert batch["labels"].tolist() == [20, 21, 2, 22, 2]


def test_decoder_starts_both_parts_with_the_start_token():
    """The source as the tokenizer begins a text, without its end; then the start of the answer."""
    data = encoded("gpt2")
    assert sequences(data) == [[0, 10, 11, 0, 20, 21, 2], [0, 12, 0, 22, 2]]
    batch = batch_of(data, [1, 0])
    assert batch["inputs"].keys() == {"input_ids", "attention_mask"}
    assert predicted(batch) == [[2, 3], [3, 4, 5]]
    assert batch["labels"].tolist() == [22, 2, 20, 21, 2]


def test_encoder_decoder_predicts_every_token_from_the_one_before():
    """T5's decoder starts from its padding token, 0."""
    data = encoded("t5")
    assert sequences(data) == [[0, 10, 11, 2], [0, 12, 2]]
    batch = batch_of(data, [0, 1])
    assert batch["inputs"]["input_ids"].tolist() == [[0, 10, 11, 2], [0, 12, 2, 1]]
    assert batch["decoder_input_ids"].tolist() == [[0, 20, 21], [0, 22, 1]]
    assert predicted(batch) == [[0, 1, 2], [0, 1]]
    assert batch["labels"].tolist() == [20, 21, 2, 22, 2]


@pytest.mark.parametrize(
    ("placeholder", "prompt"),
    [(False, [0, 7, 2, 10, 11, 2, 0]), (True, [0, 7, 2, 8, 10, 11, 2, 8])],
    ids=["modes", "modes and <mask0>"],
)
def test_unixcoders_tokens(placeholder: bool, prompt: list[int]):
    """`<s> <encoder-decoder> </s>` (0 7 2) in front; `<mask0>` (8) before the source and in place of the start."""
    tokenizer = tiny_tokenizer(modes=True, placeholder=placeholder)
    data = encoded("roberta", tokenizer=tokenizer)
    assert sequences(data)[0] == [*prompt, 20, 21, 2]
    batch = batch_of(data, [0])
    assert batch["inputs"]["prefix_lengths"].tolist() == [len(prompt) - 1]
    assert predicted(batch) == [[len(prompt) - 1, len(prompt), len(prompt) + 1]]
    assert sequences(encoded("roberta", split="test", tokenizer=tokenizer))[0] == prompt


@pytest.mark.parametrize(
    ("family", "options", "prompt"),
    [
        ("roberta", {}, [0, 10, 11, 12, 13, 2, 0]),
        ("roberta", {"modes": True}, [0, 7, 2, 10, 11, 2, 0]),
        ("roberta", {"modes": True, "placeholder": True}, [0, 7, 2, 8, 10, 2, 8]),
        ("gpt2", {}, [0, 10, 11, 12, 13, 14, 0]),
        ("t5", {}, [0, 10, 11, 12, 13, 14, 2]),
    ],
)
def test_long_sources_and_targets_are_cut_on_the_right(family: str, options: dict[str, bool], prompt: list[int]):
    """7 tokens of source and 4 of answer, special ones and a joint prompt's start of the answer included."""
    columns = {"code": [" ".join(f"w{i}" for i in range(10, 30))], "summary": ["w30 w31 w32 w33"]}
    limits, tokenizer = {"code": 7, "summary": 4}, tiny_tokenizer(**options)
    data = encoded(family, columns, limits, tokenizer=tokenizer)
    answer = [30, 31, 32, 2]
    assert sequences(data) == [prompt if family == "t5" else [*prompt, *answer]]
    assert batch_of(data, [0])["labels"].tolist() == answer
    assert sequences(encoded(family, columns, limits, "valid", tokenizer)) == [prompt]


def test_limits_that_leave_no_room_are_refused():
    with pytest.raises(ConfigError) as error:
        encoded("roberta", limits={"code": 3, "summary": 4})
    assert str(error.value) == "max_tokens: code must be at least 4, found 3"
    with pytest.raises(ConfigError) as error:
        encoded("t5", limits={"code": 4, "summary": 3})
    assert str(error.value) == "max_tokens: summary must be at least 4, found 3"
    assert sequences(encoded("roberta", limits={"code": 4, "summary": 4}))[0] == [0, 10, 2, 0, 20, 21, 2]
    with pytest.raises(ConfigError) as error:
        encode_texts(tiny_tokenizer(), ["w10"], 2)
    assert str(error.value) == "max_tokens must be at least 3 with special tokens, found 2"
    assert encode_texts(tiny_tokenizer(), ["w10 w11"], 3) == [[0, 10, 2]]


def test_splits_to_decode_are_prompts_with_whole_references():
    """Prompts of joint models are decoded token by token, which no cache helps; an encoder's states are read."""
    columns = {"code": ["w10"], "summary": ["w20 w21 w22 w23 w24"]}
    for family, cacheable in (("roberta", False), ("gpt2", False), ("t5", True)):
        data = encoded(family, columns, {"code": 10, "summary": 4}, split="test")
        assert (data.cacheable, data.architecture.is_single_sequence, data.answers) == (cacheable, not cacheable, None)
        assert list(data.references) == columns["summary"], "references are never cut"
        assert encoded(family).cacheable
    assert encoded("roberta").architecture is Architecture.PREFIX_LM


def test_equal_sources_with_other_answers_share_an_encoder_decoders_row():
    twice = {"code": ["w10", "w10"], "summary": ["w20 w21 w22", "w23"]}
    joint, separate = encoded("gpt2", twice), encoded("t5", twice)
    assert (len(joint.table), len(separate.table)) == (2, 1)
    assert separate.lengths.tolist() == [3 + 4, 3 + 2], "source and answer"
    assert joint.lengths.tolist() == [2 + 1 + 4, 2 + 1 + 2]
    other = encoded("t5", {**twice, "summary": ["w20 w21 w22", "w24"]})
    assert other.table.fingerprint() == separate.table.fingerprint()
    assert other.fingerprint() != separate.fingerprint()


class Chain(nn.Module):
    """Stands in for a model: the next token's logits are a row of a table, picked by this token."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))
        self.output = nn.Identity()

    def get_output_embeddings(self) -> nn.Module:
        return self.output

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.output(self.rows[input_ids]))


def test_loss_by_hand():
    """After token 0 the odds are 1 : 2 : 1, after token 1 they are 6 : 1 : 1; tokens 1 and 2 are predicted.

    Probabilities 2/4 and 1/8, so the mean is (ln 2 + ln 8) / 2 = 2 ln 2. After token 2 nothing is predicted.
    """
    chain = Chain([[0, math.log(2), 0], [math.log(6), 0, 0], [50.0, 0, 0]])
    model = TextGenerationModel(SimpleModel(chain), beams=1)  # type: ignore[arg-type]
    inputs = {"input_ids": torch.tensor([[0, 1, 2]]), "attention_mask": torch.ones(1, 3)}
    selected = torch.tensor([[True, True, False]])
    loss = model(inputs, selected, torch.tensor([1, 2]))["loss"]
    assert loss.item() == pytest.approx(2 * math.log(2), abs=1e-6)


class SimpleModel(nn.Module):
    """In place of a split: the model itself."""

    hidden_size = 1

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> Any:
        return self.model(**inputs)


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("task", ["summarize", "complete"])
def test_what_is_learned_is_what_is_written(task: str, family: str):
    """Three pairs by heart: a shift between training and decoding by one token or position would break the answers."""
    source, target = get_task(task).schema.names
    texts = ["w30 w31 w32 w33", "w40", "w50 w51"], ["w60 w61 w62", "w70 w71 w72 w73", "w80"]
    columns = dict(zip((source, target), map(list, texts), strict=True))
    limits = {source: 12, target: 8}
    train, test = (encoded(family, columns, limits, split, task=task) for split in ("train", "test"))
    model = get_task(task).build(
        SplitModel(tiny_model(family, is_generative=True), None), 0, GenerationOptions(beams=3)
    )
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    batch = get_task(task).collate(RowSource(train.table, 1), train, [0, 1, 2])
    source_of_test = RowSource(test.table, 1)
    before = get_task(task).evaluate(model, source_of_test, test, NO_AUTOCAST, final=False)
    for _ in range(300):
        loss = model(**batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.1:
            break
    for final in (False, True):
        found = get_task(task).evaluate(model, source_of_test, test, NO_AUTOCAST, final=final)
        assert found.predictions == [
            {"example": i, "prediction": answer, "gold": answer} for i, answer in enumerate(columns[target])
        ]
    assert before.predictions is not None
    assert not any(exact_match(row["prediction"], row["gold"]) for row in before.predictions)


class Reversed(TextGenerationModel):
    """Answers with the prompt backwards, and keeps what it was asked."""

    asked: list[tuple[int, list[int]]]

    def _generate_batch(self, source: RowSource, data: Texts, rows: Any, beams: int, device: Any) -> list[list[int]]:
        self.asked.append((beams, rows.tolist()))
        return [data.table[int(row)].tolist()[::-1] for row in rows]


def test_equal_prompts_are_decoded_once_and_answers_come_in_the_order_of_the_split():
    texts = ["w10 w11", "w12", "w10 w11", "w13 w14 w15"]
    backwards = [" ".join(text.split()[::-1]) for text in texts]
    data = encoded("gpt2", {"code": texts, "summary": backwards}, split="test")
    model = Reversed(SimpleModel(Chain([[0.0]])), beams=7)  # type: ignore[arg-type]
    model.asked = []
    found = TASK.evaluate(model, RowSource(data.table, 1), data, NO_AUTOCAST, final=True)
    assert [row["prediction"] for row in found.predictions or ()] == backwards, "without the start token"
    assert found.metrics["rouge_l"] == 100.0
    assert sorted(row for _, rows in model.asked for row in rows) == [0, 1, 2]
    assert {beams for beams, _ in model.asked} == {7}
    model.asked = []
    TASK.evaluate(model, RowSource(data.table, 1), data, NO_AUTOCAST, final=False)
    assert {beams for beams, _ in model.asked} == {1}, "while training, greedily"


def test_batches_hold_at_most_so_many_tokens_with_padding():
    """Longest first: 9 alone (2 x 9 > 12), 4 4 3 (3 x 4), 2 1 1; one that is longer than all room comes alone."""
    lengths = np.array([1, 4, 9, 3, 1, 4, 2])
    assert [lengths[batch].tolist() for batch in length_batches(lengths, 12)] == [[9], [4, 4, 3], [2, 1, 1]]
    assert [batch.tolist() for batch in length_batches(np.array([5, 7]), 3)] == [[1], [0]]


def test_answers_keep_their_blanks_whatever_the_tokenizer_would_tidy():
    """Some tokenizers would turn `w10 .` into `w10.`, and code has such blanks on both sides of the comparison."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([".", ","])
    tokenizer.clean_up_tokenization_spaces = True
    data = encoded("gpt2", {"code": [", w10 ."], "summary": [". w10 ,"]}, split="test", tokenizer=tokenizer)
    assert tokenizer.decode(data.table[0], skip_special_tokens=True) == ", w10.", "tidied"
    model = Reversed(SimpleModel(Chain([[0.0]])), beams=1)  # type: ignore[arg-type]
    model.asked = []
    found = TASK.evaluate(model, RowSource(data.table, 1), data, NO_AUTOCAST, final=True)
    assert found.predictions == [{"example": 0, "prediction": ". w10 ,", "gold": ". w10 ,"}]


@pytest.mark.parametrize("name", ["summarize", "generate"])
def test_baseline_answers_with_the_nearest_training_example(name: str):
    """`parse the date` shares two words with the second training source and none with the first."""
    source, target = get_task(name).source, get_task(name).target
    train = {source: ["open file", "parse date"], target: ["opens a file here", "parses a date now"]}
    test = {source: ["parse the date", "open one file"], target: ["parses a date now", "nothing like it"]}
    datasets = {"train": Dataset.from_dict(train), "test": Dataset.from_dict(test)}
    found = get_task(name).baselines(datasets, "test", encoded("gpt2"))
    assert found.keys() == {"nearest training answer"}
    if name == "generate":
        assert found["nearest training answer"]["exact_match"] == 50.0
    else:
        assert found["nearest training answer"]["rouge_l"] == pytest.approx(50.0)


def test_start_and_end_tokens():
    class Tokens:
        bos_token_id = cls_token_id = eos_token_id = sep_token_id = None

        def __init__(self, **ids: int) -> None:
            vars(self).update(ids)

        def get_vocab(self) -> dict[str, int]:
            return {}

    assert start_token(tiny_tokenizer(modes=True, placeholder=True)) == 8
    assert (start_token(tiny_tokenizer()), end_token(tiny_tokenizer())) == (0, 2)
    assert start_token(Tokens(cls_token_id=101, sep_token_id=102)) == 101, "BERT has no start token"
    assert start_token(Tokens(eos_token_id=50256)) == 50256, "GPT-2 starts with its end token"
    assert end_token(Tokens(sep_token_id=102)) == 102
    with pytest.raises(ModelError) as error:
        end_token(Tokens())
    assert str(error.value) == "the tokenizer has neither an end nor a separator token, so no answer could end"


def test_two_processes_with_unequal_numbers_of_tokens_weigh_every_token_alike(monkeypatch: pytest.MonkeyPatch):
    """One process predicts 1 token, the other 3: DDP's mean of the two losses is the mean over the 4 tokens."""
    from telly import processes

    monkeypatch.setattr(processes, "several", lambda: True)
    monkeypatch.setattr(processes.dist, "all_reduce", lambda count: count.fill_(4.0))
    monkeypatch.setattr(processes.dist, "get_world_size", lambda: 2)
    model = TextGenerationModel(SimpleModel(Chain([[0.0, 0.0]])), beams=1)  # type: ignore[arg-type]
    losses = []
    for tokens in (1, 3):
        inputs = {"input_ids": torch.zeros(1, tokens, dtype=torch.long), "attention_mask": torch.ones(1, tokens)}
        labels = torch.zeros(tokens, dtype=torch.long)
        losses.append(model(inputs, torch.ones(1, tokens, dtype=torch.bool), labels)["loss"].item())
    assert losses == pytest.approx([math.log(2) / 2, 3 * math.log(2) / 2])
    assert np.mean(losses) == pytest.approx(math.log(2))
