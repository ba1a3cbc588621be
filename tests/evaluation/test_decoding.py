import pytest
import torch
from makers import overfit
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    M2M100Config,
    M2M100ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from instune.evaluation.decoding import generate, likelihoods, make_greedy, own_stops, pad

PROMPTS = ["The apple is red.", "a", "Say yes or no. " * 5, "1 2 3 a b c", "Input: a b\nOutput:", "x y", "red " * 9, "no"]
ANSWERS = ["yes", "no no no", "a", "The apple is red. The apple is red.", "\n\n", "1 2", "blue", "d c b a"]


def ids_of(tokenizer, texts):
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]


@pytest.fixture
def gpt2(tokenizer):
    """Absolute positions: a row that padding shifts gets other logits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = {"n_positions": 128, "n_embd": 32, "n_layer": 2, "n_head": 2}
        return GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), eos_token_id=2, bos_token_id=2, **size)).eval()


@pytest.fixture
def t5(tokenizer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        size = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        config = T5Config(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, **size)
        return T5ForConditionalGeneration(config).eval()


def full_forward(model, context, continuation):
    """Log-likelihood by one unpadded forward pass over the whole row, every logit computed."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([context + continuation])).logits[0].double().log_softmax(-1)
    return sum(logits[len(context) + place - 1, token].item() for place, token in enumerate(continuation))


@pytest.mark.parametrize("name", ["tiny_model", "gpt2"])
def test_likelihoods_equal_a_full_forward_of_each_row(name, tokenizer, request):
    model = request.getfixturevalue(name)
    contexts, answers = ids_of(tokenizer, PROMPTS), ids_of(tokenizer, ANSWERS)
    together = likelihoods(model, contexts, answers, pad_token=tokenizer.pad_token_id)
    for context, answer, found in zip(contexts, answers, together, strict=True):
        assert found.value == pytest.approx(full_forward(model, context, answer), abs=1e-4)
        assert found.tokens == len(answer)
        (alone,) = likelihoods(model, [context], [answer], pad_token=tokenizer.pad_token_id)
        assert found.value == pytest.approx(alone.value, abs=1e-4)


@pytest.mark.parametrize("name", ["tiny_model", "gpt2"])
def test_batched_generation_equals_bare_generation_of_each_prompt(name, tokenizer, request):
    model = request.getfixturevalue(name)
    make_greedy(model)
    prompts = ids_of(tokenizer, PROMPTS)
    together = generate(model, tokenizer, prompts, stops=[2], max_new_tokens=12)
    for prompt, found in zip(prompts, together, strict=True):
        bare = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=2, pad_token_id=0)
        row = bare[0, len(prompt) :].tolist()
        assert found.text == tokenizer.decode(row, skip_special_tokens=True)
        assert found.tokens == len(row)


def test_greedy_flag_is_that_of_the_generation(tiny_model, tokenizer):
    make_greedy(tiny_model)
    (prompt,) = ids_of(tokenizer, ["The apple"])
    row = tiny_model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=5, eos_token_id=2, pad_token_id=0)
    taken = row[0, len(prompt) :].tolist()
    other = [*taken[:-1], (taken[-1] + 1) % len(tokenizer)]
    found = likelihoods(tiny_model, [prompt, prompt], [taken, other], pad_token=0)
    assert [item.greedy for item in found] == [True, False]


@pytest.fixture
def m2m(tokenizer):
    """Its class has no shift of labels of its own; NLLB's is the same."""
    part = {"layers": 1, "attention_heads": 2, "ffn_dim": 16}
    both = {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in part.items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return M2M100ForConditionalGeneration(M2M100Config(vocab_size=len(tokenizer), d_model=16, pad_token_id=0, **both)).eval()


@pytest.mark.parametrize("kind", ["t5", "m2m"])
def test_seq2seq_likelihoods_equal_the_loss_of_each_row(request, tokenizer, kind):
    model = request.getfixturevalue(kind)
    contexts, answers = ids_of(tokenizer, PROMPTS), ids_of(tokenizer, ANSWERS)
    together = likelihoods(model, contexts, answers, pad_token=tokenizer.pad_token_id)
    for context, answer, found in zip(contexts, answers, together, strict=True):
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([context]), labels=torch.tensor([answer])).loss.item()
        assert found.value == pytest.approx(-loss * len(answer), abs=1e-3)


def test_seq2seq_generation_equals_bare_generation(t5, tokenizer):
    make_greedy(t5)
    prompts = ids_of(tokenizer, PROMPTS)
    for prompt, found in zip(prompts, generate(t5, tokenizer, prompts, stops=[2], max_new_tokens=6), strict=True):
        bare = t5.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=6, eos_token_id=2, pad_token_id=0)
        assert found.text == tokenizer.decode(bare[0, 1:], skip_special_tokens=True)


def test_generation_stops_at_the_terminator_and_not_at_a_blank_line(tiny_model, tokenizer):
    overfit(tiny_model, tokenizer, "The apple is red.", "yes\n\nno<|im_end|>\n1 2 3")
    make_greedy(tiny_model)
    (found,) = generate(tiny_model, tokenizer, ids_of(tokenizer, ["The apple is red."]), stops=[2], max_new_tokens=30)
    assert (found.text, found.finish) == ("yes\n\nno", "stop")
    assert found.tokens == len(tokenizer("yes\n\nno<|im_end|>", add_special_tokens=False)["input_ids"])
    (cut,) = generate(tiny_model, tokenizer, ids_of(tokenizer, ["The apple is red."]), stops=[2], max_new_tokens=2)
    assert (cut.tokens, cut.finish) == (2, "length")


def test_a_pad_token_that_is_also_eos_changes_nothing(tiny_model, tokenizer):
    make_greedy(tiny_model)
    contexts, answers = ids_of(tokenizer, PROMPTS), [[*row, 2] for row in ids_of(tokenizer, ANSWERS)]
    own, shared = (likelihoods(tiny_model, contexts, answers, pad_token=token) for token in (0, 2))
    assert [item.value for item in own] == [item.value for item in shared]


def test_a_models_own_sampling_and_penalties_are_dropped_and_its_eos_ids_kept(tiny_model, tokenizer):
    prompts = ids_of(tokenizer, PROMPTS)
    make_greedy(tiny_model)
    plain = generate(tiny_model, tokenizer, prompts, stops=[2], max_new_tokens=8)
    tiny_model.generation_config.update(do_sample=True, temperature=5.0, repetition_penalty=3.0, eos_token_id=[2, 7])
    assert own_stops(tiny_model) == {2, 7}
    make_greedy(tiny_model)
    assert generate(tiny_model, tokenizer, prompts, stops=[2], max_new_tokens=8) == plain


def test_padding_masks_by_position_on_either_side():
    ids, mask = pad([[5, 6], [7]], token=5, left=True)
    assert (ids.tolist(), mask.tolist()) == ([[5, 6], [5, 7]], [[1, 1], [0, 1]])
    ids, mask = pad([[5, 6], [7]], token=5)
    assert (ids.tolist(), mask.tolist()) == ([[5, 6], [7, 5]], [[1, 1], [1, 0]])
