"""Writing: one stack against a hand-written forward, decoding against a loop without a cache."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers

from telly.errors import ConfigError, ModelError
from telly.freezing.split import SplitModel
from telly.models.generation import (
    Architecture,
    Decoding,
    architecture_of,
    decode_encoded,
    decode_single_sequence,
    decoder_start,
    selected_logits,
)
from telly.models.kv_cache import CACHE_ARGUMENTS, cache_argument
from telly.models.load import load_model, model_from_config
from telly.models.prefix_lm import PrefixLM, prefix_mask
from telly.models.stack import find_stack
from telly.settings.config import TuneConfig
from telly.settings.lengths import check_lengths
from telly.tasks import get_task
from tiny_families import HEADS, LAYERS, VOCAB
from tiny_models import CONFIGS, WRITERS, padded_batch, tiny_model

STACKS = ("roberta", "bert")
DECODERS = tuple(family for family in WRITERS if family not in {*STACKS, "t5"})
PROMPTS = [[5, 6, 7, 8, 9], [10], [11, 12, 13]]
NEVER = 10**6
"""No token's id."""
KINDS = (
    dict.fromkeys(STACKS, Architecture.PREFIX_LM)
    | dict.fromkeys(DECODERS, Architecture.DECODER)
    | {"t5": Architecture.ENCODER_DECODER}
)

joint_writers = pytest.mark.parametrize("writer", [*STACKS, *DECODERS])
all_writers = pytest.mark.parametrize("writer", WRITERS)
stacks = pytest.mark.parametrize("stack", STACKS)


def writing(family: str) -> Any:
    """In double precision, so that nearly equal scores are told apart in any order of batches."""
    return tiny_model(family, is_generative=True).double()


def ids_of(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(5, VOCAB, (1, count), generator=torch.Generator().manual_seed(seed))


def by_hand(model: PrefixLM, ids: torch.Tensor, prefix_length: int) -> torch.Tensor:
    """Logits of one un-padded sequence, [tokens, vocabulary]; shares no code with the model but its weights."""
    weights = model.encoder.state_dict()
    tokens, first = len(ids), 2 if model.config.model_type == "roberta" else 0

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + model.config.layer_norm_eps).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    table = "embeddings.{}_embeddings.weight".format
    positions = weights[table("position")][first : first + tokens]
    x = norm(weights[table("word")][ids] + positions + weights[table("token_type")][0], "embeddings.LayerNorm")
    sees = torch.tensor([[key <= query or key < prefix_length for key in range(tokens)] for query in range(tokens)])
    for layer in range(LAYERS):
        own = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{own}.attention.self.{part}").view(tokens, HEADS, -1).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(~sees, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(tokens, -1)
        x = norm(x + linear(mixed, f"{own}.attention.output.dense"), f"{own}.attention.output.LayerNorm")
        inner = F.gelu(linear(x, f"{own}.intermediate.dense"))
        x = norm(x + linear(inner, f"{own}.output.dense"), f"{own}.output.LayerNorm")
    return x @ weights[table("word")].T


@stacks
@pytest.mark.parametrize("prefix_length", [0, 1, 4, 7, 9])
@torch.no_grad()
def test_prefix_lm_equals_a_forward_by_hand(stack: str, prefix_length: int):
    model, ids = writing(stack), ids_of(9)
    found = model(input_ids=ids, prefix_lengths=torch.tensor([prefix_length])).logits[0]
    assert torch.allclose(found, by_hand(model, ids[0], prefix_length), atol=1e-9)


@stacks
@torch.no_grad()
def test_who_sees_whom_matters(stack: str):
    """The case that must differ: a source that reads left to right only gives other logits, also after it."""
    model, ids = writing(stack), ids_of(9)
    some, none = (model(input_ids=ids, prefix_lengths=torch.tensor([count])).logits[0] for count in (6, 0))
    assert (some - none).abs()[:5].amax(-1).min() > 1e-2
    assert (some - none).abs()[6:].amax(-1).min() > 1e-2


@stacks
@torch.no_grad()
def test_one_pass_equals_encoding_and_then_decoding(stack: str):
    """Prefill of the source with a cache, then the target's tokens one by one."""
    model, ids, source = writing(stack), ids_of(11), 6
    together = model(input_ids=ids, prefix_lengths=torch.tensor([source])).logits
    cache = transformers.DynamicCache()
    parts = [model(input_ids=ids[:, :source], prefix_lengths=torch.tensor([source]), past_key_values=cache).logits]
    parts += [model(input_ids=ids[:, i : i + 1], past_key_values=cache).logits for i in range(source, 11)]
    assert torch.allclose(torch.cat(parts, dim=1), together, atol=1e-9)


@stacks
@torch.no_grad()
def test_nothing_visible_is_the_librarys_decoder_and_everything_its_encoder(stack: str):
    model, ids = writing(stack), ids_of(9)
    decoder = type(model.encoder)(model.config.__class__(**(model.config.to_dict() | {"is_decoder": True}))).double()
    decoder.load_state_dict(model.encoder.state_dict())
    word = model.get_input_embeddings().weight
    for prefix_length, library in ((0, decoder.eval()), (9, model.encoder)):
        found = model(input_ids=ids, prefix_lengths=torch.tensor([prefix_length])).logits
        assert torch.allclose(found, library(input_ids=ids).last_hidden_state @ word.T, atol=1e-9)
    assert torch.allclose(model(input_ids=ids).logits, found, atol=1e-9), (
        "without `prefix_lengths` the prefix is the whole sequence"
    )


@stacks
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.no_grad()
def test_padding_on_either_side_and_both_kernels_give_the_same(stack: str, attention: str):
    model = writing(stack)
    model.set_attn_implementation(attention)
    lengths, prefix_lengths = (11, 7, 3), torch.tensor([5, 4, 3])
    batch = padded_batch(lengths=lengths)
    left = {name: torch.stack([row.roll(11 - n) for row, n in zip(value, lengths, strict=True)])
            for name, value in batch.items()}  # fmt: skip
    right_logits = model(**batch, prefix_lengths=prefix_lengths).logits
    left_logits = model(**left, prefix_lengths=prefix_lengths).logits
    for i, count in enumerate(lengths):
        alone = by_hand(model, batch["input_ids"][i, :count], int(prefix_lengths[i]))
        assert torch.allclose(right_logits[i, :count], alone, atol=1e-9)
        assert torch.allclose(left_logits[i, 11 - count :], alone, atol=1e-9)


def test_prefix_mask_by_hand():
    """Rows are queries, columns keys. Padding (row 1, key 0) sees itself only, so that its softmax has a term."""
    mask = prefix_mask(torch.tensor([[1, 1, 1, 1], [0, 1, 1, 1]]), torch.tensor([3, 2]), 4)
    assert mask.shape == (2, 1, 4, 4)
    assert mask[:, 0].int().tolist() == [
        [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
        [[1, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 1]],
    ]


def test_prefix_mask_of_new_tokens_and_of_nothing_visible():
    real = torch.tensor([[1, 1, 1, 0]])
    assert prefix_mask(real, None, 4)[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert prefix_mask(real, None, 2)[0, 0].int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]], "the last two queries"


@torch.no_grad()
def next_logits(model: Any, prompt: list[int], answer: list[int], prefix_length: int | None = None) -> torch.Tensor:
    """Logits of the token after `answer`, with no cache, [vocabulary]."""
    if model.config.is_encoder_decoder:
        inputs = {"input_ids": [prompt], "decoder_input_ids": [[decoder_start(model.config), *answer]]}
    else:
        inputs = {"input_ids": [[*prompt, *answer]]} | (
            {} if prefix_length is None else {"prefix_lengths": [prefix_length]}
        )
    extra = {} if isinstance(model, PrefixLM) else {"use_cache": False}
    return model(**{name: torch.tensor(value) for name, value in inputs.items()}, **extra).logits[0, -1]


def prefix_length_of(model: Any, prompt: list[int]) -> int | None:
    """All but the last token, as the tasks have it."""
    return len(prompt) - 1 if isinstance(model, PrefixLM) else None


def written(model: Any, prompts: list[list[int]], decoding: Decoding) -> list[list[int]]:
    """Answers, by whichever way fits the model."""
    if model.config.is_encoder_decoder:
        width = max(map(len, prompts))
        inputs = {
            "input_ids": torch.tensor([[*p, *[decoding.pad_id] * (width - len(p))] for p in prompts]),
            "attention_mask": torch.tensor([[1] * len(p) + [0] * (width - len(p)) for p in prompts]),
        }
        with torch.no_grad():
            return decode_encoded(model, SplitModel(model, None).encode(**inputs), inputs["attention_mask"], decoding)
    prefix_lengths = [prefix_length_of(model, prompt) for prompt in prompts]
    given = None if None in prefix_lengths else torch.tensor(prefix_lengths)
    return decode_single_sequence(model, [torch.tensor(prompt) for prompt in prompts], decoding, given)


@all_writers
def test_a_beam_of_one_is_greedy(writer: str):
    model = writing(writer)
    for prompt in PROMPTS:
        expected: list[int] = []
        while len(expected) < 7:
            expected.append(int(next_logits(model, prompt, expected, prefix_length_of(model, prompt)).argmax()))
        assert written(model, [prompt], Decoding(1, 7, (NEVER,), 0)) == [expected]


@all_writers
@pytest.mark.parametrize("beams", [1, 4])
def test_batched_equals_one_by_one(writer: str, beams: int):
    model, decoding = writing(writer), Decoding(beams, 6, (20, 30, 40, 50), 0)
    alone = [written(model, [prompt], decoding)[0] for prompt in PROMPTS]
    assert written(model, PROMPTS, decoding) == alone
    assert len({tuple(answer) for answer in alone}) > 1, "answers that do not depend on the prompt would show nothing"


@pytest.mark.parametrize("writer", ["t5", *DECODERS, *STACKS])
def test_beams_equal_the_librarys_with_its_ordinary_cache(writer: str):
    """A prefix language model whose prompt reads left to right is a plain decoder, so the library can do it as well."""
    model, decoding = writing(writer), Decoding(4, 6, (20, 30, 40, 50), 0)
    greedy = Decoding(1, 6, decoding.end_ids, 0)
    differs = False
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        start = {"decoder_start_token_id": 0} if writer == "t5" else {}
        found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **decoding.arguments(**start))
        found = found[0].tolist()
        answer = found[1:] if writer == "t5" else found[len(prompt) :]
        expected = list(itertools.takewhile(lambda token: token not in decoding.end_ids, answer))
        if isinstance(model, PrefixLM):
            one, four = (decode_single_sequence(model, [ids[0]], d, torch.tensor([0]))[0] for d in (greedy, decoding))
        else:
            one, four = (written(model, [prompt], d)[0] for d in (greedy, decoding))
        assert four == expected
        differs |= one != four
    assert differs, "else four beams might be one"


@all_writers
def test_a_beam_as_large_as_the_vocabulary_finds_the_best_of_all_answers(writer: str):
    """Two tokens: every first token is kept, so all VOCAB^2 answers are compared. None can end, all are as long."""
    model, prompt = writing(writer), PROMPTS[0]
    prefix_length = prefix_length_of(model, prompt)
    first = next_logits(model, prompt, [], prefix_length).log_softmax(-1)
    second = torch.stack([next_logits(model, prompt, [a], prefix_length).log_softmax(-1) for a in range(VOCAB)])
    best = divmod(int((first[:, None] + second).argmax()), VOCAB)
    assert written(model, [prompt], Decoding(VOCAB, 2, (NEVER,), 0)) == [list(best)]


@all_writers
def test_an_answer_stops_before_an_end_token(writer: str):
    """Whichever of the end tokens comes first: greedy answers are those without end tokens, cut there."""
    model = writing(writer)
    whole = written(model, PROMPTS, Decoding(1, 7, (NEVER,), 0))
    assert [len(answer) for answer in whole] == [7, 7, 7]
    ends = (whole[0][3], whole[1][2])
    cut = [list(itertools.takewhile(lambda token: token not in ends, answer)) for answer in whole]
    assert written(model, PROMPTS, Decoding(1, 7, ends, 0)) == cut
    for answer in written(model, PROMPTS, Decoding(4, 7, ends, 0)):
        assert len(answer) <= 7 and not set(answer) & set(ends)


@pytest.mark.parametrize("writer", ["gpt2", "t5"])
def test_the_models_own_generation_settings_change_nothing(writer: str):
    """A checkpoint that forbids or punishes tokens would change what is measured; the library would heed it."""
    model = writing(writer)
    decoding = Decoding(1, 5, (NEVER,), 0)
    before = written(model, PROMPTS, decoding)
    own = {"suppress_tokens": list(range(80)), "repetition_penalty": 5.0, "max_length": 3, "min_new_tokens": 4}
    model.generation_config.update(**own)
    assert written(model, PROMPTS, decoding) == before
    kept = model.generation_config.to_dict()
    assert {name: kept[name] for name in own} == own, "they are the model's, and saved with it"
    if writer == "gpt2":
        library = model.generate(torch.tensor(PROMPTS[:1]), **decoding.arguments())[0, len(PROMPTS[0]) :].tolist()
        assert library != before[0]


@all_writers
@torch.no_grad()
def test_selected_logits_are_the_full_logits_there(writer: str):
    model, batch = writing(writer), padded_batch(pad_id=0)
    if writer == "t5":
        batch["decoder_input_ids"] = batch["input_ids"]
    selected = torch.zeros(3, 11, dtype=torch.bool)
    selected[0, 4:9] = selected[2, 0] = True
    full = model(**batch).logits
    with selected_logits(model, selected):
        some = model(**batch).logits
    assert some.shape == (6, VOCAB)
    assert torch.allclose(some, full[selected], atol=1e-12)
    with pytest.raises(KeyError), selected_logits(model, selected):
        raise KeyError
    assert not model.get_output_embeddings()._forward_pre_hooks
    assert torch.equal(model(**batch).logits, full)


def test_kind_of_every_family():
    assert {family: architecture_of(CONFIGS[family]()) for family in WRITERS} == KINDS
    assert [
        kind.is_single_sequence for kind in (Architecture.PREFIX_LM, Architecture.DECODER, Architecture.ENCODER_DECODER)
    ] == [
        True,
        True,
        False,
    ]


def test_a_model_that_cannot_write_is_refused():
    with pytest.raises(ModelError) as error:
        architecture_of(transformers.ViTConfig())
    assert str(error.value) == (
        "a model of type 'vit' cannot generate text; expected an encoder of RoBERTa's shape, "
        "an encoder-decoder (T5) or a decoder (GPT-2, StarCoder2, Qwen2)"
    )


@pytest.mark.parametrize(("encoder", "name"), [("distilbert", "DistilBertModel"), ("modernbert", "ModernBertModel")])
def test_an_encoder_without_a_cache_is_refused(encoder: str, name: str, tmp_path: Path):
    expected = (
        f"{name} cannot generate text: it keeps no key/value cache. Choose an encoder of RoBERTa's shape, "
        "an encoder-decoder (T5) or a decoder (GPT-2, StarCoder2, Qwen2)"
    )
    with pytest.raises(ModelError) as error:
        model_from_config(CONFIGS[encoder](), is_generative=True)
    assert str(error.value) == expected
    tiny_model(encoder).save_pretrained(tmp_path)
    with pytest.raises(ModelError) as error:
        load_model(str(tmp_path), is_generative=True)
    assert str(error.value) == expected


def renaming(encoder: Any, **names: str) -> Any:
    """The encoder behind a decorator that renames arguments, and drops those in `DROPPED` without a word."""
    forward = encoder.forward

    def renamed(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **{names.get(name, name): value for name, value in kwargs.items() if name not in DROPPED})

    encoder.forward = renamed
    return encoder


DROPPED: set[str] = set()


@pytest.mark.parametrize("given", ["cache", "past_key_values"])
def test_the_name_of_the_cache_argument_is_found_by_trying(given: str, monkeypatch: pytest.MonkeyPatch):
    encoder = tiny_model("roberta")
    works = cache_argument(encoder)
    assert works in CACHE_ARGUMENTS
    (other,) = {*CACHE_ARGUMENTS} - {given}
    monkeypatch.setattr(sys.modules[__name__], "DROPPED", {other})
    model = PrefixLM(renaming(tiny_model("roberta"), **{given: works}))
    assert cache_argument(model.encoder) == given


@pytest.mark.parametrize(("encoder", "keeps"), [("roberta", True), ("bert", True), ("distilbert", False)])
def test_a_model_without_numbers_is_tried_as_well(encoder: str, keeps: bool):
    """A study plans its cells on the meta device, and names models that cannot write before anything runs."""
    config = CONFIGS[encoder]()
    if keeps:
        assert isinstance(model_from_config(config, device="meta", is_generative=True), PrefixLM)
    else:
        with pytest.raises(ModelError, match="it keeps no key/value cache"):
            model_from_config(config, device="meta", is_generative=True)


@pytest.mark.parametrize(
    ("dropped", "reason"),
    [
        ("position_ids", "token by token it gives other states than in one pass"),
        ("attention_mask", "token by token it gives other states than in one pass"),
        ("inputs_embeds", "its forward refuses what decoding needs (You must specify exactly one of"),
    ],
)
def test_an_encoder_that_ignores_what_decoding_needs_is_refused(
    dropped: str, reason: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys.modules[__name__], "DROPPED", {dropped})
    with pytest.raises(ModelError) as error:
        PrefixLM(renaming(tiny_model("roberta")))
    assert str(error.value).startswith(f"RobertaModel cannot generate text: {reason}")


def test_the_trial_of_an_encoder_leaves_its_mode_as_it_was():
    encoder = tiny_model("bert").train()
    encoder.pooler = None
    encoder.embeddings.eval()
    before = {name: module.training for name, module in encoder.named_modules()}
    PrefixLM(encoder)
    assert {name: module.training for name, module in encoder.named_modules()} == before
    assert {*before.values()} == {True, False}


@pytest.mark.parametrize("k", [0, 2])
@torch.no_grad()
def test_t5_encodes_from_states_as_from_tokens(k: int):
    split = SplitModel(writing("t5"), k)
    batch = padded_batch(pad_id=0)
    states = split.prefix(**batch)
    from_tokens = split.encode(**batch)
    from_states = split.encode(states=states, attention_mask=batch["attention_mask"])
    real = batch["attention_mask"].bool()
    assert torch.allclose(from_states[real], from_tokens[real], atol=1e-9)
    wrong = split.encode(states=states + 0.1, attention_mask=batch["attention_mask"])
    assert (wrong[real] - from_tokens[real]).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("writer", "name"), [("roberta", "PrefixLM"), ("gpt2", "GPT2LMHeadModel"), ("t5", "T5ForConditionalGeneration")]
)
@torch.no_grad()
def test_a_saved_model_is_loaded_as_a_writer(writer: str, name: str, tmp_path: Path):
    kept = tiny_model(writer, is_generative=True)
    (kept.encoder if writer == "roberta" else kept).save_pretrained(tmp_path)
    found = load_model(str(tmp_path), is_generative=True)
    assert type(found).__name__ == name and not found.training
    batch = padded_batch(pad_id=0)
    if writer == "t5":
        batch["decoder_input_ids"] = batch["input_ids"]
    assert torch.equal(found(**batch).logits, kept(**batch).logits)
    encoder = load_model(str(tmp_path))
    assert not hasattr(encoder(**batch) if writer != "t5" else encoder(input_ids=batch["input_ids"]), "logits")


def test_a_decoder_without_its_output_layer_is_refused(tmp_path: Path):
    """A folder of the bare model, such as a run of code search leaves: its head would be random numbers."""
    tiny_model("llama").save_pretrained(tmp_path)
    with pytest.raises(ModelError) as error:
        load_model(str(tmp_path), is_generative=True)
    assert str(error.value) == (
        f"{tmp_path}: 1 weights of the layers are not in the checkpoint or have another shape, such as lm_head.weight; "
        "expected the weights of a LlamaForCausalLM as config.json describes it, so get both files from the same place"
    )
    assert load_model(str(tmp_path)) is not None


def test_prompt_and_answer_must_fit_into_the_positions_together(tmp_path: Path):
    """64 positions, RoBERTa's first two unused: 40 + 22 fit, 40 + 23 do not; two functions never stand together."""
    model = tiny_model("roberta", is_generative=True)
    model.encoder.save_pretrained(tmp_path)
    stack = find_stack(model)

    def check(task: str, **tokens: int) -> None:
        check_lengths(TuneConfig(task=task, model=str(tmp_path), max_tokens=tokens).resolve(), get_task(task), stack)

    check("summarize", code=40, summary=22)
    with pytest.raises(ConfigError) as error:
        check("summarize", code=40, summary=23)
    assert str(error.value) == (
        "max_tokens: code 40, summary 23: prompt and answer are one sequence of up to 63 tokens, and "
        f"{tmp_path} has 62 positions; give less with --max-tokens, such as code=39, summary=22"
    )
    with pytest.raises(ConfigError) as error:
        check("summarize", code=63, summary=5)
    assert str(error.value) == (
        f"max_tokens: code may have 63 tokens, and {tmp_path} has 62 positions; give --max-tokens code=62 or less"
    )
    check("clone", left=62, right=62)
