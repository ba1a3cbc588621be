from dataclasses import replace

import pytest
from makers import make_example, make_task

from instune.errors import InputError
from instune.evaluation.tasks import PoolTask, Prompter, first_examples
from instune.prompts import Prompt, choose_wording, load_template, render

PROMPT = Prompt(
    template="chat",
    instruction_position="before",
    wording="any",
    exemplars=2,
    max_instruction_tokens=40,
    max_input_tokens=40,
    max_tokens=200,
)
TASK = make_task(3)


@pytest.mark.parametrize("template", ["chat", "plain"])
@pytest.mark.parametrize("number", range(4))
def test_prompt_is_the_start_of_the_training_text_byte_for_byte(tokenizer, template, number):
    prompter = Prompter(PROMPT.model_copy(update={"template": template}), tokenizer, max_new_tokens=8, seed=5, seq2seq=False)
    example = make_example(TASK, number, text=f"  spaces {number}\n\n and a line ", output="  yes ")
    document = prompter.document(TASK, example)
    wording = choose_wording(TASK, example, how="any", seed=5)
    spans = render(
        TASK,
        example,
        prompt=load_template(template, tokenizer),
        wording=wording,
        exemplars=TASK.positive_examples,
        output=example.references[0],
    )
    trained = "".join(span.text for span in spans)
    assert trained.encode().startswith(document.text.encode() + document.reference.encode())
    assert document.truncated == ()


def test_a_cut_prompt_keeps_template_and_instruction_and_says_what_was_cut(tokenizer):
    prompter = Prompter(PROMPT.model_copy(update={"max_tokens": 80}), tokenizer, max_new_tokens=20, seed=0, seq2seq=False)
    example = make_example(TASK, 1, text="blue über " * 30)
    document = prompter.document(TASK, example)
    assert document.tokens <= 60
    assert document.truncated == ("examples", "input")
    assert document.text.endswith(prompter.template.between)
    assert TASK.wordings[0] in document.text or TASK.wordings[1] in document.text
    assert len(tokenizer(document.text, add_special_tokens=False)["input_ids"]) == document.tokens


def test_a_prompt_that_cannot_fit_is_refused_with_its_name(tokenizer):
    prompter = Prompter(PROMPT.model_copy(update={"max_tokens": 40}), tokenizer, max_new_tokens=30, seed=0, seq2seq=False)
    with pytest.raises(InputError, match=r"task task3, example task3-1: .*Raise prompt\.max_tokens"):
        prompter.document(TASK, make_example(TASK, 1))


def test_no_room_for_a_prompt_is_refused(tokenizer):
    with pytest.raises(InputError, match=r"leaves no room in prompt\.max_tokens: 200"):
        Prompter(PROMPT, tokenizer, max_new_tokens=200, seed=0, seq2seq=False)


def test_choice_tasks_ask_for_each_choice_and_others_do_not(tokenizer):
    prompter = Prompter(PROMPT, tokenizer, max_new_tokens=8, seed=0, seq2seq=False)
    example = replace(make_example(TASK, 1), choices=("red", "blue"))
    counts = []
    for metric in ("rouge_l", "choice"):
        task = replace(TASK, metric=metric)
        asked = PoolTask(task, [prompter.document(task, example)], terminator="<|im_end|>", max_new_tokens=8)
        asked.build_all_requests()
        counts.append([(request.request_type, request.arguments[1]) for request in asked.instances])
    assert [kind for kind, _ in counts[0]] == ["generate_until", "loglikelihood"]
    assert [argument for _, argument in counts[1][1:]] == ["red<|im_end|>", "red", "blue"]


def test_choices_among_which_no_reference_is_are_refused(tokenizer):
    prompter = Prompter(PROMPT, tokenizer, max_new_tokens=8, seed=0, seq2seq=False)
    task = replace(TASK, metric="choice")
    with pytest.raises(InputError, match="task task3, example task3-1: none of the choices"):
        prompter.document(task, replace(make_example(task, 1), choices=("blue", "green")))
    prompter.document(task, replace(make_example(task, 1), choices=("blue", " red")))


def test_the_first_examples_of_each_task_are_taken_in_file_order():
    other = make_task(4)
    mixed = [make_example(task, number) for number in range(3) for task in (TASK, other)]
    taken = first_examples(mixed, 2)
    assert {name: [example.example_id for example in of_task] for name, of_task in taken.items()} == {
        "task3": ["task3-0", "task3-1"],
        "task4": ["task4-0", "task4-1"],
    }
