"""How much several selections agree, as of the seeds of a sweep. Not a stage: `python -m tools.overlap a.json b.json ...`.

Reads:  two or more files of the form of data/selection.json, with the same targets and the same select.top_k
Prints: per target the mean share of chosen tasks that two of the selections have in common, and the mean over targets
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from instune.errors import InputError
from instune.results import read_json
from instune.selection.stability import mean_pairwise_overlap


def read_selection(path: Path) -> dict[str, Any]:
    """The content of a selection file.

    Raises:
        InputError: no such file, or not a selection.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as JSON ({type(error).__name__}). Give files of the form of data/selection.json."
        ) from None
    if not isinstance(content, dict) or not content.get("targets"):
        raise InputError(f"{path}: holds no targets. Give files of the form of data/selection.json.")
    return content


def main(files: Sequence[str]) -> None:
    """Print the overlaps."""
    try:
        overlaps = mean_pairwise_overlap([read_selection(Path(file)) for file in files])
    except InputError as error:
        sys.exit(f"error: {error}")
    for target, share in overlaps.items():
        print(f"{share:.3f}  {target}")
    print(f"{fmean(overlaps.values()):.3f}  mean over {len(overlaps)} target(s), {len(files)} selections")


if __name__ == "__main__":
    main(sys.argv[1:])
