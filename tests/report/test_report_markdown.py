import re
from dataclasses import replace

import pytest

from instune.report.cautions import PACKAGED_NOTE, cautions
from instune.report.markdown import escaped, short_form
from instune.report.numbers import verdict
from tests.report.made import load


@pytest.fixture
def inputs(tmp_path):
    return load(tmp_path)


def tables(text):
    """Tables as rows of cells, from lines that begin with a bar; every row as wide as its head."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in block.splitlines()]
        assert len({len(row) for row in rows}) == 1
        found.append([[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= set(" -:")])
    return found


def test_the_verdict_the_scores_with_intervals_and_the_cautions_are_there(inputs):
    text = short_form(inputs)
    assert text.startswith("# Base against tuned on the test split\n")
    assert f"**{verdict(inputs.scores, 'exact_match')}** The tuned model beats the best floor, majority output" in text
    overall, categories = tables(text)
    assert overall[0] == ["", "base", "tuned", "tuned − base", "best floor"]
    changed = ["exact match", "5.0 [0.0, 10.0]", "50.0 [45.0, 55.0]", "+45.0 [33.0, 57.0]", "majority output 18.3 [13.3, 23.3]"]
    assert changed in overall
    assert [row[0] for row in overall[1:]] == ["exact match", "ROUGE-L", "NLL per reference token"]
    assert overall[3][4] == "–"
    assert categories[1:] == [["Extraction", "2", "5.0", "55.0", "+50.0"], ["Topic Classification", "1", "5.0", "40.0", "+35.0"]]
    assert text.count("\n- ") == len(cautions(inputs))
    assert PACKAGED_NOTE in text


def test_it_is_short_text_without_pictures_and_equal_for_equal_inputs(inputs, tmp_path):
    text = short_form(inputs)
    assert text.count("\n") < 50
    assert "![" not in text
    assert "<" not in text
    assert text == short_form(load(tmp_path / "again"))
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("two\nlines  here", "two lines here"),
        ("[x](http://y) *b* `c`", r"\[x\](http://y) \*b\* \`c\`"),
        ("@someone #12 &lt;", "@\u2060someone \\#12 \\&lt;"),
        ("back\\slash", r"back\\slash"),
    ],
)
def test_text_from_data_means_nothing_in_markdown(raw, said):
    assert escaped(raw) == said


def test_a_category_with_markup_stays_in_its_cell(inputs):
    for model in inputs.scores["models"].values():
        model["categories"]["a|b\n<script>"] = model["categories"].pop("Extraction")
    _, categories = tables(short_form(inputs))
    assert categories[1][0] == r"a\|b \<script\>"


def test_many_categories_are_cut_and_counted(inputs):
    for model in inputs.scores["models"].values():
        model["categories"] |= {f"extra{number:02}": model["categories"]["Extraction"] for number in range(13)}
    text = short_form(inputs)
    assert "and 3 more categories" in text
    assert len(tables(text)[1]) == 1 + 12


def test_one_category_or_no_floor_leaves_no_hole(inputs):
    scores = inputs.scores | {"floors": {}}
    for model in scores["models"].values():
        del model["categories"]["Topic Classification"]
    text = short_form(replace(inputs, scores=scores))
    assert len(tables(text)) == 1
    assert tables(text)[0][1][4] == "–"
    assert "\n\n\n" not in text
