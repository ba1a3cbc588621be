"""CoQA's prompt and scores beside lm-eval's own, which are given the module that they miss."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import lm_eval.tasks
import pytest


def loaded(path: Path) -> ModuleType:
    """A module that lies beside YAML tasks, as lm-eval loads it."""
    spec = importlib.util.spec_from_file_location(f"coqa_of_{path.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


coqa = loaded(Path(__file__).parents[2] / "benchmarks/im_nlp/coqa.py")
DOC = {
    "story": "Ann has a red hat. Bob has none.",
    "questions": {"input_text": ["Who has a hat?", "What colour?"]},
    "answers": {"input_text": ["Ann", "A red one"]},
    "additional_answers": {
        "0": {"input_text": ["Ann", "red"]},
        "1": {"input_text": ["she", "a RED one"]},
        "2": {"input_text": ["she", "It is red, the hat"]},
    },
}
ALONE = {key: value for key, value in DOC.items() if key != "additional_answers"}


@pytest.fixture
def peer(monkeypatch):
    squad = ModuleType("transformers.data.metrics.squad_metrics")
    squad.compute_exact = lambda gold, answer: int(coqa.words(gold) == coqa.words(answer))
    squad.compute_f1 = coqa.word_f1
    for name in ("transformers.data", "transformers.data.metrics"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, squad.__name__, squad)
    monkeypatch.setattr(sys.modules["transformers.data.metrics"], "squad_metrics", squad, raising=False)
    return loaded(Path(lm_eval.tasks.__file__).parent / "coqa/utils.py")


@pytest.mark.parametrize("doc", [DOC, ALONE])
def test_prompt_references_and_scores_are_those_of_lm_eval(peer, doc):
    assert coqa.prompt(doc) == peer.doc_to_text(doc)
    assert coqa.references(doc) == peer.doc_to_target(doc)
    for answer in ("red", " A red one.\nQ: more", "the hat", "", "...", "it is red"):
        assert coqa.scores(doc, [answer]) == pytest.approx(peer.process_results(doc, [answer]))


def test_the_prompt_ends_with_the_last_question():
    assert coqa.prompt(DOC) == "Ann has a red hat. Bob has none.\n\nQ: Who has a hat?\n\nA: Ann\n\nQ: What colour?\n\nA:"


@pytest.mark.parametrize(
    ("reference", "answer", "wanted"),
    [
        ("A red one", "the red one!", 1.0),
        ("a red hat", "red", 2 / 3),
        ("red red blue", "red", 1 / 2),
        ("the", "...", 1.0),
        ("the", "red", 0.0),
        ("red", "blue", 0.0),
    ],
)
def test_word_f1_by_hand(reference, answer, wanted):
    assert coqa.word_f1(reference, answer) == pytest.approx(wanted)
