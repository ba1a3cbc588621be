import pytest

from instune.pools.promptsource import PromptTemplate, wording
from tools.fidelity.texts import CLEANINGS, NAME, SUPERNI, big_bench_texts, cleaned, first_branches, without_details

COPA = PromptTemplate(
    "copa",
    '{{ premise }} "{{choice1}}" or {{ answer_choices[1] }}?\n{% if question == "cause" %}Why{% else %}Then{% endif %} '
    '{{"always"}} Answer: ||| {{ answer_choices[label] }}',
    None,
    True,
    (),
)


def test_a_cleaning_replaces_variables_and_keeps_the_words():
    assert cleaned(COPA) == 'text "text" or text? Why Then always Answer:'
    assert cleaned(COPA, variable="{{text}}", choices="{{candidate}}").startswith('{{text}} "{{candidate}}" or {{candidate}}?')
    assert cleaned(COPA, whole=True).endswith("Answer: text")
    assert cleaned(COPA, literals=False, first_branch=True, quotes=False, labels=False) == "text text or text? Why"


def test_replacements_in_a_row_become_one_and_others_stay():
    template = PromptTemplate("t", "{{a}} {{b}}, {{c}} of {{d}} context", None, True, ())
    assert cleaned(template, merged=True) == "text of text context"
    assert cleaned(template) == "text text, text of text context"


def test_the_reference_is_what_the_library_writes():
    assert cleaned(COPA, **CLEANINGS["'text'"]) == wording(COPA)


def test_a_variables_name_is_the_first_in_its_expression():
    assert cleaned(COPA, variable=NAME) == 'premise "choice1" or answer choices? Why Then always Answer:'


def test_nothing_but_a_variable_leaves_a_word():
    assert cleaned(PromptTemplate("t", "{{a}} ||| {{b}}", None, True, ()), variable=" ").strip() == ""
    assert cleaned(PromptTemplate("t", "||| {{b}}", None, True, ())) == "text"


@pytest.mark.parametrize(
    ("jinja", "kept"),
    [
        ("a {% if x %}b{% elif y %}c{% else %}d{% endif %} e", "a b e"),
        ("{% if x %}a {% if y %}b{% else %}c{% endif %} d{% else %}e{% endif %}", "a b d"),
        ("{% for z in x %}a{% endfor %}", "{% for z in x %}a{% endfor %}"),
    ],
)
def test_only_first_branches_are_kept(jinja, kept):
    assert " ".join(first_branches(jinja).split()) == kept


def test_the_prompt_frame_has_big_benchs_defaults_where_the_task_has_none():
    record = {"description": "Add.", "keywords": ["sums", "easy"]}
    ways = big_bench_texts(record, "text", "candidate")
    assert ways["prompt frame"] == ["Q: text choice: candidate choice: candidate A:"]
    assert ways["task prefix"] == ways["description"] == ways["description; task prefix"] == ["Add."]
    assert ways["keywords"] == ["sums, easy"]
    own = record | {
        "task_prefix": "Sum up.\n",
        "example_input_prefix": "\nIn: ",
        "example_output_prefix": "\nOut: ",
        "append_choices_to_input": False,
    }
    assert big_bench_texts(own, "text", None)["description; prompt frame"] == ["Add.", "Sum up. In: text Out:"]


def test_details_of_a_definition_are_left_out_but_not_its_first_sentence():
    definition = "In this task, you should be brief. Good questions are short. The passage is a story. Do not guess."
    assert without_details(definition) == "you should be brief. The passage is a story."


def test_every_way_of_saying_a_superni_task_gives_text():
    task = {
        "task": "task1_a_b",
        "summary": None,
        "Categories": ["Counting"],
        "Definition": ["In this task, count. Do it."],
        "Positive Examples": [{"input": "x", "output": "y"}],
    }
    assert all(text.strip() for way in SUPERNI.values() for text in way(task))
    assert SUPERNI["definition; with 2 examples"](task)[1] == "In this task, count. Do it.\nInput: x\nOutput: y"
