import json
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.api.instance import Instance
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from makers import make_example, make_task

from instune.errors import InputError
from instune.evaluation import streaming
from instune.evaluation.decoding import Generation
from instune.evaluation.journal import Journal
from instune.evaluation.predict import pool_tasks, predict
from instune.evaluation.streaming import StreamingLM, cut_at
from instune.evaluation.tasks import Prompter
from instune.prompts import Prompt
from instune.tuning.labels import build_row

PROMPT = Prompt(
    template="chat",
    instruction_position="before",
    wording="any",
    exemplars=1,
    max_instruction_tokens=40,
    max_input_tokens=40,
    max_tokens=200,
)
TASKS = {f"task{number}": make_task(number) for number in range(2)}
EXAMPLES = {
    name: [make_example(task, number, text="red apple " * number + "?", output="yes " * number + "no") for number in range(1, 5)]
    for name, task in TASKS.items()
}


def open_lm(model, tokenizer, path, batch_size=2):
    return StreamingLM(model, tokenizer, Journal(path / "answers.jsonl"), batch_size=batch_size, max_tokens=PROMPT.max_tokens)


def questions(tokenizer, prompt=PROMPT):
    prompter = Prompter(prompt, tokenizer, max_new_tokens=6, seed=0, seq2seq=False)
    return pool_tasks(TASKS, EXAMPLES, prompter, max_new_tokens=6)


def test_scored_ids_are_those_of_the_training_row(tiny_model, tokenizer, tmp_path):
    lm = open_lm(tiny_model, tokenizer, tmp_path)
    prompter = Prompter(PROMPT, tokenizer, max_new_tokens=6, seed=0, seq2seq=False)
    for task, example in ((TASKS[name], example) for name in TASKS for example in EXAMPLES[name]):
        document = prompter.document(task, example)
        wording = next(text for text in task.wordings if text in document.text)
        row = build_row(
            task,
            example,
            tokenizer=tokenizer,
            prompt=prompter.template,
            wording=wording,
            exemplars=task.positive_examples[:1],
            output=example.references[0],
            max_tokens=PROMPT.max_tokens,
            max_instruction_tokens=PROMPT.max_instruction_tokens,
            max_input_tokens=PROMPT.max_input_tokens,
        )
        asked = lm.likelihood_request(document.text, document.reference)
        generated = lm.generation_request(document.text, {"until": [prompter.template.terminator], "max_gen_toks": 6})
        assert asked.ids == generated.ids == row.input_ids[: document.tokens]
        assert asked.ids + asked.continuation == row.input_ids[: len(asked.ids) + len(asked.continuation)]
        assert asked.continuation[-1] == tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert not asked.cut
        assert not asked.merged


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(context=st.text(min_size=1, max_size=30), continuation=st.text(min_size=1, max_size=20))
def test_every_character_of_the_continuation_is_scored(context, continuation, tiny_model, tokenizer, tmp_path):
    request = open_lm(tiny_model, tokenizer, tmp_path).likelihood_request(context, continuation)
    whole = tokenizer.decode(request.ids + request.continuation, skip_special_tokens=False)
    swallowed = tokenizer.decode(request.continuation, skip_special_tokens=False) == context + continuation
    assert whole == ("<|im_end|>" if swallowed else "") + context + continuation
    assert len(tokenizer.decode(request.continuation, skip_special_tokens=False)) >= len(continuation)


def test_a_context_that_the_continuation_swallows_leaves_the_token_before_all_text(tiny_model, tokenizer, tmp_path):
    request = open_lm(tiny_model, tokenizer, tmp_path).likelihood_request("p", "p")
    assert tokenizer.decode(request.continuation) == "pp"
    assert (request.ids, request.merged) == ([tokenizer.eos_token_id], True)


def test_a_merge_across_the_border_is_scored_whole_and_marked(tiny_model, tokenizer, tmp_path):
    request = open_lm(tiny_model, tokenizer, tmp_path).likelihood_request("The", " apple")
    assert not request.merged
    request = open_lm(tiny_model, tokenizer, tmp_path).likelihood_request("The appl", "e is red")
    assert request.merged
    assert tokenizer.decode(request.continuation) == " apple is red"


def test_a_continuation_longer_than_the_room_is_cut_and_marked(tiny_model, tokenizer, tmp_path):
    lm = open_lm(tiny_model, tokenizer, tmp_path)
    request = lm.likelihood_request("red", "q" * 500)
    assert request.cut
    assert len(request.ids) + len(request.continuation) == PROMPT.max_tokens
    with pytest.raises(InputError, match="leaves no room"):
        lm.likelihood_request("q" * 500, "red")


def test_answers_equal_those_of_lm_evals_own_model(tiny_model, tokenizer, tmp_path):
    peer = HFLM(pretrained=tiny_model, tokenizer=tokenizer, backend="causal", batch_size=1, add_bos_token=False)
    ours, tasks = open_lm(tiny_model, tokenizer, tmp_path, batch_size=4), questions(tokenizer)
    theirs = evaluate(peer, {"tasks": tasks}, bootstrap_iters=0, log_samples=True)["samples"]
    rows = {row.place: row for row in predict(ours, questions(tokenizer), weights="w")}
    for name, samples in theirs.items():
        for sample, document in zip(samples, tasks[name].documents, strict=True):
            row = rows[name, document.example.example_id]
            assert row.output == sample["filtered_resps"][0]
            # the peer moves the template's last line end into the continuation and scores it too; asked for that, ours agrees
            moved = (document.text.rstrip(), "\n" + document.reference)
            ((value, greedy),) = ours.loglikelihood([Instance("loglikelihood", {}, moved, 0, (name, 0, 1))])
            assert value == pytest.approx(sample["filtered_resps"][1][0], abs=1e-4)
            assert greedy == sample["filtered_resps"][1][1]
            assert -row.nll > value


def count_batches(lm, tasks, limit=None):
    """Batches asked of the model until done, or until a kill in batch number `limit`."""
    asked = []

    def spy(real):
        def call(*arguments, **settings):
            if limit is not None and len(asked) == limit:
                raise KeyboardInterrupt
            asked.append(arguments)
            return real(*arguments, **settings)

        return call

    with (
        patch.object(streaming, "generate", spy(streaming.generate)),
        patch.object(streaming, "likelihoods", spy(streaming.likelihoods)),
    ):
        try:
            return len(asked), predict(lm, tasks, weights="w"), asked
        except KeyboardInterrupt:
            return len(asked), None, asked


@pytest.mark.parametrize("killed_in", [0, 3, 5])
def test_a_killed_evaluation_repeats_none_and_ends_as_an_unbroken_one(tiny_model, tokenizer, tmp_path, killed_in):
    whole = predict(open_lm(tiny_model, tokenizer, tmp_path / "whole"), questions(tokenizer), weights="w")
    first = open_lm(tiny_model, tokenizer, tmp_path)
    _, rows, asked = count_batches(first, questions(tokenizer), limit=killed_in)
    assert rows is None
    with first.journal.path.open("a") as file:
        file.write('{"key": "torn')
    again = open_lm(tiny_model, tokenizer, tmp_path)
    _, rows, later = count_batches(again, questions(tokenizer))
    assert rows == whole
    assert len(asked) == killed_in
    assert len(asked) + len(later) == 8  # eight prompts, two requests each, two a batch
    keys = [json.loads(line)["key"] for line in again.journal.path.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 16


def test_batch_size_changes_no_output_and_no_likelihood(tiny_model, tokenizer, tmp_path):
    alone = predict(open_lm(tiny_model, tokenizer, tmp_path / "1", batch_size=1), questions(tokenizer), weights="w")
    together = predict(open_lm(tiny_model, tokenizer, tmp_path / "8", batch_size=8), questions(tokenizer), weights="w")
    for one, other in zip(alone, together, strict=True):
        assert one.output == other.output
        assert one.nll == pytest.approx(other.nll, abs=1e-4)


def test_requests_of_other_lengths_and_stops_never_share_a_batch(tiny_model, tokenizer, tmp_path):
    lm = open_lm(tiny_model, tokenizer, tmp_path, batch_size=8)
    prompts = [
        ("red", {"until": [], "max_gen_toks": 3}),
        ("red", {"until": [], "max_gen_toks": 9}),
        ("red", {"until": ["e"], "max_gen_toks": 3}),
    ]
    requests = [Instance("generate_until", {}, arguments, number, ("t", number, 1)) for number, arguments in enumerate(prompts)]
    lm.generate_until(requests)
    tokens = [lm.generation(lm.generation_request(*arguments)).tokens for arguments in prompts]
    assert tokens[0] == tokens[2] == 3
    assert tokens[1] == 9


def test_stop_strings_cut_the_text_at_the_first_one():
    assert cut_at(Generation("one END two STOP", 9, "length"), ["STOP", "END"]) == Generation("one ", 9, "stop")
    assert cut_at(Generation("one", 9, "length"), ["STOP"]) == Generation("one", 9, "length")
