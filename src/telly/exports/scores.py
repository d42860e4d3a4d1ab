"""Metrics of an exported model, on the test data of its run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from telly.errors import DataError
from telly.freezing.source import RowSource
from telly.inference.tuned_model import TunedModel
from telly.models.embedding import EmbeddingHead
from telly.settings.config import ResolvedConfig, TuneConfig
from telly.tasks.training.base import Encoded, TaskModel
from telly.tuning.inputs import load_datasets


class SessionEncoder:
    """An ONNX session as a task's encoder, with `GraphEmbedding` after it.

    Args:
        session: session of onnxruntime, from `input_ids` and `attention_mask` to embeddings.
        embedding_size: size of the embeddings.
    """

    def __init__(self, session: Any, embedding_size: int) -> None:
        self.hidden_size = embedding_size
        self.device = torch.device("cpu")
        self._session = session

    def __call__(self, **inputs: torch.Tensor) -> SimpleNamespace:
        """The session's embeddings of a batch, [batch, embedding size], in place of hidden states."""
        embeddings = run_session(self._session, inputs["input_ids"], inputs["attention_mask"])
        return SimpleNamespace(last_hidden_state=torch.from_numpy(embeddings))


class GraphEmbedding(EmbeddingHead):
    """Passes on the embeddings of an exported graph, which includes the pooling and the modules after it."""

    def features(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor, prompt_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The graph's embeddings as they are."""
        return hidden_states

    forward = features


def run_session(session: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
    """Embeddings of a batch, [batch, hidden], as a numpy array."""
    return session.run(None, {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()})[0]


class ScoredData:
    """Data to evaluate a model on: its run's test data, or the sample's for a model without a run.

    Attributes:
        split: `test`, or `valid` if the run had no test data.

    Args:
        model: the model.

    Raises:
        DataError: the data cannot be read, or has changed since the run.
    """

    def __init__(self, model: TunedModel) -> None:
        self._model = model
        record = model.record
        config = (
            ResolvedConfig.parse(dict(record.config.values))
            if record is not None
            else TuneConfig(task=model.task.name, model=model.name).resolve()
        )
        datasets = load_datasets(config, model.task)
        self.split = "test" if "test" in datasets else "valid"
        needed = {self.split: datasets[self.split]}
        if self._threshold is None:
            needed["valid"] = datasets["valid"]  # to fit a threshold, if the task has one
        self._data: dict[str, Encoded] = model.task.encode(
            needed, model.tokenizer, model.config.max_tokens, model.encoder.config, model.prompts
        )
        if record is not None and record.data[self.split].fingerprint != self._test.fingerprint():
            raise DataError(
                f"{model.name}: its {self.split} data has changed since the run, so the loss cannot be measured; "
                "restore the files, or export without --int8"
            )

    def __len__(self) -> int:
        return len(self._test)

    @property
    def _test(self) -> Encoded:
        return self._data[self.split]

    @property
    def _threshold(self) -> float | None:
        return self._model.config.threshold

    def metrics(self, session: Any = None) -> dict[str, float]:
        """Compute the task's metrics.

        Args:
            session: session of onnxruntime that takes the place of the model. [default: the model itself]
        """
        model = self._model
        embedding, encoder = model.module.embedding, model.module.encoder
        if session is not None:
            encoder = SessionEncoder(session, embedding.embedding_size)
            embedding = GraphEmbedding(embedding.config, model.module.encoder.hidden_size)
        classes, options = len(self._test.classes), model.config.task_options
        module: TaskModel = model.task.build(encoder, classes, options, embedding).eval()
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=False)
        sources = {name: RowSource(data.table, model.tokenizer.pad_token_id) for name, data in self._data.items()}
        if self._threshold is not None:
            module.fix_threshold(self._threshold)
        elif "valid" in self._data:
            model.task.fit_threshold(module, sources["valid"], self._data["valid"], autocast)
        metrics: dict[str, float] = model.task.evaluate(
            module, sources[self.split], self._test, autocast, final=True
        ).metrics
        return metrics
