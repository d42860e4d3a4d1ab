"""Uploading: what is sent, and everything that must stop it before the hub is changed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from telly.errors import ConfigError, ExportError
from telly.exports import push as pushing
from telly.exports.push import push
from tiny_runs import record_of, run_telly


class Hub:
    """Stands in for the hub's client, and keeps what it was asked."""

    def __init__(self, *, private: bool = False, refuses: bool = False) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._private = private
        self._refuses = refuses

    def create_repo(self, repo_id: str, **options: Any) -> SimpleNamespace:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        return SimpleNamespace(repo_id=repo_id)

    def repo_info(self, repo_id: str) -> SimpleNamespace:
        return SimpleNamespace(private=self._private)

    def upload_folder(self, **options: Any) -> None:
        if self._refuses:
            raise ConnectionError("the line is dead")
        self.calls.append(("upload_folder", options))


def test_a_runs_model_is_uploaded_with_its_card(run: Path):
    hub = Hub()
    assert push(run, "ada/mini", api=hub) == "https://huggingface.co/ada/mini"
    (created, made), (uploaded, sent) = hub.calls
    assert (created, uploaded) == ("create_repo", "upload_folder")
    assert made == {"repo_id": "ada/mini", "private": False, "exist_ok": True}
    assert sent["folder_path"] == run / "model" and (run / "model" / "README.md").is_file()


def test_private_means_private(run: Path):
    hub = Hub(private=True)
    push(run, "ada/mini", private=True, api=hub)
    assert hub.calls[0][1]["private"] is True
    public = Hub(private=False)
    with pytest.raises(ConfigError, match="is public already, and --private was given; nothing was uploaded"):
        push(run, "ada/mini", private=True, api=public)
    assert [name for name, _ in public.calls] == ["create_repo"]


def test_a_refusal_is_told(run: Path):
    with pytest.raises(ExportError, match="ada/mini: the hub refused the model: the line is dead"):
        push(run, "ada/mini", api=Hub(refuses=True))


@pytest.mark.parametrize("name", ["a/b/c", "-x", "two words"])
def test_a_malformed_name_is_refused(name: str, run: Path):
    hub = Hub()
    with pytest.raises(ConfigError, match="expected USER/NAME"):
        push(run, name, api=hub)
    assert not hub.calls


def test_what_is_no_model_is_refused(run: Path, tmp_path: Path):
    hub = Hub()
    with pytest.raises(ConfigError, match=r"has no config\.json; expected the folder of a finished run"):
        push(tmp_path, "ada/mini", api=hub)
    (tmp_path / "record.json").write_text(json.dumps(record_of(run) | {"status": "failed"}))
    with pytest.raises(ConfigError, match="the run is failed; expected a finished one"):
        push(tmp_path, "ada/mini", api=hub)
    assert not hub.calls


def test_without_a_token_or_a_network_nothing_happens(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ConfigError, match="no token of the Hugging Face hub: log in with `hf auth login`"):
        push(run, "ada/mini")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "a token")
    monkeypatch.setattr(pushing, "hub_answers", lambda: False)
    with pytest.raises(ConfigError, match="the Hugging Face hub cannot be reached; nothing was uploaded"):
        push(run, "ada/mini")


def test_the_command_exits_with_2_offline(run: Path):
    setup = "import os; os.environ['HF_TOKEN'] = 'x'; os.environ['HF_HUB_OFFLINE'] = '1'"
    ended = run_telly("push", str(run), "ada/mini", code=2, setup=setup)
    assert ended.error.startswith("the Hugging Face hub cannot be reached")
