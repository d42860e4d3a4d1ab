"""Library use: a frozen model and its store in a user's own Hugging Face Trainer, on a task telly does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import telly
from tiny_families import SHAPE, VOCAB


class Losses(transformers.TrainerCallback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_log(self, args, state, control, logs, **kwargs):
        if "loss" in logs:
            self.seen.append(float(logs["loss"]))


def train(cached: bool, folder: Path) -> tuple[list[float], telly.SplitModel]:
    torch.manual_seed(0)
    config = transformers.RobertaConfig(**SHAPE, pad_token_id=1, num_labels=2, hidden_dropout_prob=0.0)
    split = telly.SplitModel(transformers.RobertaForSequenceClassification(config), 2)
    rng = np.random.default_rng(0)
    tokens = rng.integers(5, VOCAB, 32)
    table, rows = telly.SequenceTable.of([token] * (4 + i % 8) for i, token in enumerate(tokens))
    store = telly.build_cache(telly.CacheRequest(split, table, 1, folder, telly.StateDtype.FP32)).cache
    source = telly.RowSource(table, 1, store if cached else None)

    def collate(numbers: list[int]) -> dict[str, torch.Tensor]:
        return source.batch(rows[numbers]) | {"labels": torch.from_numpy(tokens[numbers] % 2)}

    losses = Losses()
    arguments = transformers.TrainingArguments(
        output_dir=str(folder / "out"), per_device_train_batch_size=8, num_train_epochs=10, learning_rate=5e-3,
        logging_steps=1, report_to=[], use_cpu=True, remove_unused_columns=False, disable_tqdm=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = transformers.Trainer(split, arguments, train_dataset=range(32), data_collator=collate, callbacks=[losses])
    trainer.train()
    return losses.seen, split


def test_the_users_trainer_learns_from_the_store_as_from_tokens(tmp_path: Path):
    (cached, split), (frozen, _) = train(True, tmp_path / "a"), train(False, tmp_path / "b")
    assert len(cached) == 40
    assert cached == pytest.approx(frozen, abs=2e-3)  # logged with four digits
    assert sum(cached[-4:]) < sum(cached[:4]) - 0.4, "it learns"
    assert split.model.classifier.out_proj.weight.requires_grad
    assert not split.model.roberta.encoder.layer[1].output.dense.weight.requires_grad
