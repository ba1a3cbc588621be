"""INSTA's published selections and the instructions that they were made from, as far as those are at hand.

Which promptsource templates are a dataset's follows the dictionaries in INSTA's selection code (CHLee0801/INSTA, deleted file
inference_max_of_max.py); its wordings themselves were never published.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

from instune.pools.promptsource import PromptTemplate, parse_templates
from instune.results import read_json

SOURCES = {  # INSTA's name of a P3 source dataset -> promptsource's
    "adversarial_qa": "adversarial_qa/adversarialQA", "ag_news": "ag_news", "amazon": "amazon_polarity",
    "app_reviews": "app_reviews", "cnn_daily_mail": "cnn_dailymail/3.0.0", "common_gen": "common_gen", "cos_e": "cos_e/v1.11",
    "cosmos_qa": "cosmos_qa", "dbpedia": "dbpedia_14", "dream": "dream", "duorc": "duorc/ParaphraseRC", "gigaword": "gigaword",
    "hotpot_qa": "hotpot_qa/distractor", "imdb": "imdb", "mrpc": "glue/mrpc", "multi_news": "multi_news",
    "paws": "paws/labeled_final", "qasc": "qasc", "qqp": "glue/qqp", "quail": "quail", "quarel": "quarel", "quartz": "quartz",
    "quoref": "quoref", "ropes": "ropes", "rotten_tomatoes": "rotten_tomatoes", "samsum": "samsum", "sciq": "sciq",
    "social_iqa": "social_i_qa", "trec": "trec", "wiki_bio": "wiki_bio", "wiki_hop": "wiki_hop/original", "wiki_qa": "wiki_qa",
    "wiqa": "wiqa", "xsum": "xsum", "yelp": "yelp_review_full",
}  # fmt: skip
TARGETS = {
    "anli": "anli", "cb": "super_glue/cb", "copa": "super_glue/copa", "hella": "hellaswag", "rte": "super_glue/rte",
    "story": "story_cloze/2016", "wic": "super_glue/wic", "wino": "winogrande/winogrande_xl", "wsc": "super_glue/wsc.fixed",
}  # fmt: skip
BIG_BENCH = {  # INSTA's name of a target -> BIG-bench's task, with its subtasks
    "code_description": "code_line_description",
    "concept": "conceptual_combinations",
    "hindu_knowledge": "hindu_knowledge",
    "known_unknown": "known_unknowns",
    "language_identification": "language_identification",
    "logic_grid": "logic_grid_puzzle",
    "logical": "logical_deduction",
    "misconcept": "misconceptions",
    "movie_dialog_same_or_different": "movie_dialog_same_or_different",
    "novel_concepts": "novel_concepts",
    "strategyqa": "strategyqa",
    "syllogism": "formal_fallacies_syllogisms_negation",
    "vitamin": "vitaminc_fact_verification",
    "winowhy": "winowhy",
}

Lists = dict[str, list[str]]  # target -> source tasks


def lists(folder: Path) -> Lists:
    """The lists of one folder of run configurations; `_top_5` is no part of a target's name, nor a category of a task's."""
    return {
        path.stem.removesuffix("_top_5"): [name.rpartition("/")[2] for name in read_json(path)["dataset_lists"]]
        for path in sorted(folder.glob("*.json"))
    }


def templates(archive: Path) -> dict[str, list[PromptTemplate]]:
    """promptsource's templates by dataset."""
    with tarfile.open(archive) as packed:
        names = [name for name in packed.getnames() if name.endswith("templates.yaml")]
        wanted = {*SOURCES.values(), *TARGETS.values()}
        ends = tuple(f"{name}/templates.yaml" for name in wanted)
        found = (parse_templates(packed.extractfile(name).read()) for name in names if name.endswith(ends))
        return {name: values for name, values in found if name in wanted}


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The records of a gzipped JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def big_bench(path: Path) -> dict[str, list[dict[str, Any]]]:
    """INSTA's name of a BIG-bench target -> the records of its task, or of all its subtasks."""
    records = json_lines(path)
    return {name: [record for record in records if record["parent"] == parent] for name, parent in BIG_BENCH.items()}


def super_natural_instructions(folder: Path) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The records of all tasks by name, and the names of the English training tasks, sorted."""
    records = {record["task"]: record for record in json_lines(folder / "definitions.jsonl.gz")}
    return records, sorted((folder / "splits/default/train_tasks.txt").read_text(encoding="utf-8").split())


def bbh(folder: Path) -> dict[str, tuple[str, list[dict[str, str]]]]:
    """BIG-Bench-Hard task -> its description, and its examples."""
    descriptions = read_json(folder / "descriptions.json")
    return {name: (text, read_json(folder / f"tasks/{name}.json")["examples"]) for name, text in descriptions.items()}
