"""What the page says about benchmarks."""

from instune.report.benchmarks import view
from tests.report.made_benchmarks import benchmarked

NOTHING = {"tasks": {}, "groups": {}}


def test_each_metric_of_each_task_has_a_row_with_standard_errors_and_the_way_it_improves():
    assert view(benchmarked(0.25), benchmarked(0.5))["tasks"] == [
        ["qa", "acc ↑", "3", "10 of 1000", "0.250 ± 0.013", "0.500 ± 0.013", "2"],
        ["qa", "ter ↓", "3", "10 of 1000", "91.500", "91.500", "2"],
        ["qa_german", "exact_match (strict-match) ↑", "3", "10", "0.250 ± 0.013", "0.500 ± 0.013", "0"],
    ]


def test_groups_have_rows_of_their_own():
    assert view(benchmarked(0.25), benchmarked(0.5))["groups"] == [["qa_all", "acc", "2", "0.250", "0.500"]]


def test_the_papers_means_stand_in_both_readings_and_what_was_not_run_is_a_dash():
    rows = view(benchmarked(0.25), benchmarked(0.5))["paper"]
    assert rows == [["safety", "25.0", "50.0", "–", "–"], ["mean of groups", "25.0", "50.0", "–", "–"]]


def test_without_benchmarks_there_are_no_rows():
    assert view(NOTHING, NOTHING) == {"tasks": [], "groups": [], "paper": []}
