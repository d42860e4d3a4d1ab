"""How fast pre-training runs, and what each of its habits gives.

`python benchmarks/pretraining.py`  steps of all variants in turns, on the same batches of random tokens with lengths as
the corpus of the embedded model has them. Writes `benchmarks/results/pretraining.json` and the table of
docs/pretraining.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from benchmarks.table import made_by, made_now, publish  # noqa: E402
from telly.data.sequences import SequenceTable  # noqa: E402
from telly.disk import write_json  # noqa: E402
from telly.models.folder import EMBEDDED  # noqa: E402
from telly.models.load import load_tokenizer  # noqa: E402
from telly.pretraining import objectives  # noqa: E402
from telly.pretraining.batches import BatchMaker  # noqa: E402
from telly.pretraining.config import ALL_KINDS, MixtureRatios, PretrainConfig  # noqa: E402
from telly.pretraining.corpus import Corpus  # noqa: E402
from telly.pretraining.objectives import PretrainObjective  # noqa: E402
from telly.pretraining.run import model_config  # noqa: E402
from telly.pretraining.throughput import Throughput, matrix_product_rate  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "pretraining.json"
PAIRS, CORPUS_PAIRS = 64, 640
CODE_LENGTHS, DOCSTRING_LENGTHS = (94, 25), (15, 7)
"""Mean and standard deviation of tokens in the embedded model's corpus; code is cut at 112, docstrings at 32."""
STEPS_A_TURN = 2


@dataclass(frozen=True)
class Variant:
    """One way to take steps.

    Attributes:
        name: what it is called in the table.
        layers: depth.
        shares: kinds of sequence.
        pairs: of a step.
        attention: the attention kernel.
        whole_logits: all logits at once instead of in parts.
        precision: of the products.
        compiled: through `torch.compile`.
    """

    name: str
    layers: int
    shares: MixtureRatios = ALL_KINDS
    pairs: int = PAIRS
    attention: str = "eager"
    whole_logits: bool = False
    precision: torch.dtype = torch.bfloat16
    compiled: bool = False


VARIANTS = (
    Variant("12 layers, as telly does", 12),
    Variant("12 layers, fused attention", 12, attention="sdpa"),
    Variant("12 layers, logits at once", 12, whole_logits=True),
    Variant("12 layers, float32", 12, precision=torch.float32),
    Variant("12 layers, compiled", 12, compiled=True),
    Variant("6 layers", 6),
    Variant("3 layers", 3),
    Variant("no layers, contrast alone", 0, MixtureRatios(), 512),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every variant")
    parser.add_argument(
        "--table", action="store_true", help="measure nothing; renew the page from the committed result"
    )
    options = parser.parse_args()
    if not options.table:
        write_json(RESULT, measure(options.rounds))
    publish(RESULT, ROOT / "docs" / "pretraining.md", {"speed": render})


def measure(rounds: int) -> dict[str, Any]:
    corpus, tokenizer = random_corpus(), load_tokenizer(EMBEDDED)
    steps = {variant.name: stepper(variant, corpus, tokenizer) for variant in VARIANTS}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    products = []
    for number in range(rounds + 1):  # the first round warms up
        for name, step in steps.items():
            found = step(number)
            if number:
                rates[name].append(found)
        products.append(matrix_product_rate(torch.device("cpu"), torch.bfloat16))
    return {
        **made_now(f"python benchmarks/pretraining.py --rounds {rounds}"),
        "threads": torch.get_num_threads(),
        "matrix_product_rate": statistics.median(products),
        "variants": {
            name: {"tokens_per_second": [t for t, _ in found], "flops": [f for _, f in found]}
            for name, found in rates.items()
        },
    }


def stepper(variant: Variant, corpus: Corpus, tokenizer: Any) -> Callable[[int], tuple[float, float]]:
    """A function that takes some steps and gives tokens and operations a second."""
    from transformers import RobertaForMaskedLM

    config = PretrainConfig()
    torch.manual_seed(0)
    shape = model_config(config, variant.layers, len(tokenizer), dropout=0.0)
    shape._attn_implementation = variant.attention
    objective = PretrainObjective(RobertaForMaskedLM(shape), token_weight=float(variant.layers > 0))
    counter = Throughput(objective, shape)
    forward = torch.compile(objective) if variant.compiled else objective
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, fused=True)
    maker = BatchMaker(corpus, tokenizer, config, variant.shares, 0.15)

    def take(turn: int) -> tuple[float, float]:
        counter._restart()
        started = time.perf_counter()
        for step in range(STEPS_A_TURN):
            rows = np.random.default_rng([turn, step]).permutation(CORPUS_PAIRS)[: variant.pairs]
            batch = maker(corpus.pairs[rows])
            with (
                logits(variant.whole_logits),
                torch.autocast("cpu", torch.bfloat16, enabled=variant.precision is torch.bfloat16),
            ):
                loss = forward(**batch)["loss"]
            loss.backward()
            torch.nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        seconds = time.perf_counter() - started
        return counter._tokens / seconds, counter._flops / seconds

    return take


@contextmanager
def logits(whole: bool) -> Any:
    """While open and `whole`, the losses of tokens hold all logits at once."""
    own = objectives.linear_cross_entropy
    if whole:
        objectives.linear_cross_entropy = lambda s, w, b, y: F.cross_entropy(F.linear(s, w, b).float(), y)
    try:
        yield
    finally:
        objectives.linear_cross_entropy = own


def random_corpus() -> Corpus:
    rng = np.random.default_rng(0)

    def table(mean: int, spread: int, most: int) -> SequenceTable:
        lengths = rng.normal(mean, spread, CORPUS_PAIRS).round().clip(8, most).astype(int)
        return SequenceTable.of(rng.integers(10, 12_000, length).tolist() for length in lengths)[0]

    code, docs = table(*CODE_LENGTHS, 112), table(*DOCSTRING_LENGTHS, 32)
    return Corpus(code, docs, np.stack([np.arange(CORPUS_PAIRS)] * 2, axis=1), 0)


def render(result: dict[str, Any]) -> str:
    """Tokens per second of the first variant, and of the others relative to it."""
    (first, reference), *others = [
        (name, statistics.median(found["tokens_per_second"])) for name, found in result["variants"].items()
    ]
    spread = result["variants"][first]["tokens_per_second"]
    share = statistics.median(result["variants"][first]["flops"]) / result["matrix_product_rate"]
    ratios = "; ".join(f"{name} {speed / reference:.2f}" for name, speed in others)
    return (
        f"{first}: {reference:,.0f} tokens/s ({min(spread):,.0f}-{max(spread):,.0f}), {share:.0%} of the rate of large "
        f"bf16 matrix products ({result['matrix_product_rate'] / 1e9:,.0f} GFLOP/s). Relative to it: {ratios}. "
        f"`{result['command']}`, {result['threads']} threads; {made_by(result)}"
    )


if __name__ == "__main__":
    main()
