"""Kinds of models that telly cannot freeze and cache, each with the reason, recognised by their configuration alone.

Any other model proves that it can be split (`telly.freezing.split`); these are refused earlier, and say why.
"""

from __future__ import annotations

from typing import Any

from telly.errors import ModelError

_MAMBA = (
    "has recurrent layers (Mamba), whose fused kernels read weights directly, so that adapters on them would be "
    "ignored without notice"
)
_SEPARATE_LISTS = "keeps attention and feed-forward layers in separate lists, so it has no blocks that could be frozen"
REASONS = {
    "albert": "runs one shared block in place of every layer, so freezing the lower layers would freeze all",
    "canine": "shortens the sequence by convolution, so its blocks have no states of single tokens to cache",
    "flaubert": _SEPARATE_LISTS,
    "funnel": "pools tokens between its blocks, so its states have no fixed length to cache",
    "gemma3n_text": "runs several streams of states side by side (AltUp), of which telly could cache only one",
    "gemma4_text": "gives every block an embedding of the token ids of its own, so it cannot start from states alone",
    "perceiver": "has blocks on a fixed set of latents, so there are no states of tokens to cache",
    "recurrent_gemma": "is recurrent, and its layers keep the state of the last batch",
    "reformer": "hashes tokens into random buckets, so its states differ from pass to pass",
    "rwkv": "is recurrent, and divides its weights in place whenever it changes from training to evaluation",
    "squeezebert": "is convolutional: its blocks keep states as [batch, hidden, tokens]",
    "xlm": _SEPARATE_LISTS,
    "xlstm": "is recurrent, and in training accepts only lengths that are multiples of its chunk size",
} | dict.fromkeys(
    ("bamba", "falcon_h1", "falcon_mamba", "jamba", "mamba", "mamba2", "nemotron_h", "zamba", "zamba2"), _MAMBA
)
"""Reasons by `config.model_type`."""
_OTHER_MODALITIES = {"audio_config", "speech_config", "text_config", "thinker_config", "vision_config", "vlm_config"}
_NOMIC_NAMES = {
    "n_embd": "hidden_size",
    "n_layer": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "n_inner": "intermediate_size",
    "layer_norm_epsilon": "layer_norm_eps",
}
"""Names of settings in the published folders of NomicBERT, which were written for code of their own, and transformers'
names, under which it takes its defaults where a folder has only the former."""
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
    reason = REASONS.get(config.model_type)
    # Granite 4 has models with Mamba, which it calls linear attention, and without.
    if config.model_type == "granitemoehybrid" and "linear_attention" in config.layer_types:
        reason = _MAMBA
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
    if config.model_type == "nomic_bert":
        return _ignored_settings(config)
    if config.model_type == "big_bird" and config.attention_type == "block_sparse":
        return (
            "with block-sparse attention switches to full attention at the first short batch, for good, so its states "
            'depend on the order of batches; set "attention_type": "original_full" in config.json'
        )
    return None


def _ignored_settings(config: Any) -> str | None:
    settings = {old: (new, getattr(config, new)) for old, new in _NOMIC_NAMES.items()}
    settings["rotary_emb_base"] = ("rope_theta", config.rope_parameters["rope_theta"])
    for old, (new, value) in settings.items():
        given = getattr(config, old, value)
        if given != value:
            return (
                f"has {old} = {given} in its config.json, which transformers ignores for {new} = {value}; give the "
                f"folder's settings transformers' names ({new} and the others), or take a folder that has them"
            )
    return None


def _main_input(config: Any) -> str:
    from transformers import MODEL_MAPPING

    classes = MODEL_MAPPING.get(type(config), None)
    model = classes[0] if isinstance(classes, tuple) else classes
    return str(getattr(model, "main_input_name", "input_ids"))
