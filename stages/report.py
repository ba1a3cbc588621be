"""One self-contained page: what was run, what it brought, and what to distrust.

Reads:  reports/data_card.json, lengths.json, align.json, optimize.json, finetune.json, scores.json;
        reports/curves/optimize/ and finetune/;
        data/selection.json, selection_details.json, align_stability.json, instructions/instructions.json;
        data/predictions/base/ and tuned/ (predictions.jsonl); data/benchmarks/base/ and tuned/ (results.json);
        every section of params.yaml
Writes: reports/report.html
        reports/report.md: the short form for pull requests
"""

from __future__ import annotations

from pathlib import Path

from instune import config
from instune.report.inputs import Inputs, package_versions, read_curves, read_pairs
from instune.report.markdown import short_form
from instune.report.page import render
from instune.results import read_json, write_text
from stages.command import run

SECTIONS = {
    "seed": int,
    "targets": dict,
    "pools": dict,
    "prompt": dict,
    "playground": dict,
    "ingest": dict,
    "base_model": dict,
    "align": dict,
    "align_stability": dict,
    "embed": dict,
    "lengths": dict,
    "embed_model": dict,
    "select": dict,
    "optimize": dict,
    "finetune": dict,
    "evaluate": dict,
    "benchmarks": dict,
    "score": dict,
}


def main(
    *,
    card: Path,
    lengths: Path,
    align: Path,
    align_stability: Path,
    selection: Path,
    selection_details: Path,
    instructions: Path,
    optimize: Path,
    finetune: Path,
    finetune_curves: Path,
    optimize_curves: Path,
    scores: Path,
    base: Path,
    tuned: Path,
    base_benchmarks: Path,
    tuned_benchmarks: Path,
    out: Path,
    markdown: Path,
) -> None:
    """Write the report page and its short form."""
    params = config.load(SECTIONS)
    inputs = Inputs(
        params=params,
        card=read_json(card),
        lengths=read_json(lengths),
        align=read_json(align),
        align_stability=read_json(align_stability),
        selection=read_json(selection),
        selection_details=read_json(selection_details),
        instructions=read_json(instructions / "instructions.json"),
        optimize=read_json(optimize),
        finetune=read_json(finetune),
        scores=read_json(scores),
        finetune_curves=read_curves(finetune_curves),
        optimize_curves=read_curves(optimize_curves),
        base_benchmarks=read_json(base_benchmarks / "results.json"),
        tuned_benchmarks=read_json(tuned_benchmarks / "results.json"),
        pairs=read_pairs(base, tuned),
        versions=package_versions(),
    )
    write_text(out, render(inputs))
    write_text(markdown, short_form(inputs))
    print(f"{out}: open it in a browser; the verdict stands on the first screen")


if __name__ == "__main__":
    run(main)
