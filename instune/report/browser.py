"""Answers of both models side by side: what the page's browser filters, bounded however long the answers are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from instune.evaluation.metrics import exact_match, rank_accuracy
from instune.evaluation.predictions import Prediction
from instune.report.inputs import Pair

SHOWN_TEXT = 4_000  # characters of a prompt, an answer or a reference; the rest stands in data/predictions
PAGE_TEXT = 4_000_000  # characters of all texts in the browser
FEW_TASKS, FEW_EXAMPLES = 12, 3  # in the table that needs no script
OUTCOMES = {
    (False, True): "only tuned is right",
    (True, False): "only base is right",
    (True, True): "both are right",
    (False, False): "both are wrong",
}


def shown(text: str) -> dict[str, Any]:
    """A text's beginning, and how many characters come after it; halves of surrogate pairs are no text and become `?`."""
    start = text[:SHOWN_TEXT].encode("utf-8", "replace").decode()
    return {"text": start, "more": max(0, len(text) - SHOWN_TEXT)}


def right(row: Prediction) -> bool:
    """Whether the answer is an exact match with a reference."""
    return exact_match(row.output, row.references) == 1


def _likeliest(row: Prediction) -> dict[str, Any] | None:
    """Of a row with choices: the choice of highest log-likelihood, and whether it is a reference."""
    if not row.choice_loglikelihoods:
        return None
    best = max(range(len(row.choices)), key=row.choice_loglikelihoods.__getitem__)
    matched = rank_accuracy(row.choices, row.choice_loglikelihoods, row.references, lambda choice: 1)
    return shown(row.choices[best]) | {"right": matched == 1}


def _answer(row: Prediction) -> dict[str, Any]:
    return {
        **shown(row.output),
        "right": right(row),
        "cut": row.finish == "length",
        "choice": _likeliest(row),
        "nll": f"{row.nll / row.nll_tokens:.2f}" if row.nll_tokens else "–",
    }


def entry(pair: Pair) -> dict[str, Any]:
    """One example as the browser and the table show it."""
    base, tuned = _answer(pair.base), _answer(pair.tuned)
    return {
        "task": pair.base.task_id,
        "example": pair.base.example_id,
        "prompt": shown(pair.base.prompt),
        "references": [shown(reference) for reference in pair.base.references],
        "outcome": OUTCOMES[base["right"], tuned["right"]],
        "base": base,
        "tuned": tuned,
    }


def _size(pair: Pair) -> int:
    texts = (pair.base.prompt, pair.base.output, pair.tuned.output, *pair.base.references)
    return sum(min(len(text), SHOWN_TEXT) for text in texts)


def first_of_each(pairs: Sequence[Pair], characters: int = PAGE_TEXT) -> list[Pair]:
    """As many first examples of each task, equally many of all, as the page has room for; one of each at least."""
    place: Counter[str] = Counter()
    ranks: dict[int, list[Pair]] = {}
    for pair in pairs:
        ranks.setdefault(place[pair.base.task_id], []).append(pair)
        place[pair.base.task_id] += 1
    kept, used = [], 0
    for rank, of_rank in sorted(ranks.items()):
        used += sum(map(_size, of_rank))
        if rank and used > characters:
            break
        kept += of_rank
    return sorted(kept, key=lambda pair: pair.base.place)


def few(pairs: Sequence[Pair]) -> dict[str, list[dict[str, Any]]]:
    """The first examples of the first tasks, for a page without a script and for paper."""
    tasks: dict[str, list[dict[str, Any]]] = {}
    for pair in pairs:
        if pair.base.task_id in tasks or len(tasks) < FEW_TASKS:
            entries = tasks.setdefault(pair.base.task_id, [])
            if len(entries) < FEW_EXAMPLES:
                entries.append(entry(pair))
    return tasks


def embedded(value: Any) -> str:
    """JSON for a script element: nothing in it can end the element or open a comment."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def outcomes(pairs: Sequence[Pair]) -> dict[str, int]:
    """How many examples have which outcome, over all of them."""
    counts = Counter(OUTCOMES[right(pair.base), right(pair.tuned)] for pair in pairs)
    return {said: counts[said] for said in OUTCOMES.values()}


def view(pairs: Sequence[Pair]) -> Mapping[str, Any]:
    """Everything about the answers.

    Args:
        pairs: all examples of all target tasks, sorted by task and example.
    """
    kept = first_of_each(pairs)
    few_tasks = few(pairs)
    return {
        "outcomes": outcomes(pairs),
        "same": sum(pair.base.output == pair.tuned.output for pair in pairs),
        "all": len(pairs),
        "kept": len(kept),
        "tasks": sorted({pair.base.task_id for pair in pairs}),
        "few": few_tasks,
        "more_tasks": len({pair.base.task_id for pair in pairs}) - len(few_tasks),
        "data": embedded([entry(pair) for pair in kept]),
    }
