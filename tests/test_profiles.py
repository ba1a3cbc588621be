"""The papers' profiles: complete, valid, every known hyper-parameter and target as published, what is unknown marked."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import get_hydra_sweeps

from instune.config import read_params
from stages.check import check

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
INSTA = ("insta-p3", "insta-bigbench", "insta-niv2", "insta-bbh")
IM = ("im-lima", "im-alpagasus")
PAPERS = (*INSTA, "instopt-superni", *IM)

T5 = {"base_model.source": "hub", "base_model.name": "google/t5-xl-lm-adapt"}  # section of the research notes: 2.3
ENCODER = {  # 2.2
    "align.encoder": "sentence-transformers/bert-large-nli-stsb-mean-tokens",
    "align.batch_size": 16,
    "align.learning_rate": 1e-6,
    "select.method": "instruction",
    "select.aggregation": "vote",
    "seed": 42,
}
TRAINING = {  # 2.3, and 2.4 for the lengths
    "finetune.loss_mask": "it",
    "finetune.epochs": 3,
    "finetune.batch_size": 256,
    "finetune.max_tokens": None,
    "finetune.precision": "bfloat16",
    "prompt.max_input_tokens": 768,
    "prompt.max_tokens": 768 + 256,
    "evaluate.max_new_tokens": 256,
}
P3 = {  # 2.2, 2.3, 2.4
    "select.top_k": 5,
    "align.epochs": 5,
    "finetune.learning_rate": 1e-4,
    "finetune.optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    "pools.p3.examples_per_task": 50_000,
    "pools.p3.templates": "one_per_row",
}
NIV2 = {  # 2.3, 2.4; the aligned form's 5 epochs have no pairs where a task has one wording
    "select.top_k": 70,
    "align.epochs": 0,
    "finetune.learning_rate": 5e-5,
    "finetune.optimizer": {"name": "adafactor"},
    "pools.superni.instances_per_task": 5000,
}
IM_COMMON = {  # 1.3, Table 6; 1.4 for BBH
    "base_model.name": "meta-llama/Llama-2-7b-hf",
    "prompt.template": "tulu",
    "prompt.max_tokens": 2048,
    "prompt.exemplars": 0,
    "select.method": "all",
    "finetune.loss_mask": "im",
    "finetune.batch_size": 128,
    "finetune.learning_rate": 2e-5,
    "finetune.optimizer": {"name": "adamw", "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-6},
    "finetune.schedule": "linear",
    "finetune.warmup_share": 0.03,
    "finetune.weight_decay": 0.0,
    "finetune.max_tokens": None,
    "finetune.precision": "bfloat16",
    "targets.by": "pool",
    "targets.values": ["bbh"],
    "evaluate.max_new_tokens": 1024,
}
INSTOPT = {  # 3.2
    "optimize.method": "embedder_direct",
    "optimize.embedder.soft_tokens": 128,
    "optimize.embedder.initial": "random",
    "optimize.inner_steps": 1,
    "optimize.batch_size": 2,
    "optimize.terms": 1,
    "optimize.gamma": 1e-6,
    "optimize.inner_learning_rate": 1e-6,
    "optimize.outer_learning_rate": 1e-6,
    "optimize.product": "double_backward",
    "optimize.attention": "eager",
    "finetune.learning_rate": 1e-6,
    "finetune.schedule": "linear",
    "finetune.batch_size": 2,
    "finetune.max_grad_norm": 1.0,
    "finetune.validate_every": 1000,
    "finetune.checkpoint_every": 1000,
    "pools.superni.instances_per_task": 100,
    "pools.superni.test_instances_per_task": 100,
    "pools.superni.language": "English",
    "prompt.max_tokens": 1024 + 128,
    "evaluate.max_new_tokens": 128,
    "select.method": "all",
}
KNOWN = {
    "insta-p3": T5 | ENCODER | TRAINING | P3,
    "insta-bigbench": T5 | ENCODER | TRAINING | P3,
    "insta-niv2": T5 | ENCODER | TRAINING | NIV2,
    "insta-bbh": T5 | ENCODER | TRAINING | NIV2,
    "instopt-superni": INSTOPT,
    "im-lima": IM_COMMON | {"finetune.epochs": 10},
    "im-alpagasus": IM_COMMON | {"finetune.epochs": 2},
}
TARGETS = {  # 2.2, 2.3
    "insta-p3": (
        "anli super_glue/cb super_glue/rte super_glue/wic winogrande/winogrande_xl super_glue/wsc.fixed story_cloze/2016 "
        "super_glue/copa hellaswag"
    ),
    "insta-bigbench": (
        "code_line_description conceptual_combinations hindu_knowledge known_unknowns language_identification logic_grid_puzzle "
        "logical_deduction misconceptions movie_dialog_same_or_different novel_concepts strategyqa "
        "formal_fallacies_syllogisms_negation vitaminc_fact_verification winowhy"
    ),
    "insta-niv2": (
        "task050 task1442 task1624 task1393 task226 task392 task133 task249 task401 task1407 task1598 task1631 task1394 task1533 "
        "task1534 task1557 task620 task623 task645 task039 task281 task121 task1562 task1622 task1385 task1388 task1554 task219 "
        "task569 task619 task1154 task1156 task1158"
    ),
    "insta-bbh": (
        "boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages formal_fallacies "
        "geometric_shapes hyperbaton logical_deduction_five_objects movie_recommendation multistep_arithmetic_two navigate "
        "object_counting penguins_in_a_table reasoning_about_colored_objects ruin_names salient_translation_error_detection "
        "snarks sports_understanding temporal_sequences tracking_shuffled_objects_five_objects web_of_lies word_sorting"
    ),
}


def text_of(name: str) -> str:
    return (ROOT / "profiles" / f"{name}.yaml").read_text(encoding="utf-8")


def params_of(name: str) -> dict[str, Any]:
    return read_params(ROOT / "profiles" / f"{name}.yaml")


def value(params: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        params = params[part]
    return params


def short(profile: str, target: str) -> str:
    """A target as `TARGETS` has it: NIV2 tasks by number, BBH tasks without their pool."""
    return {"insta-niv2": target.partition("_")[0], "insta-bbh": target.removeprefix("bbh:")}.get(profile, target)


def swept(profile: str) -> list[str]:
    """The targets of the profile's sweep, by the command in its comment, as dvc reads it."""
    (command,) = re.findall(r'^  # dvc exp run --queue -S (".*")$', text_of(profile), re.MULTILINE)
    override = subprocess.run(
        ["bash", "-c", f"printf %s {command}"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    names = []
    for sweep in get_hydra_sweeps({"params.yaml": [override]}):
        (one,) = sweep["params.yaml"]
        names.append(one.removeprefix("targets.values=[").removesuffix("]").replace("\\", ""))
    return names


@pytest.mark.parametrize("name", PAPERS)
def test_a_profile_is_complete_and_valid(name):
    check(ROOT / "profiles" / f"{name}.yaml")
    assert set(params_of(name)) == set(read_params(ROOT / "params.yaml"))


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in PAPERS for key in KNOWN[name]])
def test_a_known_value_is_the_papers(name, key):
    assert value(params_of(name), key) == KNOWN[name][key]


@pytest.mark.parametrize("name", PAPERS)
def test_a_profile_says_what_it_is_what_to_bring_and_how_it_departs(name):
    head = text_of(name).partition("\n\n")[0].splitlines()
    assert 3 <= len(head) <= 8
    assert all(line.startswith("# ") for line in head)
    said = " ".join(line.removeprefix("# ") for line in head)
    assert "arXiv" in said
    assert "Departs:" in said
    pools = params_of(name)["pools"]
    assert all(f"dvc add --out data/raw/{pool} " in said for pool in pools)
    assert max(len(line) for line in text_of(name).splitlines()) <= 130


@pytest.mark.parametrize("name", PAPERS)
def test_what_is_unknown_is_marked_with_what_is_used_instead(name):
    lines = [line for line in text_of(name).splitlines() if "unknown:" in line]
    assert sum("# unknown:" in line for line in lines) > 0
    assert all(re.search(r"# unknown: \S", line) for line in lines)


@pytest.mark.parametrize("name", PAPERS)
def test_a_branch_is_unknown_and_a_commit_is_pinned(name):
    lines = [line for line in text_of(name).splitlines() if re.match(r"  revision:", line)]
    for line in lines:
        assert re.search(r"null|\b[0-9a-f]{40}\b|# unknown: ", line), line


@pytest.mark.parametrize("name", PAPERS)
def test_what_a_prompt_may_take_leaves_room_for_the_answer(name):
    params = params_of(name)
    assert params["evaluate"]["max_new_tokens"] < params["prompt"]["max_tokens"]
    if name in INSTA:  # an encoder-decoder has neither a chat template's form nor loss on its prompt
        assert params["prompt"]["template"] != "chat"
        assert params["optimize"]["method"] == "human"


@pytest.mark.parametrize("name", INSTA)
def test_the_sweep_in_the_comment_covers_the_papers_targets_and_the_profile_names_one(name):
    found = swept(name)
    assert sorted(short(name, target) for target in found) == sorted(TARGETS[name].split())
    (target,) = params_of(name)["targets"]["values"]
    assert target in found
    assert len(found) == {"insta-p3": 9, "insta-bigbench": 14, "insta-niv2": 33, "insta-bbh": 23}[name]  # ANLI: three rounds


@pytest.mark.parametrize("name", ["insta-p3", "insta-bigbench"])
def test_p3_targets_are_held_out_and_35_datasets_are_named(name):
    assert set(params_of(name)["pools"]["p3"]["held_out"]) == set(TARGETS["insta-p3"].split())
    named = " ".join(re.findall(r"^  #  (\S.*)$", text_of(name), re.MULTILINE)).split()
    assert len(named) == len(set(named)) == 35
    assert not set(named) & set(TARGETS["insta-p3"].split())


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_the_targets_are_real_names():
    bigbench = {row["parent"] for row in rows(DATA / "bigbench" / "tasks.jsonl.gz")}
    assert set(swept("insta-bigbench")) <= bigbench
    test_tasks = (DATA / "super_natural_instructions" / "splits" / "default" / "test_tasks.txt").read_text().split()
    assert set(swept("insta-niv2")) <= set(test_tasks)
    here = {path.stem for path in (DATA / "bbh" / "tasks").glob("*.json")}
    others = {target.removeprefix("bbh:") for target in swept("insta-bbh")} - here
    held_apart = "hyperbaton movie_recommendation navigate penguins_in_a_table ruin_names snarks temporal_sequences word_sorting"
    assert " ".join(sorted(others)) == held_apart  # of the 27, those that ../shared/data does not hold


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_every_selection_that_the_authors_recorded_is_of_a_target():
    configs = DATA / "insta_run_configs"
    niv2 = {path.stem.rpartition("_")[2] for path in (configs / "niv2" / "insta_aligned").glob("*.json")}
    assert niv2 <= set(TARGETS["insta-niv2"].split())
    bbh = {path.stem for path in (configs / "bbh" / "insta_aligned").glob("*.json")}
    assert bbh <= set(TARGETS["insta-bbh"].split())
    for folder, name in (("p3", "insta-p3"), ("bigbench", "insta-bigbench"), ("niv2", "insta-niv2"), ("bbh", "insta-bbh")):
        known = KNOWN[name]
        for path in (configs / folder / "insta_aligned").glob("*.json"):
            recorded = json.loads(path.read_text(encoding="utf-8"))
            assert recorded["model_id"] == known["base_model.name"]
            assert (recorded["lr"], recorded["epochs"]) == (known["finetune.learning_rate"], known["finetune.epochs"])
            assert len(recorded["dataset_lists"]) == known["select.top_k"]
            rows_per_step = recorded["per_device_train_batch_size"] * recorded["n_gpu"] * recorded["gradient_accumulation_steps"]
            assert rows_per_step == known["finetune.batch_size"]
