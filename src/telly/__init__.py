"""telly: fine-tune pre-trained code models cheaply. Frozen layers run once; the top trains from the store.

The names below are the library's front door. They are imported on first use, so that `import telly` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telly.advice.auto import tune
    from telly.data.sequences import SequenceTable
    from telly.freezing.build import StoreRequest, build_store
    from telly.freezing.plan import FreezePlan, freeze, make_plan, unfreeze
    from telly.freezing.source import RowSource
    from telly.freezing.split import SplitModel
    from telly.freezing.states import StateDtype
    from telly.freezing.store import ActivationStore
    from telly.freezing.top import Lora, train_top
    from telly.freezing.variants import Top
    from telly.models.load import load_model, load_tokenizer
    from telly.tuning.config import TuneConfig
    from telly.using.classify import classify
    from telly.using.clones import find_clones
    from telly.using.search import build_index, open_search, search
    from telly.using.writing import complete, generate, summarize

__all__ = [
    "ActivationStore",
    "FreezePlan",
    "Lora",
    "RowSource",
    "SequenceTable",
    "SplitModel",
    "StateDtype",
    "StoreRequest",
    "Top",
    "TuneConfig",
    "build_index",
    "build_store",
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
    "train_top",
    "tune",
    "unfreeze",
]

_HOMES = {
    "ActivationStore": "telly.freezing.store",
    "FreezePlan": "telly.freezing.plan",
    "Lora": "telly.freezing.top",
    "RowSource": "telly.freezing.source",
    "SequenceTable": "telly.data.sequences",
    "SplitModel": "telly.freezing.split",
    "StateDtype": "telly.freezing.states",
    "StoreRequest": "telly.freezing.build",
    "Top": "telly.freezing.variants",
    "TuneConfig": "telly.tuning.config",
    "build_index": "telly.using.search",
    "build_store": "telly.freezing.build",
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
    "train_top": "telly.freezing.top",
    "tune": "telly.advice.auto",
    "unfreeze": "telly.freezing.plan",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
