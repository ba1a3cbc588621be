"""The workflows of GitHub Actions as far as they can be tried without GitHub: they load, and their commands run here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.name: YAML(typ="safe").load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yml"))}
STEPS = [(name, step) for name, flow in WORKFLOWS.items() for job in flow["jobs"].values() for step in job["steps"]]
COMMANDS = [step["run"] for _, step in STEPS if "run" in step]
SCRIPT = next(step["run"] for _, step in STEPS if step.get("name") == "Write the comment")
WRITER = {"name": "me", "email": "me@localhost"}


def test_there_is_one_workflow_for_the_checks_and_one_for_the_report():
    assert set(WORKFLOWS) == {"ci.yml", "report.yml"}
    assert [step["run"] for name, step in STEPS if name == "ci.yml" and "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_jobs_may_do_no_more_than_they_need_and_end(name):
    flow = WORKFLOWS[name]
    assert "pull_request_target" not in flow["on"]
    assert set(flow["permissions"].values()) <= {"read"}
    for job in flow["jobs"].values():
        granted = job.get("permissions", {})
        writes = {what for what, may in granted.items() if may == "write"}
        assert writes == ({"pull-requests"} if name == "report.yml" else set())
        assert job["timeout-minutes"] <= 180


@pytest.mark.parametrize("step", [step for _, step in STEPS if "uses" in step], ids=lambda step: step["uses"].split("@")[0])
def test_actions_are_pinned_those_of_github_to_a_commit(step):
    owner, version = step["uses"].split("/")[0], step["uses"].split("@")[1]
    if owner == "actions":
        assert re.fullmatch("[0-9a-f]{40}", version)
    else:
        assert re.fullmatch(r"v\d+(\.\d+)*", version)
        assert re.fullmatch(r"v\d+\.\d+\.\d+", step["with"]["version"])


def test_no_text_of_a_pull_request_is_pasted_into_a_command():
    assert not [command for command in COMMANDS if "${{" in command]


def test_every_command_of_ours_exists():
    words = " ".join(COMMANDS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    checks = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)$", checks, re.MULTILINE)
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    assert "constraints.txt" in words
    assert "dvc==" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "reports/report.md" in (ROOT / "dvc.yaml").read_text(encoding="utf-8")


def run(folder, *words, **env):
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names = {f"GIT_{role}_{part.upper()}": value for role in ("AUTHOR", "COMMITTER") for part, value in WRITER.items()}
    done = subprocess.run(
        words, cwd=folder, check=True, capture_output=True, text=True, env=os.environ | names | env | {"PATH": paths}
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A branch with a changed parameter and metric, and a base that went on after the branch left it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    run(folder, "dvc", "init", "--quiet")
    stage = {"cmd": "true", "params": ["rate"], "metrics": [{"metrics.json": {"cache": False}}]}
    YAML().dump({"stages": {"score": stage}}, folder / "dvc.yaml")

    def commit(rate, match):
        (folder / "params.yaml").write_text(f"rate: {rate}\n")
        (folder / "metrics.json").write_text(json.dumps({"exact_match": match}))
        run(folder, "git", "add", ".")
        run(folder, "git", "commit", "--quiet", "--message", "more")

    commit(1, 0.25)
    run(folder, "git", "checkout", "--quiet", "-b", "better")
    (folder / "reports").mkdir()
    (folder / "reports/report.md").write_text("# The verdict\n")
    commit(2, 0.75)
    run(folder, "git", "checkout", "--quiet", "main")
    commit(5, 0.5)
    run(folder, "git", "checkout", "--quiet", "better")
    return folder


def comment(folder, base):
    summary = folder.parent / "summary.md"
    run(folder, "bash", "-c", SCRIPT, BASE=run(folder, "git", "rev-parse", base), GITHUB_STEP_SUMMARY=str(summary))
    text = (folder / "comment.md").read_text(encoding="utf-8")
    assert summary.read_text(encoding="utf-8").endswith(text)
    return text


def test_the_comment_holds_what_changed_since_the_branch_left_its_base_and_the_report(repository):
    text = comment(repository, "main")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["metrics.json", "exact_match", "0.25", "0.75", "0.5"] in rows
    assert ["params.yaml", "rate", "1", "2", "1"] in rows
    assert text.endswith("# The verdict\n")


def test_the_report_is_made_from_a_checkout_with_its_history():
    checkouts = [step for name, step in STEPS if name == "report.yml" and "actions/checkout" in step.get("uses", "")]
    assert [step["with"]["fetch-depth"] for step in checkouts] == [0]


def test_a_shallow_clone_is_refused_with_what_to_set(repository):
    shallow = repository.parent / "shallow"
    run(repository.parent, "git", "clone", "--quiet", "--depth=1", f"file://{repository}", str(shallow))
    with pytest.raises(subprocess.CalledProcessError) as stopped:
        run(shallow, "bash", "-c", SCRIPT, BASE=run(repository, "git", "rev-parse", "main"), GITHUB_STEP_SUMMARY="summary.md")
    assert stopped.value.stderr == "error: this clone has no history; check out with fetch-depth: 0\n"
    assert not (shallow / "summary.md").exists()


def test_a_branch_that_changes_nothing_is_told_so(repository):
    run(repository, "git", "rm", "--quiet", "reports/report.md")
    run(repository, "git", "commit", "--quiet", "--message", "less")
    text = comment(repository, "HEAD")
    assert "No parameter and no metric." in text
    assert "No reports/report.md is committed." in text


def test_dvc_in_a_repository_that_a_test_makes_sends_nothing(repository):
    settings = run(repository, "dvc", "config", "--list").splitlines()
    assert {"core.analytics=false", "core.check_update=false"} <= set(settings)
