"""The loss mask as one sees it: every token coloured by its segment and underlined by its weight, as HTML and in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from instune.tuning.tokens import Token, counts

HUES = {"template": "#8a8f98", "system": "#a259c4", "instruction": "#2f7de1", "examples": "#d99a00", "input": "#2e9e4f"}
HUES["output"] = "#e0453a"
ANSI = dict(zip(HUES, (90, 35, 34, 33, 32, 31), strict=True))
NEW_LINE = "\u21b5"
# With loss: full colour, and a line as strong as the weight; without: pale. `--weight` is in per cent of the row's largest.
TOKENS = """.tokens { white-space: pre-wrap; overflow-wrap: anywhere; font: .8125rem/1.9 ui-monospace, monospace; }
.tokens span, .segment { --hue: #8a8f98; border-radius: 2px; padding: .1em 0; box-decoration-break: clone;
  background: color-mix(in srgb, var(--hue) 12%, transparent);
  box-shadow: inset 1px 0 color-mix(in srgb, var(--hue) 40%, transparent); }
.tokens .loss, .segment { background: color-mix(in srgb, var(--hue) 38%, transparent); }
.tokens .loss { border-bottom: 3px solid color-mix(in srgb, currentColor var(--weight), transparent); }
.segment { padding: .1em .4em; }
.tokens span, .segment { print-color-adjust: exact; }
"""
TOKENS += "\n".join(f".tokens .{name}, .segment.{name} {{ --hue: {hue}; }}" for name, hue in HUES.items())
PAGE = """:root { color-scheme: light dark; }
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1.5rem 1rem 4rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1rem; margin: 2.5rem 0 .5rem; border-top: 1px solid #8888; padding-top: .75rem; }
p { max-width: 46rem; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; margin-top: .5rem; }
th, td { text-align: right; padding: .15rem 1rem .15rem 0; font-weight: 400; } th:first-child { text-align: left; }
"""


def _visible(text: str) -> str:
    """Line ends as a sign in front of them, other control characters by their code."""
    shown = (char if char.isprintable() else f"{NEW_LINE}\n" if char == "\n" else f"\\x{ord(char):02x}" for char in text)
    return "".join(shown)


def _span(token: Token, largest: float) -> str:
    name, style = escape(token.segment), ""
    if token.weight:
        name, style = f"{name} loss", f' style="--weight: {100 * token.weight / largest:.0f}%"'
    said = f"{escape(token.segment)}, weight {token.weight:g}"
    return f'<span class="{name}" title="{said}"{style}>{escape(_visible(token.text))}</span>'


def marked(tokens: Sequence[Token]) -> str:
    """The tokens as escaped HTML, a span each."""
    largest = max((token.weight for token in tokens), default=0.0)
    return "".join(_span(token, largest) for token in tokens)


def table_rows(tokens: Sequence[Token]) -> list[tuple[str, str, str, str]]:
    """Segment, tokens, tokens with loss and sum of weights, as text."""
    return [(name, f"{total:,}", f"{loss:,}", f"{weight:g}") for name, total, loss, weight in counts(tokens)]


def view(sample: Mapping[str, Any]) -> dict[str, Any]:
    """What the report shows of the first training row.

    Args:
        sample: task_id, example_id and tokens, (text, segment, weight) each, of reports/finetune.json.
    """
    tokens = [Token(*token) for token in sample["tokens"]]
    return {
        "example": f"{sample['task_id']}, {sample['example_id']}",
        "tokens": marked(tokens),
        "rows": table_rows(tokens),
        "segments": list(dict.fromkeys(token.segment for token in tokens)),
    }


def _sample(title: str, tokens: Sequence[Token]) -> str:
    rows = ""
    for name, *values in table_rows(tokens):
        cells = "".join(f"<td>{value}</td>" for value in values)
        rows += f'<tr><th scope="row"><span class="segment {name}">{name}</span></th>{cells}</tr>'
    head = "".join(f'<th scope="col">{name}</th>' for name in ("segment", "tokens", "with loss", "weight"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2>{escape(title)}</h2><div class="tokens" dir="auto">{marked(tokens)}</div>{table}'


def page(samples: Mapping[str, Sequence[Token]], *, heading: str, refused: Sequence[str] = ()) -> str:
    """A self-contained HTML page; text from data is escaped.

    Args:
        samples: title -> tokens.
        heading: what the samples have in common.
        refused: what could not be shown, a reason each.
    """
    body = "".join(_sample(title, tokens) for title, tokens in samples.items())
    if refused:
        body += "<h2>Not shown</h2><ul>" + "".join(f"<li>{escape(reason)}</li>" for reason in refused) + "</ul>"
    legend = " ".join(f'<span class="segment {name}">{name}</span>' for name in HUES)
    note = (
        f"Colours tell which segment owns a token: {legend}. A token in full colour above a line carries loss, the stronger the "
        f"line the larger its weight; a pale one carries none. {NEW_LINE} is a line end that belongs to its token."
    )
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Loss mask</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>\n{PAGE}{TOKENS}\n</style></head>\n'
        f"<body><h1>Loss mask</h1><p>{escape(heading)}</p><p>{note}</p>{body}</body></html>\n"
    )


def terminal(tokens: Sequence[Token], *, colored: bool) -> str:
    """The same for a terminal: coloured by segment, reversed where there is loss.

    Args:
        colored: False writes every run of tokens of one segment and weight on a line of its own, without escape sequences.
    """
    if colored:
        shown = "".join(
            f"\x1b[{ANSI[token.segment]}{';7' if token.weight else ''}m{_visible(token.text)}\x1b[0m" for token in tokens
        )
    else:
        shown = "\n".join(_runs(tokens))
    table = [f"{name}: {total} tokens, {loss} with loss, weight {weight}" for name, total, loss, weight in table_rows(tokens)]
    return shown + "\n" + "\n".join(table)


def _runs(tokens: Sequence[Token]) -> list[str]:
    lines: list[tuple[str, list[str]]] = []
    for token in tokens:
        label = f"{token.segment} {token.weight:g}"
        if not lines or lines[-1][0] != label:
            lines.append((label, []))
        lines[-1][1].append(_visible(token.text).replace("\n", ""))
    return [f"{label:>16} | {'|'.join(texts)}" for label, texts in lines]
