"""Metrics of an exported model, on the test data of its run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from telly.errors import DataError
from telly.freezing.source import RowSource
from telly.inference.tuned_model import TunedModel
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks.base import Encoded, Options
from telly.tasks.clone import COSINE
from telly.tuning.inputs import load_datasets


class SessionStates(nn.Module):
    """An ONNX session in the place of an encoder: each token's state is the sequence's embedding, and so is their mean.

    Args:
        session: session of onnxruntime, from `input_ids` and `attention_mask` to embeddings.
        hidden_size: size of the embeddings.
    """

    def __init__(self, session: Any, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.where = nn.Parameter(torch.zeros(()))  # tasks ask a trained parameter which device to use
        self._session = session

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        """`last_hidden_state`, [batch, tokens, hidden]."""
        embeddings = torch.from_numpy(run_session(self._session, input_ids, attention_mask))
        return SimpleNamespace(last_hidden_state=embeddings[:, None].expand(-1, input_ids.shape[1], -1))


def run_session(session: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
    """Embeddings of a batch, [batch, hidden], as a numpy array."""
    return session.run(None, {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})[0]


class ScoredData:
    """The data that a model is scored on: its run's test data, or the sample's for a model without a run.

    Attributes:
        split: `test`, or `valid` if the run had no test data.

    Args:
        model: the model.

    Raises:
        DataError: the data cannot be read, or have changed since the run.
    """

    def __init__(self, model: TunedModel) -> None:
        self._model = model
        record = model.record
        config = (
            ResolvedConfig.parse(record.config)
            if record is not None
            else TuneConfig(task=model.task.name, model=model.name).resolve()
        )
        datasets = load_datasets(config, model.task)
        self.split = "test" if "test" in datasets else "valid"
        wanted = {"train": datasets[self.split]}  # no class is new in test data, and nothing is trained
        if model.task.name == "clone" and self._threshold is None:
            wanted["valid"] = datasets["valid"]
        self._data: dict[str, Encoded] = model.task.encode(
            wanted, model.tokenizer, model.config.max_tokens, model.encoder.config
        )
        if record is not None and record.data[self.split]["fingerprint"] != self._test.fingerprint():
            raise DataError(
                f"{model.name}: its {self.split} data was changed since the run, so the loss cannot be measured; "
                "restore the files, or export without --int8"
            )

    def __len__(self) -> int:
        return len(self._test)

    @property
    def _test(self) -> Encoded:
        return self._data["train"]

    @property
    def _threshold(self) -> float | None:
        return self._model.config.threshold

    def scores(self, encoder: nn.Module) -> dict[str, float]:
        """The task's metrics.

        Args:
            encoder: the model's own encoder, or `SessionStates` in its place.
        """
        model = self._model
        module = model.task.build(encoder, self._test, Options(head=COSINE)).eval()  # type: ignore[arg-type]
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=False)
        rows = {name: RowSource(data.table, model.tokenizer.pad_token_id) for name, data in self._data.items()}
        if self._threshold is not None:
            module.get_buffer("threshold").fill_(self._threshold)
        elif "valid" in self._data:
            model.task.fit_threshold(module, rows["valid"], self._data["valid"], autocast)
        return model.task.evaluate(module, rows["train"], self._test, autocast, final=True).metrics
