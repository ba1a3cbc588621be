"""Which chat templates leave every token's owner decided, and by what reason the others are refused.

Not a stage. Without --model: the templates of popular families (tools/lint_templates/families/, written after their public
documentation). With --model: that model's own tokenizer, with the reasons in full; the exit status is 1 where not even one user
turn with its answer is decided.

Reads:  tools/lint_templates/families/*.jinja, or the tokenizer in a model folder
Writes: reports/chat_templates.json: family -> conversation shapes, texts whose rows are dropped, notes; the table on stdout
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from instune.chat import REASONS
from instune.chat_lint import DECIDED, SHAPES, Verdict, lint
from instune.errors import InputError
from instune.models import load_tokenizer
from instune.results import write_json
from tools.lint_templates.families import families

OUT = Path("reports/chat_templates.json")


def table(verdicts: Mapping[str, Verdict]) -> str:
    """A line for each template, reasons by name, and what the names and numbers mean."""
    notes = sorted({note for verdict in verdicts.values() for note in verdict.notes})
    reasons = {reason for verdict in verdicts.values() for reason in (*verdict.shapes.values(), *verdict.dropped.values())}
    rows = [["template", *SHAPES, "rows dropped", "notes"]]
    for name, verdict in verdicts.items():
        dropped = ", ".join(f"{kind}: {reason}" for kind, reason in verdict.dropped.items())
        rows.append([name, *verdict.shapes.values(), dropped, " ".join(str(notes.index(note) + 1) for note in verdict.notes)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    meanings = [f"{reason}: the template {REASONS[reason]}" for reason in sorted(reasons - {DECIDED})]
    return "\n".join([*lines, "", *meanings, *(f"note {number}: {note}" for number, note in enumerate(notes, 1))])


def summary(verdicts: Mapping[str, Verdict]) -> str:
    """How many templates are decided in every shape, in some, in none."""
    decided = [sum(reason == DECIDED for reason in verdict.shapes.values()) for verdict in verdicts.values()]
    whole, none = decided.count(len(SHAPES)), decided.count(0)
    return f"{len(decided)} templates: {whole} decided in every shape, {len(decided) - whole - none} in some, {none} refused"


def main(model: Path | None, out: Path) -> None:
    """Print the table, and write it where it is the families'."""
    if model is not None:
        verdict = lint(load_tokenizer(model))
        print(table({str(model): verdict}))
        sys.exit(verdict.shapes["pair"] != DECIDED)
    verdicts = {family.name: lint(family.tokenizer()) for family in tqdm(families(), unit="template")}
    write_json(out, {name: verdict.as_dict() for name, verdict in verdicts.items()})
    print(f"{table(verdicts)}\n\n{summary(verdicts)}\n{out}: written")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder with a tokenizer")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    try:
        main(options.model, options.out)
    except InputError as error:
        sys.exit(f"error: {error}")
