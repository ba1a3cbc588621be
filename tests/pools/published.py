"""The pools that `../shared/data/README.md` lists, each with the params entry that reads it whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path("../shared/data")


@dataclass(frozen=True)
class Published:
    """One pool of public data.

    Attributes:
        place: a folder or a file under `DATA`.
        entry: its entry in params `pools`.
        tasks: number of tasks in it.
        examples: number of examples in it.
        several_turns: number of examples with more than one user message, or with a system message.
        target: what params `targets` names, (by, value): of a pool that has test tasks these, of P3 a task, else the pool.
    """

    name: str
    place: str
    entry: dict[str, Any]
    tasks: int
    examples: int
    several_turns: int = 0
    target: tuple[str, str] | None = None

    def targets(self) -> dict[str, Any]:
        """Params `targets`."""
        by, value = self.target or ("pool", self.name)
        return {"by": by, "values": [value], "examples_per_task": 100}

    def bring(self, raw: Path) -> bool:
        """Link the pool into the folder of raw pools; False where it is absent."""
        source = (DATA / self.place).resolve()
        if not source.exists():
            return False
        raw.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            (raw / self.name).symlink_to(source)
        else:
            (raw / self.name).mkdir()
            (raw / self.name / source.name).symlink_to(source)
        return True


SUPERNI = {
    "reader": "super_natural_instructions",
    "instances_per_task": 200,
    "test_instances_per_task": 100,
    "language": "English",
}
NIV1 = {"reader": "natural_instructions_v1", "instances_per_task": 150}
BIGBENCH = {"reader": "bigbench", "examples_per_task": 1000}
PAIRS = {"reader": "p3", "examples_per_task": 100_000, "templates": "all", "held_out": []}
T0 = {"reader": "p3_rendered", "examples_per_template": 50, "held_out": []}
INDUCE = {"reader": "instruction_induction", "part": "induce"}
EXECUTE = {"reader": "instruction_induction", "part": "execute"}
CHAT = {"reader": "chat"}
POOLS = [
    Published("superni", "super_natural_instructions", SUPERNI, 802, 141_836, target=("split", "test")),
    Published("niv1", "natural_instructions_v1", NIV1, 61, 8_963, target=("split", "test")),
    Published("bigbench", "bigbench", BIGBENCH, 920, 37_896),
    Published("bbh", "bbh", {"reader": "bbh"}, 19, 4_687),
    Published("p3", "p3_pairs", PAIRS, 17, 88_071, target=("tasks", "p3:super_glue:copa")),
    Published("t0", "p3_rendered_t0", T0, 37, 13_898, target=("tasks", "t0:ag_news")),
    Published("induce", "instruction_induction", INDUCE, 24, 4_258),
    Published("execute", "instruction_induction", EXECUTE, 24, 2_156),
    Published("lima", "instruction_chat/lima_messages.jsonl.gz", CHAT, 1, 1_030, 30),
    Published("alpagasus-dolly", "instruction_chat/alpagasus_dolly_3k_messages.jsonl.gz", CHAT, 1, 2_996),
    Published("alpagasus-alpaca", "instruction_chat/alpagasus_claude_t45_messages.jsonl.gz", CHAT, 1, 5_305),
    Published("dolly", "instruction_chat/dolly_3k.jsonl.gz", CHAT, 1, 2_996),
    Published("helpfulness", "instruction_chat/alpaca_helpfulness_t45.jsonl.gz", CHAT, 1, 2_022),
]
