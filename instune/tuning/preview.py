"""Rows as one sees them: every token colored by its segment, marked where it carries loss, with counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from transformers import PreTrainedTokenizerBase

from instune.prompts import SEGMENTS
from instune.tuning.labels import Row, labels_and_weights

COLORS = dict(zip(SEGMENTS, ("#d9d9d9", "#e6c8f0", "#bcd7f5", "#f5dfb0", "#c9ecc5", "#f7b9b4"), strict=True))
ANSI = dict(zip(SEGMENTS, (90, 35, 34, 33, 32, 31), strict=True))
STYLE = """body { font: 14px sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }
pre { white-space: pre-wrap; line-height: 1.7 } .loss { border-bottom: 3px solid #333 }
td, th { padding: 0 .8em; text-align: right }"""


@dataclass(frozen=True)
class Token:
    """One token: its text, the segment that owns it, and its loss weight."""

    text: str
    segment: str
    weight: float


def tokens_of(row: Row, tokenizer: PreTrainedTokenizerBase, weights: Mapping[str, float]) -> list[Token]:
    """The row's tokens; part of a character shows as a replacement character, a soft instruction's places as a diamond."""
    _, values = labels_and_weights(row, weights)
    places = range(row.soft[0], sum(row.soft))
    return [
        Token("\u25c6" if number in places else tokenizer.decode([token]), SEGMENTS[owner], value)
        for number, (token, owner, value) in enumerate(zip(row.input_ids, row.segments, values, strict=True))
    ]


def counts(tokens: Sequence[Token]) -> list[tuple[str, int, int, float]]:
    """Segment, its tokens, those with loss, and the sum of its weights, for every segment that occurs."""
    total, loss, weight = Counter(), Counter(), Counter()
    for token in tokens:
        total[token.segment] += 1
        loss[token.segment] += token.weight > 0
        weight[token.segment] += token.weight
    return [(name, total[name], loss[name], float(weight[name])) for name in SEGMENTS if total[name]]


def _sample(title: str, tokens: Sequence[Token]) -> str:
    marked = "".join(
        f'<span style="background:{COLORS[token.segment]}" class="{"loss" if token.weight else ""}" '
        f'title="{token.segment}, weight {token.weight:g}">{escape(token.text)}</span>'
        for token in tokens
    )
    rows = "".join(
        f'<tr><td style="background:{COLORS[name]}">{name}</td><td>{total}</td><td>{loss}</td><td>{weight:g}</td></tr>'
        for name, total, loss, weight in counts(tokens)
    )
    table = f"<table><tr><th>segment</th><th>tokens</th><th>with loss</th><th>weight</th></tr>{rows}</table>"
    return f"<h2>{escape(title)}</h2><pre>{marked}</pre>{table}"


def page(samples: Mapping[str, Sequence[Token]], *, heading: str) -> str:
    """A self-contained HTML page; text from data is escaped.

    Args:
        samples: title -> tokens.
        heading: what the samples have in common.
    """
    body = "".join(_sample(title, tokens) for title, tokens in samples.items())
    note = "Each token is colored by the segment that owns it and underlined where it carries loss."
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Loss mask</title><style>{STYLE}</style></head>'
        f"<body><h1>Loss mask</h1><p>{escape(heading)}</p><p>{note}</p>{body}</body></html>\n"
    )


def terminal(tokens: Sequence[Token]) -> str:
    """The same for a terminal: color by segment, reversed where there is loss; control characters but line ends are shown."""
    shown = []
    for token in tokens:
        text = "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in token.text)
        shown.append(f"\x1b[{ANSI[token.segment]}{';7' if token.weight else ''}m{text}\x1b[0m")
    table = [f"{name}: {total} tokens, {loss} with loss, weight {weight:g}" for name, total, loss, weight in counts(tokens)]
    return "".join(shown) + "\n" + "\n".join(table)
