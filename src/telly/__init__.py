"""telly: fine-tune pre-trained code models cheaply. Frozen layers run once; the top trains from the store.

The names below are the library's front door. They are imported on first use, so that `import telly` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telly.advice.auto import tune
    from telly.data.sequences import SequenceTable
    from telly.freezing.activation_cache import ActivationCache
    from telly.freezing.build import CacheRequest, build_cache
    from telly.freezing.methods import apply_method
    from telly.freezing.plan import FreezePlan, freeze, make_plan, unfreeze
    from telly.freezing.source import RowSource
    from telly.freezing.split import SplitModel
    from telly.freezing.states import StateDtype
    from telly.freezing.variants import Lora, Method
    from telly.models.load import load_model, load_tokenizer
    from telly.settings.config import TuneConfig
    from telly.using.classify import classify
    from telly.using.clones import find_clones
    from telly.using.search import build_index, open_search, search
    from telly.using.writing import complete, generate, summarize

__all__ = [
    "ActivationCache",
    "CacheRequest",
    "FreezePlan",
    "Lora",
    "Method",
    "RowSource",
    "SequenceTable",
    "SplitModel",
    "StateDtype",
    "TuneConfig",
    "apply_method",
    "build_cache",
    "build_index",
    "classify",
    "complete",
    "find_clones",
    "freeze",
    "generate",
    "load_model",
    "load_tokenizer",
    "make_plan",
    "open_search",
    "search",
    "summarize",
    "tune",
    "unfreeze",
]

_HOMES = {
    "ActivationCache": "telly.freezing.activation_cache",
    "FreezePlan": "telly.freezing.plan",
    "Lora": "telly.freezing.methods",
    "RowSource": "telly.freezing.source",
    "SequenceTable": "telly.data.sequences",
    "SplitModel": "telly.freezing.split",
    "StateDtype": "telly.freezing.states",
    "CacheRequest": "telly.freezing.build",
    "Method": "telly.freezing.variants",
    "TuneConfig": "telly.settings.config",
    "build_index": "telly.using.search",
    "build_cache": "telly.freezing.build",
    "classify": "telly.using.classify",
    "complete": "telly.using.writing",
    "find_clones": "telly.using.clones",
    "freeze": "telly.freezing.plan",
    "generate": "telly.using.writing",
    "load_model": "telly.models.load",
    "load_tokenizer": "telly.models.load",
    "make_plan": "telly.freezing.plan",
    "open_search": "telly.using.search",
    "search": "telly.using.search",
    "summarize": "telly.using.writing",
    "apply_method": "telly.freezing.methods",
    "tune": "telly.advice.auto",
    "unfreeze": "telly.freezing.plan",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
