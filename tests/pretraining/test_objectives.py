"""What is trained on: the sequences, their losses, and who sees whom."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import RobertaForMaskedLM

from telly.data.sequences import SequenceTable
from telly.models.generation import Architecture
from telly.models.modes import InputMode, encode_texts, mode_head
from telly.pretraining.batches import NOT_PREDICTED, BatchMaker, mask_tokens
from telly.pretraining.config import MixtureRatios, PretrainConfig
from telly.pretraining.corpus import Corpus
from telly.pretraining.cross_entropy import PART, linear_cross_entropy
from telly.pretraining.objectives import PretrainObjective
from telly.pretraining.run import model_config
from telly.pretraining.throughput import Throughput, matrix_product_rate
from telly.pretraining.tokenizer import SPECIAL_TOKENS, train_tokenizer
from telly.tasks import get_task

CODE = [f"def add_{i}(a, b):\n    total = a + {i} * b\n    return total\n" for i in range(12)]
DOCSTRINGS = [f"Add {i} times b to a and give the total." for i in range(12)]
CONFIG = PretrainConfig(hidden_size=16, attention_heads=2, vocab_size=320)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([*CODE, *DOCSTRINGS], CONFIG.vocab_size)


@pytest.fixture(scope="module")
def corpus(tokenizer) -> Corpus:
    def table(texts: list[str]) -> SequenceTable:
        return SequenceTable.of(tokenizer(texts, add_special_tokens=False)["input_ids"])[0]

    return Corpus(table(CODE), table(DOCSTRINGS), np.stack([np.arange(12)] * 2, axis=1), 2)


def batch_of(corpus: Corpus, tokenizer, **ratios: float) -> dict[str, torch.Tensor]:
    return BatchMaker(corpus, tokenizer, CONFIG, MixtureRatios(**{"masked": 0.0} | ratios), 0.15)(corpus.pairs)


def objective(layers: int = 2, **weights) -> PretrainObjective:
    torch.manual_seed(0)
    config = model_config(CONFIG, layers, CONFIG.vocab_size, dropout=0.0)
    config.initializer_range = 0.3  # so that losses differ from those of equal chances
    return PretrainObjective(RobertaForMaskedLM(config), **weights).eval()


def test_masking_follows_bert(tokenizer):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, len(tokenizer), 20_000)
    changed, labels = mask_tokens(ids, rng, 0.15, tokenizer)
    chosen, ordinary = labels != NOT_PREDICTED, ids >= len(SPECIAL_TOKENS)
    assert not (chosen & ~ordinary).any(), "special tokens are never predicted"
    assert chosen.sum() / ordinary.sum() == pytest.approx(0.15, abs=0.01)
    assert np.array_equal(labels[chosen], ids[chosen])
    assert np.array_equal(changed[~chosen], ids[~chosen])
    assert (changed[chosen] == tokenizer.mask_token_id).mean() == pytest.approx(0.8, abs=0.03)
    assert (changed[chosen] == ids[chosen]).mean() == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(("kind", "task", "sources", "targets"), [
    ("code", "generate", DOCSTRINGS, CODE),
    ("docstring", "summarize", CODE, DOCSTRINGS),
])  # fmt: skip
def test_prefix_sequences_are_laid_out_as_the_writing_tasks_do(kind, task, sources, targets, corpus, tokenizer):
    batch = batch_of(corpus, tokenizer, **{kind: 1.0})
    prompts = get_task(task).prompts(sources, tokenizer, 500, Architecture.PREFIX_LM)
    answers = tokenizer(targets, add_special_tokens=False)["input_ids"]
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        length = int(batch["attention_mask"][i].sum())
        assert batch["input_ids"][i, :length].tolist() == [*prompt.ids, *answer, tokenizer.sep_token_id]
        assert int(batch["prefix_lengths"][i]) == prompt.prefix_length
        labels = batch["labels"][i]
        first = len(prompt.ids) - 1
        assert labels[first : length - 1].tolist() == [*answer, tokenizer.sep_token_id]
        assert (labels[:first] == NOT_PREDICTED).all() and (labels[length - 1 :] == NOT_PREDICTED).all()


def test_causal_sequences_predict_every_token_from_the_past(corpus, tokenizer):
    batch = batch_of(corpus, tokenizer, causal=1.0)
    ids = batch["input_ids"][0, : int(batch["attention_mask"][0].sum())].tolist()
    head = mode_head(tokenizer, InputMode.DECODER_ONLY)
    assert ids[: len(head)] == head
    assert batch["prefix_lengths"].tolist() == [0] * 12
    assert batch["labels"][0, len(head) - 1 : len(ids) - 1].tolist() == ids[len(head) :]
    model = objective()
    before = model.states(batch["input_ids"], batch["attention_mask"], batch["prefix_lengths"])
    changed = batch["input_ids"].clone()
    changed[:, 9] = 40
    after = model.states(changed, batch["attention_mask"], batch["prefix_lengths"])
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_masked_sequences_come_first_with_their_docstrings(corpus, tokenizer):
    batch = batch_of(corpus, tokenizer, masked=0.5, causal=0.5)
    count = len(batch["docstring_ids"])
    assert 0 < count < 12
    lengths = batch["attention_mask"].sum(dim=1)
    assert torch.equal(batch["prefix_lengths"][:count], lengths[:count]) and not batch["prefix_lengths"][count:].any()
    plain = [tuple(ids) for ids in encode_texts(tokenizer, CODE, 500)]
    for i in range(count):
        ids = torch.where(batch["labels"][i] != NOT_PREDICTED, batch["labels"][i], batch["input_ids"][i])
        number = plain.index(tuple(ids[: lengths[i]].tolist()))
        doc = batch["docstring_ids"][i]
        doc = torch.where(batch["docstring_labels"][i] != NOT_PREDICTED, batch["docstring_labels"][i], doc)
        wanted = encode_texts(tokenizer, [DOCSTRINGS[number]], 500)[0]
        assert doc[: len(wanted)].tolist() == wanted


def test_what_is_drawn_depends_on_seed_and_pairs_alone(corpus, tokenizer):
    one, other = (batch_of(corpus, tokenizer, masked=0.5, causal=0.5) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    maker = BatchMaker(corpus, tokenizer, CONFIG.model_copy(update={"seed": 1}), MixtureRatios(), 0.15)
    assert not torch.equal(maker(corpus.pairs)["labels"], batch_of(corpus, tokenizer, masked=1.0)["labels"])


def test_a_mixed_batch_is_the_sum_of_its_kinds(corpus, tokenizer):
    """One forward with four kinds gives each kind the loss that it has alone."""
    batch = batch_of(corpus, tokenizer, masked=0.5, causal=0.2, code=0.15, docstring=0.15)
    masked = len(batch["docstring_ids"])
    model = objective()
    whole = model(**batch)
    first = model(**{k: v if k.startswith("docstring") else v[:masked] for k, v in batch.items()})
    rest = model(**{k: v[masked:] for k, v in batch.items() if not k.startswith("docstring")})
    assert rest.keys() == {"loss", "next"}
    assert whole["masked"].item() == pytest.approx(first["masked"].item(), rel=1e-4)
    assert whole["contrast"].item() == pytest.approx(first["contrast"].item(), rel=1e-4)
    assert whole["next"].item() == pytest.approx(rest["next"].item(), rel=1e-4)
    parts = whole["masked"] + whole["next"] + whole["contrast"]
    assert whole["loss"].item() == pytest.approx(parts.item(), rel=1e-5)


def test_contrast_is_the_symmetric_infonce(corpus, tokenizer):
    batch = batch_of(corpus, tokenizer, masked=1.0)
    model = objective(token_weight=0.0)
    code = model.embeddings(batch["input_ids"], batch["attention_mask"])
    docs = model.embeddings(batch["docstring_ids"], batch["docstring_mask"])
    scores = (20 * docs @ code.T).detach().double()
    wanted = (
        sum(
            -math.log(math.exp(table[i, i]) / sum(math.exp(v) for v in table[i]))
            for table in (scores, scores.T)
            for i in range(12)
        )
        / 24
    )
    assert model(**batch)["contrast"].item() == pytest.approx(wanted, rel=1e-4)


def test_the_anchor_is_zero_for_what_it_was_made_from(corpus, tokenizer):
    batch = batch_of(corpus, tokenizer, masked=1.0)
    plain = batch | {
        f"{which}_ids": torch.where(batch[labels] != NOT_PREDICTED, batch[labels], batch[f"{which}_ids"])
        for which, labels in (("input", "labels"), ("docstring", "docstring_labels"))
    }
    bag = objective(layers=0)
    embeddings = objective(layers=0).model.roberta.embeddings
    same = PretrainObjective(bag.model, anchor_weight=1.0, anchor=embeddings).eval()
    assert same(**plain)["anchor"].item() == pytest.approx(0.0, abs=1e-9)
    assert same(**batch)["anchor"].item() > 0.01, "what is masked is to be told from its surroundings"
    assert not any(p is q for p in same.parameters() for q in embeddings.parameters())


@pytest.mark.parametrize("biased", [True, False])
def test_cross_entropy_in_parts(biased: bool):
    generator = torch.Generator().manual_seed(0)
    tokens = PART + 77
    states = torch.randn(tokens, 24, generator=generator)
    weight = torch.randn(300, 24, generator=generator) * 0.3
    bias = torch.randn(300, generator=generator) if biased else None
    labels = torch.randint(0, 300, (tokens,), generator=generator)
    results = []
    for function in (linear_cross_entropy, lambda s, w, b, y: F.cross_entropy(F.linear(s, w, b), y)):
        leaves = [t.clone().requires_grad_() for t in (states, weight, *([bias] if bias is not None else []))]
        loss = function(leaves[0], leaves[1], leaves[2] if biased else None, labels)
        (loss * 3).backward()
        results.append((loss.item(), [leaf.grad for leaf in leaves]))
    (found, gradients), (wanted, expected) = results
    assert found == pytest.approx(wanted, rel=1e-3)
    for gradient, right in zip(gradients, expected, strict=True):
        assert (gradient - right).norm() / right.norm() < 0.01, "bfloat16 keeps two to three digits"


def test_throughput_counts_products_of_both_passes(corpus, tokenizer):
    batch = batch_of(corpus, tokenizer, masked=1.0)
    model = objective()
    counter = Throughput(model, model.model.config)
    model.train()
    model(**batch)
    tokens = int(batch["attention_mask"].sum() + batch["docstring_mask"].sum())
    labels = int((batch["labels"] != NOT_PREDICTED).sum() + (batch["docstring_labels"] != NOT_PREDICTED).sum())
    squares = int((batch["attention_mask"].sum(1) ** 2).sum() + (batch["docstring_mask"].sum(1) ** 2).sum())
    assert counter._tokens == tokens
    assert counter._flops == 6 * 2 * 12 * 16**2 * tokens + 12 * 2 * 16 * squares + 6 * 16 * 320 * labels
    assert matrix_product_rate(torch.device("cpu"), torch.float32) > 1e8
