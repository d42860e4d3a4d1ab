"""Model folders that telly must refuse, with what to do: hostile ones, other ids, other formats, damaged files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from telly.cli import main
from telly.errors import ModelError, TellyError
from telly.models.load import load_model, load_tokenizer
from tiny_runs import tiny_model_folder

TREE = (
    "def add(a, b):\n    return a + b\n\n\ndef read(path):\n    with open(path) as file:\n        return file.read()\n"
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with which nothing is wrong."""
    return tiny_model_folder(tmp_path_factory.mktemp("sound") / "model")


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(sound, tmp_path / "model"))


def write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")


def refusal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *args: str) -> str:
    """The one line that the command prints before it exits with 2."""
    monkeypatch.setattr(sys, "argv", ["telly", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert "Traceback" not in error
    return error.strip().splitlines()[-1].removeprefix("telly: error: ")


# Hostile folders

POOLING = "sentence_transformers.models.Pooling"


@pytest.mark.parametrize(
    ("command", "module", "said"),
    [
        (
            ("index", "TREE", "--index", "INDEX"),
            {"path": "1_Pooling", "type": "own.Pooling"},
            "a module of the class 'own.Pooling'",
        ),
        (("clones", "TREE"), {"path": "1_Pooling", "type": "own.Pooling"}, "a module of the class 'own.Pooling'"),
        (
            ("tune", "search", "--output", "RUN"),
            {"path": "1_Pooling", "type": "own.Pooling"},
            "a module of the class 'own.Pooling'",
        ),
        (
            ("tune", "clone", "--head", "cosine", "--output", "RUN"),
            {"path": "1_Pooling", "type": "own.Pooling"},
            "a module of the class 'own.Pooling'",
        ),
        (
            ("tune", "classify", "--output", "RUN"),
            {"path": "1_Pooling", "type": "own.Pooling"},
            "a module of the class 'own.Pooling'",
        ),
        (
            ("export", "MODEL", "--to", "sentence-transformers", "--output", "OUT"),
            {"path": "1_Pooling", "type": "own.Pooling"},
            "a module of the class 'own.Pooling'",
        ),
        (
            ("compare", "--model", "MODEL", "--with", "telly-mini", "--output", "OUT"),
            {"path": "../1_Pooling", "type": POOLING},
            "modules.json: names '../1_Pooling'; expected",
        ),
        (
            ("probe", "--model", "MODEL", "--output", "OUT"),
            {"path": "../1_Pooling", "type": POOLING},
            "modules.json: names '../1_Pooling'; expected",
        ),
    ],
)
def test_every_command_refuses_hostile_folders(
    command: tuple[str, ...], module: dict[str, str], said: str, folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    """Those that make embeddings need the folder's modules, and no command follows a path out of the folder."""
    transformer = {"path": "", "type": "sentence_transformers.models.Transformer"}
    write_json(folder / "modules.json", [transformer, module])
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.py").write_text(TREE, encoding="utf-8")
    places = {"TREE": tmp_path / "tree", "MODEL": folder, **{name: tmp_path / name for name in ("INDEX", "RUN", "OUT")}}
    words = [str(places.get(word, word)) for word in command]
    words += [] if "MODEL" in command else ["--model", str(folder)]
    assert said in refusal(capsys, monkeypatch, *words)
    assert not (tmp_path / "RUN/config.toml").exists()
    assert not (tmp_path / "OUT").exists()


# Tokenizer and embeddings


def test_tokens_without_embeddings_are_refused_and_the_advice_helps(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = len(tokenizer)
    tokenizer.add_tokens(["retrn", "dfe"])
    tokenizer.save_pretrained(folder)
    said = f"{folder}: the tokenizer has ids up to {rows + 1} ('dfe') and the model embeddings for {rows}; expected"
    command = ("tune", "search", "--model", str(folder), "--output", str(tmp_path / "run"))
    assert refusal(capsys, monkeypatch, *command).startswith(said)
    assert not (tmp_path / "run").exists()
    model = transformers.AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    assert len(load_tokenizer(str(folder))) == rows + 2
    assert load_model(str(folder)).get_input_embeddings().num_embeddings == rows + 2  # type: ignore[operator]


def test_spare_embeddings_are_no_problem(folder: Path):
    model = transformers.AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(pad_to_multiple_of=64)
    model.save_pretrained(folder)
    assert load_model(str(folder)).config.vocab_size > len(load_tokenizer(str(folder)))  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("family", ["roberta", "gpt2", "t5"])
def test_a_folder_without_tokenizer_is_refused(family: str, tmp_path: Path):
    """transformers makes a tokenizer of special tokens alone, to which every text looks alike."""
    folder = tiny_model_folder(tmp_path / "model", family)
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match="the tokenizer has no vocabulary; expected"):
        load_tokenizer(str(folder))


# Folders and files that are no model


def test_weights_that_are_no_numbers_are_refused(folder: Path):
    weights = load_file(folder / "model.safetensors")
    key = "encoder.layer.1.output.dense.weight"
    for odd in (float("nan"), float("inf")):
        weights[key][0, 0] = odd
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelError) as error:
            load_model(str(folder))
        assert str(error.value).startswith(f"{folder}: 1 weights hold NaN or infinite numbers, such as {key}; expected")


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # peft reads it
def test_an_adapter_is_named_and_merging_it_helps(folder: Path, tmp_path: Path):
    base = transformers.AutoModel.from_pretrained(folder)
    adapter = tmp_path / "adapter"
    get_peft_model(base, LoraConfig(r=2, target_modules=["query"])).save_pretrained(adapter)
    with pytest.raises(ModelError) as error:
        load_model(str(adapter))
    assert f"is an adapter of peft for the base model {folder} (adapter_config.json), not a whole model" in str(
        error.value
    )
    merged = tmp_path / "merged"  # as the message says
    model = transformers.AutoModel.from_pretrained(folder)
    PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().save_pretrained(merged)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(merged)
    load_tokenizer(str(merged))
    load_model(str(merged))
    (adapter / "telly.json").write_text("{}")
    with pytest.raises(ModelError, match=f"is the adapter of a run; its model, .*, is {adapter.parent / 'model'}"):
        load_model(str(adapter))


class Harmful:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


DAMAGES: dict[str, tuple[Any, str]] = {
    "cut": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:5000]),
            "model.safetensors: damaged, incomplete or not weights alone"),
    "no safetensors": (lambda f: (f / "model.safetensors").write_text("hi"), "model.safetensors: damaged, incomplete"),
    "pointer": (lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid x\n"),
                "model.safetensors is a pointer of Git LFS, not the file itself; fetch the files with `git lfs pull`"),
    "none": (lambda f: (f / "model.safetensors").unlink(),
             "expected weights in model.safetensors or pytorch_model.bin, found none; download or convert"),
    "onnx": (lambda f: (f / "model.safetensors").rename(f / "model.onnx"), "found model.onnx (ONNX); download"),
    "tensorflow": (lambda f: (f / "model.safetensors").rename(f / "tf_model.h5"), "found tf_model.h5 (TensorFlow)"),
    "gguf": (lambda f: ((f / "config.json").unlink(), (f / "model.safetensors").rename(f / "m.Q4.gguf")),
             "the folder has no config.json but m.Q4.gguf (GGUF); expected"),
    "empty pickle": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin").write_bytes(b""),
                     "pytorch_model.bin: damaged, incomplete or not weights alone"),
    "harmful pickle": (lambda f: torch.save({"a": Harmful(f / "made")},
                                            (f / "model.safetensors").rename(f / "pytorch_model.bin")),
                       "its pickled file holds more than weights, and telly runs none of that; use"),
    "more layers": (lambda f: change(f, num_hidden_layers=2), "the checkpoint has 4 layers and config.json says 2"),
    "fewer layers": (lambda f: change(f, num_hidden_layers=6), "weights of the layers are not in the checkpoint"),
    "other width": (lambda f: change(f, hidden_size=64), "weights of the layers are not in the checkpoint or have"),
    "odd setting": (lambda f: change(f, hidden_size="32"), "'hidden_size': TypeError"),
    "own code": (lambda f: change(f, model_type="own", auto_map={"AutoConfig": "own.C", "AutoModel": "own.M"}),
                 "it needs code of its own (auto_map in config.json), and telly runs no code of a model folder"),
}  # fmt: skip


def change(folder: Path, **settings: Any) -> None:
    write_json(folder / "config.json", json.loads((folder / "config.json").read_text()) | settings)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_says_what_to_do(damage: str, folder: Path, caplog: pytest.LogCaptureFixture):
    spoil, said = DAMAGES[damage]
    spoil(folder)
    with caplog.at_level(logging.DEBUG, "telly"), pytest.raises(TellyError) as error:
        load_model(str(folder))
    assert said in str(error.value)
    assert str(error.value).startswith(f"{folder}: ")
    assert "\n" not in str(error.value)
    assert not (folder / "made").exists()
    if error.value.__cause__ is not None:
        assert any(record.exc_info for record in caplog.records), "the traceback is in the debug log"


# Few positions


def test_an_index_cuts_texts_to_the_positions_of_the_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """The preset is 256 tokens and the model has 128 positions; the error named an option that index lacks."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.py").write_text(TREE, encoding="utf-8")
    words = ["index", str(tmp_path / "tree"), "--model", str(folder), "--index", str(tmp_path / "index")]
    monkeypatch.setattr(sys, "argv", ["telly", *words])
    with contextlib.suppress(SystemExit):
        main()
    shown = capsys.readouterr()
    assert (
        f"warning: {folder} has few positions, so texts are cut after fewer tokens: code 128 (preset 256)" in shown.err
    )
    assert "2 functions" in shown.out


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"pad_token_id": None},
            "config.json has no pad_token_id, and a RobertaModel counts positions from it; set it",
        ),
        ({"pad_token_id": 10**6}, "Padding_idx must be within num_embeddings"),
        (
            {"hidden_act": "gelu_of_tomorrow"},
            "config.json names 'gelu_of_tomorrow', which this version of transformers",
        ),
    ],
)
def test_settings_that_the_model_cannot_run_with_are_refused_when_it_is_loaded(
    changed: dict[str, Any], told: str, folder: Path
):
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | changed)
    with pytest.raises(ModelError) as error:
        load_model(str(folder))
    assert told in str(error.value)


def test_settings_with_a_byte_order_mark_are_told(folder: Path):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text, encoding="utf-8-sig")
    with pytest.raises(ModelError, match="not valid JSON in UTF-8 without a byte order mark"):
        load_model(str(folder))
    (folder / "config.json").write_text(text, encoding="utf-8")
    load_model(str(folder))


def test_a_model_one_folder_below_is_named(folder: Path):
    inner = folder.rename(folder.parent / "snapshot")
    with pytest.raises(ModelError, match=f"expected a Hugging Face model folder, such as {inner}$"):
        load_model(str(inner.parent))
