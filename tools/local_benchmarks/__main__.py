"""Make benchmarks of data that lies here: JSON lines, and YAML tasks whose prompts are those of lm-evaluation-harness.

    python -m tools.local_benchmarks --data ../shared/data --out benchmarks/local

Then `benchmarks.include: local` and `benchmarks.tasks: [local_bbh_fewshot]`, without the Hub. What `data` may hold, all optional:
bbh/tasks/<task>.json; eval_sets/mmlu/test/<subject>_test.csv, truthfulqa/TruthfulQA.csv, gsm8k/test.jsonl and
humaneval/HumanEval.jsonl.gz, as published.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from instune.errors import InputError
from stages.command import run
from tools.local_benchmarks import sources, tasks


def main(*, data: Path, out: Path) -> None:
    """Write the folder, whole or not at all.

    Raises:
        InputError: nothing known lies under `data`, or a record that is not as published.
    """
    found = sources.read(data)
    if not found:
        raise InputError(f"--data: {data} holds none of {', '.join(sources.PLACES)}. Give the folder with the published data.")
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "data").mkdir(parents=True)
    for name, rows in found.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (partial / "data" / f"{name}.jsonl").write_text(lines, encoding="utf-8", newline="\n")
    groups = tasks.write(partial, sorted(found), (out / "data").as_posix())
    shutil.rmtree(out, ignore_errors=True)
    partial.replace(out)
    documents = sum(map(len, found.values()))
    print(f"{out}: {documents} documents of {len(found)} data sets. Name in benchmarks.tasks: {', '.join(groups)}")


if __name__ == "__main__":
    run(main)
