"""Kill every stage at random moments, go on with `dvc repro`, and hold the end against an uninterrupted run.

In a clone of what is committed, with a cache of its own: each stage runs once undisturbed, then again and again as if it had
never run, and is killed at moments drawn uniformly from the time that the undisturbed run took, DVC's own part included. DVC
writes dvc.lock in place: where a kill cut that off it is put back, as by `git checkout dvc.lock`, and counted. After each kill
`dvc repro -s <stage>` runs to the end (a single), or is killed again at a later moment, at least one checkpoint further (a link
of a chain: what takes longer than --chain seconds is killed in one chain of at most --points links, and in as many singles as
are missing, at least two). Then every output must have the hash
of the undisturbed run, no temporary file, checkpoint, lock or process may be left, and a chain must never lose a checkpoint.

--signal INT is Ctrl-C, which every process of the group gets: all must be gone within 5 seconds, and a line must say so.
--victim dvc kills DVC alone: the stage that it leaves behind must end by itself.

Time: about (points + 1) runs of every stage. Results are appended to <clone>/<signal>-<victim>.jsonl, a line per kill; --resume
goes on with a campaign that was itself killed. Prints a table; exit status 1 where anything failed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.campaigns.progress import UNITS, progress
from tests.campaigns.victim import POLL, Clone, parsed, script_of, stage_process, wait_until_gone

SIGNALS = {"KILL": signal.SIGKILL, "INT": signal.SIGINT}
PATIENCE = 5.0  # seconds until everything must be gone
SOONER = 0.7  # of the moments of kills that came too late
SINGLES = 2  # at least, of a stage that is killed in a chain
Record = dict[str, Any]


class Campaign:
    """One clone, one kind of kill."""

    def __init__(self, clone: Clone, options: argparse.Namespace) -> None:
        self.clone, self.options = clone, options
        self.results = clone.folder / f"{options.signal}-{options.victim}.jsonl"
        self.records: list[Record] = []
        if options.resume and self.results.exists():
            self.records = [json.loads(line) for line in self.results.read_text().splitlines()]

    def keep(self, record: Record) -> None:
        """Append to the results, so that a killed campaign goes on."""
        self.records.append(record)
        with self.results.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)

    def undisturbed(self, stage: str) -> tuple[float, float]:
        """Seconds of a whole run from the start of the stage's command to the end of DVC, and to its first checkpoint or 0."""
        self.clone.forget(stage, self.clone.lock())
        scratch, first = self.clone.tree / ".scratch" / script_of(stage), 0.0
        with self.clone.started("repro", "--single-item", stage) as dvc:
            stage_process(dvc, stage)
            begin = monotonic()
            while dvc.poll() is None:
                if not first and (any(scratch.rglob("*.pt")) or any(scratch.rglob("*.jsonl"))):
                    first = monotonic() - begin
                sleep(POLL)
        if dvc.returncode:
            sys.exit(f"{stage}: the undisturbed run failed\n{self.clone.said()}")
        return monotonic() - begin, first

    def kill(self, stage: str, after: float) -> Record:
        """Start DVC, kill after so many seconds of the stage; returns what was left."""
        with self.clone.started("repro", "--single-item", stage) as dvc:
            process, begin = stage_process(dvc, stage), monotonic()
            while dvc.poll() is None and monotonic() - begin < after:
                sleep(POLL)
            facts: Record = {"after": round(after, 2), "ended_before": dvc.poll() is not None}
            facts["stage_ended"] = process is None or not process.is_running()
            if not facts["ended_before"]:
                number = SIGNALS[self.options.signal]
                os.kill(dvc.pid, number) if self.options.victim == "dvc" else os.killpg(dvc.pid, number)
            killed = monotonic()
            left = wait_until_gone(self.clone, 2 * PATIENCE)
            took = monotonic() - killed
            dvc.poll()
        facts |= {"status": dvc.returncode, "gone_after": round(took, 2), "processes": left, "slow": took > PATIENCE}
        if self.options.signal == "INT":
            facts |= {"said": self.clone.said(4), "traceback": "Traceback (most recent call last)" in self.clone.said(1000)}
        if found := progress(self.clone.tree, script_of(stage)):
            facts |= {"done": found[0], "kept": found[1], "unit": UNITS[script_of(stage)]}
        return facts

    def finish(self, stage: str, outputs: list[Record], files: set[str]) -> Record:
        """Run the stage to its end; returns how that differs from the undisturbed run."""
        begin = monotonic()
        status = self.clone.run("repro", "--single-item", stage)
        facts: Record = {"finish_seconds": round(monotonic() - begin, 1), "finish_status": status}
        facts["equal"] = self.clone.outputs(stage) == outputs
        facts["leftover"] = sorted(self.clone.files() - files)
        facts["locks"] = self.clone.held_locks()
        if status:
            facts["finish_said"] = self.clone.said()
        return facts

    def stage(self, stage: str) -> None:
        """All kills of one stage."""
        known = [one for one in self.records if one["stage"] == stage]
        entries = self.clone.lock()
        if any(one["kind"] == "undisturbed" for one in known):
            seconds, first = next((one["seconds"], one["first"]) for one in known if one["kind"] == "undisturbed")
        else:
            seconds, first = self.undisturbed(stage)
            equal = self.clone.outputs(stage) == entries[stage]["outs"]
            self.keep({"stage": stage, "kind": "undisturbed", "seconds": seconds, "first": first, "equal": equal})
            entries = self.clone.lock()
        whole, files = entries[stage]["outs"], self.clone.files()
        draw = random.Random(f"{self.options.seed} {stage} {self.options.signal} {self.options.victim}")
        points = [draw.uniform(0, seconds) for _ in range(self.options.points)]
        if seconds > self.options.chain:
            chain = next((one for one in known if one["kind"] == "chain"), None)
            if chain is None:
                killed = self.links(stage, entries, sorted(points), first)
                chain = {"stage": stage, "kind": "chain", "links": killed} | self.finish(stage, whole, files)
                self.keep(chain)
            missing = self.options.points - len(chain["links"])
            points = [draw.uniform(0, seconds) for _ in range(max(SINGLES, missing))]
        for number, after in enumerate(points):
            if not any(one["kind"] == "single" and one["number"] == number for one in known):
                record = self.links(stage, entries, [after], 0.0)[0] | self.finish(stage, whole, files)
                self.keep({"stage": stage, "kind": "single", "number": number} | record)

    def links(self, stage: str, entries: dict[str, Any], moments: list[float], first: float) -> list[Record]:
        """Kill, go on and kill again, as if the stage had never run; what ended before its kill ends the chain.

        Where no kill came in time, since the machine has become faster, all of it is tried again with earlier ones.
        """
        found: list[Record] = []
        while not found:
            self.clone.forget(stage, entries)
            for place, at in enumerate(moments):
                link = self.kill(stage, first + at - moments[place - 1] if place else at)
                if link["ended_before"]:
                    break
                found.append(link | {"cut_off": self.clone.mend(stage, entries)})
            moments, first = [SOONER * at for at in moments], SOONER * first
        return found


def faults(record: Record) -> list[str]:
    """What is wrong in a record, in words."""
    if record["kind"] == "undisturbed":
        return [] if record["equal"] else ["undisturbed runs differ"]
    links = record.get("links", [record])
    found = [f"processes left: {link['processes']}" for link in links if link["processes"]]
    found += [f"{link['gone_after']} s until all were gone" for link in links if link["slow"]]
    found += ["a traceback" for link in links if link.get("traceback")]
    kept = [link["kept"] for link in links if "kept" in link and not link["stage_ended"]]
    found += ["a checkpoint was lost"] * (record["kind"] == "chain" and kept != sorted(kept))
    found += [f"finish: status {record['finish_status']}"] * bool(record["finish_status"])
    found += ["other outputs"] * (not record["equal"])
    found += [f"left: {record['leftover']}"] * bool(record["leftover"])
    return [*found, *(f"locked: {lock}" for lock in record["locks"])]


def repeated(links: list[Record]) -> str:
    """How much the runs after the kills did again."""
    counted = [link for link in links if "kept" in link]
    if not counted:
        return ""
    again = [max(0, link["done"] - link["kept"]) for link in counted]
    return f"{sum(again)} {counted[0]['unit']} (most {max(again)} at once; furthest {max(link['done'] for link in counted)})"


def table(records: list[Record]) -> str:
    """A line per stage and kind of kill."""
    lines = ["| stage | undisturbed, s | kills | to the end again, s | repeated | faults |", "|---|---|---|---|---|---|"]
    for stage in dict.fromkeys(record["stage"] for record in records):
        own = [record for record in records if record["stage"] == stage]
        seconds = next(record["seconds"] for record in own if record["kind"] == "undisturbed")
        for kind in ("single", "chain"):
            if of_kind := [record for record in own if record["kind"] == kind]:
                links = [link for record in of_kind for link in record.get("links", [record])]
                ends = [record["finish_seconds"] for record in of_kind]
                wrong = [fault for record in of_kind for fault in faults(record)]
                counted = f"{len(links)} ({'singles' if kind == 'single' else 'a chain'})"
                cut = sum(bool(link["cut_off"]) for link in links)
                said = "; ".join([*wrong, f"DVC's own files cut off {cut} times, put back"] if cut else wrong) or "none"
                lines.append(
                    f"| {stage} | {seconds:.1f} | {counted} | {sum(ends) / len(ends):.1f} | {repeated(links)} | {said} |"
                )
    return "\n".join(lines)


def main(options: argparse.Namespace) -> int:
    """The campaign; returns the exit status."""
    folder = options.clone or Path(tempfile.mkdtemp(prefix="kill-"))
    clone = Clone(folder.resolve(), folder.resolve() / "dvc.log")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would what it starts
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends what was started, too
    if not clone.tree.exists():
        clone.make(profile=options.profile, changes=parsed(options.set))
    if clone.run("repro"):
        sys.exit(f"dvc repro fails in {clone.tree}\n{clone.said()}")
    campaign = Campaign(clone, options)
    wanted = options.stages.split(",") if options.stages else None
    for stage in clone.stages():
        if wanted is None or stage in wanted or script_of(stage) in wanted:
            campaign.stage(stage)
    print(table(campaign.records))
    failed = any(faults(record) for record in campaign.records)
    if not options.clone and not failed:
        shutil.rmtree(folder)
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--points", type=int, default=10, help="kills per stage")
    parser.add_argument("--stages", help="comma between them; an item of a matrix as stage@item; default: all")
    parser.add_argument("--clone", type=Path, help="folder of clone, cache and results, kept; default: a temporary one")
    parser.add_argument("--profile", help="of profiles/, in the place of params.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="another parameter, repeatable")
    parser.add_argument("--chain", type=float, default=60.0, metavar="SECONDS", help="what takes longer is killed in a chain")
    parser.add_argument("--signal", choices=SIGNALS, default="KILL")
    parser.add_argument("--victim", choices=("group", "dvc"), default="group")
    parser.add_argument("--resume", action="store_true", help="go on with the results in the clone's folder")
    sys.exit(main(parser.parse_args()))
