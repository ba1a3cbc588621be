"""What to distrust: sentences about the run that stand beside its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from instune.report import numbers, tables
from instune.report.inputs import Inputs

FEW_TASKS = 10
PACKAGED_NOTE = "instruction-tuned, was 4-bit"


def base_note(params: Mapping[str, Any]) -> str:
    """What must stand wherever the base model's scores are shown; empty for a model that says it itself."""
    return PACKAGED_NOTE if params["base_model"]["source"] == "packaged" else ""


def cautions(inputs: Inputs) -> list[str]:
    """Sentences, the gravest first."""
    return [*_answers(inputs), *_design(inputs), *_verdicts(inputs.scores), *_losses(inputs)]


def _answers(inputs: Inputs) -> Iterator[str]:
    for model in ("base", "tuned"):
        outputs = [(pair.base if model == "base" else pair.tuned).output for pair in inputs.pairs]
        if empty := sum(not output.strip() for output in outputs):
            yield f"The {model} model answered nothing to {_of(empty, len(outputs))} prompts."
    for model, found in (("base", inputs.base_benchmarks), ("tuned", inputs.tuned_benchmarks)):
        mute = [task for task in found["tasks"].values() if task["empty"]]
        if mute:
            empty, asked = (sum(task[key] for task in mute) for key in ("empty", "n"))
            yield (
                f"Benchmarks: the {model} model answered nothing to {_of(empty, asked)} documents of {tables.plain(len(mute))}"
                f" tasks; benchmarks.chat_template is {inputs.params['benchmarks']['chat_template']}."
            )
    cut = {model: ends.get("length", 0) for model, ends in sorted(inputs.scores["finish"].items())}
    for model, count in cut.items():
        if count:
            limit = inputs.params["evaluate"]["max_new_tokens"]
            yield (
                f"{_of(count, inputs.scores['examples'])} answers of the {model} model were cut at {limit} new tokens"
                " (evaluate.max_new_tokens)."
            )


def _design(inputs: Inputs) -> Iterator[str]:
    params, tasks = inputs.params, inputs.scores["tasks_scored"]
    yield (
        f"One seed ({params['seed']}): the intervals hold the spread between target tasks, not between seeds. Sweep seed before"
        " you believe a difference."
    )
    if tasks == 1:
        yield "One target task: there is no interval, and no difference can be shown."
    elif tasks < FEW_TASKS:
        yield f"Only {tasks} target tasks: the intervals are as good as these tasks stand for those that you care about."
    if "playground" in params["pools"]:
        yield "The playground is generated text: its scores say nothing about natural language."
    if base_note(params):
        yield "The base model is small, instruction-tuned already and was kept in 4 bits: other models may gain otherwise."
    if params["select"]["method"] == "category":
        yield "select.method: category looks up what each target is: an oracle, no selector."


def _verdicts(scores: Mapping[str, Any]) -> Iterator[str]:
    differences = scores["differences"]["tuned-base"]
    ways = {metric: numbers.direction(metric, differences[metric]) for metric in numbers.metrics_of(scores)}
    by_way = {way: [numbers.METRICS[metric] for metric in ways if ways[metric] == way] for way in ("better", "worse")}
    if by_way["better"] and by_way["worse"]:
        yield f"The metrics disagree: better in {', '.join(by_way['better'])}, worse in {', '.join(by_way['worse'])}."
    unbeaten = [
        numbers.FLOORS[name]
        for name in numbers.FLOORS
        for metric, difference in scores["differences"].get(f"tuned-{name}", {}).items()
        if metric == next(iter(ways)) and numbers.direction(metric, difference) != "better"
    ]
    if unbeaten:
        yield f"The tuned model is not shown to beat what needs no model: {', '.join(unbeaten)}."
    for name, model in scores["models"].items():
        if changed := model["fixed"]["changed"]:
            yield (
                f"{_of(changed, scores['examples'])} answers of the {name} model score otherwise by the mended metrics (not"
                " Latin, or punctuation alone); both stand under Scores."
            )


def _losses(inputs: Inputs) -> Iterator[str]:
    chosen = set(inputs.selection["selected"])
    pairs = [pair for card in inputs.card.values() for pair in card["overlap"] if pair["source"] in chosen]
    if pairs and inputs.params["ingest"].get("overlap") != "drop":
        exact, near = (tables.plain(sum(pair[kind] for pair in pairs)) for kind in ("exact", "near"))
        yield (
            f"Chosen source tasks hold target examples: {exact} pairs of examples have equal inputs, {near} nearly equal ones."
            " ingest.overlap: drop takes them out."
        )
    if skipped := sum(sum(card["skipped"].values()) for card in inputs.card.values()):
        yield f"Records of the pools that were left out: {tables.plain(skipped)}; the reasons stand under Data."
    if dropped := sum(inputs.finetune["dropped"].values()):
        yield f"Training rows that were dropped: {tables.plain(dropped)}; the reasons stand under Skipped, dropped, truncated."
    if cut := inputs.scores["truncated"]:
        yield f"Evaluated rows lost text to the length limits: {tables.plain(dict(sorted(cut.items())))}."


def _of(count: int, whole: int) -> str:
    return f"{tables.plain(count)} of {tables.plain(whole)}"
