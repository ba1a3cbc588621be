"""Put back what a kill or a full disk cut off while DVC wrote it: `make repro` begins with this.

DVC writes dvc.lock and .dvc/tmp/rwlock in place. A broken dvc.lock becomes that of the last commit; stages that ran since are
in DVC's run cache, and run no second time. A broken rwlock is deleted: whoever held a lock in it is gone, or writes it anew.

Reads:  dvc.lock, .dvc/tmp/rwlock; Git
Writes: those, where they cannot be read
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from voluptuous import Invalid

from instune.results import write_text

LOCK, HELD = Path("dvc.lock"), Path(".dvc/tmp/rwlock")
CONFLICT = "<<<<<<< "


def readable(text: str) -> bool:
    """Whether DVC can go on from this dvc.lock, by its own schema: what is missing in it runs again."""
    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text))
    except (YAMLError, Invalid):
        return False
    return True


def main(root: Path) -> list[str]:
    """Returns what was put back, in words; a merge's conflict in dvc.lock is left to its owner, and to DVC's message."""
    done = []
    lock, held = root / LOCK, root / HELD
    text = lock.read_text(encoding="utf-8", errors="replace") if lock.exists() else ""
    if lock.exists() and CONFLICT not in text and not readable(text):
        committed = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], cwd=root, capture_output=True, text=True, check=False)
        if committed.returncode:
            lock.unlink()
            done.append(f"{LOCK}: cut off, and in no commit: deleted. DVC's run cache knows what ran.")
        else:
            write_text(lock, committed.stdout)
            done.append(f"{LOCK}: cut off: taken from the last commit. DVC's run cache knows what ran since.")
    try:
        json.loads(held.read_text(encoding="utf-8") if held.exists() else "{}")
    except ValueError:
        held.unlink()
        done.append(f"{HELD}: cut off: deleted.")
    return done


if __name__ == "__main__":
    print("".join(f"{line}\n" for line in main(Path())), end="", file=sys.stderr)
