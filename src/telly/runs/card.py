"""The model card of a tuned model, made from its run's record alone, so that the two cannot disagree."""

from __future__ import annotations

import json
from pathlib import Path

from telly.disk import write_text
from telly.markdown import DASH, markdown_table
from telly.metrics.table import METRICS, truncated_name
from telly.models.families import loading_class
from telly.models.folder import CONFIG, EMBEDDED
from telly.runs.folder import CARD_FILE
from telly.runs.parts import FORMER_EMBEDDING
from telly.runs.record import RunRecord
from telly.settings.config import TEACHER
from telly.settings.lists import CARD_SETTINGS
from telly.tasks import get_spec


def write_card(record: RunRecord, folder: Path) -> None:
    """Write `README.md` into a tuned model's folder.

    Args:
        record: record of the finished run.
        folder: folder of the run's model, with its `config.json`.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    architecture = (config.get("architectures") or [""])[0]
    write_text(folder / CARD_FILE, card(record, _usage(record, config.get("model_type", ""), architecture)))


def card(record: RunRecord, usage: str, *extra_sections: str, library: str = "transformers") -> str:
    """The text of a model card.

    Args:
        record: record of the finished run.
        usage: section on the use of this form of the model.
        extra_sections: sections after it, such as the scores of an exported form.
        library: hub name of the library that loads the model.
    """
    sections = (
        front_matter(record.config.task, record.config.model, library),
        _heading(record),
        _scores(record),
        _trained_parameters(record),
        _data(record),
        _settings(record),
        usage,
        *extra_sections,
        _limits(record),
        _licence(record),
        _versions(record),
    )
    return "\n\n".join(section.strip() for section in sections) + "\n"


def front_matter(task: str, model: str, library: str) -> str:
    """The card's front matter for the hub; it names the base model only if that is on the hub."""
    lines = [f"library_name: {library}"]
    if model != EMBEDDED and shown_name(model) == model and "/" in model:
        lines.append(f"base_model: {model}")
    lines += ["tags:", *(f"- {tag}" for tag in ("telly", "code", task))]
    return "\n".join(["---", *lines, "---"])


def shown_name(name: str) -> str:
    """Name of a model or data set without the folders of this machine, which are private."""
    local = name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()
    return Path(name.rstrip("/")).name if local else name


def metric_text(metric: str, value: float) -> str:
    """A metric's value as text; counts are whole numbers."""
    if metric not in METRICS:
        return f"{value:,.0f}"
    return f"{value:.{METRICS[metric].digits}f}" + (" %" if METRICS[metric].percentage else "")


def _heading(record: RunRecord) -> str:
    task, name = record.config.task, shown_name(record.config.model)
    parameters = f" ({record.model.parameters:,} parameters)" if record.model else ""
    return (
        f"# {name}, tuned for {task} ({_variant(record)})\n\n"
        f"{name}{parameters}, tuned with telly for {get_spec(task).summary}."
    )


def _variant(record: RunRecord) -> str:
    return "all layers trained" if record.k is None else f"K={record.k}"


def _scores(record: RunRecord) -> str:
    assert record.test is not None and record.tested_on is not None
    names = list(record.test)
    rows = [
        (name, *(metric_text(metric, scores[metric]) if metric in scores else DASH for metric in names))
        for name, scores in record.baselines.items()
    ]
    rows.append(("**this model**", *(f"**{metric_text(metric, record.test[metric])}**" for metric in names)))
    rows += [
        (truncated_name("this model", size), *(metric_text(metric, scores[metric]) for metric in names))
        for size, scores in record.test_truncated.items()
    ]
    split = record.data[record.tested_on]
    ranked = "" if split.candidates is None else f", each against {split.candidates:,} documents"
    weights = f"the weights are those of epoch {record.best_epoch} of {len(record.epochs)}" if record.best_epoch else ""
    selection = f"; {weights}, the best by {record.metric} on validation data" if weights else ""
    optimistic = (
        " There was no test data: the best epoch was chosen on these examples, so the scores are optimistic."
        if record.tested_on == "valid"
        else ""
    )
    examples = f"the {split.examples:,} examples of the {record.tested_on} data{ranked}"
    return (
        f"## Scores\n\nOn {examples}{selection}.{optimistic}\n\n"
        + markdown_table(("", *names), rows)
        + _not_better(record)
        + _verdict(record)
    )


def _not_better(record: RunRecord) -> str:
    """A sentence that names the baselines that are as good as the model; empty if there are none."""
    assert record.test is not None
    metric = record.metric
    if metric is None or metric not in record.test:
        return ""
    sign, digits = 1 if METRICS[metric].greater_is_better else -1, METRICS[metric].digits
    score = round(sign * record.test[metric], digits)  # rounded, so that the sentence agrees with the table
    as_good = [
        name
        for name, scores in record.baselines.items()
        if metric in scores and round(sign * scores[metric], digits) >= score
    ]
    return f"\n\nBy {metric} it is **not better** than: {', '.join(as_good)}." if as_good else ""


def _verdict(record: RunRecord) -> str:
    return "" if record.verdict is None else f"\n\nVerdict: {record.verdict.sentence}."


def _trained_parameters(record: RunRecord) -> str:
    k, plan = record.k, record.plan
    assert plan is not None  # of a finished run
    caching = ""
    if record.uses_cache:
        caching = ", once per distinct sequence; the upper layers were trained on cached states"
    start = shown_name(record.config.model)
    if k is None:
        frozen = "Nothing was frozen (`base`)."
    elif k == 0:
        frozen = f"K=0: the embeddings are those of {start}, unchanged; they ran without dropout{caching}."
    else:
        layers = "layer 0" if k == 1 else f"layers 0 to {k - 1}"
        frozen = f"K={k}: embeddings and {layers} are those of {start}, unchanged; they ran without dropout{caching}."
    percent = 100 * plan.trainable / plan.total
    return (
        f"## What was trained\n\n{frozen}\n\n{plan.trainable:,} of {plan.total:,} parameters were trained "
        f"({percent:.1f} %)."
    )


def _data(record: RunRecord) -> str:
    sources = {split: record.config.source(split) for split in record.data}
    rows = [
        (
            split,
            "telly's sample" if source is None else shown_name(source),
            f"{record.data[split].examples:,}",
            f"{record.data[split].distinct_sequences:,}",
            f"{record.data[split].tokens:,}",
        )
        for split, source in sources.items()
    ]
    warnings = "".join(f"\n- {warning}" for warning in record.data_warnings)
    return (
        "## Data\n\n"
        + markdown_table(("split", "data", "examples", "distinct sequences", "tokens"), rows)
        + (f"\n\nWarnings about the data and the model:\n{warnings}" if warnings else "")
    )


def _settings(record: RunRecord) -> str:
    limits = ", ".join(f"{column} {tokens}" for column, tokens in record.config.max_tokens.items())
    values = dict(record.config.values)
    if values.get(TEACHER) is not None:
        values[TEACHER] = shown_name(values[TEACHER])
    rows = [
        (label, ", ".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}")
        for name, label in CARD_SETTINGS
        if (value := values.get(name)) not in (None, [], ())
    ]
    return "## Settings\n\n" + markdown_table(("setting", "value"), [("maximum tokens", limits), *rows])


def _usage(record: RunRecord, model_type: str, architecture: str) -> str:
    task = record.config.task
    module, loader = loading_class(model_type, architecture)
    imports = {"transformers": ["AutoTokenizer"]}
    imports.setdefault(module, []).insert(0, loader)
    lines = [
        "## Use\n",
        "```python",
        *(f"from {name} import {', '.join(names)}" for name, names in imports.items()),
        "",
        f"model = {loader}.from_pretrained(FOLDER)",
        "tokenizer = AutoTokenizer.from_pretrained(FOLDER)",
        "```\n",
    ]
    spec = get_spec(task)
    if not spec.is_generative:
        embedding, roles = record.embedding, spec.embedding_roles(spec.options_of(record.config.values))
        if embedding is not None and roles is not None:  # earlier versions wrote no modules beside the weights
            lines += [
                "With sentence-transformers 6.2 or newer, which also applies prompts, modules and length limits:\n",
                "```python",
                "from sentence_transformers import SentenceTransformer",
                "",
                "model = SentenceTransformer(FOLDER)",
                f"documents = model.encode_document([{json.dumps(roles.example_document)}])",
                f"queries = model.encode_query([{json.dumps(roles.example_query)}])",
                "scores = model.similarity(queries, documents)",
                "```\n",
            ]
        text = (embedding or FORMER_EMBEDDING).description(compared=roles is not None)
        origin = f" Declared by: {embedding.origin}." if embedding else ""
        lines.append(
            f"{text}{origin} A model with mode tokens reads `<s> <encoder-only> </s> tokens </s>`; the tokenizer adds "
            "them.\n"
        )
    lines.append(
        "`telly.json` beside the weights holds the settings of inference, `head.safetensors` the task's head if it has "
        "one."
    )
    return "\n".join(lines)


def _limits(record: RunRecord) -> str:
    limits = " and ".join(f"{column} at {tokens} tokens" for column, tokens in record.config.max_tokens.items())
    points = [
        f"Texts are truncated: {limits}; the model does not see the rest.",
        "The scores are of one run with one seed, on data like its training data. Other languages, coding styles and "
        "phrasings of queries were not tested.",
        "Biases and errors that the model it started from learned from its own data remain.",
    ]
    if get_spec(record.config.task).is_generative:
        points.append("It generates likely text, which can be wrong: review generated code before you run it.")
    return "## Limits\n\n" + "\n".join(f"- {point}" for point in points)


def _licence(record: RunRecord) -> str:
    model = shown_name(record.config.model)
    embedded = " telly-mini is under telly's licence." if record.config.model == EMBEDDED else ""
    sample = " The sample is code of CPython, under the PSF licence." if record.config.data is None else ""
    return (
        "## Licence\n\nThis card grants no licence: those of the model it started from "
        f"({model}) and of the training data apply.{embedded}{sample}"
    )


def _versions(record: RunRecord) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record.provenance.versions.items() if version)
    commit = record.provenance.commit
    start = f"; fingerprint of the initial weights: `{record.model.fingerprint}`" if record.model else ""
    return (
        f"## Versions\n\n{versions}"
        + (f"; telly's commit {commit[:12]}" if commit else "")
        + f". Run of {record.started}{start}."
    )
