import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from instune.evaluation.journal import Journal
from instune.evaluation.journaled import JournaledLM, chunks, keys_of

GREEDY, DRAWN = {"until": ["e"], "do_sample": False}, {"until": ["e"], "do_sample": True}


class Counting(LM):
    """Answers with the length of what it is asked, and a number drawn where answers are drawn; takes `room` requests at once."""

    def __init__(self, room: int = 100) -> None:
        super().__init__()
        self.room, self.asked = room, []

    def loglikelihood(self, requests, disable_tqdm=False):
        if len(requests) > self.room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        self.asked.append([request.args for request in requests])
        return [(-float(len(context + text)), False) for context, text in self.asked[-1]]

    def loglikelihood_rolling(self, requests, disable_tqdm=False):
        return [-float(len(request.args[0])) for request in requests]

    def generate_until(self, requests, disable_tqdm=False):
        self.asked.append([request.args for request in requests])
        return [f"{request.args[0]}{torch.rand(1).item() if request.args[1]['do_sample'] else ''}" for request in requests]


def requests_of(kind, arguments):
    return [Instance(kind, {}, args, number, ("t", number, 1)) for number, args in enumerate(arguments)]


def journaled(lm, path, contexts=2, shrink=lambda: False, seed=0):
    return JournaledLM(lm, Journal(path / "a.jsonl"), contexts=contexts, shrink=shrink, seed=seed, device=torch.device("cpu"))


def test_continuations_of_a_context_share_a_chunk_and_the_longest_come_first():
    asked = requests_of("loglikelihood", [("a", "1"), ("ccc", "1"), ("bb", "1"), ("ccc", "2"), ("a", "22"), ("dd", "3")])
    keys = dict(zip(keys_of("loglikelihood", asked), asked, strict=True))
    found = [{keys[key].args for key in chunk} for chunk in chunks(keys, 2)]
    assert found == [{("ccc", "1"), ("ccc", "2"), ("bb", "1")}, {("dd", "3"), ("a", "1"), ("a", "22")}]


def test_generations_with_other_settings_never_share_a_chunk():
    asked = requests_of("generate_until", [("a", GREEDY), ("b", GREEDY | {"max_gen_toks": 3}), ("c", GREEDY)])
    keys = dict(zip(keys_of("generate_until", asked), asked, strict=True))
    assert sorted(len(chunk) for chunk in chunks(keys, 10)) == [1, 2]


def test_equal_questions_are_asked_once_and_drawn_ones_as_often_as_they_stand(tmp_path):
    lm = Counting()
    texts = journaled(lm, tmp_path, contexts=9).generate_until(
        requests_of("generate_until", [("a", GREEDY)] * 3 + [("b", DRAWN)] * 3)
    )
    assert texts[:3] == ["a"] * 3
    assert len(set(texts[3:])) == 3
    assert sorted(map(len, lm.asked)) == [1, 3]


def test_what_is_drawn_depends_on_the_seed_alone_and_not_on_where_a_run_was_killed(tmp_path):
    asked = requests_of("generate_until", [("a", DRAWN), ("bb", DRAWN), ("ccc", DRAWN)] * 2)
    torch.manual_seed(1)
    whole = journaled(Counting(), tmp_path / "1", contexts=1).generate_until(asked)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    journal = tmp_path / "1/a.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:2]))
    assert journaled(Counting(), tmp_path / "1", contexts=1).generate_until(asked) == whole
    assert torch.equal(torch.random.get_rng_state(), before)
    assert journaled(Counting(), tmp_path / "2", contexts=1, seed=1).generate_until(asked) != whole


def test_a_resumed_run_asks_whole_chunks_that_are_not_answered_and_no_others(tmp_path):
    asked = requests_of("loglikelihood", [("a" * number, text) for number in range(1, 8) for text in ("x", "y")])
    lm = Counting()
    wanted = journaled(lm, tmp_path / "whole").loglikelihood(asked)
    assert wanted == [(-float(len("".join(request.args))), False) for request in asked]
    journal = tmp_path / "whole/a.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:8]))
    again = Counting()
    assert journaled(again, tmp_path / "whole").loglikelihood(asked) == wanted
    assert again.asked == lm.asked[2:]


def test_log_likelihoods_of_texts_and_of_continuations_are_other_answers(tmp_path):
    lm = journaled(Counting(), tmp_path)
    assert lm.loglikelihood_rolling(requests_of("loglikelihood_rolling", [("abc",)])) == [-3.0]
    assert lm.loglikelihood(requests_of("loglikelihood", [("abc", "d")])) == [(-4.0, False)]


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_other_errors_pass(tmp_path):
    lm, rows = Counting(room=2), [8]

    def shrink():
        rows[0] //= 2
        lm.room *= 2
        return rows[0] >= 1

    asked = requests_of("loglikelihood", [(letter, "x") for letter in "abcdefgh"])
    assert len(journaled(lm, tmp_path / "1", contexts=8, shrink=shrink).loglikelihood(asked)) == 8
    assert rows == [2]
    with pytest.raises(RuntimeError, match="allocate"):
        journaled(Counting(room=2), tmp_path / "2", contexts=8).loglikelihood(asked)
    lm = Counting()
    lm.loglikelihood = lambda *_, **__: 1 / 0
    with pytest.raises(ZeroDivisionError):
        journaled(lm, tmp_path / "3", shrink=lambda: True).loglikelihood(asked)
