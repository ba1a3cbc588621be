"""The playground as a pool: layout, sizes, wordings, balance, and what keeps test and training tasks apart."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from itertools import chain, pairwise, product
from pathlib import Path

import pytest

from instune.errors import InputError
from instune.pools import playground
from instune.pools.playground_families import (
    classification,
    data_to_text,
    entailment,
    glossary,
    negation,
    policy,
    question_generation,
)
from instune.pools.playground_families.spec import TaskSpec

SPECS = {spec.name: spec for tasks in playground.FAMILIES.values() for spec in tasks}
TRAIN = {name: spec for name, spec in SPECS.items() if not spec.held_out}
TEST = {name: spec for name, spec in SPECS.items() if spec.held_out}
FAMILY_OF = {spec.name: family for family, tasks in playground.FAMILIES.items() for spec in tasks}
INSTANCES = 60


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pool") / "playground"
    playground.write_pool(folder, seed=0, instances=INSTANCES)
    return folder


@pytest.fixture(scope="module")
def tasks(pool) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((pool / "tasks").iterdir())}


def short(task_id: str) -> str:
    """`task012_some_name` -> `some_name`."""
    return task_id.split("_", 1)[1]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def texts(task: dict) -> list[str]:
    cases = task["Instances"] + task["Positive Examples"] + task["Negative Examples"]
    return [case["input"] for case in cases]


def words(spec: TaskSpec) -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(spec.wordings).lower()))


def likeness(one: TaskSpec, other: TaskSpec) -> float:
    """Jaccard index of the words of all wordings."""
    return len(words(one) & words(other)) / len(words(one) | words(other))


def test_two_runs_write_the_same_bytes_whatever_the_hash_seed(pool, tmp_path):
    code = "import sys; from pathlib import Path; from instune.pools.playground import write_pool\n"
    code += f"write_pool(Path(sys.argv[1]), seed=0, instances={INSTANCES})"
    for hash_seed in ("1", "2024"):
        folder = tmp_path / hash_seed
        subprocess.run([sys.executable, "-c", code, folder], check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
        assert digests(folder) == digests(pool)


def test_another_seed_gives_other_instances_of_the_same_tasks(pool, tasks, tmp_path):
    playground.write_pool(tmp_path, seed=1, instances=5)
    first, second = digests(pool), digests(tmp_path)
    assert set(first) == set(second)
    assert first["known_answers.json"] == second["known_answers.json"]
    for name, task in tasks.items():
        other = json.loads((tmp_path / "tasks" / f"{name}.json").read_text(encoding="utf-8"))
        assert other["Definition"] == task["Definition"]
        assert [case["input"] for case in other["Instances"]] != texts(task)[:5]


def test_the_layout_is_that_of_a_clone(pool, tasks):
    keys = {
        "Contributors", "Source", "URL", "Categories", "Reasoning", "Definition", "Input_language", "Output_language",
        "Instruction_language", "Domains", "Positive Examples", "Negative Examples", "Instances", "Instance License",
    }  # fmt: skip
    for name, task in tasks.items():
        assert re.fullmatch(r"task\d{3}_[a-z_]+", name)
        assert set(task) == keys
        assert all(set(example) == {"input", "output", "explanation"} for example in task["Positive Examples"])
        assert all(set(instance) == {"id", "input", "output"} for instance in task["Instances"])
        assert all(type(instance["output"]) is list and len(instance["output"]) == 1 for instance in task["Instances"])
    ids = [instance["id"] for task in tasks.values() for instance in task["Instances"]]
    assert len(ids) == len(set(ids)) == INSTANCES * len(tasks)
    splits = {path.name: path.read_text().split() for path in (pool / "splits/default").iterdir()}
    assert set(splits) == {"train_tasks.txt", "test_tasks.txt", "excluded_tasks.txt"}
    assert sorted(chain.from_iterable(splits.values())) == sorted(tasks)
    assert {short(name) for name in splits["test_tasks.txt"]} == set(TEST)
    assert {short(name) for name in splits["train_tasks.txt"]} == set(TRAIN)


def test_counts_of_tasks_and_families():
    assert (len(TRAIN), len(TEST), len(playground.FAMILIES)) == (78, 12, 18)
    assert len(SPECS) == sum(len(tasks) for tasks in playground.FAMILIES.values())
    assert all(sum(not spec.held_out for spec in tasks) >= 4 for tasks in playground.FAMILIES.values())


def test_only_a_part_of_the_training_tasks_teaches_what_the_test_tasks_need():
    teaching = {FAMILY_OF[name] for name in TEST}
    assert len(teaching) >= 3
    assert 0.15 <= sum(FAMILY_OF[name] in teaching for name in TRAIN) / len(TRAIN) <= 0.4


def test_every_task_has_at_least_three_wordings_and_no_wording_twice():
    assert all(len(spec.wordings) >= 3 for spec in SPECS.values())
    counts = Counter(wording.lower() for spec in SPECS.values() for wording in spec.wordings)
    assert max(counts.values()) == 1


def test_some_families_have_long_instructions_and_short_answers_and_some_the_reverse(tasks):
    by_name = {short(name): task for name, task in tasks.items()}
    for module in (classification, entailment, policy):
        for spec in module.TASKS:
            assert 100 <= len(spec.wordings[0].split()) <= 150
            assert max(len(instance["output"][0].split()) for instance in by_name[spec.name]["Instances"]) <= 2
    for module in (data_to_text, glossary, negation, question_generation):
        lengths = [len(case["output"][0].split()) for spec in module.TASKS for case in by_name[spec.name]["Instances"]]
        assert sum(lengths) / len(lengths) >= 8
        assert sum(len(wording.split()) for spec in module.TASKS for wording in spec.wordings) < 20 * 4 * len(module.TASKS)


def test_no_input_occurs_twice_in_a_task(tasks):
    for name, task in tasks.items():
        assert len(set(texts(task))) == INSTANCES + playground.SHOWN, name


def test_an_input_has_the_same_answer_whatever_the_seed():
    for spec in SPECS.values():
        answers: dict[str, str] = {}
        for seed in range(3):
            for case in playground.draw_cases(spec, seed=seed, count=INSTANCES):
                assert answers.setdefault(case.input, case.output) == case.output


def test_answers_are_in_the_stated_label_set_and_balanced_in_every_prefix(tasks):
    labelled = {name: SPECS[short(name)].labels for name in tasks if SPECS[short(name)].labels}
    assert len(labelled) == 22  # counting, entailment, sentiment, rule checking: 4 each; text categorization: 6
    for name, labels in labelled.items():
        outputs = [instance["output"][0] for instance in tasks[name]["Instances"]]
        for count in (20, INSTANCES):
            counts = Counter(outputs[:count])
            assert set(counts) == set(labels)
            assert max(counts.values()) - min(counts.values()) <= 1
        assert all(re.search(rf"\b{label.split()[-1]}\b", " ".join(SPECS[short(name)].wordings)) for label in labels)


def test_no_test_task_can_be_answered_by_its_majority_or_by_copying(tasks):
    for name, task in tasks.items():
        if short(name) in TEST:
            outputs = Counter(instance["output"][0] for instance in task["Instances"])
            assert max(outputs.values()) <= 0.25 * INSTANCES + 1
            assert all(instance["input"] != instance["output"][0] for instance in task["Instances"])


def test_test_and_training_tasks_share_no_input_and_no_wording(tasks):
    inputs = {name: set(texts(task)) for name, task in tasks.items()}
    ids = playground.task_ids()
    for one, other in product(TEST, TRAIN):
        assert not inputs[ids[one]] & inputs[ids[other]]
        assert not set(SPECS[one].wordings) & set(SPECS[other].wordings)


def test_nothing_that_fills_a_test_task_occurs_in_any_training_task(tasks):
    cases = [case for name, task in tasks.items() if short(name) in TRAIN for case in task["Instances"]]
    training = " ".join(re.findall(r"\w+", " ".join(f"{case['input']} {case['output'][0]}" for case in cases).lower()))
    for spec in TEST.values():
        assert spec.entities
        for entity in spec.entities:
            assert f" {' '.join(re.findall(r'[a-z0-9_]+', entity.lower()))} " not in training, (spec.name, entity)


def test_pairs_of_like_wording_share_the_domain_and_not_the_skill():
    pairs = playground.LIKE_WORDING_UNLIKE_SKILL
    assert len({test for test, _ in pairs}) == len(pairs) >= len(TEST) / 2
    for test, decoy in pairs:
        assert (TEST[test].domain, FAMILY_OF[test] == FAMILY_OF[decoy]) == (TRAIN[decoy].domain, False)


def test_every_test_task_has_a_teacher_less_alike_in_words_than_its_decoy():
    decoys = dict(playground.LIKE_WORDING_UNLIKE_SKILL)
    teachers = dict(playground.UNLIKE_WORDING_LIKE_SKILL)
    assert set(teachers) == set(TEST)
    assert all(FAMILY_OF[test] == FAMILY_OF[teacher] and teacher in TRAIN for test, teacher in teachers.items())
    for test, decoy in decoys.items():
        assert likeness(SPECS[test], SPECS[decoy]) > 1.3 * likeness(SPECS[test], SPECS[teachers[test]])


def test_known_answers_name_every_training_task_of_the_family(pool, tasks):
    answers = json.loads((pool / "known_answers.json").read_text(encoding="utf-8"))
    assert len(answers["teaches"]) == len(TEST)
    for test, teachers in answers["teaches"].items():
        category = tasks[test]["Categories"]
        same = [name for name, task in tasks.items() if task["Categories"] == category and short(name) in TRAIN]
        assert teachers == same
        assert len(teachers) == 4
    page = (pool / "README.md").read_text(encoding="utf-8")
    assert "synthetic test bed with known answers" in page
    assert all(name in page for name in {*answers["teaches"], *chain.from_iterable(answers["teaches"].values())})


def test_task_numbers_tell_nothing_of_the_family(tasks):
    families = [task["Categories"][0] for task in tasks.values()]
    neighbours = sum(one == other for one, other in pairwise(families))
    assert neighbours <= 0.15 * len(families)


def test_more_instances_than_the_templates_give_are_refused():
    spec = SPECS["harbour_berth_ship"]
    starved = TaskSpec(**{**vars(spec), "make": lambda rng, index: spec.make(type(rng)(0), 0)})
    with pytest.raises(InputError, match=r"instances_per_task.*harbour_berth_ship gave only 1 of 10"):
        playground.draw_cases(starved, seed=0, count=10)
