"""What a run of benchmarks writes: metrics of every task and group, and a line for every document."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.utils import handle_non_serializable

from instune.errors import InputError
from instune.evaluation import im_nlp
from instune.evaluation.benchmarks import DEFAULT_TOKENS
from instune.files import replacing
from instune.results import write_json

RESULTS, SAMPLES = "results.json", "samples.jsonl"
NOTHING: dict[str, Any] = {"tasks": {}, "groups": {}}


def metrics_of(name: str, found: Mapping[str, Any], better: Mapping[str, bool]) -> dict[str, dict[str, Any]]:
    """`<metric>,<filter>` -> value, standard error (None where lm-eval has none) and whether higher is better.

    Raises:
        InputError: a value that is no finite number.
    """
    metrics = {}
    for key, value in found.items():
        metric, comma, kept = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(
                f"benchmark task {name}: {metric} ({kept}) is {value}. The model's weights hold NaN, or precision is too low "
                "(try benchmarks.precision: float32), or no document has this metric."
            )
        error = found.get(f"{metric}_stderr,{kept}")
        known = isinstance(error, int | float) and math.isfinite(error)
        metrics[key] = {"value": float(value), "stderr": float(error) if known else None, "higher_is_better": better.get(metric)}
    return metrics


def cut_documents(samples: Iterable[Mapping[str, Any]], encode: Callable[[str], Sequence[int]], max_length: int) -> int:
    """How many documents have a prompt that the model cannot read whole; lm-eval leaves out its beginning, and only logs that."""
    cut = set()
    for sample in samples:
        for context, *rest in sample["arguments"]:
            if not rest:  # a text of its own, which is read in windows
                continue
            generated = isinstance(rest[0], dict)
            text = context if generated else context + rest[0]
            room = max_length - rest[0].get("max_gen_toks", DEFAULT_TOKENS) if generated else max_length + 1
            if len(text.encode("utf-8", "surrogatepass")) > room and len(encode(text)) > room:  # a token is a byte or more
                cut.add(sample["doc_id"])
    return len(cut)


def empty_documents(samples: Iterable[Mapping[str, Any]]) -> int:
    """How many documents of a generation task got nothing but blanks for an answer, however often they were asked."""
    answers: dict[int, set[bool]] = {}
    for sample in samples:
        of_document = (not answer.strip() for answers in sample["resps"] for answer in answers if isinstance(answer, str))
        answers.setdefault(sample["doc_id"], set()).update(of_document)
    return sum(blank == {True} for blank in answers.values())


def summary(found: Mapping[str, Any], encode: Callable[[str], Sequence[int]], max_length: int) -> dict[str, Any]:
    """Tasks and groups of lm-eval's results, without what names machine or time.

    Args:
        encode: text -> token ids of the model, which reads `max_length` of them.

    Raises:
        InputError: a metric is not finite.
    """
    tasks, groups = {}, {}
    for name, values in found["results"].items():
        metrics = metrics_of(name, values, found["higher_is_better"].get(name, {}))
        if name in found["n-samples"]:
            tasks[name] = {
                "n": found["n-samples"][name]["effective"],
                "of": found["n-samples"][name]["original"],
                "shots": found["n-shot"][name],
                "cut": cut_documents(found["samples"][name], encode, max_length),
                "empty": empty_documents(found["samples"][name]),
                "version": found["versions"][name],
                "metrics": metrics,
            }
        else:
            groups[name] = {"tasks": sorted(found["group_subtasks"][name]), "metrics": metrics}
    paper = {"im_nlp": im_nlp.means(tasks, groups)} if any(name.startswith(im_nlp.FOLDER) for name in groups) else {}
    return {"tasks": tasks, "groups": groups, **paper}


def sample_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """One JSON line per document and filter: what was asked, what came back, what it scored; by task, then document."""
    for name in sorted(found["samples"]):
        for sample in sorted(found["samples"][name], key=lambda sample: (sample["doc_id"], sample["filter"])):
            yield json.dumps({"task": name, **sample}, default=handle_non_serializable, sort_keys=True) + "\n"


def write(folder: Path, results: Mapping[str, Any], lines: Iterator[str]) -> None:
    """Write `results.json` and `samples.jsonl` under `folder`, whole or not at all."""
    with replacing(folder) as partial:
        partial.mkdir()
        write_json(partial / RESULTS, results)
        with (partial / SAMPLES).open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
