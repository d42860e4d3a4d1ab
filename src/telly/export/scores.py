"""The task's scores of a model in another form, on the data that its run was tested on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from telly.errors import DataError
from telly.export.source import Source
from telly.freezing.source import RowSource
from telly.tasks.base import Encoded, Options
from telly.tasks.clone import COSINE
from telly.tuning.config import TuneConfig
from telly.tuning.inputs import load_datasets
from telly.tuning.resolve import resolve


class SessionStates(nn.Module):
    """An ONNX session in the place of a `SplitModel`: every token's state is the sequence's vector, and so is the mean.

    Args:
        session: of onnxruntime, from `input_ids` and `attention_mask` to vectors.
        hidden_size: of the vectors.
    """

    def __init__(self, session: Any, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.where = nn.Parameter(torch.zeros(()))  # tasks ask a trained parameter which device to use
        self._session = session

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        """`last_hidden_state`, [batch, tokens, hidden]."""
        vectors = torch.from_numpy(run_session(self._session, input_ids, attention_mask))
        return SimpleNamespace(last_hidden_state=vectors[:, None].expand(-1, input_ids.shape[1], -1))


def run_session(session: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
    """Vectors of a batch, [batch, hidden], as numpy has them."""
    return session.run(None, {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})[0]


class ScoredData:
    """What a source is scored on: its run's test data, or the sample's for a model without a run.

    Attributes:
        split: `test`, or `valid` where the run had no test data.

    Args:
        source: the model.

    Raises:
        DataError: the data cannot be read, or is no longer that of the run.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        record = source.record
        config = (
            TuneConfig.parse(record.config)
            if record is not None
            else resolve(TuneConfig(task=source.task.name, model=source.name))
        )
        datasets = load_datasets(config, source.task)
        self.split = "test" if "test" in datasets else "valid"
        wanted = {"train": datasets[self.split]}  # no class is new in test data, and nothing is trained
        if source.task.name == "clone" and self._threshold is None:
            wanted["valid"] = datasets["valid"]
        self._data: dict[str, Encoded] = source.task.encode(
            wanted, source.tokenizer, source.limits, source.model.config
        )
        if record is not None and record.data[self.split]["fingerprint"] != self._test.fingerprint():
            raise DataError(
                f"{source.name}: its {self.split} data was changed since the run, so the loss cannot be measured; "
                "restore the files, or export without --int8"
            )

    def __len__(self) -> int:
        return len(self._test)

    @property
    def _test(self) -> Encoded:
        return self._data["train"]

    @property
    def _threshold(self) -> float | None:
        return self._source.usage.threshold if self._source.usage is not None else None

    def scores(self, split: nn.Module) -> dict[str, float]:
        """The task's metrics.

        Args:
            split: a `SplitModel`, or what stands in for one.
        """
        source = self._source
        module = source.task.build(split, self._test, Options(head=COSINE)).eval()  # type: ignore[arg-type]
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=False)
        rows = {name: RowSource(data.table, source.tokenizer.pad_token_id) for name, data in self._data.items()}
        if self._threshold is not None:
            module.get_buffer("threshold").fill_(self._threshold)
        elif "valid" in self._data:
            source.task.fit_threshold(module, rows["valid"], self._data["valid"], autocast)
        return source.task.evaluate(module, rows["train"], self._test, autocast, final=True).metrics
