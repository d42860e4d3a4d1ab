"""Log handler of the command line: plain messages on stderr."""

from __future__ import annotations

import logging
import os
import sys


class PlainMessages(logging.Handler):
    """Handler that prints the bare message, above the progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message on the current `sys.stderr`, which a progress bar or a test may have replaced."""
        try:
            # A plain print would break a progress bar. Code that draws one has imported tqdm; importing it here would
            # only cost start-up time.
            tqdm = sys.modules.get("tqdm")
            if tqdm is None:
                print(record.getMessage(), file=sys.stderr)
            else:
                tqdm.tqdm.write(record.getMessage(), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as in `logging`'s own handlers: a message that cannot be shown must not end a run
            self.handleError(record)


def show_messages() -> None:
    """Show the messages of the logger `telly`; in distributed training only those of the first process."""
    logger = logging.getLogger("telly")
    if not any(isinstance(handler, PlainMessages) for handler in logger.handlers):
        logger.addHandler(PlainMessages())
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR)
