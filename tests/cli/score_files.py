"""Files of right answers and predictions, as `telly score` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(name: str, *lines: str) -> None:
    Path(name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_json(name: str, *objects: dict[str, Any]) -> None:
    write(name, *map(json.dumps, objects))
