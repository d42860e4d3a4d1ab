"""Text generation: encoding, teacher-forced training, decoding.

Single-stack and decoder-only models read prompt and answer as one sequence, so the states of both are cached; of an
encoder-decoder only the source's states are. Only the positions that predict the answer have a loss.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from tqdm import tqdm

from telly.data.sequences import Rows, SequenceTable, SequenceTableBuilder
from telly.errors import ConfigError, ModelError
from telly.freezing.source import RowSource
from telly.freezing.split import SplitModel
from telly.metrics.bm25 import bm25_nearest
from telly.metrics.interval import values_of
from telly.models.embedding import EmbeddingHead
from telly.models.generation import (
    Architecture,
    Decoding,
    architecture_of,
    decode_encoded,
    decode_single_sequence,
    decoder_start,
    selected_logits,
)
from telly.models.modes import InputMode, encode_texts, supports_modes
from telly.processes import mean_over_processes
from telly.tasks.options import GenerationOptions
from telly.tasks.spec import TaskSpec
from telly.tasks.training.base import (
    NO_PROMPTS,
    Encoded,
    Evaluation,
    Prompts,
    Task,
    TaskModel,
    batches_of,
    length_batches,
    to_device,
)

DECODED_TOKENS = 16384
"""Limit on the tokens of all beams' prompts and longest answers in a decoded batch, because of the key-value cache."""
MIN_TOKENS = 4
"""Minimum length limit of prompts and answers, special tokens included."""
PLACEHOLDER = "<mask0>"
"""UniXcoder's placeholder of the answer, put before source and answer where the vocabulary has it."""


@dataclass(frozen=True)
class Prompt:
    """A source as the model reads it: token ids, and the length of its bidirectional prefix.

    A length of None leaves attention to the model.
    """

    ids: list[int]
    prefix_length: int | None


@dataclass(frozen=True)
class Texts(Encoded):
    """A split of a text generation task.

    Rows of the training split are prompt and answer in one sequence, or sources; those of other splits are prompts.

    Attributes:
        architecture: the model's architecture.
        prompt_lengths: number of prompt tokens, [examples].
        answers: encoded answers of an encoder-decoder's training split, end token included; else None.
        answer_rows: row in `answers`, [examples].
        references: the reference text of every example.
        tokenizer: turns answers into text.
        start_id: start token of an encoder-decoder's answers.
        end_ids: tokens that end an answer.
        max_answer_tokens: maximum length of an answer, end token included.
    """

    architecture: Architecture = Architecture.PREFIX_LM
    prompt_lengths: npt.NDArray[np.int64] | None = None
    answers: SequenceTable | None = None
    answer_rows: npt.NDArray[np.int64] | None = None
    references: Sequence[str] = ()
    tokenizer: Any = None
    start_id: int = 0
    end_ids: tuple[int, ...] = ()
    max_answer_tokens: int = 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens per example, [examples]; an encoder-decoder's answer counts as well."""
        source_lengths = super().lengths
        if self.architecture.is_single_sequence or self.answers is None:
            return source_lengths
        lengths: npt.NDArray[np.int64] = source_lengths + self.answers.lengths[self.answer_rows]
        return lengths

    def fingerprint(self) -> str:
        """A digest of sources and answers."""
        digest = hashlib.blake2b(super().fingerprint().encode(), digest_size=16)
        digest.update("\0".join(self.references).encode())
        return digest.hexdigest()


class TextGenerationModel(TaskModel):
    """A model that generates text, and its loss.

    Args:
        encoder: the whole model with its output layer.
        beams: beam width of the final evaluation.
    """

    encoder: SplitModel

    def __init__(self, encoder: SplitModel, beams: int) -> None:
        super().__init__(encoder)
        self.beams = beams

    def forward(
        self,
        inputs: dict[str, torch.Tensor],
        selected: torch.Tensor,
        labels: torch.Tensor,
        decoder_input_ids: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """Mean cross-entropy of the predicted tokens of all processes together.

        Args:
            inputs: tokens or cached states, and their masks.
            selected: true where the next token is predicted, [batch, tokens].
            labels: ids of these next tokens, [selected].
            decoder_input_ids: decoder inputs of an encoder-decoder, [batch, answer tokens].
        """
        decoder = {} if decoder_input_ids is None else {"decoder_input_ids": decoder_input_ids}
        with selected_logits(self.encoder.model, selected):
            logits = self.encoder(**inputs, **decoder).logits  # [selected, vocabulary]
        # DDP averages the processes' gradients, and they predict unequal numbers of tokens.
        count = mean_over_processes(torch.tensor(float(len(labels)), device=labels.device))
        return {"loss": F.cross_entropy(logits.float(), labels, reduction="sum") / count}

    @torch.no_grad()
    def generate(self, source: RowSource, data: Texts, autocast: torch.autocast, beams: int) -> list[list[int]]:
        """Token ids of the answers to all examples, decoded in batches of similar length."""
        device = self.device
        prompts, inverse = np.unique(data.rows["source"], return_inverse=True)  # equal prompts have equal answers
        lengths = data.table.lengths[prompts]
        generated: list[list[int]] = [[] for _ in prompts]
        with tqdm(total=len(prompts), desc="generating", unit="answer", leave=False, disable=None) as bar:
            for picked in length_batches(lengths + data.max_answer_tokens, DECODED_TOKENS // beams):
                with autocast:
                    answers = self._generate_batch(source, data, prompts[picked], beams, device)
                for i, answer in zip(picked, answers, strict=True):
                    generated[i] = answer
                bar.update(len(picked))
        return [generated[i] for i in inverse]

    def _generate_batch(
        self, source: RowSource, data: Texts, rows: npt.NDArray[np.int64], beams: int, device: torch.device
    ) -> list[list[int]]:
        decoding = Decoding(beams, data.max_answer_tokens, data.end_ids, source.pad_id)
        if not data.architecture.is_single_sequence:
            batch = to_device(source.batch(rows), device)
            encoded = self.encoder.encode(**batch)
            return decode_encoded(self.encoder.model, encoded, batch["attention_mask"], decoding)
        prompts = [torch.from_numpy(data.table[int(row)].astype(np.int64)) for row in rows]
        return decode_single_sequence(
            self.encoder.model, prompts, decoding, data.table.mask_inputs(rows).get("prefix_lengths")
        )


class TextGenerationTask(Task[SplitModel, TextGenerationModel, Texts, GenerationOptions]):
    """Generation of a target text from a source text, the two columns of the schema.

    Attributes:
        source: name of the source column.
        target: name of the target column.
        mode: input mode in which a single-stack model reads the source.
        loss_on_source: whether the source's tokens are learned as well, as in language modelling.
    """

    mode = InputMode.ENCODER_DECODER
    loss_on_source = False

    def __init__(self, spec: TaskSpec[Any]) -> None:
        super().__init__(spec)
        self.source, self.target = spec.schema.names

    def clean_source(self, text: str) -> str:
        """Normalise a source text."""
        return text

    def clean_target(self, text: str) -> str:
        """Normalise a target text."""
        return text

    def target_texts(self, sources: list[str], targets: list[str]) -> list[str]:
        """Target texts as the model learns them, after their sources."""
        return [self.clean_target(text) for text in targets]

    def finish(self, text: str) -> str:
        """Normalise a decoded answer before it is scored."""
        return text.strip()

    def extra_end_ids(self, tokenizer: Any) -> tuple[int, ...]:
        """Ids of tokens besides the end token that end an answer."""
        return ()

    def encode(
        self,
        datasets: Mapping[str, Any],
        tokenizer: Any,
        max_tokens: dict[str, int],
        config: Any,
        prompts: Prompts = NO_PROMPTS,
    ) -> dict[str, Texts]:
        """Tokenise; the training split with its answers, the others as prompts.

        Raises:
            ModelError: the tokenizer has no token that can end an answer.
        """
        codec = _Codec(self, tokenizer, max_tokens, architecture_of(config))
        return {name: codec.encode(dataset, config, train=name == "train") for name, dataset in datasets.items()}

    def prompts(self, texts: list[str], tokenizer: Any, max_tokens: int, architecture: Architecture) -> list[Prompt]:
        """Prompts of at most `max_tokens` tokens; those of single-sequence models end with the answer's start token."""
        texts = [self.clean_source(text) for text in texts]
        if architecture is Architecture.ENCODER_DECODER:
            return [Prompt(ids, None) for ids in encode_texts(tokenizer, texts, max_tokens, self.mode)]
        start = start_token(tokenizer)
        if architecture is Architecture.DECODER:
            head = text_start(tokenizer)
            room = max_tokens - 1 - len(head)
            plain = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
            return [Prompt([*head, *ids, start], None) for ids in plain]
        has_placeholder = PLACEHOLDER in tokenizer.get_vocab() and supports_modes(tokenizer)
        encoded = encode_texts(tokenizer, texts, max_tokens - has_placeholder - 1, self.mode)
        if has_placeholder:
            # UniXcoder's format: the placeholder follows the mode tokens `<s> <mode> </s>`.
            encoded = [[*ids[:3], start, *ids[3:]] for ids in encoded]
        return [Prompt([*ids, start], len(ids)) for ids in encoded]

    def build(
        self,
        encoder: SplitModel,
        num_classes: int,
        options: GenerationOptions,
        embedding: EmbeddingHead | None = None,
    ) -> TextGenerationModel:
        """The model with its loss."""
        return TextGenerationModel(encoder, options.beams)

    def collate(self, source: RowSource, data: Texts, indices: Rows, rng_key: tuple[int, ...] = ()) -> dict[str, Any]:
        """Sequences of some examples, the positions at which tokens are predicted, and these tokens."""
        picked = np.asarray(indices)
        rows = data.rows["source"][picked]
        if data.architecture.is_single_sequence:
            assert data.prompt_lengths is not None
            # The first token that is predicted: of the source the second one, since nothing comes before the first.
            first = np.ones(len(picked), dtype=np.int64) if self.loss_on_source else data.prompt_lengths[picked]
            return {"inputs": source.batch(rows)} | _single_sequence_labels(
                [data.table[int(row)] for row in rows], first
            )
        assert data.answers is not None and data.answer_rows is not None
        answers = [data.answers[int(row)] for row in data.answer_rows[picked]]
        return {"inputs": source.batch(rows)} | _decoder_labels(answers, data.start_id, source.pad_id)

    @torch.no_grad()
    def evaluate(
        self, model: TextGenerationModel, source: RowSource, data: Texts, autocast: torch.autocast, *, final: bool
    ) -> Evaluation:
        """Generate all answers and score them; `final` with the beam, else greedily."""
        predictions = self.generate(model, source, data, autocast, beams=model.beams if final else 1)
        references = list(data.references)
        rows = [
            {"example": i, "prediction": p, "gold": r}
            for i, (p, r) in enumerate(zip(predictions, references, strict=True))
        ]
        return Evaluation.of(self.spec.score(predictions, references), rows)

    def generate(
        self, model: TextGenerationModel, source: RowSource, data: Texts, autocast: torch.autocast, beams: int
    ) -> list[str]:
        """Answers to all examples, normalised for scoring."""
        exact: dict[str, Any] = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
        generated = model.generate(source, data, autocast, beams)
        return [self.finish(data.tokenizer.decode(ids, **exact)) for ids in generated]

    def generate_texts(
        self,
        model: TextGenerationModel,
        texts: Sequence[str],
        tokenizer: Any,
        max_tokens: dict[str, int],
        autocast: torch.autocast,
    ) -> list[str]:
        """Answers to raw source texts, with the model's beam."""
        config = model.encoder.model.config
        data = _Codec(self, tokenizer, max_tokens, architecture_of(config)).encode_sources(list(texts), config)
        return self.generate(model, RowSource(data.table, tokenizer.pad_token_id), data, autocast, model.beams)

    def baselines(self, datasets: Mapping[str, Any], split: str, train: Texts) -> dict[str, dict[str, float]]:
        """The answer of the training example whose source is nearest by BM25."""
        sources = [self.clean_source(text) for text in datasets["train"][self.source]]
        queries = [self.clean_source(text) for text in datasets[split][self.source]]
        answers = list(datasets["train"][self.target])
        nearest = [self.finish(self.clean_target(answers[i])) for i in bm25_nearest(queries, sources)]
        gold = [self.clean_target(text) for text in datasets[split][self.target]]
        return {"nearest training answer": values_of(self.spec.score(nearest, gold))}


class _Codec:
    """Encoder of the splits of one run."""

    def __init__(
        self, task: TextGenerationTask, tokenizer: Any, max_tokens: dict[str, int], architecture: Architecture
    ) -> None:
        self.task, self.tokenizer, self.architecture = task, tokenizer, architecture
        self.max_source, self.max_target = max_tokens[task.source], max_tokens[task.target]
        self.end = end_token(tokenizer)
        for column, tokens in ((task.source, self.max_source), (task.target, self.max_target)):
            if tokens < MIN_TOKENS:
                raise ConfigError(f"max_tokens: {column} must be at least {MIN_TOKENS}, found {tokens}")

    def encode(self, dataset: Any, config: Any, *, train: bool) -> Texts:
        joined = train and self.architecture.is_single_sequence
        separate = train and not self.architecture.is_single_sequence
        sources, targets = SequenceTableBuilder(), SequenceTableBuilder()
        rows: list[int] = []
        answer_rows: list[int] = []
        prompt_lengths: list[int] = []
        references: list[str] = []
        for texts in batches_of(dataset):
            prompts = self.task.prompts(texts[self.task.source], self.tokenizer, self.max_source, self.architecture)
            targets_of_batch = self.task.target_texts(texts[self.task.source], texts[self.task.target])
            answers = self._answers(targets_of_batch) if train else [[] for _ in prompts]
            for prompt, answer in zip(prompts, answers, strict=True):
                rows.append(sources.add([*prompt.ids, *answer] if joined else prompt.ids, prompt.prefix_length))
                prompt_lengths.append(len(prompt.ids))
                if separate:
                    answer_rows.append(targets.add(answer))
            references += [self.task.clean_target(text) for text in texts[self.task.target]]
        encoded = self._texts(sources, rows, prompt_lengths, config)
        encoded = replace(encoded, references=references, cacheable=train or encoded.cacheable)
        if not separate:
            return encoded
        return replace(encoded, answers=targets.build(), answer_rows=np.asarray(answer_rows, dtype=np.int64))

    def encode_sources(self, texts: list[str], config: Any) -> Texts:
        """Encode sources without targets, for generation."""
        sources = SequenceTableBuilder()
        prompts = self.task.prompts(texts, self.tokenizer, self.max_source, self.architecture)
        rows = [sources.add(prompt.ids, prompt.prefix_length) for prompt in prompts]
        return self._texts(sources, rows, [len(prompt.ids) for prompt in prompts], config)

    def _texts(self, sources: SequenceTableBuilder, rows: list[int], prompt_lengths: list[int], config: Any) -> Texts:
        """A split of prompts without references. Of prompts only an encoder's states can be cached."""
        return Texts(
            sources.build(),
            {"source": np.asarray(rows, dtype=np.int64)},
            cacheable=not self.architecture.is_single_sequence,
            architecture=self.architecture,
            prompt_lengths=np.asarray(prompt_lengths, dtype=np.int64),
            tokenizer=self.tokenizer,
            start_id=0 if self.architecture.is_single_sequence else decoder_start(config),
            end_ids=(self.end, *self.task.extra_end_ids(self.tokenizer)),
            max_answer_tokens=self.max_target,
        )

    def _answers(self, texts: list[str]) -> list[list[int]]:
        room = self.max_target - 1
        plain = self.tokenizer(texts, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
        return [[*ids, self.end] for ids in plain]


def start_token(tokenizer: Any) -> int:
    """A single-sequence answer's start token: UniXcoder's placeholder, else the start, else the end token.

    Raises:
        ModelError: the tokenizer has none of these.
    """
    if PLACEHOLDER in tokenizer.get_vocab():
        return int(tokenizer.convert_tokens_to_ids(PLACEHOLDER))
    start = next((i for i in (tokenizer.bos_token_id, tokenizer.cls_token_id) if i is not None), None)
    return end_token(tokenizer) if start is None else int(start)


def text_start(tokenizer: Any) -> list[int]:
    """Tokens that the tokenizer's template puts before a text: the start token, as for Llama, or none."""
    template = tokenizer("")["input_ids"]
    return template[:1] if template and template[0] == tokenizer.bos_token_id else []


def end_token(tokenizer: Any) -> int:
    """The token that ends an answer.

    Raises:
        ModelError: the tokenizer has no end or separator token.
    """
    for token_id in (tokenizer.eos_token_id, tokenizer.sep_token_id):
        if token_id is not None:
            return int(token_id)
    raise ModelError("the tokenizer has neither an end nor a separator token, so no answer could end")


def _single_sequence_labels(
    sequences: list[npt.NDArray[np.int32]], first: npt.NDArray[np.int64]
) -> dict[str, torch.Tensor]:
    """Positions at which the tokens from index `first` on are predicted, and these tokens as labels."""
    selected = np.zeros((len(sequences), max(map(len, sequences))), dtype=bool)
    for i, ids in enumerate(sequences):
        selected[i, first[i] - 1 : len(ids) - 1] = True
    labels = np.concatenate([ids[start:] for ids, start in zip(sequences, first, strict=True)]).astype(np.int64)
    return {"selected": torch.from_numpy(selected), "labels": torch.from_numpy(labels)}


def _decoder_labels(answers: list[npt.NDArray[np.int32]], start_id: int, pad_id: int) -> dict[str, torch.Tensor]:
    """Answers as decoder inputs, shifted right by the start token, and all their tokens as labels."""
    width = max(map(len, answers))
    inputs = np.full((len(answers), width), pad_id, dtype=np.int64)
    selected = np.zeros((len(answers), width), dtype=bool)
    for i, ids in enumerate(answers):
        inputs[i, : len(ids)] = [start_id, *ids[:-1]]
        selected[i, : len(ids)] = True
    labels = np.concatenate(answers).astype(np.int64)
    arrays = {"decoder_input_ids": inputs, "selected": selected, "labels": labels}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
