"""Tiny random models of every family, offline, from configs alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers
from torch import nn

HIDDEN, LAYERS, HEADS, VOCAB = 32, 4, 4, 97
SHAPE = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "vocab_size": VOCAB,
    "max_position_embeddings": 64,
}
GPT_SHAPE = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "vocab_size": VOCAB, "n_positions": 64}
ROTARY = {**SHAPE, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

CONFIGS: dict[str, Callable[[], transformers.PretrainedConfig]] = {
    "roberta": lambda: transformers.RobertaConfig(**SHAPE, pad_token_id=1),
    "bert": lambda: transformers.BertConfig(**SHAPE, pad_token_id=0),
    "distilbert": lambda: transformers.DistilBertConfig(
        dim=HIDDEN, n_layers=LAYERS, n_heads=HEADS, hidden_dim=48, vocab_size=VOCAB, max_position_embeddings=64
    ),
    "modernbert": lambda: transformers.ModernBertConfig(
        **SHAPE, pad_token_id=0, global_attn_every_n_layers=2, local_attention=8, embedding_dropout=0.1, mlp_dropout=0.1
    ),
    "t5": lambda: transformers.T5Config(
        d_model=HIDDEN, num_layers=LAYERS, num_heads=HEADS, d_kv=8, d_ff=48, vocab_size=VOCAB
    ),
    "gpt2": lambda: transformers.GPT2Config(**GPT_SHAPE, bos_token_id=1, eos_token_id=2),
    "gpt_bigcode": lambda: transformers.GPTBigCodeConfig(**GPT_SHAPE, bos_token_id=1, eos_token_id=2),
    "qwen2": lambda: transformers.Qwen2Config(**ROTARY),
    "llama": lambda: transformers.LlamaConfig(**ROTARY),
    "starcoder2": lambda: transformers.Starcoder2Config(**ROTARY),
}
FAMILIES = tuple(CONFIGS)


def tiny_model(family: str, seed: int = 0) -> nn.Module:
    """A model whose weights are far from trivial: norms and biases are drawn as well, dropout is on in train mode."""
    from telly.models.load import model_from_config

    torch.manual_seed(seed)
    model = model_from_config(CONFIGS[family](), device="cpu")
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.3 if parameter.dim() > 1 else 0.1
            noise = torch.randn(parameter.shape, generator=generator) * scale
            parameter.copy_(noise + (1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0))
    return model.eval()


def padded_batch(seed: int = 0, lengths: tuple[int, ...] = (11, 7, 3), pad_id: int = 1) -> dict[str, torch.Tensor]:
    """Random ids above the special ones, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, VOCAB, (len(lengths), max(lengths)), generator=generator)
    mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.where(mask == 1, ids, pad_id), "attention_mask": mask}
