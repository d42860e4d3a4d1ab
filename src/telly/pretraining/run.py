"""The run: prepare the corpus, train the stages one after the other, export the model. Resumable at any point.

Layout of the output folder: `corpus/`, `stage-1/` .. with the Trainer's checkpoints and, once a stage is finished,
its weights, and `model/` with what `transformers` loads.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM, TrainingArguments, set_seed

from telly.data.batching import LengthBucketBatchSampler
from telly.errors import ConfigError
from telly.metrics.retrieval import ranks_of_targets, retrieval_metrics
from telly.models.load import quiet_transformers
from telly.models.pooling import mean_pool
from telly.pretraining.card import write_card
from telly.pretraining.config import PretrainConfig, Stage
from telly.pretraining.corpus import Corpus, prepare
from telly.pretraining.objectives import NOT_MASKED, PretrainObjective, grow, mask_tokens
from telly.pretraining.tokenizer import SPECIAL_TOKENS
from telly.training.progress import ProgressBar
from telly.training.trainer import TellyTrainer, last_complete_checkpoint, remove_incomplete_checkpoints

SAVE_STEPS = 200
LOG_STEPS = 50
EVAL_BATCH = 100


def pretrain(roots: list[Path], output: Path, config: PretrainConfig) -> Path:
    """Pre-train on the Python sources under `roots` and return the folder of the exported model.

    A second call with the same folder and settings goes on where the first was interrupted.

    Raises:
        ConfigError: the folder holds a run with other settings.
        DataError: the roots hold no documented functions.
    """
    output.mkdir(parents=True, exist_ok=True)
    settings = config.model_dump_json(indent=1) + "\n"
    kept = output / "settings.json"
    if kept.exists() and kept.read_text() != settings:
        raise ConfigError(f"{output} holds a run with other settings ({kept}); choose another --output")
    kept.write_text(settings)
    corpus = prepare(roots, config, output / "corpus")
    tokenizer = AutoTokenizer.from_pretrained(output / "corpus" / "tokenizer")
    weights: dict[str, torch.Tensor] | None = None
    for number, stage in enumerate(config.stages, start=1):
        weights = _train_stage(stage, output / f"stage-{number}", weights, corpus, tokenizer, config)
    assert weights is not None
    return export(output, weights, tokenizer, config)


def model_config(config: PretrainConfig, layers: int, vocab_size: int, dropout: float) -> RobertaConfig:
    """The RoBERTa shape of the embedded model at a given depth."""
    return RobertaConfig(
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=config.attention_heads,
        intermediate_size=4 * config.hidden_size,
        max_position_embeddings=514,
        type_vocab_size=1,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )


def _train_stage(
    stage: Stage,
    folder: Path,
    previous: dict[str, torch.Tensor] | None,
    corpus: Corpus,
    tokenizer: Any,
    config: PretrainConfig,
) -> dict[str, torch.Tensor]:
    finished = folder / "model.safetensors"
    if finished.exists():
        kept: dict[str, torch.Tensor] = load_file(finished)
        return kept
    set_seed(config.seed + stage.layers)
    model = RobertaForMaskedLM(model_config(config, stage.layers, len(tokenizer), dropout=0.0))
    if previous is not None:
        _load_stacked(model, previous)
    objective = PretrainObjective(model, stage.masked_weight, stage.contrast_weight)
    pairs = corpus.train_pairs
    sampler = LengthBucketBatchSampler(
        corpus.code.lengths[pairs[:, 0]], stage.batch_size, seed=config.seed, drop_last=True
    )

    def collate(numbers: list[int]) -> dict[str, torch.Tensor]:
        return _batch(corpus, pairs[numbers], tokenizer, config)

    trainer = TellyTrainer(
        objective,
        _arguments(stage, folder, config),
        batch_sampler=sampler,
        collate=collate,
        callbacks=[ProgressBar(f"{stage.layers} layers")],
    )
    remove_incomplete_checkpoints(folder)
    checkpoint = last_complete_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    metrics = evaluate(objective, corpus, tokenizer, config)
    entry = {**stage.model_dump(), "losses": _losses(trainer), **metrics}
    (folder / "stage.json").write_text(json.dumps(entry, indent=1) + "\n")
    state = {k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.decoder.weight"}
    partial = folder / "model.partial"
    save_file({k: v.clone() for k, v in state.items()}, partial)
    partial.rename(finished)
    return state


def _arguments(stage: Stage, folder: Path, config: PretrainConfig) -> TrainingArguments:
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=stage.steps,
        per_device_train_batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
        weight_decay=0.01,
        adam_beta2=0.98,
        warmup_steps=min(100, max(1, stage.steps // 10)),
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        bf16=True,
        use_cpu=not gpu,
        save_steps=SAVE_STEPS,
        save_total_limit=2,
        logging_steps=LOG_STEPS,
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        seed=config.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=gpu,
    )


def _load_stacked(model: RobertaForMaskedLM, previous: dict[str, torch.Tensor]) -> None:
    prefix = "roberta.encoder.layer."
    old_depth = 1 + max(int(k.removeprefix(prefix).split(".")[0]) for k in previous if k.startswith(prefix))
    source = grow(old_depth, len(model.roberta.encoder.layer))
    state = {k: v for k, v in previous.items() if not k.startswith(prefix)}
    for new, old in enumerate(source):
        own = f"{prefix}{old}."
        state |= {f"{prefix}{new}.{k.removeprefix(own)}": v for k, v in previous.items() if k.startswith(own)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or set(missing) - {"lm_head.decoder.weight"}:
        raise ConfigError(f"the previous stage does not fit: missing {missing}, unexpected {unexpected}")


def _batch(corpus: Corpus, pairs: Any, tokenizer: Any, config: PretrainConfig) -> dict[str, torch.Tensor]:
    code = corpus.code.pad(pairs[:, 0], tokenizer.pad_token_id)
    docs = corpus.docstrings.pad(pairs[:, 1], tokenizer.pad_token_id)
    # The draws follow from the batch alone: the Trainer restores the global state too late for a resumed batch.
    generator = torch.Generator().manual_seed(zlib.crc32(np.array([config.seed, *pairs[:, 0]]).tobytes()))
    ids, labels = mask_tokens(
        code,
        generator,
        share=config.masked_share,
        mask_id=tokenizer.mask_token_id,
        vocab_size=len(tokenizer),
        first_ordinary_id=len(SPECIAL_TOKENS),
    )
    return {
        "code_ids": ids,
        "code_mask": code["attention_mask"],
        "labels": labels,
        "docstring_ids": docs["input_ids"],
        "docstring_mask": docs["attention_mask"],
    }


@torch.no_grad()
def evaluate(objective: PretrainObjective, corpus: Corpus, tokenizer: Any, config: PretrainConfig) -> dict[str, float]:
    """Masked-token accuracy and docstring-to-code metrics on the held-out pairs, untuned."""
    objective.eval()
    device = next(objective.parameters()).device
    code, docs, right, total = [], [], 0, 0
    for start in range(0, corpus.held_out, EVAL_BATCH):
        pairs = corpus.held_out_pairs[start : start + EVAL_BATCH]
        batch = {k: v.to(device) for k, v in _batch(corpus, pairs, tokenizer, config).items()}
        where = batch["labels"] != NOT_MASKED
        states = objective.states(batch["code_ids"], batch["code_mask"])
        guesses = objective.model.lm_head(states[where]).argmax(dim=-1)  # type: ignore[operator]
        right += int((guesses == batch["labels"][where]).sum())
        total += int(where.sum())
        plain = {k: v.to(device) for k, v in corpus.code.pad(pairs[:, 0], tokenizer.pad_token_id).items()}
        code.append(mean_pool(objective.states(plain["input_ids"], plain["attention_mask"]), plain["attention_mask"]))
        docs.append(
            mean_pool(objective.states(batch["docstring_ids"], batch["docstring_mask"]), batch["docstring_mask"])
        )
    vectors = [torch.nn.functional.normalize(torch.cat(part), dim=-1) for part in (docs, code)]
    ranks = ranks_of_targets(vectors[0], vectors[1], torch.arange(corpus.held_out, device=device))
    return {"masked_accuracy": right / max(total, 1), **retrieval_metrics(ranks)}


def _losses(trainer: TellyTrainer) -> list[dict[str, float]]:
    return [{"step": e["step"], "loss": e["loss"]} for e in trainer.state.log_history if "loss" in e]


def export(output: Path, weights: dict[str, torch.Tensor], tokenizer: Any, config: PretrainConfig) -> Path:
    """Write the model as half-precision safetensors with config and tokenizer; returns the folder."""
    folder = output / "model"
    layers = config.stages[-1].layers
    model = RobertaForMaskedLM(model_config(config, layers, len(tokenizer), config.dropout))
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    with quiet_transformers():
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    size = sum(f.stat().st_size for f in folder.iterdir())
    stages = [json.loads((output / f"stage-{n}" / "stage.json").read_text()) for n in range(1, len(config.stages) + 1)]
    summary = {"parameters": model.num_parameters(), "bytes": size, "stages": stages}
    (folder / "pretraining.json").write_text(json.dumps(summary, indent=1) + "\n")
    write_card(output, folder)
    return folder
