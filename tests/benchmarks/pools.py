"""Every published pool through the ingest stage by one params entry: tasks, examples, seconds, memory, what was left out.

Writes reports/benchmarks/pools.json. Each pool runs in a process of its own, so that the peak of memory is its own; `ours` is the
sum of processor seconds. There is no peer: `checked` says that every count is the published one.

    python -m tests.benchmarks.pools [--bigbench <folder with bigbench-1.0.0.tar.gz>]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from instune.results import write_json
from tests.pools.published import POOLS, Published

ARCHIVE = {"reader": "bigbench", "examples_per_task": 1_000_000}
PATHS = {"--raw": "data/raw", "--tasks": "out/tasks.parquet", "--examples": "out/examples.parquet", "--card": "out/card.json"}
COLUMNS = ("pool", "tasks", "examples", "seconds", "megabytes")


def ingest(work: Path, published: Published, *, strict: bool) -> dict[str, Any]:
    """Run the stage on `work/data/raw`; what its card says, with processor seconds and peak memory of the process.

    Raises:
        RuntimeError: the stage failed; its message.
    """
    params = {
        "pools": {published.name: published.entry},
        "ingest": {"strict": strict, "overlap": "report"},
        "targets": published.targets(),
    }
    with (work / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)
    command = [sys.executable, "-m", "stages.ingest", *[part for pair in PATHS.items() for part in pair]]
    with (work / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=work, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError((work / "log").read_text())
    card = json.loads((work / PATHS["--card"]).read_text())[published.name]
    return {
        "pool": published.name,
        "tasks": card["tasks"],
        "examples": card["examples"],
        "seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "megabytes": round(usage.ru_maxrss / 1024),
        "skipped": card["skipped"],
    }


def measure(published: Published) -> dict[str, Any] | None:
    """A row of the table, or None where the pool is absent.

    Raises:
        RuntimeError: the counts are not the published ones.
    """
    with tempfile.TemporaryDirectory() as name:
        if not published.bring(Path(name) / "data/raw"):
            return None
        row = ingest(Path(name), published, strict=True)
    if (row["tasks"], row["examples"]) != (published.tasks, published.examples):
        raise RuntimeError(f"{published.name}: {row} instead of {published.tasks} tasks, {published.examples} examples")
    return row


def measure_archive(folder: Path) -> dict[str, Any]:
    """The source archive of BIG-bench, read in place; bad records are counted, and so are tasks without task.json."""
    with tempfile.TemporaryDirectory() as name:
        archive = Published("bigbench-archive", str(folder.resolve()), ARCHIVE, 0, 0)
        archive.bring(Path(name) / "data/raw")
        return ingest(Path(name), archive, strict=False)


def show(row: dict[str, Any]) -> None:
    """Print a row, and below it what was left out."""
    print(f"{row['pool']:18}" + "".join(f"{row[name]:>12,}" for name in COLUMNS[1:]))
    for reason, count in row["skipped"].items():
        print(f"{'':18}{count:>12,}  {reason}")


def main() -> None:
    """Read every published pool that is there."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--bigbench", type=Path, help="folder with the source archive of the package bigbench")
    archive = parser.parse_args().bigbench
    print(f"{COLUMNS[0]:18}" + "".join(f"{name:>12}" for name in COLUMNS[1:]) + "  what was left out")
    rows, absent = [], []
    for published in POOLS:
        row = measure(published)
        if row is None:
            absent.append(published.name)
        else:
            rows.append(row)
            show(row)
    if archive is not None:
        rows.append(measure_archive(archive))
        show(rows[-1])
    write_json(
        Path("reports/benchmarks/pools.json"),
        {
            "name": "pools",
            "unit": "processor seconds",
            "ours": round(sum(row["seconds"] for row in rows), 1),
            "peers": {},
            "ratio": None,
            "checked": "tasks and examples of every pool are those of tests/pools/published.py",
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
            "repeats": 1,
            "pools": rows,
            "absent": absent,
        },
    )


if __name__ == "__main__":
    main()
