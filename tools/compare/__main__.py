"""Compare the experiments of a sweep, or all of the repository, on one page.

Not a stage: `make compare NAME=selection` shows what is there of sweeps/selection.yaml, `make compare` all experiments that have
scores, as hand-made ones (`dvc exp run -n NAME -S ...`), grouped by the parameters in which they differ, seeds apart. It runs
nothing.

Reads:  params.yaml, dvc.lock, reports/scores.json and reports/finetune.json of every experiment, as Git has them
Writes: reports/sweeps/<name>.html, or reports/compare.html: methods x targets with intervals and paired tests, the smallest
        effects that would have been found, parameters that differ, duplicates, failed and missing ones; the same as Markdown on
        stdout
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from instune.errors import InputError
from instune.results import write_text
from tools.compare import markdown, page
from tools.compare.groups import of_repository, of_sweep
from tools.compare.view import view

ROOT = Path(__file__).parents[2]


def main(name: str | None, *, baseline: str | None = None, root: Path = ROOT) -> None:
    """Write the page and print the Markdown.

    Args:
        name: of a file in sweeps/; None: all experiments.
        baseline: an experiment, whose group the others are compared with; a sweep's file names its own.

    Raises:
        InputError: the sweep's file, a baseline that is none, or no experiment with scores.
    """
    if name and baseline:
        raise InputError(f"baseline: sweeps/{name}.yaml names its own. Leave it out.")
    shown = view(of_sweep(root, name) if name else of_repository(root, baseline))
    out = root / (f"reports/sweeps/{name}.html" if name else "reports/compare.html")
    write_text(out, page.render(shown))
    print(markdown.render(shown))
    print(f"\n{out.relative_to(root)}: the same with plots; open it in a browser", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", help="of a file in sweeps/; none: all experiments")
    parser.add_argument("--baseline", help="experiment whose group the others are compared with, without a name")
    options = parser.parse_args()
    try:
        main(options.name, baseline=options.baseline)
    except InputError as error:
        sys.exit(f"error: {error}")
