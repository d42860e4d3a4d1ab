"""Pre-training run: prepare the corpus, train one stage after the other, export the model; resumable at any point.

Layout of the output folder: `corpus/`, `stage-1/` .. with the Trainer's checkpoints and, once a stage is finished,
its weights, and `model/` with the model that `transformers` loads.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, RobertaConfig, RobertaForMaskedLM, TrainingArguments, set_seed

from telly.data.batching import LengthBucketBatchSampler
from telly.disk import folder_lock, whole_file, write_json
from telly.errors import ConfigError, DataError
from telly.metrics.judgments import Judgments
from telly.metrics.retrieval import ranks_of_relevant, retrieval_metrics
from telly.models.load import quiet_transformers
from telly.pretraining.batches import BatchMaker
from telly.pretraining.card import MEASURES, write_card
from telly.pretraining.config import MixtureRatios, PretrainConfig, Stage
from telly.pretraining.corpus import Corpus, prepare
from telly.pretraining.objectives import PretrainObjective, predicted
from telly.pretraining.showcase import examples, neighbour_similarity
from telly.pretraining.throughput import Throughput, matrix_product_rate
from telly.training.arguments import trainer_arguments
from telly.training.progress import ProgressBar
from telly.training.trainer import TellyTrainer, last_complete_checkpoint, remove_incomplete_checkpoints

SAVE_STEPS = 100
LOG_STEPS = 50
EVAL_BATCH = 100
EVAL_MASKED_RATIO = 0.15
LOSS_KEYS = ("step", "loss")
RATE_KEYS = ("tokens_per_second", "flops")


@dataclass(frozen=True)
class StartingPoint:
    """Starting weights of a stage: those of the stage before, and those of the last stage without layers."""

    weights: dict[str, torch.Tensor] | None
    anchor: dict[str, torch.Tensor] | None


def pretrain(roots: list[Path], output: Path, config: PretrainConfig) -> Path:
    """Pre-train on the Python sources under `roots` and return the folder of the exported model.

    A second call with the same folder and settings continues where the first was interrupted.

    Raises:
        ConfigError: the folder holds a run with other settings, or one that is still running.
        DataError: the roots hold no documented functions.
    """
    with folder_lock(output):
        return _pretrain(roots, output, config)


def _pretrain(roots: list[Path], output: Path, config: PretrainConfig) -> Path:
    new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        _check_settings(roots, output, config)
        corpus = prepare(roots, config, output / "corpus")
    except DataError:
        if new:  # otherwise its settings would refuse the same command with another corpus
            shutil.rmtree(output)
        raise
    tokenizer = AutoTokenizer.from_pretrained(output / "corpus" / "tokenizer")
    weights: dict[str, torch.Tensor] | None = None
    anchor: dict[str, torch.Tensor] | None = None
    for number, stage in enumerate(config.stages, start=1):
        start = StartingPoint(weights, anchor)
        weights = _train_stage(stage, output / f"stage-{number}", start, corpus, tokenizer, config)
        if stage.layers == 0:
            anchor = weights
    assert weights is not None
    return export(output, weights, corpus, tokenizer, config)


def _check_settings(roots: list[Path], output: Path, config: PretrainConfig) -> None:
    """Record corpus and recipe, or compare them with those that the folder's run was started with.

    Stages that have not begun may be changed, so that a run can be extended.
    """
    file = output / "settings.json"
    settings = {"corpus": [str(root.resolve()) for root in roots], **config.model_dump(mode="json")}
    if file.exists():
        earlier = json.loads(file.read_text())
        begun = sum((output / f"stage-{n}").exists() for n in range(1, len(earlier.get("stages", ())) + 1))
        keys = settings.keys() | earlier.keys()
        different = sorted(k for k in keys if k != "stages" and settings.get(k) != earlier.get(k))
        different += [
            f"stage {n + 1}" for n in range(begun) if settings["stages"][n : n + 1] != earlier["stages"][n : n + 1]
        ]
        if different:
            raise ConfigError(
                f"{output} holds a run with other settings ({file}); these differ: {', '.join(different)}. Choose "
                "another --output"
            )
    write_json(file, settings)


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
    start: StartingPoint,
    corpus: Corpus,
    tokenizer: Any,
    config: PretrainConfig,
) -> dict[str, torch.Tensor]:
    finished = folder / "model.safetensors"
    if finished.exists():
        weights: dict[str, torch.Tensor] = load_file(finished)
        return weights
    set_seed(config.seed + stage.layers)
    model = _new_model(config, stage.layers, tokenizer, dropout=0.0)
    anchor = None
    if start.weights is not None:
        _load_stacked(model, start.weights)
    if start.anchor is not None and stage.anchor_weight:
        without_layers = _new_model(config, 0, tokenizer, dropout=0.0)
        _load_stacked(without_layers, start.anchor)
        anchor = without_layers.roberta.embeddings
    objective = PretrainObjective(
        model, stage.token_weight, stage.contrast_weight, anchor_weight=stage.anchor_weight, anchor=anchor
    )
    pairs = corpus.train_pairs
    batches = BatchMaker(corpus, tokenizer, config, stage.shares, stage.masked_share)
    trainer = TellyTrainer(
        objective,
        _arguments(stage, folder, config),
        batch_sampler=LengthBucketBatchSampler(
            corpus.code.lengths[pairs[:, 0]], stage.batch_size, seed=config.seed, drop_last=True
        ),
        collate=lambda indices: batches(pairs[indices]),
        evaluate_fn=lambda: evaluate(objective, corpus, tokenizer, config),
        callbacks=[ProgressBar(f"{stage.layers} layers", MEASURES), Throughput(objective, model.config)],
    )
    remove_incomplete_checkpoints(folder)
    checkpoint = last_complete_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    history = trainer.state.log_history
    losses = [{name: e[name] for name in (*LOSS_KEYS, *RATE_KEYS) if name in e} for e in history if "loss" in e]
    evaluations = [
        {"step": e["step"]} | {k.removeprefix("eval_"): v for k, v in e.items() if k.startswith("eval_")}
        for e in history
        if any(k.startswith("eval_") for k in e)
    ]
    if not evaluations or evaluations[-1]["step"] != stage.steps:
        evaluations.append({"step": stage.steps, **evaluate(objective, corpus, tokenizer, config)})
    rate = matrix_product_rate(next(model.parameters()).device, torch.bfloat16)
    entry = {**stage.model_dump(), "matrix_product_rate": rate, "losses": losses, "evaluations": evaluations}
    (folder / "stage.json").write_text(json.dumps(entry, indent=1) + "\n")
    # The decoder is tied to the word embeddings, and safetensors refuses shared tensors.
    state = {k: v.contiguous() for k, v in model.state_dict().items() if k != "lm_head.decoder.weight"}
    with whole_file(finished) as partial:  # last: a stage counts as finished once this file exists
        save_file({k: v.clone() for k, v in state.items()}, partial)
    return state


def _new_model(config: PretrainConfig, layers: int, tokenizer: Any, dropout: float) -> RobertaForMaskedLM:
    shape = model_config(config, layers, len(tokenizer), dropout)
    # At these lengths and on a CPU the plain products are a third faster than the fused kernel.
    shape._attn_implementation = "sdpa" if torch.cuda.is_available() else "eager"
    return RobertaForMaskedLM(shape)


def _arguments(stage: Stage, folder: Path, config: PretrainConfig) -> TrainingArguments:
    return trainer_arguments(
        folder,
        batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
        bf16=True,
        seed=config.seed,
        max_steps=stage.steps,
        weight_decay=0.01,
        adam_beta2=0.98,
        warmup_steps=min(100, max(1, stage.steps // 10)),
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": 0.1},
        optim="adamw_torch_fused",
        eval_strategy="steps",
        eval_steps=config.evaluate_every,
        torch_compile=config.compile,
        save_steps=SAVE_STEPS,
        save_total_limit=2,
        logging_steps=LOG_STEPS,
    )


def _load_stacked(model: RobertaForMaskedLM, previous: dict[str, torch.Tensor]) -> None:
    """Load a stage with fewer layers, its blocks repeated; blocks stay random after a stage without layers."""
    prefix = "roberta.encoder.layer."
    old_depth = len({k.removeprefix(prefix).split(".")[0] for k in previous if k.startswith(prefix)})
    state = {k: v for k, v in previous.items() if not k.startswith(prefix)}
    if old_depth:
        for new, old in enumerate(stacked_blocks(old_depth, len(model.roberta.encoder.layer))):
            source = f"{prefix}{old}."
            block = {k.removeprefix(source): v for k, v in previous.items() if k.startswith(source)}
            state |= {f"{prefix}{new}.{k}": v for k, v in block.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    new_blocks = {k for k in missing if k.startswith(prefix)} if not old_depth else set()
    if unexpected or set(missing) - new_blocks - {"lm_head.decoder.weight"}:
        raise ConfigError(f"the previous stage does not fit: missing {missing}, unexpected {unexpected}")


@torch.no_grad()
def evaluate(objective: PretrainObjective, corpus: Corpus, tokenizer: Any, config: PretrainConfig) -> dict[str, float]:
    """Measures on the held-out pairs: masked-token accuracy, loss of the next token, docstring-to-code MRR.

    The loss of the next token is measured on code, from left to right.
    """
    training = objective.training
    objective.eval()
    device = next(objective.parameters()).device
    masked = BatchMaker(corpus, tokenizer, config, MixtureRatios(masked=1.0), EVAL_MASKED_RATIO)
    causal = BatchMaker(corpus, tokenizer, config, MixtureRatios(masked=0.0, causal=1.0), EVAL_MASKED_RATIO)
    embeddings: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])  # of code, of docstrings
    hits, losses = [], []

    def moved(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {k: v.to(device) for k, v in batch.items()}

    with torch.autocast(device.type, dtype=torch.bfloat16):
        for start in range(0, corpus.held_out, EVAL_BATCH):
            pairs = corpus.held_out_pairs[start : start + EVAL_BATCH]
            batch = moved(masked(pairs))
            states = objective.states(batch["input_ids"], batch["attention_mask"])
            states, labels = predicted(states, batch["labels"])
            hits.append(objective.masked_logits(states).argmax(dim=-1) == labels)
            batch = moved(causal(pairs))
            states = objective.states(batch["input_ids"], batch["attention_mask"], batch["prefix_lengths"])
            states, labels = predicted(states, batch["labels"])
            losses.append(F.cross_entropy(objective.next_logits(states), labels, reduction="none"))
            for parts, texts in zip(embeddings, masked.plain(pairs), strict=True):
                plain = moved(texts)
                parts.append(objective.embeddings(plain["input_ids"], plain["attention_mask"]))
    objective.train(training)
    code, docs = (torch.cat(parts) for parts in embeddings)
    judgments = Judgments.one_each(range(corpus.held_out))
    ranks = ranks_of_relevant(docs, code, judgments)
    return {
        "masked_accuracy": float(torch.cat(hits).float().mean()),
        "next_loss": float(torch.cat(losses).mean()),
        "mrr": retrieval_metrics(ranks, judgments)["mrr"],
    }


def export(
    output: Path, weights: dict[str, torch.Tensor], corpus: Corpus, tokenizer: Any, config: PretrainConfig
) -> Path:
    """Write the model as half-precision safetensors with config, tokenizer and card, and return the folder."""
    folder = output / "model"
    layers = config.stages[-1].layers
    model = _new_model(config, layers, tokenizer, config.dropout)
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    model.eval()
    findings = {
        "neighbour_similarity": neighbour_similarity(model.roberta, tokenizer, corpus),
        "examples": examples(model.roberta, tokenizer, corpus),
    }
    with quiet_transformers():
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    total_bytes = sum(f.stat().st_size for f in folder.iterdir())
    stages = [json.loads((output / f"stage-{n}" / "stage.json").read_text()) for n in range(1, len(config.stages) + 1)]
    summary = {"parameters": model.num_parameters(), "bytes": total_bytes, "stages": stages, **findings}
    (folder / "pretraining.json").write_text(json.dumps(summary, indent=1) + "\n")
    write_card(output, folder)
    return folder


def stacked_blocks(old: int, layers: int) -> list[int]:
    """Index of the old block that each of `layers` new ones starts from: the stack, repeated (Gong et al. 2019).

    Raises:
        ValueError: the new depth is not a multiple of the old one.
    """
    if layers % old:
        raise ValueError(f"{layers} layers is not a multiple of {old}; stacking repeats whole stacks")
    return [i % old for i in range(layers)]
