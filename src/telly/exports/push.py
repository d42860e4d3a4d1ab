"""Upload a tuned or exported model to the Hugging Face hub, with the user's own token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from telly.errors import ConfigError, ExportError
from telly.hub import hub_answers
from telly.models.folder import CONFIG
from telly.runs.folder import CARD_FILE, RunFolder
from telly.runs.record import RunRecord


def push(name: Path, repository: str, *, private: bool = False, api: Any = None) -> str:
    """Upload a folder as a model and return its URL.

    Everything that can be checked is checked before anything on the hub changes.

    Args:
        name: a finished run's folder, whose `model` is uploaded, or a folder that `telly export` made.
        repository: `USER/NAME`; created if it does not exist.
        private: create a private repository.
        api: client of the hub. [default: one with the user's token]

    Raises:
        ConfigError: nothing to upload, a malformed name, no token, no network, or a repository that is public though
            it was asked to be private.
        ExportError: the hub refused.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils import validate_repo_id

    folder = _folder(name)
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise ConfigError(f"{repository}: expected USER/NAME; {error}") from None
    if api is None:
        token = get_token()
        if token is None:
            raise ConfigError(
                "no token of the Hugging Face hub: log in with `hf auth login`, or set HF_TOKEN; nothing was uploaded"
            )
        if not hub_answers():
            raise ConfigError("the Hugging Face hub cannot be reached; nothing was uploaded. Try again with a network")
        api = HfApi(token=token)
    try:
        repo = api.create_repo(repository, private=private, exist_ok=True)
        if private and not api.repo_info(repo.repo_id).private:
            raise ConfigError(
                f"{repo.repo_id}: is public already, and --private was given; nothing was uploaded. Make it private "
                "on the hub, or choose another name"
            )
        api.upload_folder(repo_id=repo.repo_id, folder_path=folder, commit_message="A model tuned with telly")
    except _with_its_bases(HfHubHTTPError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ExportError(f"{repository}: the hub refused the model: {reason}") from error
    return f"https://huggingface.co/{repo.repo_id}"


def _with_its_bases(error: type[Exception]) -> tuple[type[Exception], ...]:
    """An error of the hub's client and its base classes, which are those of the HTTP library's connection errors."""
    return tuple(kind for kind in error.__mro__ if issubclass(kind, Exception) and kind is not Exception)


def _folder(name: Path) -> Path:
    """Find the folder to upload.

    Raises:
        ConfigError: the run is not finished, or the folder has no model with a card.
    """
    folder = name
    run = RunFolder(name)
    if run.record.is_file():
        status = RunRecord.read(run.record).status
        if status != "finished":
            raise ConfigError(f"{name}: the run is {status}; expected a finished one. Continue it with --resume")
        folder = run.model
    missing = [file for file in (CONFIG, CARD_FILE) if not (folder / file).is_file()]
    if missing:
        raise ConfigError(
            f"{name}: has no {missing[0]}; expected the folder of a finished run, or one that `telly export` made"
        )
    return folder
