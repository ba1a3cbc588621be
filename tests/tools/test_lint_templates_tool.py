"""The command that lints chat templates: its table, its file, and a user's own model."""

from __future__ import annotations

import copy

import pytest

from instune.errors import InputError
from instune.models import save
from instune.results import read_json
from instune.scratch_model import new_model
from tools.lint_templates import __main__ as tool
from tools.lint_templates.families import FOLDER, families


def test_the_table_and_the_file_hold_every_family_and_the_committed_one_is_up_to_date(tmp_path, capsys):
    tool.main(None, tmp_path / "out.json")
    printed, written = capsys.readouterr().out, read_json(tmp_path / "out.json")
    lines = {line.split()[0]: line.split() for line in printed.splitlines() if line}
    for family in families():
        assert lines[family.name][1] == written[family.name]["shapes"]["pair"]
    assert "42 templates: 28 decided in every shape, 7 in some, 7 refused" in printed
    assert "asks_for_date: the template writes the present date" in printed
    assert written == read_json(tool.OUT)


@pytest.mark.parametrize(("template", "status"), [("as it is", 0), ("{{ messages[0].content }}", 1)])
def test_a_model_folder_is_linted_and_the_exit_status_says_whether_it_may_be_used(tokenizer, tmp_path, capsys, template, status):
    own = copy.deepcopy(tokenizer)
    own.chat_template = own.chat_template if template == "as it is" else template
    save(new_model(own, hidden_size=32, layers=1, heads=2, seed=0), own, tmp_path / "model")
    with pytest.raises(SystemExit) as caught:
        tool.main(tmp_path / "model", tmp_path / "unused.json")
    assert caught.value.code == status
    assert ("decided" if status == 0 else "leaves out a message") in capsys.readouterr().out
    assert not (tmp_path / "unused.json").exists()


def test_no_tokenizer_there_is_a_users_error(tmp_path):
    with pytest.raises(InputError):
        tool.main(tmp_path / "nothing", tmp_path / "unused.json")


def test_every_family_names_its_source_and_its_terminator():
    assert len(families()) == len(list(FOLDER.glob("*.jinja")))
    for family in families():
        assert family.eos
        assert family.source
        assert (
            family.eos in family.template
            or "eos_token" in family.template
            or family.name in ("chatglm-4", "falcon")
            or (set(family.special) & {token for token in family.special if token in family.template})
        )
