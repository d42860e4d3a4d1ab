"""Folders of sentence-transformers: telly reads them as the library does, and refuses what it cannot apply."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save, save_file

from telly.errors import ModelError
from telly.models.embedding import NO_DECLARATION, DenseLayer, EmbeddingConfig, EmbeddingHead, NormalizeLayer, Role
from telly.models.embedding_folder import (
    embedding_warnings,
    load_embedding_head,
    load_embedding_tokenizer,
    read_embedding_config,
)
from telly.models.load import load_model
from telly.models.modes import prompt_length
from telly.models.pooling_mode import PoolingMode, parse_pooling
from telly.models.similarity import Similarity
from tiny_families import HIDDEN
from tiny_models import tiny_model, tiny_tokenizer

TEXTS = ("", "w9", "w11 w12 W13 w14 w15", " ".join(f"w{i}" for i in range(16, 80)), "W20 w21 w22")
"""Empty, short, with capitals, longer than every limit."""
OLD = "sentence_transformers.models."
TANH = "torch.nn.modules.activation.Tanh"


def write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of an encoder and of a decoder, the second with padding on the left, that say nothing of embeddings."""
    folders = {}
    for family, side in (("roberta", "right"), ("qwen2", "left")):
        folder = folders[family] = tmp_path_factory.mktemp("plain") / family
        tiny_model(family).save_pretrained(folder)
        tokenizer = tiny_tokenizer()
        tokenizer.padding_side = side
        tokenizer.model_max_length = 48
        tokenizer.save_pretrained(folder)
    return folders


def embedded(folder: Path, texts: tuple[str, ...], role: Role | None) -> torch.Tensor:
    """Embeddings by the parts that telly's folders are read with, texts padded together on the right."""
    name = str(folder)
    config = read_embedding_config(name)
    tokenizer, model = load_embedding_tokenizer(name, config), load_model(name)
    limit, prompt = config.max_tokens(role), config.prompt(role)
    batch = tokenizer(
        [prompt + text for text in texts], padding=True, truncation=True, max_length=limit, return_tensors="pt"
    )
    batch.pop("token_type_ids", None)
    length = prompt_length(tokenizer, prompt, mode=None)
    lengths = torch.full((len(texts),), length) if prompt else None
    head = load_embedding_head(name, config, HIDDEN).eval()
    with torch.no_grad():
        states = model(**batch).last_hidden_state
        embeddings: torch.Tensor = head(states, batch["attention_mask"], lengths)
    assert embeddings.shape == (len(texts), head.embedding_size)
    return embeddings


def check_equal(folder: Path) -> None:
    """Compare telly's embeddings of a folder with those of the library, as queries, documents and neither."""
    library = pytest.importorskip("sentence_transformers")
    theirs = library.SentenceTransformer(str(folder), device="cpu")
    encoders = {"query": theirs.encode_query, "document": theirs.encode_document, None: theirs.encode}
    for role, encode in encoders.items():
        expected = encode(list(TEXTS), batch_size=3, show_progress_bar=False)
        ours = embedded(folder, TEXTS, role)  # type: ignore[arg-type]
        assert np.abs(ours.numpy() - expected).max() <= 1e-5, role
    config = read_embedding_config(str(folder))
    assert config.similarity == theirs.similarity_fn_name
    assert config.max_seq_length == theirs.max_seq_length
    assert torch.allclose(config.similarity.scores(ours, ours), theirs.similarity(expected, expected), atol=1e-4)


def written(
    folder: Path, plain: Path, modules: Callable[[Any], list[Any]], transformer: Any = None, **more: Any
) -> Path:
    """Write a folder by the library; `modules` gets the library's module classes."""
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer import modules as classes

    torch.manual_seed(1)
    first = classes.Transformer(str(plain), **transformer)
    model = library.SentenceTransformer(modules=[first, *modules(classes)], device="cpu", **more)
    model.save(str(folder), create_model_card=False)
    return folder


CASES: dict[str, tuple[str, Any, dict[str, Any], dict[str, Any]]] = {
    "mean and dense": (
        "roberta",
        lambda m: [m.Pooling(HIDDEN, "mean"), m.Dense(HIDDEN, 8), m.Normalize()],
        {"query_length": 12, "document_length": 20},
        {"prompts": {"query": "w5 w6 ", "document": "w7 "}, "similarity_fn_name": "dot"},
    ),
    "cls without prompt": (
        "roberta",
        lambda m: [m.Pooling(HIDDEN, ("cls", "max"), include_prompt=False), m.Normalize(), m.LayerNorm(2 * HIDDEN)],
        {"query_length": 9},
        {"prompts": {"query": "w5 w6 ", "passage": "w8 "}, "default_prompt_name": "passage"},
    ),
    "last token": (
        "qwen2",
        lambda m: [m.Pooling(HIDDEN, "lasttoken"), m.Dropout(0.5), m.Normalize()],
        {},
        {"prompts": {"query": "w5 w6\n"}, "default_prompt_name": "query", "truncate_dim": 10},
    ),
    "all without prompt": (
        "qwen2",
        lambda m: [m.Pooling(HIDDEN, tuple(map(str, reversed(PoolingMode))), include_prompt=False)],
        {},
        {"prompts": {"query": "w5 w6 ", "document": "w7 "}, "similarity_fn_name": "manhattan"},
    ),
    "residuals": (
        "roberta",
        lambda m: [
            m.Pooling(HIDDEN, ("mean_sqrt_len_tokens", "weightedmean")),
            m.Dense(2 * HIDDEN, 12, bias=False, activation_function=torch.nn.GELU(), use_residual=True),
            m.Dense(12, 12, activation_function=None, use_residual=True),
        ],
        {},
        {"similarity_fn_name": "euclidean"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_folders_of_the_library_give_its_embeddings(case: str, plain: dict[str, Path], tmp_path: Path):
    family, modules, transformer, more = CASES[case]
    folder = written(tmp_path / "model", plain[family], modules, transformer, **more)
    check_equal(folder)
    config = read_embedding_config(str(folder))
    assert config.source == "modules.json"
    assert EmbeddingConfig.from_dict(json.loads(json.dumps(config.to_dict())), "telly.json") == config


# Folders by hand


def declare(folder: Path, *layers: str, pooling: Any = None, inner: str = "") -> Path:
    """Make a folder one of sentence-transformers, with the names of keys and classes before version 5.4."""
    kinds = ("Transformer", "Pooling", *layers)
    paths = (inner, *(f"{i}_{kind}" for i, kind in enumerate(kinds[1:], 1)))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": OLD + kind}
        for i, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    write_json(folder / "modules.json", modules)
    write_json(folder / "1_Pooling/config.json", old_pooling("mean_tokens") if pooling is None else pooling)
    return folder


def old_pooling(*modes: str, **more: Any) -> dict[str, Any]:
    keys = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    return {"word_embedding_dimension": HIDDEN, **{f"pooling_mode_{key}": key in modes for key in keys}, **more}


def dense(folder: Path, name: str = "2_Dense", size: int = HIDDEN, pickled: bool = False, **more: Any) -> Path:
    """Add the settings and weights of a Dense module from `size` to 6."""
    settings = {"in_features": size, "out_features": 6, "bias": True}
    write_json(
        folder / name / "config.json", settings | {"activation_function": "torch.nn.modules.activation.Tanh"} | more
    )
    generator = torch.Generator().manual_seed(3)
    weights = {"linear.weight": torch.randn(6, size, generator=generator), "linear.bias": torch.ones(6)}
    if pickled:
        torch.save(weights, folder / name / "pytorch_model.bin")
    else:
        save_file(weights, folder / name / "model.safetensors")
    return folder


@pytest.fixture
def folder(plain: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the encoder's folder."""
    return Path(shutil.copytree(plain["roberta"], tmp_path / "model"))


def test_old_names_of_keys_and_classes(folder: Path):
    """Modes are concatenated in the library's order, not in that of the keys; `max_seq_length` may pass the model's."""
    declare(folder, "Dense", "Normalize", pooling=old_pooling("max_tokens", "cls_token"))
    dense(folder, size=2 * HIDDEN, pickled=True)
    write_json(folder / "sentence_roberta_config.json", {"max_seq_length": 40, "do_lower_case": True})
    write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": {"query": "W5 ", "code": "w6 "}, "default_prompt_name": "code", "similarity_fn_name": None},
    )
    config = read_embedding_config(str(folder))
    assert config.pooling == (PoolingMode.CLS, PoolingMode.MAX)
    assert config.layers == (DenseLayer(2 * HIDDEN, 6), NormalizeLayer())
    assert (config.max_seq_length, config.do_lower_case, config.similarity) == (40, True, Similarity.COSINE)
    assert (config.prompt("query"), config.prompt("document"), config.prompt()) == ("W5 ", "", "w6 ")
    assert (config.pooling_name, config.has_unit_length) == ("cls-max", True)
    check_equal(folder)


M, C = PoolingMode.MEAN, PoolingMode.CLS


@pytest.mark.parametrize(
    ("pooling", "modes"),
    [
        (old_pooling(), (M,)),  # the library's default
        ({}, (M,)),
        ({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True}, (M,)),
        (old_pooling("cls_token", include_prompt=True), (C,)),
        (old_pooling("mean_tokens", "cls_token"), (C, M)),
        (old_pooling("lasttoken", pooling_mode=["mean", "cls"]), (M, C)),  # the new key wins
        ({"embedding_dimension": HIDDEN, "pooling_mode": "lasttoken"}, (PoolingMode.LAST_TOKEN,)),
        ({"embedding_dimension": HIDDEN, "pooling_mode": ["mean"]}, (M,)),
        ({"pooling_mode": "mean-cls"}, (M, C)),
        *(({"pooling_mode": mode.value}, (mode,)) for mode in PoolingMode),
    ],
)
def test_all_formats_of_a_pooling(pooling: dict[str, Any], modes: tuple[PoolingMode, ...], folder: Path):
    assert read_embedding_config(str(declare(folder, pooling=pooling))).pooling == modes


def test_lower_case_changes_the_embeddings(folder: Path):
    declare(folder)
    as_is = embedded(folder, TEXTS, None)
    write_json(folder / "sentence_bert_config.json", {"do_lower_case": True})
    lower = embedded(folder, TEXTS, None)
    assert not torch.allclose(as_is[2], lower[2])
    assert torch.allclose(as_is[3], lower[3])


@pytest.mark.parametrize("inner", ["0_Transformer", "a/b"])
def test_a_transformer_in_a_subfolder(inner: str, plain: dict[str, Path], tmp_path: Path):
    """The subfolder's model counts, also where the folder has a config.json of another model."""
    outer = tmp_path / "outer"
    shutil.copytree(plain["roberta"], outer / inner)
    declare(outer, inner=inner, pooling=old_pooling("weightedmean_tokens"))
    write_json(outer / "config.json", {"model_type": "bert", "hidden_size": 8})
    check_equal(outer)
    if "/" not in inner:
        (outer / "config.json").unlink()
        assert read_embedding_config(str(outer / inner)) == read_embedding_config(str(outer))
        alone = shutil.copytree(outer / inner, tmp_path / "alone")
        assert read_embedding_config(str(alone)).source == NO_DECLARATION
    (outer / inner / "config.json").unlink()
    with pytest.raises(ModelError, match=f"names '{inner}' as the transformer's folder, which has no config.json"):
        read_embedding_config(str(outer))


@pytest.mark.parametrize("inner", ["", "0_Transformer"])
def test_a_model_in_the_cache_of_the_hub(
    inner: str, plain: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As the hub's client lays it out: a snapshot of links to content. The snapshot's own path serves as well."""
    repository = tmp_path / "models--some--model"
    snapshot, blobs = repository / "snapshots" / ("0" * 40), repository / "blobs"
    root = tmp_path / "source"
    shutil.copytree(plain["roberta"], root / inner)
    dense(declare(root, "Dense", inner=inner, pooling=old_pooling("lasttoken")))
    write_json(root / inner / "model.safetensors.index.json", {"weight_map": {"weight": "model.safetensors"}})
    blobs.mkdir(parents=True)
    for number, file in enumerate(sorted(path for path in root.rglob("*") if path.is_file())):
        shutil.copy(file, blobs / str(number))
        link = snapshot / file.relative_to(root)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    write_json(repository / "refs/main", "0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    expected = embedded(root, TEXTS, None)
    assert torch.equal(embedded(snapshot, TEXTS, None), expected)
    assert torch.equal(embedded(Path("some/model"), TEXTS, None), expected)
    if not inner:
        (snapshot / "modules.json").unlink()
        (snapshot / "1_Pooling/config.json").unlink()
        config = read_embedding_config("some/model")
        assert config.source == (
            "default: the hub's local cache lacks modules.json of some/model, so mean pooling and unit length"
        )
        write_json(repository / ".no_exist" / ("0" * 40) / "modules.json", "")
        assert read_embedding_config("some/model").source == NO_DECLARATION


def test_a_folder_that_says_nothing_has_mean_pooling_and_says_so(plain: dict[str, Path]):
    config = read_embedding_config(str(plain["roberta"]))
    assert config == EmbeddingConfig()
    assert config.source == "default: the folder says nothing, so mean pooling and unit length"
    assert (config.pooling, config.max_seq_length, config.has_unit_length) == ((PoolingMode.MEAN,), None, True)
    assert embedding_warnings(str(plain["roberta"]), config) == []


def test_a_causal_model_that_says_nothing_gets_a_warning(plain: dict[str, Path]):
    name = str(plain["qwen2"])
    config = read_embedding_config(name)
    assert embedding_warnings(name, config) == [
        f"{name}: is a causal model whose folder declares no pooling, so its embedding is the mean of all tokens; most "
        "such models are made for the last token: --pooling lasttoken"
    ]
    for pooling in (PoolingMode.MEAN, PoolingMode.LAST_TOKEN):
        assert embedding_warnings(name, config.with_overrides(pooling=[pooling])) == []


def test_a_prompt_that_no_text_gets_is_told(folder: Path):
    """The library always has a prompt `document`, so that it never takes `passage`."""
    declare(folder)
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": "w5 ", "passage": "w6 "}})
    check_equal(folder)
    config = read_embedding_config(str(folder))
    assert embedding_warnings(str(folder), config) == [
        f"{folder}: declares prompts under names of its own ('passage': 'w6 '); as in sentence-transformers, only "
        "those named query and document are put before texts, so documents get none. To set one: --document-prompt"
    ]
    for prompt in ("", "w6 "):
        assert embedding_warnings(str(folder), config.with_overrides(document_prompt=prompt)) == []


def test_prompts_of_tasks_are_told(folder: Path):
    """Some models have a pair of prompts per task, and users must choose one."""
    config = EmbeddingConfig(prompts={f"{task}_query": f"{task}: " for task in ("nl2code", "code2code", "qa")})
    assert embedding_warnings(str(folder), config) == [
        f"{folder}: declares prompts under names of its own ('nl2code_query': 'nl2code: ', 'code2code_query': "
        "'code2code: ' and 1 more); as in sentence-transformers, only those named query and document are put before "
        "texts, so queries and documents get none. To set one: --query-prompt, --document-prompt"
    ]
    assert embedding_warnings(str(folder), config.with_overrides(query_prompt="q", document_prompt="")) == []


def test_a_pooling_without_the_list_of_modules_counts(folder: Path):
    declare(folder, pooling=old_pooling("cls_token"))
    (folder / "modules.json").unlink()
    config = read_embedding_config(str(folder))
    assert config == EmbeddingConfig(pooling=(PoolingMode.CLS,), source="1_Pooling/config.json")


def test_settings_of_the_user_come_first():
    config = EmbeddingConfig(prompts={"query": "q: ", "code": "c: "}, source="modules.json")
    assert config.with_overrides() == config
    changed = config.with_overrides(pooling=parse_pooling("mean-lasttoken"), document_prompt="d: ")
    assert changed.pooling == (PoolingMode.MEAN, PoolingMode.LAST_TOKEN)
    assert (changed.prompt("query"), changed.prompt("document")) == ("q: ", "d: ")
    assert changed.overridden == ("pooling", "document_prompt")
    assert changed.with_overrides(query_prompt="").prompt("query") == ""
    assert config.prompt("document") == ""
    with pytest.raises(ValueError, match="unknown pooling 'average'; expected one of cls, mean, max, mean_sqrt_len_"):
        parse_pooling("mean-average")


def test_a_pooling_of_the_user_that_does_not_fit_is_refused(folder: Path):
    dense(declare(folder, "Dense"))
    config = read_embedding_config(str(folder)).with_overrides(pooling=parse_pooling("mean-max"))
    with pytest.raises(ModelError) as error:
        load_embedding_head(str(folder), config, HIDDEN)
    assert str(error.value) == (
        f"{folder}: the Dense module after the pooling mean-max takes embeddings of size 32 (in_features), and the "
        "modules before it give 64; expected the same size: give --pooling as many modes as the model's folder declares"
    )
    cls = read_embedding_config(str(folder)).with_overrides(pooling=[PoolingMode.CLS])
    assert load_embedding_head(str(folder), cls, HIDDEN).embedding_size == 6


def test_dense_layers_are_trained(folder: Path):
    dense(declare(folder, "Dense"))
    head = load_embedding_head(str(folder), read_embedding_config(str(folder)), HIDDEN)
    head(torch.randn(2, 3, HIDDEN), torch.ones(2, 3)).square().sum().backward()
    gradients = {name: p.grad for name, p in head.named_parameters() if p.requires_grad}
    assert gradients.keys() == {"layers.0.linear.weight", "layers.0.linear.bias"}
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in gradients.values())


def test_weights_are_read_in_float32_and_draw_no_random_numbers(folder: Path):
    dense(declare(folder, "Dense"))
    weights = load_file(folder / "2_Dense/model.safetensors")
    save_file({name: value.half() for name, value in weights.items()}, folder / "2_Dense/model.safetensors")
    state = torch.get_rng_state()
    head = load_embedding_head(str(folder), read_embedding_config(str(folder)), HIDDEN)
    assert torch.equal(torch.get_rng_state(), state)
    assert {p.dtype for p in head.parameters()} == {torch.float32}
    assert torch.allclose(head.state_dict()["layers.0.linear.weight"], weights["linear.weight"], atol=1e-2)


# Refusals


def change(folder: Path, file: str, **changed: Any) -> None:
    write_json(folder / file, json.loads((folder / file).read_text()) | changed)


def change_module(folder: Path, index: int, **changed: Any) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[index] |= changed
    write_json(folder / "modules.json", modules)


def link(folder: Path, place: str, target: str) -> None:
    """Replace a file or folder by a symbolic link to a copy of it elsewhere."""
    (folder / place).rename(folder.parent / target)
    (folder / place).symlink_to(folder.parent / target)


POOLING, DENSE, TRANSFORMER = "1_Pooling/config.json", "2_Dense/config.json", "sentence_bert_config.json"
SETTINGS = "config_sentence_transformers.json"
SPARSE = "sentence_transformers.sparse_encoder.modules.splade_pooling.Pooling"
WAY_OUT = "expected a path within the model's folder: telly opens no other files for it"
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    # classes
    "own class": (lambda f: change_module(f, 1, type="custom_st.Pooling"),
                  "modules.json: declares a module of the class 'custom_st.Pooling', which telly does not have, and "
                  "telly runs no code that a model's folder names; expected sentence-transformers' classes "
                  "Transformer, Pooling, Dense, LayerNorm, Dropout, Normalize. To use the mean of all "
                  "tokens of this model all the same, remove modules.json"),
    "system": (lambda f: change_module(f, 2, type="os.system"), "declares a module of the class 'os.system'"),
    "unknown class": (lambda f: change_module(f, 2, type=OLD + "CNN"), "class 'sentence_transformers.models.CNN'"),
    "sparse": (lambda f: change_module(f, 1, type=SPARSE), f"of the class '{SPARSE}'"),
    "prefix": (lambda f: change_module(f, 1, type="sentence_transformers.models.Pooling.evil"), "of the class"),
    "order": (lambda f: change_module(f, 2, type=OLD + "Pooling"),
              "modules.json: declares Transformer then Pooling then Pooling; expected a Transformer, a Pooling and"),
    "no pooling": (lambda f: change_module(f, 1, type=OLD + "Normalize"), "declares Transformer then Normalize then"),
    "no modules": (lambda f: write_json(f / "modules.json", []), "declares no modules; expected a Transformer"),
    "same names": (lambda f: change_module(f, 2, name="1"), "modules.json: gives two modules the same name"),
    # paths
    "up": (lambda f: change_module(f, 1, path="../1_Pooling"), f"modules.json: names '../1_Pooling'; {WAY_OUT}"),
    "hidden up": (lambda f: change_module(f, 1, path="a/../../b"), "names 'a/../../b'"),
    "absolute": (lambda f: change_module(f, 2, path="/etc"), "names '/etc'"),
    "drive": (lambda f: change_module(f, 2, path="C:\\models"), "names 'C:\\\\models'"),
    "backslashes": (lambda f: change_module(f, 2, path="..\\2_Dense"), "names '..\\\\2_Dense'"),
    "null byte": (lambda f: change_module(f, 2, path="a\0b"), "names 'a\\x00b'"),
    "transformer": (lambda f: change_module(f, 0, path="../model"), "names '../model'"),
    "link": (lambda f: link(f, "1_Pooling", "elsewhere"), "names '1_Pooling/config.json', a symbolic link"),
    "linked weights": (lambda f: link(f, "2_Dense/model.safetensors", "w"), "'2_Dense/model.safetensors', a symb"),
    # files
    "modules": (lambda f: write_json(f / "modules.json", "[{"), "modules.json: cannot be read as JSON"),
    "no list": (lambda f: write_json(f / "modules.json", {"type": "x"}), "modules.json: expected a list of modules"),
    "deep": (lambda f: write_json(f / "modules.json", "[" * 99999), "modules.json: cannot be read as JSON"),
    "missing pooling": (lambda f: (f / POOLING).unlink(), "and 1_Pooling/config.json is missing; restore it"),
    "damaged pooling": (lambda f: write_json(f / POOLING, "{"), "config.json: cannot be read as JSON"),
    "pooling list": (lambda f: write_json(f / POOLING, []), "1_Pooling/config.json: expected a JSON object"),
    # pooling
    "mode": (lambda f: write_json(f / POOLING, {"pooling_mode": "mean-median"}),
             "1_Pooling/config.json: unknown pooling 'median'; expected one or more of cls, mean, max, mean_"),
    "mode's type": (lambda f: change(f, POOLING, pooling_mode={"mean": True}), "declares the pooling {'mean': True}"),
    "no mode": (lambda f: change(f, POOLING, pooling_mode=[]), "declares the pooling []; expected one or more of"),
    "flag": (lambda f: change(f, POOLING, pooling_mode_cls_token="yes"), "declares 'yes' as pooling_mode_cls_token"),
    "tomorrow's flag": (lambda f: change(f, POOLING, pooling_mode_median=True), "declares 'pooling_mode_median'"),
    "prompt": (lambda f: change(f, POOLING, include_prompt="no"), "declares 'no' as include_prompt; expected a bool"),
    "dimension": (lambda f: change(f, POOLING, word_embedding_dimension=768),
                  "config.json: declares states of size 768 and the model has states of size 32; expected the same"),
    # modules after the pooling
    "dense size": (lambda f: change(f, DENSE, in_features=64),
                   ": the Dense module after the pooling mean takes embeddings of size 64 (in_features), and the "
                   "modules before it give 32; expected the same size"),
    "dense type": (lambda f: change(f, DENSE, out_features="6"), "out_features: Input should be a valid integer"),
    "no size": (lambda f: write_json(f / DENSE, {}), "2_Dense/config.json: in_features: Field required"),
    "activation": (lambda f: change(f, DENSE, activation_function="os.getcwd"),
                   "2_Dense/config.json: declares the activation function 'os.getcwd', which telly does not know; "
                   "expected one of torch.nn's CELU, ELU"),
    "parameters": (lambda f: change(f, DENSE, activation_function="torch.nn.PReLU"), "function 'torch.nn.PReLU'"),
    "function": (lambda f: change(f, DENSE, activation_function="torch.nn.functional.relu"), "functional.relu'"),
    "tokens": (lambda f: change(f, DENSE, module_input_name="token_embeddings"),
               "declares 'token_embeddings' as module_input_name; expected a module that takes and gives embeddings"),
    "dense key": (lambda f: change(f, DENSE, rank=3), "2_Dense/config.json: rank: Unexpected keyword argument"),
    # transformer
    "limit": (lambda f: write_json(f / TRANSFORMER, {"max_seq_length": 0}), "declares 0 as max_seq_length"),
    "key on lines": (lambda f: write_json(f / TRANSFORMER, {"a\nb": 3}), "declares 'a\\nb', wh"),
    "limit's type": (lambda f: write_json(f / TRANSFORMER, {"max_seq_length": "9"}), "declares '9' as max_seq_length"),
    "case": (lambda f: write_json(f / TRANSFORMER, {"do_lower_case": 1}), "declares 1 as do_lower_case"),
    "output": (lambda f: write_json(f / TRANSFORMER, {"modality_config": {"text": {"method_output_name": "pooler"}}}),
               "declares modality_config {'text': {'method_output_name': 'pooler'}}, which telly does not apply"),
    "chat": (lambda f: write_json(f / TRANSFORMER, {"modality_config": {"text": {}, "message": {}}}), "modality_"),
    "task": (lambda f: write_json(f / TRANSFORMER, {"transformer_task": "fill-mask"}), "transformer_task 'fill-mask'"),
    "expansion": (lambda f: write_json(f / TRANSFORMER, {"query_expansion": {"length": 9}}), "query_expansion {"),
    "arguments": (lambda f: write_json(f / TRANSFORMER, {"config_args": {"num_hidden_layers": 1}}), "config_args {"),
    "no arguments": (lambda f: write_json(f / TRANSFORMER, {"model_args": 3}), "declares 3 as model_args"),
    "key": (lambda f: write_json(f / TRANSFORMER, {"max_len": 3}), "declares 'max_len', which telly does not"),
    # whole model
    "settings": (lambda f: write_json(f / SETTINGS, "{"), "cannot be read as JSON"),
    "kind": (lambda f: write_json(f / SETTINGS, {"model_type": "CrossEncoder"}), "a model of type 'CrossEncoder'"),
    "similarity": (lambda f: write_json(f / SETTINGS, {"similarity_fn_name": "maxsim"}),
                   "declares the similarity 'maxsim'; expected one of cosine, dot, euclidean, manhattan"),
    "prompts": (lambda f: write_json(f / SETTINGS, {"prompts": ["q: "]}), "declares the prompts ['q: ']; expected"),
    "prompt's type": (lambda f: write_json(f / SETTINGS, {"prompts": {"query": 3}}), "the prompts {'query': 3}"),
    "default": (lambda f: write_json(f / SETTINGS, {"default_prompt_name": "code", "prompts": {"query": ""}}),
                "declares 'code' as default_prompt_name; expected one of the prompts ['query']"),
    "truncation": (lambda f: write_json(f / SETTINGS, {"truncate_dim": -1}), "declares -1 as truncate_dim"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_telly_does_not_know_or_apply_is_refused(fault: str, folder: Path):
    dense(declare(folder, "Dense"))
    read_embedding_config(str(folder))
    spoil, said = REFUSED[fault]
    spoil(folder)
    with pytest.raises(ModelError) as error:
        load_embedding_head(str(folder), read_embedding_config(str(folder)), HIDDEN)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_advice_of_a_refusal_helps(folder: Path):
    declare(folder)
    change_module(folder, 1, type="own.Pooling")
    with pytest.raises(ModelError, match="To use the mean of all tokens of this model all the same, remove modules"):
        read_embedding_config(str(folder))
    for file in (folder / "modules.json", folder / POOLING):
        file.unlink()
    assert read_embedding_config(str(folder)) == EmbeddingConfig()


def weights(**values: torch.Tensor) -> bytes:
    return save({f"linear.{name}": value for name, value in values.items()})


WEIGHTS: dict[str, tuple[bytes, str]] = {
    "shape": (weights(weight=torch.ones(6, 9), bias=torch.ones(6)),
              "model.safetensors: has linear.bias (6,), linear.weight (6, 9), and the module's config.json declares "
              "linear.bias (6,), linear.weight (6, 32); get the file again"),
    "missing": (weights(weight=torch.ones(6, 32)), "has linear.weight (6, 32), and the module's config.json declares"),
    "extra": (weights(weight=torch.ones(6, 32), bias=torch.ones(6), gate=torch.ones(1)), "linear.gate (1,)"),
    "infinite": (weights(weight=torch.full((6, 32), torch.inf), bias=torch.ones(6)), "holds NaN or infinite numbers"),
    "cut": (weights(weight=torch.ones(6, 32), bias=torch.ones(6))[:200], "model.safetensors: damaged, or not weights"),
    "empty": (b"", "model.safetensors: damaged, or not weights alone"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WEIGHTS)
def test_weights_that_contradict_their_module_are_refused(fault: str, folder: Path):
    dense(declare(folder, "Dense"))
    content, said = WEIGHTS[fault]
    (folder / "2_Dense/model.safetensors").write_bytes(content)
    with pytest.raises(ModelError) as error:
        load_embedding_head(str(folder), read_embedding_config(str(folder)), HIDDEN)
    assert said in str(error.value)


class Harmful:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.place,)


@pytest.mark.parametrize("content", ["code", "no pickle", "list", "nothing"])
def test_pickled_weights_run_no_code(content: str, folder: Path):
    dense(declare(folder, "Dense"), pickled=True)
    file = folder / "2_Dense/pytorch_model.bin"
    match content:
        case "code":
            torch.save({"linear.weight": Harmful(folder / "made")}, file)
        case "no pickle":
            file.write_bytes(b"weights")
        case "list":
            torch.save([torch.ones(6, 32)], file)
        case "nothing":
            file.unlink()
    with pytest.raises(ModelError):
        load_embedding_head(str(folder), read_embedding_config(str(folder)), HIDDEN)
    assert not (folder / "made").exists()


def test_a_layer_of_a_huge_declared_size_takes_no_memory(folder: Path):
    dense(declare(folder, "Dense"), out_features=10**7)
    with pytest.raises(ModelError, match=r"declares linear\.bias"):
        load_embedding_head(str(folder), read_embedding_config(str(folder)), HIDDEN)
    dense(folder, out_features=10**30)
    with pytest.raises(ModelError, match="out_features: Input should be less than or equal to 10000000"):
        read_embedding_config(str(folder))


@pytest.mark.parametrize(
    "shard", ["../secret.safetensors", "/etc/passwd", "..\\x.safetensors", "linked.safetensors", 3]
)
@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
def test_shards_outside_the_folder_are_refused(shard: Any, index: str, folder: Path):
    shutil.copy(folder / "model.safetensors", folder.parent / "secret.safetensors")
    (folder / "linked.safetensors").symlink_to(folder.parent / "secret.safetensors")
    (folder / "model.safetensors").rename(folder / "model-00001.safetensors")
    keys = load_file(folder / "model-00001.safetensors").keys()
    write_json(folder / index, {"metadata": {}, "weight_map": dict.fromkeys(keys, shard)})
    with pytest.raises(ModelError, match=r"expected a path within the model's folder|expected `weight_map`"):
        load_model(str(folder))
    if index.startswith("model"):
        write_json(folder / index, {"metadata": {}, "weight_map": dict.fromkeys(keys, "model-00001.safetensors")})
        load_model(str(folder))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 70)
    | st.floats()
    | st.sampled_from(["mean", "../x", "Tanh", "query", "\n\x1b[2J", "long" * 900]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "type", "path", "name", "pooling_mode", "pooling_mode_cls_token", "include_prompt", "in_features", "bias",
            "activation_function", "max_seq_length", "modality_config", "model_args", "text", "prompts", "query",
            "default_prompt_name", "similarity_fn_name", "truncate_dim", "dropout", "a\nb", "long" * 900,
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def declared(plain: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound folder with a Dense module, which examples spoil and restore."""
    folder = Path(shutil.copytree(plain["roberta"], tmp_path_factory.mktemp("declared") / "model"))
    return dense(declare(folder, "Dense", "Dropout"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    file=st.sampled_from(["modules.json", POOLING, DENSE, "3_Dropout/config.json", TRANSFORMER, SETTINGS]),
    values=json_values,
)
@example(file="3_Dropout/config.json", values={"a\nb": None})
def test_any_json_gives_a_configuration_or_an_error_that_names_the_folder(file: str, values: Any, declared: Path):
    place = declared / file
    before = place.read_bytes() if place.is_file() else None
    write_json(place, json.dumps(values))
    try:
        config = read_embedding_config(str(declared))
        assert EmbeddingConfig.from_dict(config.to_dict(), "again") == config
        EmbeddingHead(config, HIDDEN)
    except ModelError as error:
        assert str(declared) in str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 2000
    finally:
        place.unlink()
        if before is not None:
            place.write_bytes(before)


@given(values=json_values)
def test_any_json_of_a_tuned_model_gives_a_configuration_or_an_error(values: Any):
    with contextlib.suppress(ModelError):
        EmbeddingConfig.from_dict(values, "telly.json")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pooling": ["average"]}, "telly.json: pooling.0: Input should be 'cls', 'mean', 'max'"),
        ({"pooling": []}, "telly.json: pooling: Tuple should have at least 1 item"),
        ({"layers": [{"type": "Evil"}]}, "does not match any of the expected tags"),
        ({"layers": [{"type": "Dense", "in_features": 3, "out_features": 2, "activation": "Module"}]},
         "unknown activation function 'Module'; expected one of torch.nn's CELU"),
        ({"truncate_dim": "3"}, "truncate_dim: Input should be a valid integer (found '3')"),
        ({"prompts": {"query": 1}}, "prompts.query: Input should be a valid string (found 1)"),
        ({"future": 1}, "future: Unexpected keyword argument (found 1)"),
    ],
)  # fmt: skip
def test_a_damaged_configuration_of_a_tuned_model_is_refused(changed: dict[str, Any], said: str):
    with pytest.raises(ModelError) as error:
        EmbeddingConfig.from_dict(EmbeddingConfig().to_dict() | changed, "telly.json")
    assert said in str(error.value)
