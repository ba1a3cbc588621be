"""Every published pool through one params entry, and its text into training rows."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from instune.pools.problems import Problems
from instune.pools.readers import PoolSettings, read_pool
from instune.prompts import Template, render

DATA = Path("../shared/data")
SUPERNI = {
    "reader": "super_natural_instructions",
    "instances_per_task": 200,
    "test_instances_per_task": 100,
    "language": "English",
}
CHAT = {"reader": "chat"}
POOLS = [  # pool, place, params entry, tasks, examples
    ("superni", "super_natural_instructions", SUPERNI, 802, 141_836),
    ("niv1", "natural_instructions_v1", {"reader": "natural_instructions_v1", "instances_per_task": 150}, 61, 8_963),
    ("bigbench", "bigbench", {"reader": "bigbench", "examples_per_task": 1000}, 920, 37_896),
    ("bbh", "bbh", {"reader": "bbh"}, 19, 4_687),
    ("p3", "p3_pairs", {"reader": "p3", "examples_per_task": 100, "templates": "one_per_row", "held_out": []}, 17, 1_632),
    ("t0", "p3_rendered_t0", {"reader": "p3_rendered", "examples_per_template": 50, "held_out": []}, 37, 13_898),
    ("induce", "instruction_induction", {"reader": "instruction_induction", "part": "induce"}, 24, 4_258),
    ("execute", "instruction_induction", {"reader": "instruction_induction", "part": "execute"}, 24, 2_156),
    ("lima", "instruction_chat/lima_messages.jsonl.gz", CHAT, 1, 1_030),
    ("alpagasus-dolly", "instruction_chat/alpagasus_dolly_3k_messages.jsonl.gz", CHAT, 1, 2_996),
    ("alpagasus-alpaca", "instruction_chat/alpagasus_claude_t45_messages.jsonl.gz", CHAT, 1, 5_305),
    ("dolly", "instruction_chat/dolly_3k.jsonl.gz", CHAT, 1, 2_996),
    ("helpfulness", "instruction_chat/alpaca_helpfulness_t45.jsonl.gz", CHAT, 1, 2_022),
]
TEMPLATE = Template("plain", "", "\n\nOutput:\n", "</s>", "")


@pytest.mark.parametrize(("name", "place", "settings", "tasks", "examples"), POOLS, ids=[pool[0] for pool in POOLS])
def test_a_published_pool_is_read_whole_and_rendered_as_it_is(tmp_path, name, place, settings, tasks, examples):
    source = (DATA / place).resolve()
    if not source.exists():
        pytest.skip(f"{DATA / place} is absent")
    folder = tmp_path / name
    if source.is_dir():
        folder.symlink_to(source)
    else:
        folder.mkdir()
        (folder / source.name).symlink_to(source)
    problems = Problems(folder, strict=True)
    found = list(read_pool(tmp_path, name, TypeAdapter(PoolSettings).validate_python(settings), problems))
    assert (len(found), sum(len(rows) for _, rows in found)) == (tasks, examples)
    every = [(task, example) for task, rows in found for example in rows]
    for task, example in random.Random(0).sample(every, 200):
        for wording in task.wordings:
            spans = render(task, example, prompt=TEMPLATE, wording=wording, output=example.references[0])
            text = "".join(span.text for span in spans).encode()
            assert all(part.encode() in text for part in (wording, example.input, example.references[0] + "</s>"))
