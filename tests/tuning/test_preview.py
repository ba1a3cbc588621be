"""What is shown is what is trained on, and text from data stays text."""

from __future__ import annotations

from makers import make_example, make_task

from instune.prompts import load_template
from instune.tuning.labels import build_row, labels_and_weights, loss_weights
from instune.tuning.preview import Token, counts, page, terminal, tokens_of


def test_tokens_carry_the_weights_of_the_loss(tokenizer):
    task = make_task(0)
    row = build_row(
        task,
        make_example(task, 0),
        tokenizer=tokenizer,
        prompt=load_template("plain", tokenizer),
        wording="unused",
        output="red",
        max_tokens=100,
        max_instruction_tokens=50,
        max_input_tokens=50,
        soft_tokens=2,
    )
    tokens = tokens_of(row, tokenizer, loss_weights("im"))
    assert "".join(token.text for token in tokens) == "\u25c6\u25c6\n\nThe apple 0 is red.\n\nOutput:\nred<|im_end|>"
    assert [token.weight for token in tokens] == labels_and_weights(row, loss_weights("im"))[1]
    assert [token.weight for token in tokens[:2]] == [0.0, 0.0]


def test_counts_by_hand():
    tokens = [Token("a", "input", 0.5), Token("b", "input", 0.0), Token("c", "output", 2.0)]
    assert counts(tokens) == [("input", 2, 1, 0.5), ("output", 1, 1, 2.0)]


def test_page_escapes_text_and_marks_loss_alone():
    html = page({"<t>": [Token("<script>", "input", 0.0), Token("&", "output", 1.0)]}, heading="<h>")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;t&gt;" in html
    assert "&lt;h&gt;" in html
    assert html.count('class="loss"') == 1


def test_terminal_shows_control_characters_of_data_instead_of_sending_them():
    shown = terminal([Token("\x1b[2J", "input", 0.0), Token("red", "output", 1.0)])
    assert "\x1b[2J" not in shown
    assert "\\x1b[2J" in shown
    assert "\x1b[31;7mred\x1b[0m" in shown
