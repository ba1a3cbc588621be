"""Mutation of our own code: do the tests notice when a line is wrong?

    pip install -r requirements-bench.txt
    python -m tests.campaigns.mutants [--modules labels loss] [--sample 150] [--seed 0]

Each module of MODULES is changed in one place by an operator of mutmut (numbers, operators, arguments, strings), and its own
fast tests run on it until one fails. Left as they are: docstrings, decorators, annotations, type aliases, texts of exceptions,
and `strict` of `zip`. Of a module's mutants at most `--sample` are drawn. A mutant takes half a second, all of them about ten
minutes of one core: tests run in a fork of one process that has imported torch and pytest, and only `instune` and `tests` are
imported anew. Results are kept in `.scratch/mutants.jsonl`: a killed mutant is not run again, a survivor is once the tests have
changed.

Prints for each module how many mutants were killed by a test, ended by the limits on time and memory, and survived; and each
survivor that `explained_mutants.yaml` does not explain. Exit status 1 where there is such a survivor, or less than 90 % of a
module's mutants are killed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from ruamel.yaml import YAML
from tqdm import tqdm

from tests.campaigns.mutant_runs import Runner
from tests.campaigns.mutant_sources import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
EXPLAINED = Path(__file__).with_name("explained_mutants.yaml")
SHARE = 0.9
SOLVER_TESTS = (
    "bilevel/test_solver_reports.py",
    "bilevel/test_solvers.py",
    "bilevel/test_neumann.py",
    "bilevel/test_named_solvers.py",
    "bilevel/test_hypergradient.py",
)
MODULES = {  # module -> tests below tests/, those that end soonest first
    "tuning/labels.py": (
        "tuning/test_row_fields.py",
        "tuning/test_labels.py",
        "tuning/test_loss_turns.py",
        "tuning/test_released_mask.py",
        "tuning/test_turns.py",
        "tuning/test_mask_oracle.py",
        "tuning/test_mask_messages.py",
        "tuning/test_mask_property.py",
    ),
    "tuning/loss.py": ("tuning/test_loss.py", "tuning/test_chunked.py"),
    "bilevel/solvers/conjugate_gradient.py": SOLVER_TESTS,
    "bilevel/solvers/identity.py": SOLVER_TESTS,
    "bilevel/solvers/named.py": SOLVER_TESTS,
    "bilevel/solvers/neumann.py": SOLVER_TESTS,
    "bilevel/solvers/solution.py": SOLVER_TESTS,
    "bilevel/solvers/unrolled.py": SOLVER_TESTS,
    "selection/rank.py": ("selection/test_rank.py", "selection/test_lexical.py", "selection/test_choose.py"),
    "evaluation/metrics.py": ("evaluation/test_metrics.py",),
    "evaluation/statistics.py": ("evaluation/test_statistics.py",),
}


def kept(path: Path) -> dict[str, dict[str, str | int]]:
    """What earlier runs found, by key; of a key's lines the last."""
    if not path.exists():
        return {}
    return {record["key"]: record for record in map(json.loads, path.read_text(encoding="utf-8").splitlines())}


def stands(record: dict[str, str | int] | None, tests: str) -> bool:
    """Whether what an earlier run found still holds."""
    return record is not None and (record["outcome"] != "survived" or record["tests"] == tests)


def run(module: str, results: Path, sample: int, seed: int) -> list[dict[str, str | int]]:
    """One record per mutant of a module; those that no earlier run has are run now and appended to the results."""
    files = [ROOT / "tests" / name for name in MODULES[module]]
    mutants = mutants_of(ROOT / "instune" / module, ROOT, sample, seed)
    tests = sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    before = kept(results)
    missing = [mutant for mutant in mutants if not stands(before.get(mutant.key), tests)]
    if missing:
        runner = Runner(ROOT, files)
        with results.open("a", encoding="utf-8") as out:
            for mutant in tqdm(missing, desc=module, unit="mutant"):
                outcome, test = runner.outcome(mutant)
                print(json.dumps(record_of(mutant, outcome, test, tests)), file=out, flush=True)
    after = kept(results)
    return [after[mutant.key] for mutant in mutants]


def record_of(mutant: Mutant, outcome: str, test: str, tests: str) -> dict[str, str | int]:
    fields = asdict(mutant)
    del fields["source"]
    return fields | {"outcome": outcome, "by": test, "tests": tests}


def unexplained(records: list[dict[str, str | int]]) -> list[dict[str, str | int]]:
    """The survivors that the list of equivalent mutants does not hold."""
    known = {(item["module"], item["text"], change) for item in YAML(typ="safe").load(EXPLAINED) for change in item["changes"]}
    survivors = [record for record in records if record["outcome"] == "survived"]
    return [record for record in survivors if (record["module"], record["text"], record["change"]) not in known]


def main() -> int:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", nargs="*", default=[], help="parts of module names; default: all")
    parser.add_argument("--sample", type=int, default=150, help="mutants of a module at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=ROOT / ".scratch" / "mutants.jsonl")
    arguments = parser.parse_args()
    arguments.results.parent.mkdir(exist_ok=True)
    lines, left, failed = [], [], False
    for module in (name for name in MODULES if not arguments.modules or any(part in name for part in arguments.modules)):
        records = run(module, arguments.results, arguments.sample, arguments.seed)
        counts, open_ones = Counter(record["outcome"] for record in records), unexplained(records)
        share = 1 - counts["survived"] / len(records)
        failed |= share < SHARE or bool(open_ones)
        left += open_ones
        numbers = (len(records), counts["killed"], counts["limit"], counts["survived"], counts["survived"] - len(open_ones))
        lines.append(f"{module:40}" + "".join(f"{number:10}" for number in numbers) + f"{share:10.1%}")
    print(f"{'module':40}" + "".join(f"{name:>10}" for name in ("mutants", "killed", "limit", "survived", "explained", "share")))
    print("\n".join(lines))
    for record in left:
        print(f"\n{record['module']}:{record['line']}: {record['text']}\n    {record['change']}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
