"""Every published pool through one params entry, and its text into training rows."""

from __future__ import annotations

import random

import pytest
from pydantic import TypeAdapter

from instune.conversations import is_conversation
from instune.pools.problems import Problems
from instune.pools.readers import PoolSettings, read_pool
from instune.prompts import choose_wording, load_template, render
from tests.pools.published import DATA, POOLS

SAMPLE = 200


def text_of(task, example, template, wording):
    return "".join(
        span.text for span in render(task, example, prompt=template, wording=wording, output=example.references[0])
    ).encode()


@pytest.mark.parametrize("published", POOLS, ids=lambda published: published.name)
def test_a_published_pool_is_read_whole_and_rendered_as_it_is(tmp_path, tokenizer, published):
    if not published.bring(tmp_path):
        pytest.skip(f"{DATA / published.place} is absent")
    problems = Problems(tmp_path / published.name, strict=True)
    settings = TypeAdapter(PoolSettings).validate_python(published.entry)
    found = list(read_pool(tmp_path, published.name, settings, problems))
    assert (len(found), sum(len(rows) for _, rows in found)) == (published.tasks, published.examples)
    every = [(task, example) for task, rows in found for example in rows]
    turns = [(task, example) for task, example in every if is_conversation(example)]
    assert len(turns) == published.several_turns
    sample = random.Random(0).sample([pair for pair in every if not is_conversation(pair[1])], SAMPLE)
    for name in ("chat", "plain", "alpaca", "tk_instruct", "tulu"):
        template = load_template(name, tokenizer)
        for task, example in sample:
            own = choose_wording(task, example, how="definition", seed=0)
            for wording in dict.fromkeys((own, *task.wordings)):
                text = text_of(task, example, template, wording)
                parts = (wording, example.input, example.references[0] + template.terminator)
                assert all(part.encode() in text for part in parts)
    for name in ("chat", "tulu"):
        for task, example in turns:
            text, place = text_of(task, example, load_template(name, tokenizer), ""), 0
            for message in example.messages:
                place = text.index(message.content.encode(), place) + len(message.content.encode())
