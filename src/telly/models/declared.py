"""Checks that the embeddings declared by a sentence-transformers folder are those that telly computes.

telly takes the mean of the last hidden states over all tokens, scales it to unit length and compares by cosine. A
folder that declares anything else would silently give other embeddings than its author intended, so it is refused.
"""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

from telly.errors import ModelError
from telly.hub import hub_answers
from telly.models.folder import MODULES, modules_of, read_json, read_modules
from telly.models.load import resolve

SETTINGS = "config_sentence_transformers.json"
_LEGACY_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Before version 5 every pooling mode had its own key."""
_WITHOUT_EFFECT = ("Normalize", "Dropout")
"""Modules after the pooling that do not change the cosine of two embeddings."""
_TRANSFORMER_SETTINGS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")


def check_pooling(name: str) -> None:
    """Check that a model's folder does not declare other embeddings than telly computes.

    Args:
        name: folder, hub id or the embedded model. A subfolder that such a folder names as its transformer counts too.

    Raises:
        ModelError: the folder declares another pooling, extra layers, a prompt for every text or another similarity,
            or its declarations cannot be read.
    """
    declared = _DeclaredSteps.of(name)
    if declared is None:
        return
    for difference in declared.differences():
        raise ModelError(
            f"{name}: {difference}, which telly does not apply; expected a model whose embedding is the mean of all "
            f"tokens, compared by cosine. To use the mean of this model all the same, {declared.advice}"
        )


def model_warnings(name: str) -> list[str]:
    """Warnings about a model that is accepted: prompts that its folder declares and telly does not add."""
    declared = _DeclaredSteps.of(name)
    prompts = {} if declared is None else declared.prompts()
    if not prompts:
        return []
    shown = ", ".join(f"{role} {text!r}" for role, text in prompts.items())
    return [
        f"{name}: declares prompts ({shown}) that telly does not put before texts; put them into your data if needed"
    ]


class _DeclaredSteps:
    """Declarations in the files of one model."""

    def __init__(self, place: str, modules: list[dict[str, Any]] | None, inner: Path | None = None) -> None:
        self.place = place
        self.modules = modules
        self.inner = inner  # the transformer's own folder, where that is a subfolder

    @classmethod
    def of(cls, name: str) -> _DeclaredSteps | None:
        """Find the declarations of a model; None if there are none."""
        place = resolve(name)
        folder = Path(place)
        if not folder.is_dir():
            file = _file(place, MODULES)
            return None if file is None else cls(place, modules_of(file))
        modules = read_modules(folder)
        if modules is not None:
            return cls(place, modules)
        # The path may be the transformer's own folder within such a model (`0_Transformer`).
        above = folder.resolve().parent
        if any(module.get("path") == folder.resolve().name for module in read_modules(above) or ()):
            return cls(str(above), read_modules(above), folder)
        # A copy without `modules.json` may still have the folder of a pooling.
        poolings = sorted(folder.glob("*_Pooling/config.json"))
        return cls(place, None) if poolings else None

    @property
    def advice(self) -> str:
        """How to use the transformer without the declarations."""
        if self.inner is not None:
            return f"copy the folder {self.inner} alone to another place and give the copy"
        return f"remove {MODULES}, {SETTINGS} and the folders of modules (1_Pooling, ...) from a copy of the folder"

    def differences(self) -> list[str]:
        """Descriptions of the declarations that telly does not apply."""
        return [*self._modules(), *self._transformer(), *self._settings()]

    def prompts(self) -> dict[str, str]:
        """Non-empty prompts by role."""
        prompts = self._read(SETTINGS).get("prompts")
        prompts = prompts if isinstance(prompts, dict) else {}
        return {str(role): text for role, text in prompts.items() if isinstance(text, str) and text}

    def _modules(self) -> list[str]:
        if self.modules is None:
            files = sorted(Path(self.place).glob("*_Pooling/config.json"))
            return [text for file in files for text in self._pooling(file.parent.name)]
        kinds = [_kind(module) for module in self.modules]
        if kinds[:2] != ["Transformer", "Pooling"]:
            return [
                f"{MODULES} declares {' then '.join(kinds) or 'no modules'} where Transformer then Pooling is expected"
            ]
        extra_kinds = [kind for kind in kinds[2:] if kind not in _WITHOUT_EFFECT]
        texts = self._pooling(str(self.modules[1].get("path", "")))
        return texts + [f"{MODULES} declares a {kind} module after the pooling" for kind in extra_kinds]

    def _pooling(self, path: str) -> list[str]:
        place = str(PurePosixPath(path, "config.json"))
        file = _file(self.place, place)
        if file is None:
            raise ModelError(
                f"{self.place}: {MODULES} declares a pooling in {path!r}, and {place} is missing; restore it, or "
                f"remove {MODULES} from a copy of the folder if the mean of all tokens is what you want"
            )
        settings = _settings_of(file)
        modes = _modes(settings)
        texts = [f"{place} declares the pooling {' and '.join(modes)}"] if modes != ["mean"] else []
        if not settings.get("include_prompt", True):
            texts.append(f"{place} declares a pooling without the tokens of the prompt (include_prompt)")
        return texts

    def _transformer(self) -> list[str]:
        paths = [str(module.get("path", "")) for module in self.modules or () if _kind(module) == "Transformer"]
        texts = []
        for path in paths:
            for name in _TRANSFORMER_SETTINGS:
                place = str(PurePosixPath(path, name))
                settings = self._read(place)
                if settings.get("do_lower_case"):
                    texts.append(f"{place} declares that texts are put into lower case")
                modality = settings.get("modality_config")
                text = modality.get("text") if isinstance(modality, dict) else None
                output = text.get("method_output_name") if isinstance(text, dict) else None
                if output not in (None, "last_hidden_state"):
                    texts.append(f"{place} declares the output {output!r} of the transformer")
        return texts

    def _settings(self) -> list[str]:
        settings = self._read(SETTINGS)
        texts = []
        default = settings.get("default_prompt_name")
        if default is not None and self.prompts().get(str(default)):
            texts.append(f"{SETTINGS} declares the prompt {self.prompts()[str(default)]!r} before every text")
        similarity = settings.get("similarity_fn_name") or "cosine"
        unit_length = "Normalize" in map(_kind, self.modules or ())
        # The dot product and the Euclidean distance of vectors of unit length rank them as the cosine does.
        if similarity != "cosine" and not (unit_length and similarity in {"dot", "euclidean"}):
            texts.append(f"{SETTINGS} declares the similarity {similarity!r}")
        return texts

    def _read(self, path: str) -> dict[str, Any]:
        file = _file(self.place, path)
        return {} if file is None else _settings_of(file)


def _kind(module: dict[str, Any]) -> str:
    """The name of a module's class; the full one for classes that are not of sentence-transformers."""
    name = str(module["type"])
    return name.rpartition(".")[2] if name.startswith("sentence_transformers.") else name


def _modes(settings: dict[str, Any]) -> list[str]:
    """Pooling modes in a configuration, in either of the library's two formats."""
    named = settings.get("pooling_mode")
    if named is not None:
        return [str(mode) for mode in named] if isinstance(named, list) else [str(named)]
    return [mode for key, mode in _LEGACY_MODES.items() if settings.get(key)] or ["mean"]


def _settings_of(file: Path) -> dict[str, Any]:
    settings = read_json(file)
    if not isinstance(settings, dict):
        raise ModelError(f"{file}: expected a JSON object with settings; restore the file")
    return settings


def _file(place: str, path: str) -> Path | None:
    """A file of a model folder or hub model; from the hub's local cache if the hub cannot be reached."""
    if Path(place).is_dir():
        file = Path(place) / path
        return file if file.is_file() else None
    with contextlib.suppress(EntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return Path(hf_hub_download(place, path, local_files_only=not hub_answers()))
    return None  # if the model itself is missing, loading it gives the error
