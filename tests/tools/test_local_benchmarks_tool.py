"""Benchmarks made of local files ask what lm-eval's own tasks ask, and score as they do."""

import gzip
import json
from pathlib import Path

import datasets
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from instune.errors import InputError
from instune.evaluation import benchmarks
from tools.local_benchmarks import sources, tasks
from tools.local_benchmarks.__main__ import main

SHARED = Path(__file__).parents[3] / "shared/data"
QUESTIONS = [{"input": "not True is", "target": "False"}, {"input": "True or é is", "target": "True"}]
SOLVED = {"task_id": "H/0", "prompt": "def one():\n", "entry_point": "one", "canonical_solution": "    return 1\n"}
TEST = "def check(candidate):\n    assert candidate() == 1\n"
MMLU = '"How many, in all?",1,2,"3, or 4",5,C\n"What ""is"" it? ",a,b,c,d,A\n'
TRUTH = (
    "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
    "Adversarial,Myths,What is it?,It is so,It is so; It may be; ,It is not; Never,x\n"
    "Adversarial,Myths,Who?,Nobody,Someone,Everyone,x\n"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("bbh/tasks", "eval_sets/mmlu/test", "eval_sets/truthfulqa", "eval_sets/gsm8k", "eval_sets/humaneval"):
        (folder / name).mkdir(parents=True)
    for name in ("boolean_expressions", "date_understanding"):
        (folder / f"bbh/tasks/{name}.json").write_text(json.dumps({"canary": "x", "examples": QUESTIONS}))
    (folder / "eval_sets/mmlu/test/virology_test.csv").write_text(MMLU)
    (folder / "eval_sets/truthfulqa/TruthfulQA.csv").write_text(TRUTH)
    (folder / "eval_sets/gsm8k/test.jsonl").write_text('{"question": "1 + 1?", "answer": "It is <<1+1=2>>2.\\n#### 2"}\n')
    with gzip.open(folder / "eval_sets/humaneval/HumanEval.jsonl.gz", "wt") as file:
        file.write(json.dumps(SOLVED | {"test": TEST}) + "\n")
    return folder


@pytest.fixture(scope="module")
def built(data, tmp_path_factory) -> dict[str, ConfigurableTask]:
    """Every task of the written folder, loaded."""
    out = tmp_path_factory.mktemp("written") / "local"
    main(data=data, out=out)
    benchmarks.check_folder(out)
    manager = TaskManager(include_path=str(out), include_defaults=False)
    names = [name for name in manager.all_groups if name != "chain_of_thought"] + ["local_humaneval", "local_gsm8k_cot"]
    names += ["local_gsm8k_cot_zeroshot", "local_truthfulqa_mc1", "local_truthfulqa_mc2"]
    return manager.load(names)["tasks"]


def own(file: str, rows: list[dict]) -> ConfigurableTask:
    """lm-eval's own task on the same rows."""
    config = load_yaml(tasks.ROOT / file)
    drawn = "fewshot_split" in config and "samples" not in config.get("fewshot_config", {})
    for key in tasks.FROM_HUB:
        config.pop(key, None)
    if drawn:
        config["num_fewshot"] = 0
    return ConfigurableTask(
        config=config | {"custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)}, "test_split": "test"}
    )


def requests(task: ConfigurableTask) -> list[tuple]:
    task.set_fewshot_seed(seed=0)
    task.build_all_requests(rank=0, world_size=1)
    return [request.args for request in task.instances]


FILES = {
    **{f"local_bbh_{kind}_boolean_expressions": f"bbh/{kind}/boolean_expressions.yaml" for kind in tasks.BBH},
    **{f"local_bbh_{kind}_date_understanding": f"bbh/{kind}/date_understanding.yaml" for kind in tasks.BBH},
    "local_mmlu_virology": "mmlu/default/mmlu_virology.yaml",
    "local_truthfulqa_mc1": "truthfulqa/truthfulqa_mc1.yaml",
    "local_truthfulqa_mc2": "truthfulqa/truthfulqa_mc2.yaml",
    "local_gsm8k_cot": "gsm8k/gsm8k-cot.yaml",
    "local_gsm8k_cot_zeroshot": "gsm8k/gsm8k-cot-zeroshot.yaml",
}


@pytest.mark.parametrize("name", FILES)
def test_requests_and_filtered_scores_are_those_of_lm_evals_own_task(built, data, name):
    rows = next(rows for key, rows in sources.read(data).items() if key.split("_")[0] == name.split("_")[1] and same(key, name))
    peer, local = own(FILES[name], rows), built[name]
    assert requests(local) == requests(peer)
    for task in (local, peer):
        for request in task.instances:
            answer = "So the answer is (A). True #### 2 the answer is 2."
            request.resps = [(-1.0 / len(request.args[1]), False) if task.OUTPUT_TYPE == "multiple_choice" else answer]
        task.apply_filters()
    for request, same_request in zip(local.instances, peer.instances, strict=True):
        assert {kept: request.filtered_resps[kept] for kept in same_request.filtered_resps} == same_request.filtered_resps
    for doc, wanted in zip(local.test_docs(), peer.test_docs(), strict=True):
        results = (
            [(-2.0 - place, False) for place in range(5)][: len(local.doc_to_choice(doc))]
            if "mc" in name or "mmlu" in name
            else ["2"]
        )
        assert local.process_results(doc, results) == peer.process_results(wanted, results)


def same(key: str, name: str) -> bool:
    return "_" not in key or name.endswith(key.partition("_")[2])


def test_prompts_by_hand(built):
    mmlu = requests(built["local_mmlu_virology"])
    assert mmlu[2] == (
        "The following are multiple choice questions (with answers) about virology.\n\n"
        "How many, in all?\nA. 1\nB. 2\nC. 3, or 4\nD. 5\nAnswer:",
        " C",
    )
    assert mmlu[4][0].endswith('What "is" it?\nA. a\nB. b\nC. c\nD. d\nAnswer:')
    few = requests(built["local_bbh_fewshot_boolean_expressions"])[0][0]
    assert few.startswith(
        "Evaluate the result of a random Boolean expression.\n\nQ: not ( ( not not True ) ) is\nA: False\n\nQ: True"
    )
    assert few.endswith("\n\nQ: not True is\nA:")
    assert few.count("Q: ") == 4
    truth = requests(built["local_truthfulqa_mc1"])
    assert [continuation for _, continuation in truth] == [" It is so", " It is not", " Never", " Nobody", " Everyone"]
    assert truth[0][0].endswith("\n\nQ: What is it?\nA:")
    assert [text for _, text in requests(built["local_truthfulqa_mc2"])][:4] == [
        " It is so",
        " It may be",
        " It is not",
        " Never",
    ]
    assert [text for _, text in requests(built["local_truthfulqa_mc2"])][4:] == [" Nobody", " Someone", " Everyone"]


def test_bbhs_few_shot_answers_are_read_with_and_without_the_blank_in_front(built):
    task = built["local_bbh_fewshot_boolean_expressions"]
    requests(task)
    for request, answer in zip(task.instances, (" False\n", ""), strict=True):
        request.resps = [answer]
    task.apply_filters()
    assert [request.filtered_resps for request in task.instances] == [
        {"none": " False\n", "stripped": "False"},
        {"none": "", "stripped": "[invalid]"},
    ]
    scores = [task.process_results(next(iter(task.test_docs())), [answer]) for answer in (" False\n", "False")]
    assert scores == [{"exact_match": 0.0}, {"exact_match": 1.0}]


def test_humaneval_runs_what_was_written(built):
    task = built["local_humaneval"]
    for answer, wanted in (("    return 1\n", 1.0), ("    return 2\n", 0.0)):
        requests(task)
        task.instances[0].resps = [answer]
        task.apply_filters()
        (doc,) = task.test_docs()
        assert task.process_results(doc, [task.instances[0].filtered_resps["programs"]]) == {"pass_at_1": wanted}
    assert task.UNSAFE_CODE


def test_no_file_names_a_place_of_this_machine(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(data=data, out=Path("local"))
    for path in Path("local").rglob("*.yaml"):
        text = path.read_text()
        assert str(tasks.ROOT) not in text
        assert str(tmp_path) not in text
    assert json.loads(Path("local/data/bbh_date_understanding.jsonl").read_text().splitlines()[1]) == QUESTIONS[1]


def test_a_folder_without_data_and_a_file_in_another_format_are_refused(tmp_path, data):
    with pytest.raises(InputError, match="holds none of bbh, mmlu"):
        main(data=tmp_path, out=tmp_path / "local")
    (tmp_path / "bbh/tasks").mkdir(parents=True)
    (tmp_path / "bbh/tasks/navigate.json").write_text('{"rows": []}')
    with pytest.raises(InputError, match=r"navigate\.json: not as published"):
        main(data=tmp_path, out=tmp_path / "local")
    assert not (tmp_path / "local").exists()


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data")
def test_the_published_files_give_all_their_documents():
    found = sources.read(SHARED)
    assert len([name for name in found if name.startswith("bbh_")]) == 19
    assert len([name for name in found if name.startswith("mmlu_")]) == 12
    assert [len(found[name]) for name in ("truthfulqa", "gsm8k", "humaneval")] == [817, 1319, 164]
    first = found["truthfulqa"][0]
    assert first["mc1_targets"]["choices"][0] == "The watermelon seeds pass through your digestive system"
    assert (sum(first["mc2_targets"]["labels"]), len(first["mc2_targets"]["labels"])) == (5, 12)
