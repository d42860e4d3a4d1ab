"""Placeholders for the values of options in help; options with the same name have the same one in all commands."""

from __future__ import annotations

_NUMBERS = (
    *("batch_size", "epochs", "eval_limit", "limit", "lines", "max_request_kb", "max_tokens", "min_lines", "port"),
    *("processes", "resamples", "retries", "seed", "seeds", "top", "workers", "jobs", "cpus", "gpus"),
)
PLACEHOLDERS = dict.fromkeys(_NUMBERS, "N") | {
    "cache_dir": "DIR",
    "columns": "NAME=COLUMN",
    "compare": "FILE",
    "config": "FILE",
    "corpus": "DIR",
    "data": "FILE|DIR|HUB-ID",
    "gold": "FILE",
    "host": "ADDRESS",
    "html": "FILE",
    "index_folder": "DIR",
    "language": "NAME",
    "margin": "RATIO",
    "min_similarity": "SIMILARITY",
    "model": "DIR|HUB-ID",
    "output": "DIR",
    "pred": "FILE",
    "probe": "NAME",
    "ray": "HOST:PORT|auto|local",
    "sarif": "FILE",
    "split": "NAME",
    "task": "TASK",
    "test": "FILE",
    "test_share": "RATIO",
    "timeout": "SECONDS",
    "title": "TEXT",
    "token_file": "FILE",
    "train": "FILE",
    "valid": "FILE",
    "valid_share": "RATIO",
    "with_": "DIR|HUB-ID",
}
