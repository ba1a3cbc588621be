"""Our language model behind lm-evaluation-harness's own tasks, beside its own Hugging Face model."""

import random

import datasets
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM

from instune.evaluation.journal import Journal
from instune.evaluation.metrics import RANK_METRICS, rank_accuracy
from instune.evaluation.streaming import StreamingLM

ROWS = [
    {"question": "Which colour?", "choices": ["red", "blue or green", "ü"], "gold": 1},
    {"question": "Say yes or no.", "choices": ["yes", "no no no"], "gold": 0},
    {"question": "The apple is", "choices": ["red", "a b c d", "1"], "gold": 2},
    {"question": "Name the colour of the fruit in the text." * 3, "choices": ["text", "fruit", "é é é é"], "gold": 0},
]
NAMES = {"acc": "accuracy", "acc_norm": "accuracy_per_character", "acc_bytes": "accuracy_per_byte"}


def harness_task(name: str, **config) -> ConfigurableTask:
    dataset = {"test": datasets.Dataset.from_list(ROWS)}
    return ConfigurableTask(
        config={
            "task": name,
            "custom_dataset": lambda **_: dataset,
            "test_split": "test",
            "doc_to_text": "{{question}}",
            **config,
        }
    )


def metrics(names):
    return {"metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]}


@pytest.fixture
def tasks():
    choice = harness_task(
        "choice", output_type="multiple_choice", doc_to_choice="{{choices}}", doc_to_target="gold", **metrics(NAMES)
    )
    answer = harness_task(
        "answer",
        output_type="generate_until",
        doc_to_target="{{choices[0]}}",
        generation_kwargs={"until": ["e", "<|im_end|>"], "max_gen_toks": 7, "do_sample": False},
        **metrics(["exact_match"]),
    )
    return {"choice": choice, "answer": answer}


@pytest.fixture
def samples(tasks, tiny_model, tokenizer, tmp_path):
    """Samples of every task by lm-eval's model, then by ours."""
    peer = HFLM(pretrained=tiny_model, tokenizer=tokenizer, backend="causal", batch_size=2, add_bos_token=False)
    theirs = evaluate(peer, {"tasks": tasks}, bootstrap_iters=0)
    ours = StreamingLM(tiny_model, tokenizer, Journal(tmp_path / "a.jsonl"), batch_size=3, max_tokens=300)
    for task in tasks.values():
        task._instances = None
    return theirs, evaluate(ours, {"tasks": tasks}, bootstrap_iters=0)


def test_likelihoods_generations_and_scores_equal_those_of_lm_evals_model(samples):
    theirs, ours = samples
    for peer, own in zip(theirs["samples"]["choice"], ours["samples"]["choice"], strict=True):
        for (value, greedy), (wanted, wanted_greedy) in zip(own["filtered_resps"], peer["filtered_resps"], strict=True):
            assert value == pytest.approx(wanted, abs=1e-4)
            assert greedy == wanted_greedy
    for peer, own in zip(theirs["samples"]["answer"], ours["samples"]["answer"], strict=True):
        assert own["filtered_resps"] == peer["filtered_resps"]
    for name in ("choice", "answer"):
        wanted = {key: value for key, value in theirs["results"][name].items() if "stderr" not in key}
        assert {key: ours["results"][name][key] for key in wanted} == wanted


def test_our_rank_classification_is_that_of_lm_eval(samples):
    for sample in samples[1]["samples"]["choice"]:
        values = [value for value, _ in sample["filtered_resps"]]
        choices, reference = sample["doc"]["choices"], sample["doc"]["choices"][sample["doc"]["gold"]]
        for name, ours in NAMES.items():
            assert rank_accuracy(choices, values, [reference], RANK_METRICS[ours]) == sample[name]


@pytest.mark.parametrize("seed", range(5))
def test_rank_classification_is_that_of_lm_eval_for_any_likelihoods(tasks, seed):
    generator = random.Random(seed)
    for doc in tasks["choice"].test_docs():
        values = [generator.uniform(-20, -1) for _ in doc["choices"]]
        wanted = tasks["choice"].process_results(doc, [(value, False) for value in values])
        for name, ours in NAMES.items():
            assert rank_accuracy(doc["choices"], values, [doc["choices"][doc["gold"]]], RANK_METRICS[ours]) == wanted[name]


def test_an_empty_context_is_scored_behind_the_first_token_as_lm_eval_does(tiny_model, tokenizer, tmp_path):
    requests = [Instance("loglikelihood", {}, ("", "red apple"), 0, ("t", 0, 1))]
    peer = HFLM(pretrained=tiny_model, tokenizer=tokenizer, backend="causal", batch_size=2, add_bos_token=False)
    ((wanted, _),) = peer.loglikelihood(requests)
    ours = StreamingLM(tiny_model, tokenizer, Journal(tmp_path / "a.jsonl"), batch_size=3, max_tokens=300)
    ((value, _),) = ours.loglikelihood(requests)
    assert value == pytest.approx(wanted, abs=1e-4)
