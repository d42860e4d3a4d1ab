"""The contrastive loss and its settings: numbers by hand, sentence-transformers' answers, and gradients in chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MatryoshkaLoss,
    MultipleNegativesRankingLoss,
)
from torch import nn

from freezing.equal_training import a_step, check_same_training, store_source, trained
from telly.data.sequences import RaggedRows, SequenceTableBuilder
from telly.errors import ConfigError
from telly.freezing.cost import plan_costs
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.retrieval import map_at_r
from telly.models.embedding import EmbeddingConfig, EmbeddingHead
from telly.models.load import shape_of
from telly.models.similarity import Similarity
from telly.settings.config import TuneConfig
from telly.tasks import get_task
from telly.tasks.options import ContrastiveOptions
from telly.tasks.training import embeddings
from telly.tasks.training.contrastive import HardNegatives, in_batch_loss
from telly.tasks.training.retrieval import RetrievalData, RetrievalModel
from telly.tuning.estimate import workload_of
from telly.tuning.inputs import check_dimensions
from tiny_models import CONFIGS, TINY_TOKENS, Given, tiny_encoded, tiny_model, tiny_tokenizer

NO_ONE_ELSE = [torch.arange(2), torch.arange(2)]
"""Identities of two pairs that share neither query nor document."""


def at_angles(*degrees: float) -> torch.Tensor:
    """Unit vectors in the plane."""
    return torch.tensor([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees])


def loss_of(
    left: torch.Tensor, right: torch.Tensor, same: list[torch.Tensor] | None = None,
    negatives: HardNegatives | None = None, similarity: Similarity = Similarity.COSINE, **options: Any,
) -> float:  # fmt: skip
    settings = ContrastiveOptions(**{"temperature": 1.0} | options)
    return in_batch_loss(left, right, same or NO_ONE_ELSE, settings, negatives, similarity).item()


def test_hard_negatives_are_candidates_of_every_query():
    """Queries and documents at 0 and 90 degrees, a hard negative at 0: e against 1 + e, and e against 1 + 1."""
    pairs = at_angles(0, 90)
    hard = HardNegatives(at_angles(0), torch.tensor([7]))
    expected = (math.log((2 * math.e + 1) / math.e) + math.log((math.e + 2) / math.e)) / 2
    assert loss_of(pairs, pairs, negatives=hard) == pytest.approx(expected, abs=1e-6)
    assert loss_of(pairs, pairs) == pytest.approx(math.log((math.e + 1) / math.e), abs=1e-6)


def test_a_hard_negative_is_none_of_whom_it_answers():
    """Pairs 0 and 1 have the same query, so the document of 1 (identity 1) is a right answer of both, but not of 2."""
    left, right = at_angles(0, 0, 90), at_angles(0, 10, 90)
    same = [torch.tensor([5, 5, 6]), torch.tensor([0, 1, 2])]
    e, near = math.e, math.exp(math.cos(math.radians(80)))  # the query at 90 to what is at 10 degrees
    queries = [e + 1, math.exp(math.cos(math.radians(10))) + 1, e + 1 + near]  # the query at 0 sees that at 90 as 1
    alone = (math.log(queries[0] / e) + math.log(queries[1] / (queries[1] - 1)) + math.log(queries[2] / e)) / 3
    assert loss_of(left, right, same) == pytest.approx(alone, abs=1e-6)
    with_negative = (3 * alone - math.log(queries[2] / e) + math.log((queries[2] + near) / e)) / 3
    hard = HardNegatives(at_angles(10), torch.tensor([1]))
    assert loss_of(left, right, same, hard) == pytest.approx(with_negative, abs=1e-6)


def test_the_symmetric_loss_is_the_mean_of_both_directions():
    """Queries at 0 and 60, documents at 0 and 90: cosines 1 and 0, 1/2 and .866. Hard negatives are no queries."""
    left, right, hard = at_angles(0, 60), at_angles(0, 90), HardNegatives(at_angles(180), torch.tensor([7]))
    e, half, near = math.e, math.exp(0.5), math.exp(math.cos(math.radians(30)))
    there = (math.log((e + 1) / e) + math.log((half + near) / near)) / 2
    back = (math.log((e + half) / e) + math.log((near + 1) / near)) / 2
    assert loss_of(left, right) == pytest.approx(there, abs=1e-6)
    assert loss_of(left, right, symmetric=True) == pytest.approx((there + back) / 2, abs=1e-6)
    one_sided = loss_of(left, right, negatives=hard)
    assert loss_of(left, right, negatives=hard, symmetric=True) == pytest.approx((one_sided + back) / 2, abs=1e-6)


def test_what_scores_more_than_the_answer_and_a_margin_is_left_out():
    """The query at 0 has its answer at 60 (.5) and negatives at 0 (1) and 50 (.643): .5 and .143 more."""
    left, right = at_angles(0, 180), at_angles(60, 180)
    hard = HardNegatives(at_angles(0, 50), torch.tensor([7, 8]))

    def expected(*kept: float) -> float:
        """Loss with the hard negatives at these angles for the first query; none of them is near the second one."""
        cosines = [[60, 180, *kept], [180, 120, 180, 130]]  # angles to each query, the answer first
        cosines[1] = [0, 120, 180, 130]
        exps = [[math.exp(math.cos(math.radians(angle))) for angle in angles] for angles in cosines]
        return sum(math.log(sum(row) / row[0]) for row in exps) / 2

    assert loss_of(left, right, negatives=hard) == pytest.approx(expected(0, 50), abs=1e-6)
    assert loss_of(left, right, negatives=hard, false_negative_margin=0.6) == pytest.approx(expected(0, 50), abs=1e-6)
    assert loss_of(left, right, negatives=hard, false_negative_margin=0.2) == pytest.approx(expected(50), abs=1e-6)
    assert loss_of(left, right, negatives=hard, false_negative_margin=0.0) == pytest.approx(expected(), abs=1e-6)


def test_a_mask_has_no_gradient():
    """A margin that masks nothing changes no gradient, and a masked negative gets none."""
    gradients = []
    for margin in (None, 2.0, 0.1):
        hard = at_angles(10, 120).requires_grad_()
        options = ContrastiveOptions(temperature=1.0, false_negative_margin=margin)
        negatives = HardNegatives(hard, torch.tensor([7, 8]))
        one = [torch.zeros(1), torch.zeros(1)]
        in_batch_loss(at_angles(0), at_angles(60), one, options, negatives).backward()
        assert hard.grad is not None
        gradients.append(hard.grad.norm(dim=1))
    assert torch.equal(gradients[0], gradients[1])
    assert gradients[0].min() > 0.05
    assert gradients[2][0] == 0
    assert gradients[2][1] > 0.05


def test_matryoshka_adds_the_loss_of_the_first_dimensions():
    """(.6, .8) and (.8, -.6) are orthogonal; the first dimension alone makes both 1: e against e, ln 2."""
    vectors = torch.tensor([[0.6, 0.8], [0.8, -0.6]])
    whole = math.log((math.e + 1) / math.e)
    assert loss_of(vectors, vectors, matryoshka=(1,)) == pytest.approx(whole + math.log(2), abs=1e-6)
    weighted = loss_of(vectors, vectors, matryoshka=(1,), matryoshka_weights=(0.25,))
    assert weighted == pytest.approx(whole + math.log(2) / 4, abs=1e-6)


def test_the_models_similarity_decides():
    """Dot products of (2, 0) and (0, 1) with themselves: 4 against 0, and 1 against 0. The distances: 0 against 5."""
    vectors = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = (math.log(1 + math.exp(-4)) + math.log(1 + math.exp(-1))) / 2
    assert loss_of(vectors, vectors, similarity=Similarity.DOT) == pytest.approx(expected, abs=1e-6)
    distant = math.log(1 + math.exp(-math.sqrt(5)))
    assert loss_of(vectors, vectors, similarity=Similarity.EUCLIDEAN) == pytest.approx(distant, abs=1e-6)


class Features(nn.Module):
    """A telly model as a module of sentence-transformers."""

    def __init__(self, model: RetrievalModel) -> None:
        super().__init__()
        self.inner = model

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": self.inner.embed(features)}


class Embedding(nn.Sequential):
    """A telly model as sentence-transformers' losses know theirs."""

    def get_embedding_dimension(self) -> int:
        return HIDDEN


HIDDEN = 32
SCALE = 20.0  # the inverse of the temperature
REFERENCES: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "one-sided": ({}, lambda model: MultipleNegativesRankingLoss(model, SCALE)),
    "symmetric": (
        {"symmetric": True},
        lambda model: MultipleNegativesRankingLoss(
            model, SCALE, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
        ),
    ),
    "matryoshka": (
        {"matryoshka": (8, 4), "matryoshka_weights": (0.5, 0.25)},
        lambda model: MatryoshkaLoss(model, MultipleNegativesRankingLoss(model, SCALE), [HIDDEN, 8, 4], [1, 0.5, 0.25]),
    ),
    "chunks": ({"chunk_size": 2}, lambda model: CachedMultipleNegativesRankingLoss(model, SCALE, mini_batch_size=2)),
}


def searched(negatives: list[list[str]] | None = None) -> RetrievalData:
    """Four pairs of random words with as many hard negatives as the lists have."""
    columns: dict[str, list[Any]] = {
        "query": ["w8 w9", "w10 w11", "w12", "w13 w14 w15"],
        "code": ["w20 w21 w22", "w23", "w24 w25", "w26"],
    }
    if negatives is not None:
        columns["negatives"] = negatives
    limits = dict.fromkeys(("query", "code"), TINY_TOKENS)
    encoded = get_task("search").encode(
        {"train": Dataset.from_dict(columns)}, tiny_tokenizer(), limits, CONFIGS["roberta"]()
    )
    data = encoded["train"]
    assert isinstance(data, RetrievalData)
    return data


NEGATIVES = [["w30 w31"], ["w32 w33"], ["w34 w35"], ["w36 w37 w38"]]


def gradients_of(model: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in trained(model).items() if p.grad is not None}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("negatives", [None, NEGATIVES], ids=["pairs", "hard negatives"])
def test_loss_and_gradient_are_those_of_sentence_transformers(name: str, negatives: list[list[str]] | None):
    options, reference = REFERENCES[name]
    split = SplitModel(tiny_model("roberta"), 2)
    data = searched(negatives)
    model = RetrievalModel(split, ContrastiveOptions(temperature=1 / SCALE, **options)).eval()
    batch = get_task("search").collate(RowSource(data.table, 1), data, range(4))
    ours = model(**batch)["loss"]
    columns = [batch[column] for column in ("query", "document", "negatives") if column in batch]
    theirs = reference(Embedding(Features(model)))([dict(column) for column in columns], torch.zeros(0))
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    own, other = gradients_of(model, ours), gradients_of(model, theirs)
    assert own.keys() == other.keys()
    assert len(own) > 10
    assert all(torch.allclose(own[key], other[key], atol=1e-5) for key in own)


def directly(embed: Callable[..., torch.Tensor], chunk: dict[str, torch.Tensor], **_: Any) -> torch.Tensor:
    """In place of `checkpoint`: the same passes in the same order, with all intermediate results kept."""
    return embed(chunk)


@pytest.mark.parametrize("cached", [False, True], ids=["tokens", "cached"])
def test_the_gradient_in_chunks_is_the_plain_one(cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With dropout, whose random numbers the second pass must draw again."""
    data = searched(NEGATIVES)
    model = RetrievalModel(SplitModel(tiny_model("roberta"), 2), ContrastiveOptions(chunk_size=3, symmetric=True))
    source = store_source(model.encoder, data.table, tmp_path) if cached else RowSource(data.table, 1)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        in_chunks = a_step(model, source, data, list(range(4)), seed=3)
        saved_in_chunks = sum(kept)
        found = gradients_of(model, in_chunks)
        kept.clear()
        monkeypatch.setattr(embeddings, "checkpoint", directly)
        plain = a_step(model, source, data, list(range(4)), seed=3)
    assert saved_in_chunks < sum(kept) / 10, "or it saves no memory"
    expected = gradients_of(model, plain)
    assert in_chunks.item() == plain.item()
    assert found.keys() == expected.keys()
    assert max((found[name] - expected[name]).abs().max().item() for name in found) < 1e-6
    assert max(gradient.abs().max().item() for gradient in found.values()) > 1e-3
    other = gradients_of(model, a_step(model, source, data, list(range(4)), seed=4))
    assert any(not torch.allclose(other[name], found[name], atol=1e-4) for name in found), "dropout is on"


def test_without_dropout_chunks_change_nothing():
    data = searched(NEGATIVES)
    losses, gradients = [], []
    for chunk_size in (None, 1, 3, 100):
        model = RetrievalModel(SplitModel(tiny_model("roberta"), 2), ContrastiveOptions(chunk_size=chunk_size)).eval()
        losses.append(model(**get_task("search").collate(RowSource(data.table, 1), data, range(4)))["loss"])
        gradients.append(gradients_of(model, losses[-1]))
    assert all(loss.item() == pytest.approx(losses[0].item(), abs=1e-6) for loss in losses)
    for found in gradients[1:]:
        assert all(torch.allclose(found[name], gradients[0][name], atol=1e-6) for name in gradients[0])


SETTINGS = {
    "hard negatives": ("search", {}),
    "all of the loss": (
        "search",
        {"symmetric": True, "false_negative_margin": 0.05, "matryoshka": (16, 8), "matryoshka_weights": (1.0, 0.5)},
    ),
    "chunks": ("search", {"chunk_size": 3}),
    "groups": ("clone-retrieval", {"symmetric": True, "matryoshka": (8,), "chunk_size": 3}),
    "classifier in chunks": ("clone", {"head": "pair", "chunk_size": 3}),
    "cosine in chunks": ("clone", {"head": "cosine", "chunk_size": 3}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_cached_equals_frozen_with_every_setting(name: str, tmp_path: Path):
    task, options = SETTINGS[name]
    data = tiny_encoded(task, CONFIGS["roberta"](), negatives=task != "clone")
    built = get_task(task)
    models = []
    for _ in range(2):
        split = SplitModel(tiny_model("roberta"), 2)
        torch.manual_seed(0)
        models.append(built.build(split, len(data.classes), built.spec.options_of(options)))
    frozen, cached = models
    check_same_training(frozen, cached, task, tmp_path, data)


def test_every_setting_has_an_effect():
    """Else equal results would say nothing about it."""
    data = tiny_encoded("search", CONFIGS["roberta"](), negatives=True)
    plain = tiny_encoded("search", CONFIGS["roberta"]())
    losses = []
    for options in ({}, {"symmetric": True}, {"false_negative_margin": 0.05}, {"matryoshka": (8,)}):
        model = RetrievalModel(SplitModel(tiny_model("roberta"), 2), ContrastiveOptions(**options)).eval()
        for encoded in (data, plain):
            batch = get_task("search").collate(RowSource(encoded.table, 1), encoded, range(8))
            losses.append(round(model(**batch)["loss"].item(), 5))
    assert len(set(losses)) == len(losses)


def test_negatives_are_rows_like_others():
    """A negative that is another example's code shares its row; all are counted where costs are estimated."""
    data = searched([["w23"], [], ["w30 w31 w32 w33", "w20 w21 w22"], []])
    assert data.negatives is not None
    assert len(data.table) == 4 + 4 + 1
    assert data.negatives.counts.tolist() == [1, 0, 2, 0]
    assert data.negatives.values[[0, 2]].tolist() == data.rows["code"][[1, 0]].tolist()
    assert len(data.reads) == 8 + 3
    assert data.uses_per_epoch == 11 / 9
    assert data.lengths.tolist() == [5, 4, 6, 5], "of the third, a negative is the longest: 4 words and 2 marks"
    tokens = 4 * 5 + 4 * 5  # four queries of at most 3 words and four codes of at most 3, with 2 marks each
    assert searched().batch_tokens(range(4)) == tokens
    assert data.batch_tokens(range(4)) == tokens + 3 * 6
    assert data.batch_tokens([1, 3]) == searched().batch_tokens([1, 3]), "these have none"


def test_estimates_count_negatives_and_chunks():
    """Four negatives of at most 3 words and 2 marks; in chunks of two, 2 x 5 tokens are trained at a time, twice."""
    config = TuneConfig.parse({"task": "search", "batch_size": 4}).resolve()
    plain, hard = workload_of(config, searched()), workload_of(config, searched(NEGATIVES))
    assert (hard.tokens, hard.batch_tokens) == (plain.tokens + 20, plain.batch_tokens + 20)
    assert not hard.runs_twice
    chunked = workload_of(config.model_copy(update={"chunk_size": 2}), searched(NEGATIVES))
    assert (chunked.tokens, chunked.batch_tokens, chunked.runs_twice) == (hard.tokens, 10, True)
    rate = 1e12
    seconds = [plan_costs(shape_of("telly-mini"), work, rate)[0].epoch_seconds for work in (hard, chunked)]
    assert seconds[1] / seconds[0] == pytest.approx(4 / 3)


def test_the_fingerprint_covers_negatives():
    one, none = searched([["w23"], [], [], []]), searched([[], [], [], []])
    other = searched([[], ["w26"], [], []])
    assert none.negatives is None
    assert none.fingerprint() == searched().fingerprint()
    assert len({data.fingerprint() for data in (one, none, other)}) == 3
    assert one.table.fingerprint() == none.table.fingerprint(), "which names the store"


def test_a_negative_that_answers_its_query_is_left_out_with_a_warning():
    """Row 3 says that `w23` answers `w8 w9` too; and beyond the limit of 12 tokens two texts are equal."""
    long = " ".join(["w40"] * 20)
    columns = {
        "query": ["w8 w9", "w10", "w8 w9"],
        "code": ["w20", long, "w23"],
        "negatives": [["w23", "w24"], [long + " w41"], []],
    }
    limits = dict.fromkeys(("query", "code"), TINY_TOKENS)
    train = get_task("search").encode({"train": Dataset.from_dict(columns)}, tiny_tokenizer(), limits, None)["train"]
    assert train.hard_negatives is not None
    assert train.hard_negatives.tolist() == [1, 0, 0]
    assert train.warnings == (
        "train: 2 of 3 negatives are left out, because a row with the same query has them as its right answer, or one "
        "that is equal up to the length limit",
    )


def test_evaluation_data_have_no_negatives():
    """A pilot may take its validation rows from the training file."""
    limits = dict.fromkeys(("query", "code"), TINY_TOKENS)
    columns = {"query": ["w8", "w9"], "code": ["w20", "w21"], "negatives": [["w30"], ["w31"]]}
    data = get_task("search").encode({"valid": Dataset.from_dict(columns)}, tiny_tokenizer(), limits, None)["valid"]
    assert data.hard_negatives is None
    assert len(data.table) == 4


def test_groups_know_the_label_of_a_negative():
    """`w22` is another program of label b, so it is no negative of b's programs; `w30` is no program at all."""
    columns = {
        "label": ["a", "b", "a", "b"],
        "code": ["w20", "w21", "w23", "w22"],
        "negatives": [["w22", "w30"], ["w30"], [], ["w23"]],
    }
    task = get_task("clone-retrieval")
    data = task.encode({"train": Dataset.from_dict(columns)}, tiny_tokenizer(), {"code": TINY_TOKENS}, None)["train"]
    source = RowSource(data.table, 1)
    batch = task.collate(source, data, [0, 3])
    assert batch["negative_labels"][[0, 2]].tolist() == [1, 0]
    assert batch["negative_labels"][1] >= 2
    assert data.uses_per_epoch == (2 * 4 + 4) / 5
    assert data.batch_tokens([0, 3]) == 3 * (2 + 2 + 3)
    none = task.collate(source, data, [2])
    assert none["negatives"] is None
    assert none["negative_labels"].tolist() == []


def test_ragged_rows():
    ragged = RaggedRows.of([[4, 5], [], [6]])
    assert ragged.counts.tolist() == [2, 0, 1]
    assert ragged.owners.tolist() == [0, 0, 2]
    assert ragged.pick([2, 1, 0]).tolist() == [6, 4, 5]
    assert ragged.pick([1]).tolist() == []
    fewer = ragged.where(ragged.values != 4)
    assert (fewer.values.tolist(), fewer.counts.tolist()) == ([5, 6], [1, 0, 1])
    with pytest.raises(ValueError, match="offsets must run from 0 to 3, found 0 to 2"):
        RaggedRows(ragged.values, ragged.offsets[:2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"matryoshka": [64, 64]}, "matryoshka: a dimension is given twice"),
        ({"matryoshka": [64], "matryoshka_weights": [1, 2]}, "matryoshka_weights: found 2; expected one for each of"),
        ({"matryoshka": [0]}, "greater than 0"),
        ({"false_negative_margin": -0.1}, "greater than or equal to 0"),
        ({"chunk_size": 0}, "greater than 0"),
        ({"task": "classify", "symmetric": True}, "symmetric: task classify has no such setting"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        TuneConfig.parse({"task": "search"} | settings)


def test_a_matryoshka_dimension_beyond_the_embedding_is_refused():
    config = TuneConfig.parse({"task": "search", "matryoshka": [8, 32]}).resolve()
    check_dimensions(config, 33)
    with pytest.raises(ConfigError) as error:
        check_dimensions(config, 32)
    assert str(error.value) == (
        "--matryoshka 32: embeddings of telly-mini have 32 dimensions, which are trained anyway; give less"
    )


def test_the_loss_compares_by_the_models_similarity():
    """By dot product nothing is scaled to unit length."""
    data = searched(NEGATIVES)
    batch = get_task("search").collate(RowSource(data.table, 1), data, range(4))
    losses = {}
    for similarity in (Similarity.COSINE, Similarity.DOT):
        head = EmbeddingHead(EmbeddingConfig(layers=(), similarity=similarity), HIDDEN)
        model = RetrievalModel(SplitModel(tiny_model("roberta"), 2), ContrastiveOptions(), head).eval()
        losses[similarity] = model(**batch)["loss"].item()
    embedded = {name: model.declared_embeddings(batch[name]) for name in ("query", "document", "negatives")}
    candidates = torch.cat([embedded["document"], embedded["negatives"]])
    expected = nn.functional.cross_entropy(embedded["query"] @ candidates.T / 0.05, torch.arange(4)).item()
    assert losses[Similarity.DOT] == pytest.approx(expected, rel=1e-5)
    assert losses[Similarity.COSINE] != pytest.approx(expected, rel=1e-2)


def test_evaluation_scores_the_first_dimensions_too():
    """Rows 0 and 1 are the queries. By the first dimension alone both find document 0, whose cosine is 1."""
    rows = torch.tensor([[1.0, 0.0, 0.0], [1.0, 3.0, 0.0], [2.0, 0.5, 0.0], [-1.0, 5.0, 0.0]])
    builder = SequenceTableBuilder()
    columns = {"query": [builder.add([0]), builder.add([1])], "code": [builder.add([2]), builder.add([3])]}
    data = RetrievalData(builder.build(), {name: np.asarray(found) for name, found in columns.items()})
    model = RetrievalModel(Given(rows), ContrastiveOptions(matryoshka=(1, 2)))  # type: ignore[arg-type]
    autocast = torch.autocast("cpu", enabled=False)
    found = get_task("search").evaluate(model, RowSource(data.table, 0), data, autocast, final=True)
    assert found.metrics["mrr"] == 1.0
    assert {size: metrics["mrr"] for size, metrics in found.truncated.items()} == {1: 0.75, 2: 1.0}
    assert get_task("search").evaluate(model, RowSource(data.table, 0), data, autocast, final=False).truncated == {}


def test_groups_are_scored_by_the_first_dimensions_too():
    """As if the embeddings had only these."""
    data = tiny_encoded("clone-retrieval", CONFIGS["roberta"]())
    split = SplitModel(tiny_model("roberta"), 2)
    task = get_task("clone-retrieval")
    model = task.build(split, 2, ContrastiveOptions(matryoshka=(8,))).eval()
    autocast = torch.autocast("cpu", enabled=False)
    source = RowSource(data.table, 1)
    found = task.evaluate(model, source, data, autocast, final=True)
    vectors = model.embed(source.batch(data.rows["code"]))[:, :8].detach()
    labels = torch.from_numpy(data.labels)
    expected = map_at_r(torch.nn.functional.normalize(vectors, dim=1), labels).value
    assert found.truncated == {8: {"map@r": pytest.approx(expected, abs=1e-6)}}
