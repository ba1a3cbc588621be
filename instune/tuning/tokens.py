"""Tokens of a row as one looks at them: text, owner, loss weight. Needs no tokenizer, so the report can read them from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """One token: its text, the segment that owns it, and its loss weight."""

    text: str
    segment: str
    weight: float


def counts(tokens: Sequence[Token]) -> list[tuple[str, int, int, float]]:
    """Segment, its tokens, those with loss, and the sum of its weights, for every segment in the order of its first token."""
    total, loss, weight = Counter(), Counter(), Counter()
    for token in tokens:
        total[token.segment] += 1
        loss[token.segment] += token.weight > 0
        weight[token.segment] += token.weight
    return [(name, total[name], loss[name], float(weight[name])) for name in total]
