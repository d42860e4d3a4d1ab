"""Model folders: resolving a path to the folder with the model, and explaining why a folder cannot be loaded."""

from __future__ import annotations

import json
import pickle
from pathlib import Path, PureWindowsPath
from typing import Any

from safetensors import SafetensorError

from telly.errors import ModelError

EMBEDDED = "telly-mini"
"""Name of the model that the package includes."""
CONFIG = "config.json"
MODULES = "modules.json"
"""File in which sentence-transformers lists the modules of a model."""
ADAPTER = "adapter_config.json"
MODEL_FOLDER = "model"
"""Folder of a run, or of pre-training, with its model."""
TELLY_FILE = "telly.json"
"""Telly's file beside a model's weights: settings of inference (`usage`) and recommended settings of tuning
(`recommended`)."""
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_NO_WAY_OUT = "telly opens no other files for it. Get the model's files from a source that you trust"
_OTHER_FORMATS = {
    ".gguf": "GGUF",
    ".onnx": "ONNX",
    ".h5": "TensorFlow",
    ".index": "TensorFlow",
    ".pb": "TensorFlow",
    ".tflite": "TensorFlow",
    ".msgpack": "Flax",
    ".ot": "Rust",
    ".mlpackage": "Core ML",
}
_LFS_POINTER = b"version https://git-lfs.github.com/"
_DAMAGED = (SafetensorError, EOFError, pickle.UnpicklingError)


def folder_with_config(name: str, path: Path) -> Path:
    """Find the folder with `config.json`: `path`, a run's model in it, or the transformer named by `modules.json`.

    Args:
        name: the user's name for the model, for error messages.
        path: the folder.

    Raises:
        ModelError: there is none, or the folder is an adapter without its base model.
    """
    if (path / ADAPTER).is_file():
        raise ModelError(_adapter_message(name, path))
    within = _transformer_within(path)
    if within is not None:
        return within  # before `path` itself, which may have another model's config.json
    if (path / CONFIG).is_file():
        return path
    if (path / MODEL_FOLDER / CONFIG).is_file():
        return path / MODEL_FOLDER  # the folder of a run
    expected = "expected a Hugging Face model folder"
    formats = other_formats(path)
    if formats:
        raise ModelError(
            f"{name}: the folder has no {CONFIG} but {formats}; {expected} with {CONFIG} and weights as safetensors, "
            "such as the model that it was converted from"
        )
    inner = sorted(str(file.parent) for file in path.glob(f"*/{CONFIG}"))
    hint = f", such as {inner[0]}" if inner else ""
    raise ModelError(f"{name}: the folder has no {CONFIG}; {expected}{hint}")


def read_telly_file(folder: Path) -> dict[str, Any]:
    """Read telly's file beside a model's weights, by section; empty if there is no such file.

    Raises:
        ModelError: the file is damaged.
    """
    file = folder / TELLY_FILE
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, found {type(content).__name__}")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file}: cannot be read as JSON with settings by task under `recommended` and those of inference under "
            f"`usage`: {error}; restore or remove it"
        ) from None
    return content


def read_modules(folder: Path) -> list[dict[str, Any]] | None:
    """Read the modules that sentence-transformers lists in a folder; None if there is no list.

    Raises:
        ModelError: the list cannot be read.
    """
    file = folder / MODULES
    return modules_of(file) if file.is_file() else None


def modules_of(file: Path) -> list[dict[str, Any]]:
    """Read the modules in a sentence-transformers file, each with `type` and `path`.

    Raises:
        ModelError: it cannot be read, or a path leads out of the model's folder.
    """
    modules = read_json(file)
    if not isinstance(modules, list) or not all(
        isinstance(module, dict) and isinstance(module.get("type"), str) and isinstance(module.get("path", ""), str)
        for module in modules
    ):
        raise ModelError(f"{file}: expected a list of modules, each with `type` and `path`; {RESTORE}")
    for module in modules:
        check_relative(module.get("path", ""), file)
    return modules


def transformer_path(modules: list[dict[str, Any]]) -> str:
    """Path of the transformer within a model of sentence-transformers; empty if it is the model's own folder."""
    return next((str(module.get("path", "")) for module in modules if module["type"].endswith(".Transformer")), "")


RESTORE = "restore the file, or remove it from a copy of the folder if the mean of all tokens is what you want"


def read_json(file: Path, advice: str = RESTORE) -> Any:
    """Read a JSON file of a model folder.

    Raises:
        ModelError: it is not JSON; the text ends with the advice.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file}: cannot be read as JSON ({error}); {advice}") from error


def check_relative(path: str, source: Path) -> None:
    """Check that a path which a model's file names is relative and without `..`, on every operating system.

    Args:
        path: the path.
        source: the file that names it.

    Raises:
        ModelError: it is not.
    """
    windows = PureWindowsPath(path)  # knows both separators
    if windows.anchor or ".." in windows.parts or "\0" in path:
        raise ModelError(f"{source}: names {path!r}; expected a path within the model's folder: {_NO_WAY_OUT}")


def contained(folder: Path, path: str, source: Path) -> Path:
    """The place within a model's folder that one of its files names.

    Args:
        folder: the model's folder.
        path: relative path.
        source: the file that names it.

    Raises:
        ModelError: the path leads out of the folder, be it by a symbolic link.
    """
    check_relative(path, source)
    place = folder / path
    roots = [folder.resolve()]
    for above in (folder.absolute(), *folder.absolute().parents):
        if above.parent.name == "snapshots":  # the hub's cache keeps the content of its files in a folder beside
            roots.append(above.parent.parent.resolve() / "blobs")
    if not any(place.resolve().is_relative_to(root) for root in roots):
        raise ModelError(
            f"{source}: names {path!r}, a symbolic link to {place.resolve()}; expected a path within the model's "
            f"folder: {_NO_WAY_OUT}"
        )
    return place


def check_shards(folder: Path) -> None:
    """Check that the files of weights which a folder's index names are within the folder.

    Raises:
        ModelError: a file is elsewhere, or the index cannot be read.
    """
    for name in _INDEXES:
        index = folder / name
        if not index.is_file():
            continue
        content = read_json(index, "get the files again from where the model is from")
        shards = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise ModelError(
                f"{index}: expected `weight_map` with the file of every weight; get the files again from where the "
                "model is from"
            )
        for shard in sorted(set(shards.values())):
            contained(folder, shard, index)


def other_formats(folder: Path) -> str:
    """Describe files of formats that telly does not read; empty if there are none."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _OTHER_FORMATS)
    return ", ".join(f"{file.relative_to(folder)} ({_OTHER_FORMATS[file.suffix.lower()]})" for file in files[:3])


def explained(folder: Path, error: BaseException) -> str:
    """Explain why a model folder cannot be loaded and what to do, from the libraries' error and the folder's files."""
    pointer = next((file.name for file in sorted(folder.iterdir()) if _is_lfs_pointer(file)), None)
    if pointer is not None:
        return f"{pointer} is a pointer of Git LFS, not the file itself; fetch the files with `git lfs pull`"
    first = first_line(error)
    if "trust_remote_code" in str(error) or "custom code" in first:
        return (
            "it needs code of its own (auto_map in config.json), and telly runs no code of a model folder; use a model "
            "that transformers knows"
        )
    if "Weights only load failed" in first:
        return "its pickled file holds more than weights, and telly runs none of that; use weights as safetensors"
    weights = [file for pattern in WEIGHTS for file in folder.glob(pattern) if file.is_file()]
    if not weights and "no file named" in first:
        formats = other_formats(folder) or "none"
        return (
            f"expected weights in model.safetensors or pytorch_model.bin, found {formats}; download or convert the "
            "weights"
        )
    if isinstance(error, _DAMAGED) or (isinstance(error, KeyError | OSError) and _is_content_error(error)):
        names = ", ".join(sorted(file.name for file in weights)[:3]) or "a file"
        return f"{names}: damaged, incomplete or not weights alone ({first}); download or copy the files again"
    return _with_advice(first, error)


def _with_advice(first: str, error: BaseException) -> str:
    """The first line of an error, reworded with advice for known errors."""
    if isinstance(error, KeyError) and isinstance(error.args[0] if error.args else None, str):
        return f"config.json names {error.args[0]!r}, which this version of transformers does not know"
    if isinstance(error, FileNotFoundError):
        return f"{first}; download or copy the folder again as a whole"
    if f"{CONFIG}' is not a valid JSON file" in first:
        return f"{CONFIG} is not valid JSON in UTF-8 without a byte order mark; get it from where the model is from"
    return first


def first_line(error: BaseException) -> str:
    """The first line of an error's text, with the next one where it ends with a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]).rstrip(",;") if lines[0].endswith(":") else lines[0]


def _is_content_error(error: KeyError | OSError) -> bool:
    """Recognise errors from the content of a file: torch's reader of old files raises bare integers."""
    return isinstance(error.args[0] if error.args else None, int)


def _is_lfs_pointer(file: Path) -> bool:
    if not file.is_file() or file.stat().st_size > 1024:
        return False
    with file.open("rb") as stream:
        return stream.read(len(_LFS_POINTER)) == _LFS_POINTER


def _transformer_within(path: Path) -> Path | None:
    """The subfolder with the transformer, in the layout of sentence-transformers."""
    within = transformer_path(read_modules(path) or [])
    folder = contained(path, within, path / MODULES)
    if within and not (folder / CONFIG).is_file():
        raise ModelError(
            f"{path / MODULES}: names {within!r} as the transformer's folder, which has no {CONFIG}; download or copy "
            "the folder again as a whole"
        )
    return folder if within else None


def _adapter_message(name: str, path: Path) -> str:
    merged = path.parent / MODEL_FOLDER
    if (merged / CONFIG).is_file() and (path / TELLY_FILE).is_file():
        return f"{name}: is the adapter of a run; its model, with the adapter merged into it, is {merged}"
    try:
        base = json.loads((path / ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        base = None
    return (
        f"{name}: is an adapter of peft for the base model {base or 'that its author names'} ({ADAPTER}), not a whole "
        "model; expected a model folder. Merge the two: peft.PeftModel.from_pretrained(BASE_MODEL, "
        f"{str(path)!r}).merge_and_unload().save_pretrained(FOLDER), save the tokenizer there as well, and give that "
        "folder"
    )
