"""Known traps of evaluation by log-likelihood and generation, on the path of benchmarks (lm-eval's model behind a journal)."""

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from makers import overfit

from instune.errors import InputError
from instune.evaluation.journal import Journal
from instune.evaluation.journaled import JournaledLM
from instune.evaluation.streaming import StreamingLM

PAIRS = [
    ("The apple is", " red"),
    ("Say yes or no.", " no no no"),
    ("a", " 1 2 3"),
    ("Name the colour. " * 9 + "?", " é"),
    ("x y\n", "z"),
]
MORE = [("Output:", " a b"), ("1", " 2"), ("no", " yes")]


def requests_of(pairs, kind="loglikelihood"):
    return [Instance(kind, {}, arguments, 0, ("tiny", number, 1)) for number, arguments in enumerate(pairs)]


@pytest.fixture
def open_lm(tiny_model, tokenizer, tmp_path):
    def opened(batch_size=2, name="a"):
        peer = HFLM(pretrained=tiny_model, tokenizer=tokenizer, batch_size=batch_size)
        journal = Journal(tmp_path / f"{name}.jsonl")
        known = {"contexts": batch_size, "shrink": lambda: False, "seed": 0, "device": torch.device("cpu")}
        return JournaledLM(peer, journal, **known)

    return opened


@pytest.fixture
def streaming(tiny_model, tokenizer, tmp_path):
    return StreamingLM(tiny_model, tokenizer, Journal(tmp_path / "s.jsonl"), batch_size=2, max_tokens=300)


def full_forward(model, tokenizer, context, continuation):
    """Log-likelihood by one pass over context and continuation, tokenized apart."""
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (context, continuation)]
    with torch.no_grad():
        scores = model(torch.tensor([ids[0] + ids[1]])).logits[0].log_softmax(-1)
    return sum(scores[len(ids[0]) + place - 1, token].item() for place, token in enumerate(ids[1]))


def test_batches_of_1_and_8_give_the_log_likelihoods_of_a_bare_pass(open_lm, tiny_model, tokenizer):
    requests = requests_of(PAIRS[:4] + MORE)
    alone, together = (open_lm(size, str(size)).loglikelihood(requests) for size in (1, 8))
    for request, (one, _), (other, _) in zip(requests, alone, together, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
        assert one == pytest.approx(full_forward(tiny_model, tokenizer, *request.args), abs=1e-4)


def test_a_continuation_that_merges_into_the_prompt_is_refused_with_its_document(open_lm):
    requests = requests_of([("The apple is", " red"), ("p", "p"), ("a", " b")])
    with pytest.raises(InputError, match=r"task tiny, document 1: lm-eval cannot ask for 'p' \(the tokenizer merges all of it"):
        open_lm(8).loglikelihood(requests)


def test_a_trailing_space_belongs_to_the_continuation(open_lm, streaming):
    pairs = requests_of([("The apple is", " red"), ("The apple is ", "red")])
    for lm in (open_lm(), streaming):
        (before, _), (behind, _) = lm.loglikelihood(pairs)
        assert before == pytest.approx(behind, abs=1e-5)


def test_a_generation_stops_at_the_models_terminator_and_at_a_blank_line_only_where_the_task_says_so(
    open_lm, streaming, tiny_model, tokenizer
):
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "red?"}], tokenize=False, add_generation_prompt=True)
    overfit(tiny_model, tokenizer, prompt, "yes\n\nno<|im_end|>\n1 2 3")
    settings = {"max_gen_toks": 30, "do_sample": False}
    asked = requests_of(
        [(prompt, settings | {"until": ["<|im_end|>"]}), (prompt, settings | {"until": ["\n\n"]})], "generate_until"
    )
    for lm in (open_lm(), streaming):
        assert lm.generate_until(asked) == ["yes\n\nno", "yes"]


def test_an_answer_of_nothing_is_an_answer(tmp_path, open_lm, tiny_model, tokenizer):
    overfit(tiny_model, tokenizer, "red?", "<|im_end|>")
    settings = {"max_gen_toks": 5, "do_sample": False, "until": []}
    asked = requests_of([("red?", settings)], "generate_until")
    assert open_lm().generate_until(asked) == [""]
    assert list(Journal(tmp_path / "a.jsonl").answers.values()) == [""]
