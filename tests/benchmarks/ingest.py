"""Ingest at the size of Super-NaturalInstructions, beside `json.load` over the same files.

Writes reports/benchmarks/ingest.json. `ratio` is the processor time of ingest over that of `json.load`, in one run; two
sizes show the growth, and peak memory is that of the ingesting process. The clone is generated: 1,600 tasks of 3,125 instances
of about 600 bytes, half of the tasks excluded by the split as in the real one, and no two inputs share a run of eight words.

    python -m tests.benchmarks.ingest [--instances 5000000]
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from instune.results import write_json

TASKS = 1_600
PUBLISHED = Path("../shared/data/super_natural_instructions")
POOL = {"reader": "super_natural_instructions", "test_instances_per_task": 100, "language": "English"}
WORDS = [f"word{number}" for number in range(2_000)]


def write_clone(folder: Path, instances: int) -> int:
    """A clone of 1,600 tasks with that many instances in all; returns the bytes of JSON."""
    draw, size = random.Random(0), 0
    (folder / "tasks").mkdir(parents=True)
    (folder / "splits/default").mkdir(parents=True)
    lists: dict[str, list[str]] = {"train": [], "test": [], "excluded": []}
    texts = [[" ".join(draw.choices(WORDS, k=6)) for _ in range(11)] for _ in range(997)]
    for number in range(1, TASKS + 1):
        name = f"task{number:03}_generated"
        lists["test" if number % 13 == 0 else "train" if number % 2 else "excluded"].append(name)
        rows = [
            {
                "id": f"task{number}-{i:032x}",
                "input": f" {number}x{i} ".join(texts[(number * 31 + i) % 997]),
                "output": [WORDS[i % 2_000]],
            }
            for i in range(instances // TASKS)
        ]
        record = {
            "Categories": [f"Category {number % 60}"],
            "Definition": [f"Task {number}: {texts[number % 997][0]}"],
            "Domains": ["News"],
            "Input_language": ["English"],
            "Output_language": ["English"],
            "Instruction_language": ["English"],
            "Positive Examples": [{"input": "a", "output": "b", "explanation": "c"}],
            "Negative Examples": [],
            "Instances": rows,
            "Instance License": ["Unknown"],
        }
        text = json.dumps(record)
        (folder / "tasks" / f"{name}.json").write_text(text)
        size += len(text)
    for split, names in lists.items():
        (folder / f"splits/default/{split}_tasks.txt").write_text("\n".join(names) + "\n")
    return size


FLOOR = """
import json, pathlib, sys
count = 0
for path in sorted(pathlib.Path(sys.argv[1]).glob("tasks/*.json")):
    with path.open(encoding="utf-8") as file:
        count += len(json.load(file)["Instances"])
print(count)
"""


def timed(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Processor seconds, peak memory in MB and last line of a command; the peak is that of the largest child so far."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(Path.cwd())})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, after.ru_maxrss / 1024, done.stdout.splitlines()[-1]


def run_ingest(work: Path, *, train: int) -> tuple[float, float, dict[str, Any]]:
    """Run the stage on `work/data/raw/pool` with so many instances per training task; processor seconds, peak memory in MB, and
    the pool's entry in the data card.
    """
    params = {
        "pools": {"pool": POOL | {"instances_per_task": train}},
        "ingest": {"strict": True, "overlap": "report"},
        "targets": {"by": "split", "values": ["test"], "examples_per_task": 100},
    }
    with (work / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)
    paths = {"--raw": "data/raw", "--tasks": "out/tasks.parquet", "--examples": "out/examples.parquet", "--card": "out/card.json"}
    options = [part for pair in paths.items() for part in pair]
    seconds, peak, _ = timed([sys.executable, "-m", "stages.ingest", *options], work)
    return seconds, peak, json.loads((work / "out/card.json").read_text())["pool"]


def measure(instances: int) -> dict[str, Any]:
    """One generated clone: ingest, which goes first and reads cold or warm files alike, and `json.load`."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        size = write_clone(work / "data/raw/pool", instances)
        ours, peak, card = run_ingest(work, train=100)
        floor, _, loaded = timed([sys.executable, "-c", FLOOR, str(work / "data/raw/pool")], work)
        shutil.rmtree(work / "data")
    return {
        "instances": instances,
        "gigabytes": round(size / 1e9, 3),
        "ingest_seconds": round(ours, 2),
        "json_load_seconds": round(floor, 2),
        "peak_megabytes": round(peak),
        "instances_loaded": int(loaded),
        "examples": card["examples"],
    }


def measure_published() -> dict[str, Any] | None:
    """The real definitions and instances, where they are."""
    if not PUBLISHED.is_dir():
        return None
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "data/raw").mkdir(parents=True)
        (work / "data/raw/pool").symlink_to(PUBLISHED.resolve())
        seconds, peak, card = run_ingest(work, train=200)
    return {"examples": card["examples"], "ingest_seconds": round(seconds, 2), "peak_megabytes": round(peak)}


def main() -> None:
    """Measure two sizes and the published files."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--instances", type=int, default=5_000_000)
    instances = parser.parse_args().instances
    published = measure_published()  # first: peak memory is that of the largest child so far
    sizes = [measure(instances // 4), measure(instances)]
    full = sizes[-1]
    write_json(
        Path("reports/benchmarks/ingest.json"),
        {
            "name": "ingest",
            "unit": "processor seconds",
            "ours": full["ingest_seconds"],
            "peers": {"json.load": full["json_load_seconds"]},
            "ratio": round(full["ingest_seconds"] / full["json_load_seconds"], 3),
            "checked": f"json.load counts {full['instances_loaded']} instances in the same files",
            "machine": f"{platform.machine()}, Python {platform.python_version()}",
            "repeats": 1,
            "sizes": sizes,
            "published": published,
        },
    )
    print(json.dumps({"sizes": sizes, "published": published}, indent=1))


if __name__ == "__main__":
    main()
