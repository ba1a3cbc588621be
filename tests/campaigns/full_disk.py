"""Let the disk run full in the middle of every stage, make room, and go on with `dvc repro`.

In a clone on a tmpfs of its own (root is needed to mount it): each stage runs once undisturbed, which shows how much it writes at
its peak, DVC's copies included; then as if it had never run, with room for a part of that only, drawn uniformly. It must end with
an error of one screen that names the file and says how to go on, without a traceback; nothing half-written may be left, no other
stage's output may have changed. Then room is made, and `dvc repro -s <stage>` must end with the undisturbed outputs, from the
last checkpoint where the stage keeps any. Where the stage itself had ended and DVC found no room for its copies, `dvc commit
<stage>` must take the outputs up without another run. DVC's own files, which it writes in place, are put right first, and named.

Time: about 2 x (points + 1) runs of every stage. Prints a line of JSON per stage and point, then a table; exit status 1 where
anything failed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

from tests.campaigns.progress import UNITS, progress
from tests.campaigns.victim import POLL, Clone, parsed, script_of, stage_process

BALLAST = "ballast"
SCREEN = 4000  # characters that a user may have to read
Record = dict[str, Any]


@contextlib.contextmanager
def mounted(size: str) -> Iterator[Path]:
    """An empty disk of this size, gone in the end."""
    folder = Path(tempfile.mkdtemp(prefix="full-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def begin(clone: Clone, stage: str, entries: dict[str, Any]) -> None:
    """As if the stage had never run, its outputs not in the cache either."""
    clone.forget(stage, entries)
    shutil.rmtree(clone.cache / "files", ignore_errors=True)
    for output in entries[stage]["outs"]:
        path = clone.tree / output["path"]
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def undisturbed(clone: Clone, stage: str) -> int:
    """Bytes that the disk holds at most while the stage runs, beyond those before."""
    before = peak = shutil.disk_usage(clone.folder).used
    with clone.started("repro", "--single-item", stage) as dvc:
        while dvc.poll() is None:
            peak = max(peak, shutil.disk_usage(clone.folder).used)
            sleep(POLL)
    if dvc.returncode:
        sys.exit(f"{stage}: the undisturbed run failed\n{clone.said()}")
    return peak - before


def starve(clone: Clone, stage: str, room: int) -> Record:
    """Run the stage with so many bytes free, then make room; returns how it ended."""
    ballast = clone.folder / BALLAST
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(clone.folder).free - room))
    with clone.started("repro", "--single-item", stage) as dvc:
        began = stage_process(dvc, stage) is not None
        status = dvc.wait()
    said = clone.said(60)
    by_stage = "failed to run" in said
    # Of an output that is a folder, DVC 3.67 says which files found no room in its cache, records the stage, and exits with 0.
    facts: Record = {
        "room": room,
        "status": status,
        "starved": bool(status) or "failed to transfer" in said,
        "ended_by": "stage" if by_stage else "DVC" if began else "DVC, before",
    }
    facts |= {"traceback": "Traceback" in clone.said(10_000), "said": said[-SCREEN:]}
    facts["clear"] = not by_stage or ("No space left" in said and "Make room" in said)
    facts["partial"] = sorted(name for name in clone.files() if ".partial" in name)
    if found := progress(clone.tree, script_of(stage)):
        facts |= {"done": found[0], "kept": found[1], "unit": UNITS[script_of(stage)]}
    ballast.unlink()
    return facts


def go_on(clone: Clone, stage: str, entries: dict[str, Any], files: set[str], how: str) -> Record:
    """Run the stage to its end, or have DVC take up what it wrote; returns how the clone differs from the undisturbed one."""
    facts: Record = {"cut": clone.mend(stage, entries)}
    words = ("commit", "--force", stage) if how == "DVC" else ("repro", "--single-item", stage)
    facts |= {"went_on_by": words[0], "went_on_status": clone.run(*words)}
    facts["equal"] = clone.outputs(stage) == entries[stage]["outs"]
    facts["others"] = {name for name, entry in clone.lock().items() if entry != entries[name]} <= {stage}
    facts["leftover"] = sorted(clone.files() - files)
    return facts | ({"went_on_said": clone.said()} if facts["went_on_status"] else {})


def faults(record: Record) -> list[str]:
    """What is wrong in a record, in words."""
    if not record["starved"]:
        return []
    found = ["a traceback"] * record["traceback"] + ["an unclear message"] * (not record["clear"])
    found += [f"half-written: {record['partial']}"] * bool(record["partial"])
    found += [f"going on: status {record['went_on_status']}"] * bool(record["went_on_status"])
    found += ["other outputs"] * (not record["equal"]) + ["other stages changed"] * (not record["others"])
    return found + [f"left: {record['leftover']}"] * bool(record["leftover"])


def table(records: list[Record]) -> str:
    """A line per stage and point."""
    heads = ["stage", "room, of peak", "ended by", "DVC cut off", "went on by", "kept of done", "faults"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for one in records:
        kept = f"{one['kept']} of {one['done']} {one['unit']}" if "kept" in one else ""
        ended, by = (
            (f"{one['ended_by']}, status {one['status']}", one["went_on_by"]) if one["starved"] else ("nothing: it fitted", "")
        )
        share = f"{one['room'] / 2**20:.1f} of {one['peak'] / 2**20:.1f} MiB"
        cells = [one["stage"], share, ended, ", ".join(one["cut"]), by, kept, "; ".join(faults(one)) or "none"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def campaign(clone: Clone, stages: list[str], *, points: int, seed: int) -> list[Record]:
    """All points of all stages."""
    records: list[Record] = []
    for stage in stages:
        begin(clone, stage, clone.lock())
        peak = undisturbed(clone, stage)
        entries, files, draw = clone.lock(), clone.files(), random.Random(f"{seed} {stage}")
        for _ in range(points):
            begin(clone, stage, entries)
            record = {"stage": stage, "peak": peak} | starve(clone, stage, int(draw.random() * peak))
            record |= go_on(clone, stage, entries, files, record["ended_by"] if record["starved"] else "")
            if faults(record):
                begin(clone, stage, entries)
                clone.run("repro", "--single-item", stage)
            records.append(record)
            print(json.dumps(record), flush=True)
    return records


def main(options: argparse.Namespace) -> int:
    """The campaign; returns the exit status."""
    with mounted(options.size) as folder, tempfile.NamedTemporaryFile(suffix=".log") as log:
        clone = Clone(folder, Path(log.name))
        clone.make(profile=options.profile, changes=parsed(options.set), cached=False)
        if clone.run("repro"):
            sys.exit(f"dvc repro fails\n{clone.said()}")
        wanted = options.stages.split(",") if options.stages else None
        stages = [stage for stage in clone.stages() if wanted is None or stage in wanted or script_of(stage) in wanted]
        records = campaign(clone, stages, points=options.points, seed=options.seed)
    print(table(records))
    return int(any(faults(record) for record in records))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the room that is left")
    parser.add_argument("--points", type=int, default=3, help="per stage")
    parser.add_argument("--stages", help="comma between them; an item of a matrix as stage@item; default: all")
    parser.add_argument("--profile", help="of profiles/, in the place of params.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="another parameter, repeatable")
    parser.add_argument("--size", default="2g", help="of the disk; the default parameters need 8g")
    sys.exit(main(parser.parse_args()))
