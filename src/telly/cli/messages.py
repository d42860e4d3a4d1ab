"""How the command line shows what the package logs: the plain message, on stderr."""

from __future__ import annotations

import logging
import os
import sys


class PlainMessages(logging.Handler):
    """Prints the message alone; above a progress bar where one is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message on the stderr of the moment, which a bar or a test may have replaced."""
        try:
            # Whoever draws bars has imported tqdm, and a plain print would break a bar; importing it here would cost
            # start-up time.
            bars = sys.modules.get("tqdm")
            if bars is None:
                print(record.getMessage(), file=sys.stderr)
            else:
                bars.tqdm.write(record.getMessage(), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as in the handlers of `logging`: a message that fails ends no run
            self.handleError(record)


def show_messages() -> None:
    """Show the messages of the logger `telly`; of several processes that train together only the first one's."""
    logger = logging.getLogger("telly")
    if not any(isinstance(handler, PlainMessages) for handler in logger.handlers):
        logger.addHandler(PlainMessages())
    logger.setLevel(logging.INFO if os.environ.get("RANK", "0") == "0" else logging.ERROR)
