"""Models that cannot be frozen and cached are refused, each with its reason and with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from telly.errors import ModelError
from telly.freezing.split import SplitModel
from telly.models.load import load_stack, model_from_config, shape_of
from telly.models.stack import find_stack
from telly.models.unsupported import check_supported
from tiny_families import BERT, HEAD_DIM, HIDDEN, KNOWN, LLAMA, SHAPE, VOCAB, tiny_config

STATES = {"hidden_size": HIDDEN, "num_hidden_layers": 4, "vocab_size": VOCAB, "state_size": 4}
VISION = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
          "image_size": 28, "patch_size": 14}  # fmt: skip
MAMBA = "has recurrent layers (Mamba), whose fused kernels read weights directly"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "albert": ({**BERT, "embedding_size": 16}, "runs one shared block in place of every layer"),
    "mamba": (STATES, MAMBA),
    "falcon_mamba": (STATES, MAMBA),
    "jamba": (LLAMA, MAMBA),
    "zamba2": ({}, MAMBA),
    "bamba": ({}, MAMBA),
    "granitemoehybrid": ({"num_hidden_layers": 2, "layer_types": ["mamba", "attention"]}, MAMBA),
    "rwkv": ({}, "is recurrent, and divides its weights in place"),
    "xlstm": ({}, "is recurrent, and in training accepts only lengths that are multiples of its chunk size"),
    "recurrent_gemma": ({}, "is recurrent, and its layers keep the state of the last batch"),
    "squeezebert": ({**BERT, "embedding_size": HIDDEN}, "is convolutional: its blocks keep states as"),
    "canine": (SHAPE, "shortens the sequence by convolution"),
    "funnel": ({}, "pools tokens between its blocks"),
    "reformer": ({}, "hashes tokens into random buckets"),
    "perceiver": ({}, "has blocks on a fixed set of latents"),
    "xlm": ({}, "keeps attention and feed-forward layers in separate lists"),
    "flaubert": ({}, "keeps attention and feed-forward layers in separate lists"),
    "big_bird": (BERT, "with block-sparse attention switches to full attention at the first short batch"),
    "gemma3": ({}, "is multimodal, and telly tunes models of text; expected its language model alone"),
    "qwen2_vl": ({}, "is multimodal"),
    "clip": ({}, "is multimodal"),
    "vit": ({}, "reads pixel_values, not text"),
    "wav2vec2": ({}, "reads input_values, not text"),
}


@pytest.mark.parametrize("model_type", REFUSED)
def test_a_kind_of_model_is_refused_by_its_configuration(model_type: str):
    settings, reason = REFUSED[model_type]
    config = transformers.AutoConfig.for_model(model_type, **settings)
    for is_generative in (False, True):
        with pytest.raises(ModelError) as error:
            model_from_config(config, is_generative=is_generative)
        assert str(error.value).startswith(f"a model of type {model_type!r} {reason}")


def test_no_tested_family_is_refused():
    for model_type in KNOWN:
        check_supported(tiny_config(model_type))
    check_supported(transformers.GraniteMoeHybridConfig(num_hidden_layers=2, layer_types=["attention", "attention"]))


def test_a_folder_is_refused_before_its_weights_are_read(tmp_path: Path):
    transformers.AlbertConfig(**BERT, embedding_size=16).save_pretrained(tmp_path)
    for load in (load_stack, shape_of):
        with pytest.raises(ModelError, match="runs one shared block in place of every layer"):
            load(str(tmp_path))


def test_a_model_with_code_of_its_own_is_refused(tmp_path: Path):
    content = {"model_type": "codesage", "auto_map": {"AutoConfig": "config.C", "AutoModel": "model.M"}}
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "config.py").write_text("raise SystemExit('run')", encoding="utf-8")
    with pytest.raises(ModelError, match="telly runs no code of a model folder; use a model that transformers knows"):
        load_stack(str(tmp_path))


def test_the_language_model_of_a_multimodal_one_is_accepted(tmp_path: Path):
    """The advice of the refusal."""
    config = transformers.Gemma3Config(text_config={**HEAD_DIM, "sliding_window": 4}, vision_config=VISION)
    whole = transformers.AutoModel.from_config(config)
    whole.save_pretrained(tmp_path / "whole")
    transformers.AutoModel.from_pretrained(tmp_path / "whole").get_decoder().save_pretrained(tmp_path / "text")
    stack = load_stack(str(tmp_path / "text"))
    assert len(stack) == 4
    ids = torch.arange(3, 9)[None]
    with torch.no_grad():
        found, expected = (m.eval()(input_ids=ids).last_hidden_state for m in (stack.model, whole))
    assert torch.allclose(found, expected, atol=1e-6)


def test_settings_that_transformers_ignores_are_refused():
    """The published folders of NomicBERT have their own names; where the defaults are meant, they do no harm."""
    check_supported(transformers.NomicBertConfig(n_embd=768, n_layer=12, rotary_emb_base=1000))
    with pytest.raises(ModelError) as error:
        check_supported(transformers.NomicBertConfig(n_embd=768, n_inner=2048))
    assert str(error.value) == (
        "a model of type 'nomic_bert' has n_inner = 2048 in its config.json, which transformers ignores for "
        "intermediate_size = 3072; give the folder's settings transformers' names (intermediate_size and the others), "
        "or take a folder that has them"
    )


PADDED = {
    "fnet": BERT,
    "convbert": {**BERT, "embedding_size": HIDDEN},
    "yoso": BERT,
    "nystromformer": {**BERT, "num_landmarks": 64, "segment_means_seq_len": 64},
    "mobilebert": {**BERT, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
}


@pytest.mark.parametrize("model_type", PADDED)
def test_states_that_depend_on_padding_are_refused(model_type: str):
    """The cache holds each sequence without padding; without frozen layers such a model can be trained."""
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(model_type, **PADDED[model_type]))
    SplitModel(model, None)
    with pytest.raises(ModelError) as error:
        SplitModel(model, 2)
    assert "padding changes the states of a sequence at layer 2 by" in str(error.value)
    assert str(error.value).endswith("can be trained without frozen layers only: --freeze base")


class Blocks(nn.Module):
    """A stack whose blocks are of the given classes, run in the given order."""

    def __init__(self, kinds: list[type[nn.Module]], order: list[int]) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(10, 4)
        self.blocks = nn.ModuleList(kind() for kind in kinds)
        self.order = order

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        states = self.embeddings(input_ids)
        for i in self.order:
            states = self.blocks[i](states)
        return states


class One(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)


class Other(One):
    pass


def test_blocks_of_different_types_are_refused():
    with pytest.raises(ModelError) as error:
        find_stack(Blocks([One, Other, One], [0, 1, 2]))
    assert str(error.value) == (
        "Blocks: the blocks of blocks are of different types (One, Other); expected a stack of transformer layers of "
        "one type"
    )


def test_blocks_that_do_not_run_once_each_in_order_are_refused():
    with pytest.raises(ModelError, match="does not run the blocks of blocks once each, in order"):
        find_stack(Blocks([One, One], [0, 1, 0, 1]))
