import pytest

from instune.results import write_json
from tools.overlap import main


def selection(**targets):
    return {"targets": {target: [{"task_id": task_id} for task_id in ids] for target, ids in targets.items()}}


def test_the_overlap_of_files_is_printed_by_target_and_in_the_mean(tmp_path, capsys):
    files = [tmp_path / name for name in ("one.json", "two.json")]
    for file, second in zip(files, ("ab", "cd"), strict=True):
        write_json(file, selection(x="ab", y=second))
    main([str(file) for file in files])
    assert capsys.readouterr().out == "1.000  x\n0.000  y\n0.500  mean over 2 target(s), 2 selections\n"


def test_one_file_is_refused_in_words(tmp_path):
    write_json(tmp_path / "one.json", selection(x="ab"))
    with pytest.raises(SystemExit, match=r"error: 1 selection\(s\): two or more"):
        main([str(tmp_path / "one.json")])


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("{", "cannot be read"), ("{}", "holds no targets")])
def test_what_is_no_selection_is_refused_by_name(tmp_path, content, message):
    write_json(tmp_path / "one.json", selection(x="ab"))
    if content is not None:
        (tmp_path / "two.json").write_text(content)
    with pytest.raises(SystemExit, match=f"error: .*two.json: {message}"):
        main([str(tmp_path / "one.json"), str(tmp_path / "two.json")])
