"""Telly: efficient fine-tuning of code models. Frozen layers run once; the others train from cached activations.

The public names are listed in `__init__.pyi` and imported on first use, so that `import telly` is instant.
"""

from __future__ import annotations

from typing import Any

from telly.lazy import LazyNames

_RENAMED = {
    "ActivationStore": "telly.ActivationCache",
    "StoreError": "telly.errors.CacheError",
    "StoreRequest": "telly.build_cache",
    "Top": "telly.Method",
    "build_index": "telly.code.build_index",
    "build_store": "telly.build_cache",
    "classify": "telly.code.classify (functions of a folder) or telly.load(RUN).classify (texts)",
    "complete": "telly.code.complete (a line of a file) or telly.load(RUN).generate (texts)",
    "find_clones": "telly.code.find_clones",
    "generate": "telly.code.generate (one description) or telly.load(RUN).generate (texts)",
    "open_search": "telly.code.open_search",
    "search": 'telly.code.search, or telly.tune(telly.TuneConfig(task="search")) to tune',
    "summarize": "telly.code.summarize (functions of a file) or telly.load(RUN).generate (texts)",
    "train_top": "telly.apply_method",
}
_names = LazyNames(__name__, __file__, _RENAMED)
__all__ = sorted([*_names.homes, "__version__"])  # noqa: PLE0605 - the names of the stub


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("telly")
    return _names.get(name)


def __dir__() -> list[str]:
    return __all__
