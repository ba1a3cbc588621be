"""The IM paper's 18 NLP benchmarks (arXiv 2405.14394, section 4.1): group means, and the mean of groups.

Of a benchmark of several tasks the mean is weighted by documents. TER is an error rate: the paper's code averages it as if higher
were better, so its multilinguality and its mean reward worse translation. Here it counts as 100 - TER, and the published reading
stands beside it. HumanEval is the better of two temperatures, chosen on the test set, as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

FOLDER = "im_nlp"  # of the YAML files; the name of the group too


@dataclass(frozen=True)
class Entry:
    """One number of a group.

    Attributes:
        tasks: tasks or groups of lm-eval.
        metric: `<metric>,<filter>`, from 0 to 1; TER from 0 upwards, in per cent.
        over: how the tasks make one number.
    """

    tasks: tuple[str, ...]
    metric: str
    over: Literal["documents", "best"] = "documents"


TER = "ter,none"
GROUPS: dict[str, dict[str, Entry]] = {
    "understanding": {
        "mmlu": Entry(("mmlu",), "acc,none"),
        "piqa": Entry(("piqa",), "acc_norm,none"),
        "openbookqa": Entry(("openbookqa",), "acc_norm,none"),
        "hellaswag": Entry(("hellaswag",), "acc_norm,none"),
        "lambada": Entry(("lambada_openai", "lambada_standard"), "acc,none"),
    },
    "multilinguality": {
        "lambada_multilingual": Entry(tuple(f"lambada_openai_mt_{name}" for name in ("de", "en", "es", "fr", "it")), "acc,none"),
        "translation": Entry(
            ("wmt14-en-fr", "wmt14-fr-en", "wmt16-de-en", "wmt16-en-de", "wmt16-en-ro", "wmt16-ro-en"),
            TER,
        ),
    },
    "commonsense": {
        "wsc273": Entry(("wsc273",), "acc,none"),
        "winogrande": Entry(("winogrande",), "acc,none"),
        "arc": Entry(("arc_easy", "arc_challenge"), "acc_norm,none"),
        "coqa": Entry(("im_coqa",), "f1,none"),
    },
    "math_code": {
        "gsm8k_cot": Entry(("gsm8k_cot",), "exact_match,strict-match"),
        "humaneval": Entry(("im_humaneval_t01", "im_humaneval_t07"), "pass_at_1,programs", over="best"),
    },
    "bbh": {"bbh_cot_fewshot": Entry(("bbh_cot_fewshot",), "exact_match,get-answer")},
    "safety": {
        "truthfulqa_mc2": Entry(("truthfulqa_mc2",), "acc,none"),
        "toxigen": Entry(("toxigen",), "acc,none"),
        "hendrycks_ethics": Entry(
            tuple(f"ethics_{name}" for name in ("cm", "deontology", "justice", "utilitarianism", "virtue")), "acc,none"
        ),
    },
}


def _value(entry: Entry, found: Mapping[str, Mapping[str, Any]]) -> float | None:
    """In per cent; None where a task is missing, or its metric."""
    if not all(name in found and entry.metric in found[name]["metrics"] for name in entry.tasks):
        return None
    values = [found[name]["metrics"][entry.metric]["value"] for name in entry.tasks]
    if entry.over == "best":
        return 100 * max(values)
    weights = [found[name].get("n", 1) for name in entry.tasks]
    mean = fmean(values, weights)
    return mean if entry.metric == TER else 100 * mean


def means(tasks: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The paper's table from a run's results, in per cent.

    Args:
        tasks, groups: name -> results, as `benchmark_results.summary` has them.

    Returns:
        groups: name -> {values: {entry: number, TER as measured}, mean, mean_as_published}, and mean and mean_as_published of the
        groups; a mean is None where something of it was not run.
    """
    found, table = {**groups, **tasks}, {}
    for group, entries in GROUPS.items():
        values = {name: _value(entry, found) for name, entry in entries.items()}
        right = [
            None if value is None else 100 - value if entries[name].metric == TER else value for name, value in values.items()
        ]
        table[group] = {"values": values, "mean": _mean(right), "mean_as_published": _mean(list(values.values()))}
    overall = {key: _mean([row[key] for row in table.values()]) for key in ("mean", "mean_as_published")}
    return {"groups": table, **overall}


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else fmean(values)
