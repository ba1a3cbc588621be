"""The table shows what was measured, best first, and what it is not."""

from __future__ import annotations

from tools.quality.table import by_regret, operations, table

SETTINGS = {
    "top_k": 5,
    "beds": [0, 3],
    "best_precision": 0.8,
    "confidence": 0.95,
    "families": {"x": "Quotation", "y": "Quotation", "z": "Lookup"},
    "inputs": 8,
    "on": ["cpu, 1 thread(s)"],
    "tokens": 12_000,
}


def measured(mean, minus, **others):
    cost = {"runs": 5, "seconds": 2.25, "cpu_seconds": 0.031, "flops": 1_234_000_000}
    regret = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "bed_deviation": 0.05, "minus": minus}
    return {"measures": {"regret_nll": regret, **others}, **cost}


SELECTORS = {
    "random": measured(2.0, {}),
    "bm25": measured(
        1.25, {"random": {"mean": -0.75, "low": -1.0, "high": -0.5}}, ndcg_nll={"mean": 0.5, "low": None, "high": None}
    ),
    "nothing": {"measures": {}, "runs": 1, "seconds": 0.0, "cpu_seconds": 0.0, "flops": 0},
}


def cells(text, name):
    (row,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_rows_hold_the_figures_and_dashes_where_there_is_none():
    text = table({"settings": SETTINGS, "selectors": SELECTORS})
    row = ["bm25", "5", "1.25 [1.15, 1.35] ± 0.05", "-0.75 [-1.00, -0.50]", "-", "-", "-", "0.50", "2.2", "0.03", "1.2e+09"]
    assert cells(text, "bm25") == row
    assert cells(text, "nothing") == ["nothing", "1", *"-------"[:6], "0.00", "0.00", "0"]
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {len(row) + 1}


def test_the_lowest_regret_stands_first_and_none_last():
    assert by_regret(SELECTORS) == ["bm25", "random", "nothing"]


def test_one_bed_has_no_spread():
    text = table({"settings": {**SETTINGS, "beds": [0]}, "selectors": SELECTORS})
    assert "±" not in text
    assert cells(text, "bm25")[2] == "1.25 [1.15, 1.35]"


def test_the_text_says_what_was_known_and_how_many_there_are():
    text = table({"settings": SETTINGS, "selectors": SELECTORS})
    for words in (
        "No fresh test",
        "Seeds 0, 3",
        "12,000 tokens",
        "over 3 target tasks",
        "2 families (Lookup 1, Quotation 2)",
        "0.80",
    ):
        assert words in text


def test_operations_are_short():
    assert [operations(count) for count in (0, 5, 123_456)] == ["0", "5.0e+00", "1.2e+05"]
