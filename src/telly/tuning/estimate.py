"""What an epoch of a run would read, for the cost model; encodes the data, loads no weights."""

from __future__ import annotations

from pathlib import Path

from telly.data.batching import LengthBucketBatchSampler
from telly.data.readers import read
from telly.data.sample import sample_files
from telly.errors import ConfigError
from telly.freezing.cost import Workload
from telly.models.load import load_config, load_tokenizer
from telly.tasks import get_task
from telly.tuning.config import TuneConfig
from telly.tuning.resolve import resolve

SAMPLE = "sample"


def workload(config: TuneConfig, data: str) -> Workload:
    """Tokens that an epoch of `telly tune` with these settings reads.

    Args:
        config: the settings; what is open is resolved as a run would.
        data: training data as `telly tune` takes it, or `sample`.

    Raises:
        DataError: the data cannot be read.
        ConfigError: the data does not fill one batch.
    """
    config = resolve(config)
    task = get_task(config.task)
    source = str(sample_files(config.task)["train"]) if data == SAMPLE and not Path(data).exists() else data
    datasets = {"train": read(source, task.schema, config.columns, "train")}
    tokenizer, model_config = load_tokenizer(config.model), load_config(config.model)
    encoded = task.encode(datasets, tokenizer, config.max_tokens, model_config)["train"]
    lengths = {column: encoded.table.lengths[rows] for column, rows in encoded.rows.items()}
    try:
        pairs = encoded.pairs if config.shared_batches else None
        sampler = LengthBucketBatchSampler(
            encoded.lengths, config.batch_size or 1, seed=config.seed, drop_last=True, pairs=pairs
        )
    except ValueError as error:
        raise ConfigError(f"--batch-size: {error}") from None
    batches = sampler.global_batches()
    padded = [encoded.batch_tokens(batch) for batch in batches]
    tokens = sum(int(column.sum()) for column in lengths.values())
    return Workload(
        tokens=sum(padded),
        stored_tokens=int(encoded.table.lengths.sum()),
        batch_tokens=max(padded),
        mean_length=tokens / (len(lengths) * len(encoded)),
    )
