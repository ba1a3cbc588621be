import json
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.selection.pairs import Pairs
from tools.fidelity import published, tables
from tools.fidelity.__main__ import main
from tools.fidelity.p3 import P3
from tools.fidelity.superni import SuperNI, drawn

DATA = Path("../shared/data")
REPORT = Path("reports/selection/fidelity.json")
needs_data = pytest.mark.skipif(not (DATA / "insta_run_configs").is_dir(), reason=f"{DATA} is absent")


def test_a_folder_without_the_published_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="bbh, bigbench, insta_run_configs"):
        main(data=tmp_path, out=tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


def test_a_list_is_named_by_its_target_and_holds_bare_task_names(tmp_path):
    (tmp_path / "cb_top_5.json").write_text(json.dumps({"dataset_lists": ["paws", "Question_Answering/task1_a"]}))
    assert published.lists(tmp_path) == {"cb": ["paws", "task1_a"]}


def test_pairs_are_drawn_by_label():
    pairs = Pairs(("a", "b", "c", "d"), ("e", "f", "g", "h"), (1.0, 1.0, 0.0, 1.0))
    few = drawn(pairs, 2, 0)
    assert few.labels == (1.0, 1.0, 0.0)
    assert set(zip(few.first, few.second, few.labels, strict=True)) <= set(
        zip(pairs.first, pairs.second, pairs.labels, strict=True)
    )


@needs_data
def test_every_listed_task_is_in_the_pool_and_every_target_has_wordings():
    pool = P3(DATA)
    assert len(pool.names) == 35
    assert {name for lists in pool.lists.values() for names in lists.values() for name in names} <= set(pool.names)
    assert all(
        all(ways.values()) for names in pool.groups.values() for ways in (pool.ways(name, "'text'", "all") for name in names)
    )
    superni = SuperNI(DATA)
    assert len(superni.names) == 756
    assert {name for names in superni.lists.values() for name in names} <= set(superni.names)
    assert sorted(superni.lists) == sorted(name for names in superni.groups.values() for name in names)


@pytest.mark.skipif(not REPORT.is_file(), reason=f"{REPORT} is absent")
def test_the_tables_show_the_report_with_as_many_cells_in_every_row():
    report = json.loads(REPORT.read_text())
    for text in (tables.p3(report["p3"]), tables.superni(report["superni"])):
        blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
        assert len(blocks) >= 5
        assert all(len({line.count("|") for line in block}) == 1 for block in blocks)
