"""Export to ONNX: token ids to embeddings, for any batch and length, checked against torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from telly.errors import ConfigError, ExportError
from telly.exports.card import write_export_card
from telly.exports.folder import Exported, agreement, embedding_info, new_folder, write_inference_config
from telly.exports.scores import ScoredData, run_session
from telly.exports.source import CHECK_TEXTS, EmbeddingModel, save_tokenizer
from telly.inference.tuned_model import TunedModel
from telly.markdown import markdown_table
from telly.models.embedding import Role
from telly.models.load import quiet_transformers
from telly.runs.card import metric_text

logger = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Maximum absolute difference between components of embeddings by ONNX and by torch."""
MODEL_FILE, INT8_FILE = "model.onnx", "model-int8.onnx"
OPSET = 17
INPUTS, OUTPUT = ("input_ids", "attention_mask"), "vectors"
"""Names of the graph's inputs and output; part of the format, since users' programs refer to them."""
USE = """## Use

```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(FOLDER)
session = onnxruntime.InferenceSession(f"{{FOLDER}}/{file}")
batch = tokenizer({texts}, padding=True, truncation=True, max_length={query_tokens}, return_tensors="np")
inputs = {{name: batch[name] for name in ("input_ids", "attention_mask")}}
embeddings = session.run(None, inputs)[0]  # [texts, {hidden}]
```

{embedding} Queries were cut at {query_tokens} tokens in tuning, documents
at {document_tokens}: give these as `max_length`. The tokenizer adds the mode tokens of a model that has them. Batch and
length are free."""


def export_onnx(model: TunedModel, output: Path, *, int8: bool) -> Exported:
    """Write `model.onnx` with its tokenizer, and optionally `model-int8.onnx`.

    Args:
        model: the model.
        output: a new or empty folder.
        int8: also write the model with 8-bit weights, and measure their loss of quality on the run's test data.

    Raises:
        ConfigError: onnx or onnxruntime is not installed, or the folder is not empty.
        DataError: the data that `int8` is measured on cannot be read.
        ExportError: the model cannot be traced, or gives other embeddings than torch; nothing is left behind.
    """
    _check_libraries()
    if not model.embedding.include_prompt and any(model.prompts.by_column.values()):
        raise ExportError(
            f"{model.name}: its pooling leaves out the tokens of the prompt, which a graph of token ids cannot know; "
            "expected a model that pools its prompt. --to sentence-transformers exports this one"
        )
    data = ScoredData(model) if int8 else None  # read before the slow part, since files may be missing
    with new_folder(output) as folder:
        with quiet_transformers():
            model.encoder.config.save_pretrained(folder)
        save_tokenizer(model, folder)
        _trace(model, folder / MODEL_FILE)
        difference = _check(model, folder / MODEL_FILE)
        sections = [_check_section(folder, difference)]
        loss = None
        if data is not None:
            logger.info("measuring what 8-bit weights cost")
            _quantize(folder / MODEL_FILE, folder / INT8_FILE)
            loss, section = _loss(model, folder, data)
            sections.append(section)
        write_inference_config(model, folder)
        use = USE.format(
            file=MODEL_FILE,
            query_tokens=model.role_tokens("query"),
            document_tokens=model.role_tokens("document"),
            hidden=model.embedding_size,
            texts="[prompt + text for text in texts]" if any(model.prompts.by_column.values()) else "texts",
            embedding=embedding_info(model).description(),
        )
        write_export_card(model, folder, use, *sections, library="onnx")
    return Exported(output, difference, loss)


def _check_libraries() -> None:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ConfigError(f"--to onnx needs {error.name}: pip install 'telly[export]'") from None
    del onnx, onnxruntime


def _batch(model: TunedModel, texts: tuple[str, ...], role: Role) -> dict[str, torch.Tensor]:
    table, rows = model.sequences(texts, role)
    return table.pad(rows, model.tokenizer.pad_token_id)


def _trace(model: TunedModel, file: Path) -> None:
    """Write the graph with torch's older exporter, which is much faster than the newer one."""
    # texts of several lengths, so that the batch has padding and the mask becomes part of the graph
    batch = _batch(model, CHECK_TEXTS, "query")
    axes = {name: {0: "batch", 1: "tokens"} for name in INPUTS} | {OUTPUT: {0: "batch"}}
    with _quiet():
        try:
            torch.onnx.export(
                EmbeddingModel(model).eval(),
                tuple(batch[name] for name in INPUTS),
                str(file),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ExportError(
                f"{model.name}: a {type(model.encoder).__name__} cannot be written as ONNX: {reason}"
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters, which warn about things that `_check` tests."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def open_session(file: Path) -> Any:
    """Open an onnxruntime session on the CPU with as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def _check(model: TunedModel, file: Path) -> float:
    """Compare with torch on batches of other sizes and lengths than the traced one.

    Raises:
        ExportError: the embeddings differ.
    """
    session, module = open_session(file), EmbeddingModel(model).eval()
    largest = 0.0
    for texts in (CHECK_TEXTS, *((text,) for text in CHECK_TEXTS)):
        batch = _batch(model, texts, "document")
        embeddings = run_session(session, batch["input_ids"], batch["attention_mask"])
        largest = max(largest, float(np.abs(embeddings - module(**batch).numpy()).max()))
    if not largest <= TOLERANCE:  # true for NaN, too
        raise ExportError(
            f"{model.name}: as ONNX its embeddings differ from torch's by {largest:.1e}; expected at most "
            f"{TOLERANCE:.0e}; nothing was exported"
        )
    return largest


def _quantize(file: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # On processors that add pairs of 8-bit products in 16 bits, seven bits per weight (`reduce_range`) cannot overflow,
    # so the loss measured here holds on every machine.
    with _quiet():
        quantize_dynamic(file, target, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)


def _check_section(folder: Path, difference: float) -> str:
    size = (folder / MODEL_FILE).stat().st_size / 1e6
    return (
        f"## Checked\n\n`{MODEL_FILE}` ({size:.1f} MB) was run by onnxruntime on batches of several sizes and lengths; "
        f"its embeddings and torch's are {agreement(difference)}."
    )


def _loss(model: TunedModel, folder: Path, data: ScoredData) -> tuple[str, str]:
    """Loss of quality by 8-bit weights, as a sentence and as a section of the card."""
    fp32 = data.metrics()
    int8 = data.metrics(open_session(folder / INT8_FILE))
    metric = model.task.preset.metric
    examples = f"the {len(data):,} examples of the {data.split} data"
    change = int8[metric] - fp32[metric]
    size = (folder / INT8_FILE).stat().st_size / 1e6
    sentence = (
        f"{metric} {metric_text(metric, int8[metric])} with 8-bit weights, "
        f"{metric_text(metric, fp32[metric])} with 32 bits ({change:+.4f}), on {examples}"
    )
    names = [name for name in model.task.metrics if name in fp32]
    table = markdown_table(
        ("", *names),
        [
            (form, *(metric_text(name, metrics[name]) for name in names))
            for form, metrics in (("fp32", fp32), ("int8", int8))
        ],
    )
    return sentence, (
        f"## 8-bit weights\n\n`{INT8_FILE}` ({size:.1f} MB) has 8-bit weights and computes its scales at run time "
        f"(onnxruntime's dynamic quantization). On {examples}:\n\n{table}"
    )
