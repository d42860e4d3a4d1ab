"""Code search: loss and evaluation by numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from datasets import Dataset

from telly.data.sequences import SequenceTableBuilder
from telly.errors import ConfigError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.models.modes import InputMode, encode_texts
from telly.models.pooling import pool
from telly.pretraining.tokenizer import train_tokenizer
from telly.tasks import get_task
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training.embeddings import embed_rows
from telly.tasks.training.retrieval import RetrievalData, RetrievalModel
from tiny_models import Given, tiny_model


def data_of(queries: list[list[int]], codes: list[list[int]]) -> RetrievalData:
    builder = SequenceTableBuilder()
    rows = {"query": [builder.add(q) for q in queries], "code": [builder.add(c) for c in codes]}
    return RetrievalData(builder.build(), {name: np.asarray(found) for name, found in rows.items()})


def loss_of(model: RetrievalModel, data: RetrievalData) -> float:
    batch = get_task("search").collate(RowSource(data.table, 0), data, range(len(data)))
    return float(model(**batch)["loss"].item())


def metrics_of(model: RetrievalModel, data: RetrievalData) -> dict[str, float]:
    autocast = torch.autocast("cpu", enabled=False)
    return get_task("search").evaluate(model, RowSource(data.table, 0), data, autocast, final=True).metrics


def test_loss_by_hand():
    """Orthogonal pairs at temperature 1: each row's softmax is e / (e + 1), so the loss is ln(1 + 1/e) = 0.3133."""
    model = RetrievalModel(Given(torch.eye(4)), ContrastiveOptions(temperature=1.0))  # type: ignore[arg-type]
    data = data_of([[0], [1]], [[0, 0], [1, 1]])
    assert loss_of(model, data) == pytest.approx(math.log(1 + 1 / math.e), abs=1e-6)


def test_temperature_divides_the_similarity():
    """At temperature 0.5 the logits are 2 and 0: ln(1 + e^-2) = 0.1269."""
    model = RetrievalModel(Given(torch.eye(4)), ContrastiveOptions(temperature=0.5))  # type: ignore[arg-type]
    assert loss_of(model, data_of([[0], [1]], [[0, 0], [1, 1]])) == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


def test_a_pair_that_repeats_anothers_code_is_no_negative():
    """Queries 0 and 1 share their code; each is left with one negative (code 2), orthogonal to it."""
    model = RetrievalModel(Given(torch.eye(4)), ContrastiveOptions(temperature=1.0))  # type: ignore[arg-type]
    shared = data_of([[0], [0, 0], [1]], [[0, 0, 0], [0, 0, 0], [1, 1, 1]])
    expected = (2 * math.log(1 + math.exp(-1)) + math.log(1 + 2 * math.exp(-1))) / 3
    assert loss_of(model, shared) == pytest.approx(expected, abs=1e-6)


def test_pooling_leaves_padding_out():
    states = torch.tensor([[[1.0, 3.0], [3.0, 5.0], [99.0, 99.0]]])
    assert pool(states, torch.tensor([[1, 1, 0]])).tolist() == [[2.0, 4.0]]


def test_evaluation_finds_the_right_function():
    model = RetrievalModel(Given(torch.eye(6)), ContrastiveOptions(temperature=1.0))  # type: ignore[arg-type]
    data = data_of([[i] for i in range(5)], [[i, i] for i in range(5)])
    metrics = (
        get_task("search")
        .evaluate(model, RowSource(data.table, 0), data, torch.autocast("cpu", enabled=False), final=True)
        .metrics
    )
    assert metrics == dict.fromkeys(get_task("search").metrics, 1.0)


def test_a_collapsed_encoder_scores_one_over_the_number_of_candidates():
    model = RetrievalModel(Given(torch.ones(20, 6)), ContrastiveOptions(temperature=1.0))  # type: ignore[arg-type]
    data = data_of([[i] for i in range(20)], [[i, i] for i in range(20)])
    metrics = (
        get_task("search")
        .evaluate(model, RowSource(data.table, 0), data, torch.autocast("cpu", enabled=False), final=True)
        .metrics
    )
    assert metrics["mrr"] == pytest.approx(1 / 20)


def test_vectors_come_back_in_the_order_asked_for():
    model = RetrievalModel(SplitModel(tiny_model("roberta"), None), ContrastiveOptions()).eval()
    builder = SequenceTableBuilder()
    rows = [builder.add(range(5, 6 + 3 * i)) for i in range(9)]
    source = RowSource(builder.build(), 1)
    with torch.no_grad():
        together = embed_rows(model.embed, source, rows[::-1], torch.device("cpu"))
        alone = torch.cat([model.embed(source.batch([row])) for row in rows[::-1]])
    assert torch.allclose(together, alone, atol=1e-5)


def test_baseline_ranks_against_distinct_functions():
    dataset = Dataset.from_dict(
        {
            "query": ["open a file", "parse a date", "open the file"],
            "code": ["def open_file(file): open", "def parse(date): date", "def open_file(file): open"],
        }
    )
    assert get_task("search").baselines({"test": dataset}, "test", data_of([[0]], [[1]]))["bm25"]["mrr"] == 1.0


def test_modes_frame_the_text_as_unixcoder_does():
    tokenizer = train_tokenizer(["def add(a, b): return a + b"] * 5, 300)
    plain = tokenizer("return a", add_special_tokens=False)["input_ids"]
    mode = tokenizer.convert_tokens_to_ids("<encoder-only>")
    assert encode_texts(tokenizer, ["return a"], 64) == [[0, mode, 2, *plain, 2]]
    decoder = tokenizer.convert_tokens_to_ids("<decoder-only>")
    assert encode_texts(tokenizer, ["return a"], 64, InputMode.DECODER_ONLY)[0][1] == decoder
    cut = encode_texts(tokenizer, ["return a" * 50], 10)[0]
    assert len(cut) == 10
    assert cut[-1] == 2
    with pytest.raises(ConfigError, match="must be at least 5 with mode tokens, found 4"):
        encode_texts(tokenizer, ["a"], 4)
