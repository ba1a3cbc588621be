from dataclasses import replace

from makers import make_task

from instune.records import Exemplar
from instune.selection.alike import said_alike

EXAMPLES = tuple(Exemplar(f"in {number}", f"out {number}", "why") for number in range(3))
ONE = replace(make_task(1, category="a"), definition="Say one.", wordings=("Say one.",), positive_examples=EXAMPLES)
TWO = replace(make_task(2, category="a"), definition="Say two.", wordings=("Say two.", "Two, say."), positive_examples=())
CHAT = replace(make_task(3, category="b"), definition="", wordings=("",), positive_examples=EXAMPLES)
TARGET = replace(make_task(4, category="a"), definition="Target.", wordings=("Target.",), positive_examples=EXAMPLES)
TASKS = {task.task_id: task for task in (ONE, TWO, CHAT, TARGET)}
SOURCES = [ONE.task_id, TWO.task_id, CHAT.task_id]


def test_wordings_of_a_task_say_the_same_and_targets_and_tasks_without_instruction_have_none():
    assert said_alike(TASKS, SOURCES, "wordings") == {ONE.task_id: ("Say one.",), TWO.task_id: ("Say two.", "Two, say.")}


def test_two_positive_examples_after_the_definition_are_one_more_wording():
    shown = "Say one.\nInput: in 0\nOutput: out 0\nInput: in 1\nOutput: out 1"
    assert said_alike(TASKS, SOURCES, "examples") == {ONE.task_id: ("Say one.", shown), TWO.task_id: ("Say two.", "Two, say.")}


def test_wordings_of_a_category_say_the_same():
    assert said_alike(TASKS, SOURCES, "category") == {"a": ("Say one.", "Say two.", "Two, say.")}
