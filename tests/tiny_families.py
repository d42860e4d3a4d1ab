"""Every model family that telly is tested on, as the settings of a tiny model; `docs/models.md` lists this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import transformers

HIDDEN, LAYERS, HEADS, VOCAB, MAX_POSITIONS = 32, 4, 4, 97, 64

# Settings of a family, by the names that its configuration gives them.
SHAPE: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "vocab_size": VOCAB,
    "max_position_embeddings": MAX_POSITIONS,
}
BERT = {**SHAPE, "pad_token_id": 0}
ROBERTA = {**SHAPE, "pad_token_id": 1}
ENDS = {"bos_token_id": 1, "eos_token_id": 2}
GPT = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "vocab_size": VOCAB, "n_positions": MAX_POSITIONS, **ENDS}
LLAMA = {**BERT, **ENDS, "num_key_value_heads": 2}
HEAD_DIM = {**LLAMA, "head_dim": 8}  # where the width of a head does not follow from that of the states
WINDOW = {**HEAD_DIM, "sliding_window": 4}
EXPERTS = {"num_experts_per_tok": 2, "num_experts": 4}
LOCAL_EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
DEEPSEEK = {**LLAMA, **LATENT, "num_key_value_heads": HEADS, "n_routed_experts": 4, "num_experts_per_tok": 2,
            "moe_intermediate_size": 16, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
            "first_k_dense_replace": 1}  # fmt: skip
LINEAR_ATTENTION = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
                    "linear_value_head_dim": 8}  # fmt: skip
T5 = {"d_model": HIDDEN, "num_layers": LAYERS, "num_heads": HEADS, "d_kv": 8, "d_ff": 48, "vocab_size": VOCAB}
BART = {"d_model": HIDDEN, "encoder_layers": LAYERS, "decoder_layers": 2, "encoder_attention_heads": HEADS,
        "decoder_attention_heads": HEADS, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": VOCAB,
        "max_position_embeddings": MAX_POSITIONS}  # fmt: skip
MODERNBERT = {**BERT, "global_attn_every_n_layers": 2, "local_attention": 8, "embedding_dropout": 0.1,
              "mlp_dropout": 0.1}  # fmt: skip
DEBERTA = {**BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}


@dataclass(frozen=True)
class TinyFamily:
    """One family.

    Attributes:
        models: well-known models of the family, those for code first.
        settings: keyword arguments of its configuration for a tiny model.
        generates: whether telly can tune its models to generate text.
    """

    models: str
    settings: dict[str, Any]
    generates: bool = True

    def config(self, model_type: str) -> transformers.PretrainedConfig:
        """A new configuration; transformers changes those of models that it builds, so none is used twice."""
        return transformers.AutoConfig.for_model(model_type, **self.settings)


ENCODERS = {
    "roberta": TinyFamily("CodeBERT, GraphCodeBERT, UniXcoder, CodeBERTa", ROBERTA),
    "bert": TinyFamily("StarEncoder, bge, e5, all-MiniLM", BERT),
    "distilbert": TinyFamily("distilbert-base", {
        "dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": 48, "vocab_size": VOCAB,
        "max_position_embeddings": MAX_POSITIONS,
    }, generates=False),
    "modernbert": TinyFamily("gte-modernbert, granite-embedding r2", MODERNBERT, generates=False),
    "mpnet": TinyFamily("all-mpnet-base-v2", ROBERTA, generates=False),
    "nomic_bert": TinyFamily("CodeRankEmbed, nomic-embed-text", BERT, generates=False),
    "gte": TinyFamily("gte-multilingual-base", BERT, generates=False),
    "eurobert": TinyFamily("EuroBERT", LLAMA),
    "jina_embeddings_v3": TinyFamily("jina-embeddings-v3-hf", ROBERTA, generates=False),
    "deberta": TinyFamily("deberta-base", {**DEBERTA, "max_relative_positions": 16}, generates=False),
    "deberta-v2": TinyFamily("deberta-v3-base, deberta-v2-xlarge", {
        **DEBERTA, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True, "type_vocab_size": 0,
        "position_biased_input": False, "conv_kernel_size": 3,
    }, generates=False),
    "electra": TinyFamily("electra-base", {**BERT, "embedding_size": 16}, generates=False),
    "xlm-roberta": TinyFamily("bge-m3, multilingual-e5", ROBERTA),
    "camembert": TinyFamily("camembert-base", ROBERTA),
    "ernie": TinyFamily("ernie-2.0", BERT),
    "big_bird": TinyFamily("bigbird-roberta-base", {**BERT, "attention_type": "original_full"}),
    "longformer": TinyFamily("longformer-base-4096", {
        **ROBERTA, "attention_window": [4] * LAYERS,
    }, generates=False),
    "roformer": TinyFamily("roformer", {**BERT, "embedding_size": 16}, generates=False),
    "xlnet": TinyFamily("xlnet-base-cased", {
        "d_model": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "d_inner": 48, "vocab_size": VOCAB,
    }, generates=False),
}  # fmt: skip
ENCODER_DECODERS = {
    "t5": TinyFamily("CodeT5, CodeT5+ (220M, 770M)", T5),
    "mt5": TinyFamily("mt5-base", T5),
    "umt5": TinyFamily("umt5-base", T5),
    "longt5": TinyFamily("long-t5-local-base", {**T5, "local_radius": 4}),
    "bart": TinyFamily("bart-base", BART),
    "plbart": TinyFamily("plbart-base", BART),
    "mbart": TinyFamily("mbart-large-50", BART),
    "t5gemma": TinyFamily("t5gemma-2b-2b", {
        "encoder": WINDOW, "decoder": {**WINDOW, "num_hidden_layers": 2}, "vocab_size": VOCAB,
    }),
}  # fmt: skip
DECODERS = {
    "gpt2": TinyFamily("CodeGPT, CodeParrot", GPT),
    "gpt_bigcode": TinyFamily("StarCoder, SantaCoder", GPT),
    "starcoder2": TinyFamily("StarCoder2", LLAMA),
    "codegen": TinyFamily("CodeGen", {**GPT, "rotary_dim": 8}),
    "gpt_neo": TinyFamily("gpt-neo-125m", {
        "hidden_size": HIDDEN, "num_layers": LAYERS, "num_heads": HEADS, "attention_types": [[["global", "local"], 2]],
        "window_size": 4, "vocab_size": VOCAB, "max_position_embeddings": MAX_POSITIONS, **ENDS,
    }),
    "gpt_neox": TinyFamily("PolyCoder, Pythia", {**SHAPE, **ENDS}),
    "gptj": TinyFamily("gpt-j-6b", {**GPT, "rotary_dim": 8}),
    "llama": TinyFamily("Code Llama, DeepSeek-Coder, Granite Code (3B, 8B)", LLAMA),
    "qwen2": TinyFamily("Qwen2.5-Coder, nomic-embed-code, jina-code-embeddings", LLAMA),
    "qwen3": TinyFamily("Qwen3-Embedding", HEAD_DIM),
    "mistral": TinyFamily("Codestral 22B, e5-mistral", LLAMA),
    "ministral": TinyFamily("Ministral 8B", HEAD_DIM),
    "gemma": TinyFamily("CodeGemma", HEAD_DIM),
    "gemma2": TinyFamily("gemma-2-2b", WINDOW),
    "gemma3_text": TinyFamily("EmbeddingGemma, gemma-3-1b", WINDOW),
    "phi": TinyFamily("phi-1, phi-2", LLAMA),
    "phi3": TinyFamily("Phi-3, Phi-4-mini", LLAMA),
    "granite": TinyFamily("Granite 3", LLAMA),
    "smollm3": TinyFamily("SmolLM3-3B", LLAMA),
    "stablelm": TinyFamily("Stable Code 3B", LLAMA),
    "cohere": TinyFamily("Command R", LLAMA),
    "cohere2": TinyFamily("Command R7B", WINDOW),
    "olmo2": TinyFamily("OLMo-2-1B", LLAMA),
    "olmo3": TinyFamily("Olmo-3-7B", {**LLAMA, "sliding_window": 4}),
    "opt": TinyFamily("Galactica", {
        "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "ffn_dim": 48,
        "vocab_size": VOCAB, "max_position_embeddings": MAX_POSITIONS, "word_embed_proj_dim": HIDDEN,
        "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2,
    }),
    "bloom": TinyFamily("bloom-560m", {
        "hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "vocab_size": VOCAB, **ENDS,
    }),
    "falcon": TinyFamily("falcon-7b", {**BERT, **ENDS}),
    "mpt": TinyFamily("mpt-7b", {
        "d_model": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "vocab_size": VOCAB, "max_seq_len": MAX_POSITIONS,
        "expansion_ratio": 2,
    }),
    "xglm": TinyFamily("InCoder", {
        "d_model": HIDDEN, "num_layers": LAYERS, "attention_heads": HEADS, "ffn_dim": 48, "vocab_size": VOCAB,
        "max_position_embeddings": MAX_POSITIONS,
    }),
    "seed_oss": TinyFamily("Seed-OSS-36B", HEAD_DIM),
    "glm4": TinyFamily("GLM-4-9B-0414", HEAD_DIM),
    "ernie4_5": TinyFamily("ERNIE-4.5-0.3B", HEAD_DIM),
    "qwen3_5_text": TinyFamily("Qwen3.5, its language model", {**HEAD_DIM, **LINEAR_ATTENTION}),
    "modernbert-decoder": TinyFamily("Ettin decoders", {
        **BERT, "global_attn_every_n_layers": 2, "local_attention": 8,
    }),
}  # fmt: skip
MIXTURES = {
    "mixtral": TinyFamily("Mixtral 8x7B", {**LLAMA, **LOCAL_EXPERTS}),
    "qwen2_moe": TinyFamily("Qwen1.5-MoE-A2.7B", {
        **LLAMA, **EXPERTS, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    }),
    "qwen3_moe": TinyFamily("Qwen3-Coder-30B-A3B", {**HEAD_DIM, **EXPERTS, "moe_intermediate_size": 16}),
    "qwen3_next": TinyFamily("Qwen3-Coder-Next", {
        **HEAD_DIM, **EXPERTS, **LINEAR_ATTENTION, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    }),
    "olmoe": TinyFamily("OLMoE-1B-7B", {**LLAMA, **EXPERTS}),
    "phimoe": TinyFamily("Phi-3.5-MoE", {**LLAMA, **LOCAL_EXPERTS}),
    "granitemoe": TinyFamily("granite-3.0-1b-a400m", {**LLAMA, **LOCAL_EXPERTS}),
    "deepseek_v2": TinyFamily("DeepSeek-Coder-V2", {**DEEPSEEK, "topk_method": "greedy"}),
    "deepseek_v3": TinyFamily("DeepSeek-V3, DeepSeek-R1", DEEPSEEK),
    "gpt_oss": TinyFamily("gpt-oss-20b", {**HEAD_DIM, **LOCAL_EXPERTS}),
}  # fmt: skip


GROUPS = {
    "Encoders": ENCODERS,
    "Encoder-decoders": ENCODER_DECODERS,
    "Decoders": DECODERS,
    "Mixtures of experts": MIXTURES,
}
TABLE: dict[str, TinyFamily] = ENCODERS | ENCODER_DECODERS | DECODERS | MIXTURES
KNOWN = [model_type for model_type in TABLE if model_type in transformers.CONFIG_MAPPING]
"""The types that the installed version of transformers has: all since 5.24."""


def tiny_config(model_type: str) -> transformers.PretrainedConfig:
    """A new configuration of a tiny model of a family."""
    return TABLE[model_type].config(model_type)
