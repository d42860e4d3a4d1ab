"""Progress bars with the time left, written to standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainingArguments

from telly.metrics.table import METRICS


class ProgressBar(TrainerCallback):  # type: ignore[misc]
    """A progress bar over all steps with the loss, and a line per evaluation.

    Args:
        title: text before the bar.
        shown: names of the metrics to show.
    """

    def __init__(self, title: str, shown: Container[str] = METRICS) -> None:
        self._title = title
        self._shown = shown
        self._bar: Any = None

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Open the bar; a resumed run starts where it stopped."""
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc=self._title, unit="step", leave=True
            )

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Show the loss in the bar, and validation metrics in a separate line."""
        if self._bar is None:
            return
        logs: dict[str, Any] = kwargs["logs"]
        if "loss" in logs:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.3f}")
        metrics = {k.removeprefix("eval_"): v for k, v in logs.items() if k.startswith("eval_")}
        if metrics:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name in self._shown)
            tqdm.write(f"  epoch {state.epoch:.0f}: valid {shown}", file=sys.stderr)

    def on_train_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Leave the bar as it is and move to the next line; also called when training ends with an error."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def counting_bar(title: str, unit: str = "token") -> Iterator[Callable[[int, int], None]]:
    """Open a progress bar as a function of (done, total); it is closed at the end of the body, also after an error."""
    bar: Any = None

    def update(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(total=total, desc=title, unit=unit, unit_scale=True, leave=True)
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        if bar is not None:
            bar.close()
