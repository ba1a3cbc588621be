"""What is read as predictions, and what is refused by file and line."""

import json
from dataclasses import asdict

import pytest

from instune.errors import InputError
from instune.evaluation.predictions import FILE, read_predictions, write_predictions
from tests.report.made import predictions


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output": None}, "output is no text"),
        ({"nll_tokens": 0}, "nll_tokens"),
        ({"nll_tokens": True}, "nll_tokens is no count"),
        ({"prompt_tokens": -1}, "prompt_tokens is no count"),
        ({"references": []}, "references"),
        ({"references": "red"}, "references"),
        ({"truncated": [1]}, "truncated"),
        ({"choices": {"red": 1}}, "choices is no list"),
        ({"choices": ["red", "blue"], "choice_loglikelihoods": [-1.0]}, "one for each choice"),
        ({"nll": "2.0"}, "nll"),
        ({"more": 1}, "more"),
    ],
)
def test_a_line_of_another_shape_is_refused_by_file_and_line(tmp_path, change, said):
    first, second, *_ = (asdict(row) for row in predictions("base"))
    lines = [json.dumps(first), json.dumps(second | change)]
    (tmp_path / FILE).write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"predictions\.jsonl, line 2: no prediction .*{said}"):
        read_predictions(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(InputError, match=r"predictions\.jsonl: cannot be read"):
        read_predictions(tmp_path)


def test_nothing_half_written_stays_behind(tmp_path):
    rows = predictions("base")
    object.__setattr__(rows[-1], "nll", float("nan"))
    with pytest.raises(ValueError, match="JSON"):
        write_predictions(tmp_path / "base", rows)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_read(tmp_path):
    rows = sorted(predictions("tuned"), key=lambda row: row.place)
    assert write_predictions(tmp_path / "tuned", reversed(rows)) == len(rows)
    assert read_predictions(tmp_path / "tuned") == rows
