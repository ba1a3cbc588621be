from typing import get_args

import pytest

from instune.bilevel.parameterizations.methods import METHODS
from instune.report.asked import INSTRUCTIONS, LOSSES, SOURCES, model_name, question
from instune.selection.settings import Select
from tests.report.made import SELECTION, load, scores


@pytest.fixture(scope="module")
def params(tmp_path_factory):
    return load(tmp_path_factory.mktemp("run")).params


def test_the_question_of_the_made_run_in_words(params):
    assert question(params, scores(), SELECTION) == (
        "Can smollm2-135m-instruct become better at the test split (3 tasks; pool: playground)? It was fine-tuned on 2 source"
        " tasks, the 2 for each target whose instructions are most like the target's; with the pool's own instructions; with loss"
        " on the outputs alone."
    )


def test_every_method_of_every_step_has_words():
    assert set(SOURCES) == set(get_args(Select.model_fields["method"].annotation))
    assert {"human", *METHODS} == set(INSTRUCTIONS)
    assert set(LOSSES) == {"it", "im", "all", "released_im"}


def test_tasks_drawn_by_chance_are_not_said_to_be_like_the_target(params):
    said = question(params | {"select": {"method": "random", "top_k": 7}}, scores(), SELECTION)
    assert "7 for each target, drawn at random;" in said
    assert "most like" not in said


def test_examples_that_nobody_learned_are_called_so(params):
    optimize = {"method": "extractor_direct", "extractor": {"choose": "fixed"}}
    assert "worked examples that nobody learned (fixed)" in question(params | {"optimize": optimize}, scores(), SELECTION)
    optimize = {"method": "extractor_direct", "extractor": {"choose": "learned"}}
    assert "chosen for each task by learned weights" in question(params | {"optimize": optimize}, scores(), SELECTION)


def test_weights_by_segment_and_a_nameless_model_are_told(params):
    finetune = params["finetune"] | {"loss_mask": {"input": 0.1, "output": 1.0}}
    said = question(params | {"finetune": finetune, "base_model": {"source": "from_scratch"}}, scores(), SELECTION)
    assert said.startswith("Can a model trained from scratch become better")
    assert said.endswith("with a loss weight of its own for every part of a row.")
    assert model_name({"base_model": {"name": "org/model"}}) == "org/model"


def test_one_task_is_no_plural(params):
    said = question(params, scores() | {"tasks_scored": 1}, SELECTION | {"selected": ["a"]})
    assert "(1 task;" in said
    assert "on 1 source task," in said
