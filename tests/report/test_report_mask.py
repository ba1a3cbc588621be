"""The mask is shown as it is, and text from data stays text."""

from __future__ import annotations

from instune.prompts import SEGMENTS
from instune.report.mask import HUES, page, table_rows, terminal
from instune.report.page import render
from instune.tuning.tokens import Token
from tests.report.made import load
from tests.report.parsed import Page

TOKENS = [Token("<script>", "input", 0.0), Token("&", "input", 0.5), Token("red\n", "output", 2.0)]


def test_every_segment_has_a_colour_of_its_own():
    assert set(HUES) == set(SEGMENTS)
    assert len(set(HUES.values())) == len(SEGMENTS)


def test_page_escapes_text_and_marks_loss_by_its_weight():
    html = page({"<t>": TOKENS}, heading="<h>", refused=["<r>"])
    parsed = Page(html)
    assert parsed.open == []
    assert "script" not in parsed.tags
    assert not parsed.addresses
    for text in ("&lt;script&gt;", "<h2>&lt;t&gt;</h2>", "&lt;h&gt;", "<li>&lt;r&gt;</li>"):
        assert text in html
    assert html.count('class="input"') == 1
    assert '<span class="input loss" title="input, weight 0.5" style="--weight: 25%">&amp;</span>' in html
    assert '<span class="output loss" title="output, weight 2" style="--weight: 100%">red\u21b5\n</span>' in html


def test_rows_by_hand():
    assert table_rows(TOKENS) == [("input", "2", "1", "0.5"), ("output", "1", "1", "2")]


def test_terminal_shows_control_characters_of_data_instead_of_sending_them():
    tokens = [Token("\x1b[2J", "input", 0.0), Token("red", "output", 1.0), Token("!", "output", 1.0)]
    shown = terminal(tokens, colored=True)
    assert "\x1b[2J" not in shown
    assert "\\x1b[2J" in shown
    assert "\x1b[31;7mred\x1b[0m" in shown
    assert terminal(tokens, colored=False).splitlines() == [
        "         input 0 | \\x1b[2J",
        "        output 1 | red|!",
        "input: 1 tokens, 0 with loss, weight 0",
        "output: 2 tokens, 2 with loss, weight 2",
    ]


def test_the_report_holds_the_first_training_row(tmp_path):
    html = render(load(tmp_path))
    assert '<span class="template" title="template, weight 0">&lt;|user|&gt;\u21b5\n</span>' in html
    assert (
        '<span class="instruction loss" title="instruction, weight 0.5" style="--weight: 50%">Name the &lt;b&gt;.</span>' in html
    )
    assert ["instruction", "1", "1", "0.5"] in [[cell.strip() for cell in row] for row in Page(html).rows]
