"""What is shown is what is trained on."""

from __future__ import annotations

from makers import make_example, make_task

from instune.prompts import Prompt, load_template
from instune.tuning.labels import loss_weights
from instune.tuning.preview import tokens_of
from instune.tuning.rows import Counts, RowBuilder, Shown
from instune.tuning.tokens import Token, counts

PROMPT = Prompt(
    template="plain",
    wording="any",
    instruction_position="before",
    exemplars=0,
    max_instruction_tokens=50,
    max_input_tokens=50,
    max_tokens=100,
)


def test_tokens_are_those_of_the_row_with_its_weights_and_owners(tokenizer):
    task = make_task(0)
    settings = {"weights": loss_weights("im"), "normalize_by": "weights", "seed": 0, "show": lambda *_: Shown(soft_tokens=2)}
    row = RowBuilder({"task0": task}, tokenizer, load_template("plain", tokenizer), PROMPT, **settings).build(
        make_example(task, 0), Counts()
    )
    tokens = tokens_of(row, tokenizer)
    assert "".join(token.text for token in tokens) == "\u25c6\u25c6\n\nThe apple 0 is red.\n\nOutput:\nred<|im_end|>"
    assert [token.weight for token in tokens] == row.loss_weights
    assert [token.weight for token in tokens[:2]] == [0.0, 0.0]
    owned = {
        segment: "".join(one.text for one in tokens if one.segment == segment) for segment in ("input", "template", "output")
    }
    assert owned == {"input": "The apple 0 is red.", "template": "\n\n\n\nOutput:\n", "output": "red<|im_end|>"}
    assert all((token.weight == 0) == (token.segment in ("template", "instruction")) for token in tokens)


def test_counts_by_hand():
    tokens = [Token("a", "input", 0.5), Token("b", "input", 0.0), Token("c", "output", 2.0)]
    assert counts(tokens) == [("input", 2, 1, 0.5), ("output", 1, 1, 2.0)]
