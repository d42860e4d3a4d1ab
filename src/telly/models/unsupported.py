"""Kinds of models that telly cannot freeze and cache, each with the reason, recognised by their configuration alone.

Any other model proves that it can be split (`telly.freezing.split`); these are refused earlier, and say why.
"""

from __future__ import annotations

from typing import Any

from telly.errors import ModelError

_RECURRENT = (
    "is recurrent: its fused kernels read the weights of a layer directly, past adapters and past the states that telly "
    "hands in"
)
_SEPARATE_LISTS = "keeps attention and feed-forward layers in separate lists, so it has no blocks that can be frozen"
_REASONS = {
    "albert": "runs one shared block again and again: freezing it for the lower layers would freeze the upper ones too",
    "xlm": _SEPARATE_LISTS,
    "flaubert": _SEPARATE_LISTS,
    "canine": "shortens the sequence by convolution, so its blocks have no states of tokens to cache",
    "funnel": "pools tokens between its blocks, so the lengths of the states differ from layer to layer",
    "perceiver": "has blocks on a fixed set of latents, so there are no states of tokens to cache",
    "reformer": "hashes tokens into random buckets and joins two streams in reversible blocks, so its states cannot be "
    "computed once and cached",
    "squeezebert": "is convolutional: its blocks keep states as [batch, hidden, tokens]",
    "gemma3n_text": "runs four streams of states side by side (AltUp), and telly caches one",
} | dict.fromkeys(
    (
        "bamba", "falcon_h1", "falcon_mamba", "jamba", "mamba", "mamba2", "nemotron_h", "recurrent_gemma", "rwkv",
        "xlstm", "zamba", "zamba2",
    ),
    _RECURRENT,
)  # fmt: skip
"""Reasons by `config.model_type`."""
_OTHER_MODALITIES = {"audio_config", "speech_config", "text_config", "thinker_config", "vision_config", "vlm_config"}
_ADVICE = "choose a model of a family that docs/models.md lists"


def check_supported(config: Any) -> None:
    """Check that a model is not of a kind that telly cannot support.

    Raises:
        ModelError: it is; the message says why and what to do.
    """
    problem = _problem(config)
    if problem is not None:
        raise ModelError(f"a model of type {config.model_type!r} {problem}")


def _problem(config: Any) -> str | None:
    reason = _REASONS.get(config.model_type)
    if reason is None and "mamba" in (getattr(config, "layer_types", None) or ()):  # Granite 4 has some without
        reason = _RECURRENT
    if reason is not None:
        return f"{reason}; {_ADVICE}"
    if _OTHER_MODALITIES & set(config.sub_configs):
        return (
            "is multimodal, and telly tunes models of text; expected its language model alone. Save that one: "
            "transformers.AutoModel.from_pretrained(FOLDER).get_decoder().save_pretrained(TEXT_FOLDER), with the "
            "tokenizer beside it"
        )
    inputs = _main_input(config)
    if inputs != "input_ids":
        return f"reads {inputs}, not text; {_ADVICE}"
    if config.model_type == "big_bird" and config.attention_type == "block_sparse":
        return (
            "with block-sparse attention switches to full attention at the first short batch, for good, so its states "
            'depend on the order of batches; set "attention_type": "original_full" in config.json'
        )
    return None


def _main_input(config: Any) -> str:
    from transformers import MODEL_MAPPING

    classes = MODEL_MAPPING.get(type(config), None)
    model = classes[0] if isinstance(classes, tuple) else classes
    return str(getattr(model, "main_input_name", "input_ids"))
