"""The card of an exported model: its run's card with the usage of this form, or a short one without a run."""

from __future__ import annotations

from pathlib import Path

from telly.inference.tuned_model import TunedModel
from telly.runs.card import card, front_matter, shown_name
from telly.runs.folder import CARD_FILE
from telly.tasks import get_spec


def write_export_card(model: TunedModel, folder: Path, usage: str, *extra_sections: str, library: str) -> None:
    """Write `README.md` beside an exported model.

    Args:
        model: the model.
        folder: where it was exported to.
        usage: section on the use of this form.
        extra_sections: sections on the checks and measurements of the export.
        library: hub name of the library that loads it.
    """
    if model.record is not None:
        text = card(model.record, usage, *extra_sections, library=library)
    else:
        task, name = model.task.name, shown_name(model.name)
        tuned = f"tuned for {task}" if model.is_tuned else f"not tuned, exported as a model for {task}"
        about = f"{name}, {tuned} ({get_spec(task).summary}). Its own card says what it was trained on."
        text = "\n\n".join([front_matter(task, model.name, library), f"# {name}", about, usage, *extra_sections]) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
