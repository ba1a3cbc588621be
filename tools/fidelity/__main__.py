"""Hold our selections against INSTA's published ones: which wordings, aggregation and alignment come closest.

Settings are chosen on one half of the targets and measured on the other. Writes all of it as JSON and prints tables. About 40
minutes on two shared cores; the unaligned encoder's embeddings are kept in the user's cache folder.

    python -m tools.fidelity --data ../shared/data --out reports/selection/fidelity.json
"""

from __future__ import annotations

from pathlib import Path

from instune.errors import InputError
from instune.results import write_json
from stages.command import run
from tools.fidelity import p3, superni, tables

NEEDED = ("bbh", "bigbench", "insta_run_configs", "promptsource_templates", "super_natural_instructions")


def main(*, data: Path, out: Path) -> None:
    """Measure, write and print.

    Raises:
        InputError: `data` lacks a published folder.
    """
    missing = [name for name in NEEDED if not (data / name).is_dir()]
    if missing:
        raise InputError(f"--data: {data} has no folder {', '.join(missing)}. Give the folder with the published data.")
    report = {"p3": p3.report(data), "superni": superni.report(data)}
    write_json(out, report)
    print(f"{tables.p3(report['p3'])}\n\n{tables.superni(report['superni'])}\n\n{out}: the same and more, as JSON")


if __name__ == "__main__":
    run(main)
