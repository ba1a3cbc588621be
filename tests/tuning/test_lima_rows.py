"""Every conversation of LIMA becomes a row that holds all its text."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from instune.pools.problems import Problems
from instune.pools.readers import PoolSettings, read_pool
from instune.prompts import SEGMENTS, choose_wording, load_template
from instune.records import Example, Task
from instune.tuning.labels import build_row

LIMA = Path("../shared/data/instruction_chat/lima_messages.jsonl.gz")
LARGE = {"max_tokens": 10**6, "max_instruction_tokens": 10**6, "max_input_tokens": 10**6}
OUTPUT = SEGMENTS.index("output")


@pytest.fixture(scope="module")
def lima(tmp_path_factory) -> list[tuple[Task, Example]]:
    """All 1,030 conversations, 30 of several turns."""
    if not LIMA.exists():
        pytest.skip(f"{LIMA} is absent")
    folder = tmp_path_factory.mktemp("raw") / "lima"
    folder.mkdir()
    (folder / LIMA.name).symlink_to(LIMA.resolve())
    settings = TypeAdapter(PoolSettings).validate_python({"reader": "chat"})
    found = read_pool(folder.parent, "lima", settings, Problems(folder, strict=True))
    return [(task, example) for task, examples in found for example in examples]


@pytest.mark.parametrize("name", ["tulu", "chat"])
def test_every_message_stands_in_its_row_byte_for_byte_in_order(lima, tokenizer, name):
    template, turns = load_template(name, tokenizer), 0
    assert len(lima) == 1030
    for task, example in lima:
        row = build_row(
            task,
            example,
            tokenizer=tokenizer,
            prompt=template,
            wording=choose_wording(task, example, how="any", seed=0),
            output=example.references[0],
            **LARGE,
        )
        assert row.truncated == ()
        text = tokenizer.decode(row.input_ids, clean_up_tokenization_spaces=False).encode()
        place = 0
        for message in example.messages:
            said = (message.content + template.terminator * (message.role == "assistant")).encode()
            assert said in text[place:]
            place = text.index(said, place) + len(said)
        answers = [message.content + template.terminator for message in example.messages if message.role == "assistant"]
        assert not row.merged or any(answer.startswith("\n\n") for answer in answers)  # the line break in front merges with them
        chosen = [token for token, owner in zip(row.input_ids, row.segments, strict=True) if owner == OUTPUT]
        assert row.merged or tokenizer.decode(chosen, clean_up_tokenization_spaces=False) == "".join(answers)
        turns += len(example.messages) > 2
        if name == "chat":
            assert row.text == tokenizer.apply_chat_template([vars(message) for message in example.messages], tokenize=False)
    assert turns == 30
