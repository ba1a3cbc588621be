"""A synthetic pool with known answers, in the layout of a Super-NaturalInstructions clone.

Families of tasks, one file each in `playground_families`, share a skill and the form of the answer. Some families have test
tasks; only the training tasks of the same family teach what those need.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from instune.errors import InputError
from instune.pools.playground_families import (
    arithmetic,
    classification,
    comparison,
    conversion,
    counting,
    data_to_text,
    entailment,
    extraction,
    glossary,
    lookup,
    negation,
    odd_one_out,
    ordering,
    policy,
    question_generation,
    quotation,
    sentiment,
    word_manipulation,
)
from instune.pools.playground_families.spec import Case, TaskSpec
from instune.pools.playground_page import page
from instune.results import write_json, write_text

_MODULES = (
    arithmetic, classification, comparison, conversion, counting, data_to_text, entailment, extraction, glossary, lookup,
    negation, odd_one_out, ordering, policy, question_generation, quotation, sentiment, word_manipulation,
)  # fmt: skip
FAMILIES: Mapping[str, tuple[TaskSpec, ...]] = {module.FAMILY: module.TASKS for module in _MODULES}
POSITIVE, SHOWN = 2, 3  # worked examples in a task file: right ones, and these with the wrong one
MAX_DRAWS = 50  # per instance, until a new input is found

# The first of each pair is a test task, the second a training task. Alike in words, no skill in common:
LIKE_WORDING_UNLIKE_SKILL = (
    ("hospital_ward_department", "hospital_department_counting"),
    ("harbour_berth_ship", "harbour_ship_ordering"),
    ("workshop_material", "workshop_material_question"),
    ("farm_diary_crop", "farm_diary_counting"),
    ("repair_faulty_part", "repair_shop_mood"),
    ("aquarium_sign_words", "aquarium_card_sentence"),
    ("observatory_note_words", "observatory_log_sentence"),
    ("museum_panel_words", "museum_visitor_mood"),
    ("theatre_prompter_words", "theatre_line_reversal"),
)
# The same skill, said in other words:
UNLIKE_WORDING_LIKE_SKILL = (
    ("hospital_ward_department", "locker_owner"),
    ("harbour_berth_ship", "paint_number_colour"),
    ("workshop_material", "postcard_town"),
    ("farm_diary_crop", "small_ad_price"),
    ("repair_faulty_part", "concert_instrument"),
    ("festival_wristband_stage", "train_platform"),
    ("expedition_radio_codename", "library_shelf_subject"),
    ("ranger_radio_animal", "small_ad_price"),
    ("aquarium_sign_words", "film_scene_line"),
    ("observatory_note_words", "monument_inscription_words"),
    ("museum_panel_words", "family_note_text"),
    ("theatre_prompter_words", "shop_window_sign"),
)


def task_ids() -> dict[str, str]:
    """Task name -> `taskNNN_name`. The numbers follow a hash of the name, so that they tell nothing of the family."""
    names = [spec.name for tasks in FAMILIES.values() for spec in tasks]
    ordered = sorted(names, key=lambda name: blake2b(name.encode(), digest_size=8).digest())
    return {name: f"task{number:03d}_{name}" for number, name in enumerate(ordered, start=1)}


def draw_cases(spec: TaskSpec, *, seed: int, count: int) -> list[Case]:
    """`count` cases with different inputs. Labels take turns, so that they are in equal parts among any first so many instances.

    Raises:
        InputError: the task's templates do not give so many different inputs.
    """
    rng = Random(f"{seed}/{spec.name}")
    cases: dict[str, Case] = {}
    for index in range(count):
        for _ in range(MAX_DRAWS):
            case = spec.make(rng, index)
            if case.input not in cases:
                cases[case.input] = case
                break
        else:
            raise InputError(
                f"playground.instances_per_task: the templates of {spec.name} gave only {len(cases)} of {count} different "
                f"inputs. Lower it to at most {len(cases) - SHOWN}."
            )
    return list(cases.values())


def build_task(spec: TaskSpec, *, family: str, task_id: str, seed: int, instances: int) -> dict[str, Any]:
    """One task as the content of its JSON file."""
    cases = draw_cases(spec, seed=seed, count=SHOWN + instances)
    shown, wrong, rest = cases[:POSITIVE], cases[POSITIVE:SHOWN], cases[SHOWN:]
    number = task_id.split("_")[0]
    return {
        "Contributors": ["instune playground"],
        "Source": ["synthetic"],
        "URL": [],
        "Categories": [family],
        "Reasoning": [],
        "Definition": list(spec.wordings),
        "Input_language": ["English"],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
        "Domains": [spec.domain],
        "Positive Examples": [
            {"input": case.input, "output": case.output, "explanation": spec.reason.format(output=case.output)} for case in shown
        ],
        "Negative Examples": [
            {
                "input": case.input,
                "output": f"Sure, I can help with that! {case.output}",
                "explanation": "The answer has words around it that the task does not ask for.",
            }
            for case in wrong
        ],
        "Instances": [
            {
                "id": f"{number}-{blake2b(f'{spec.name}/{case.input}'.encode(), digest_size=16).hexdigest()}",
                "input": case.input,
                "output": [case.output],
            }
            for case in rest
        ],
        "Instance License": ["CC0 1.0"],
    }


def known_answers() -> dict[str, Any]:
    """What a selector could find, by task id: `teaches` (test task -> training tasks), the two kinds of pairs, the families."""
    ids = task_ids()
    families = {
        family: {
            "train": sorted(ids[spec.name] for spec in tasks if not spec.held_out),
            "test": sorted(ids[spec.name] for spec in tasks if spec.held_out),
        }
        for family, tasks in FAMILIES.items()
    }
    return {
        "families": families,
        "teaches": {task: family["train"] for family in families.values() for task in family["test"]},
        "like_wording_unlike_skill": [[ids[a], ids[b]] for a, b in LIKE_WORDING_UNLIKE_SKILL],
        "unlike_wording_like_skill": [[ids[a], ids[b]] for a, b in UNLIKE_WORDING_LIKE_SKILL],
    }


def write_pool(folder: Path, *, seed: int, instances: int) -> int:
    """Write the whole pool under `folder`; returns the number of tasks."""
    ids = task_ids()
    for family, tasks in FAMILIES.items():
        for spec in tasks:
            task = build_task(spec, family=family, task_id=ids[spec.name], seed=seed, instances=instances)
            write_json(folder / "tasks" / f"{ids[spec.name]}.json", task)
    answers = known_answers()
    splits = {
        split: sorted(task for family in answers["families"].values() for task in family[split]) for split in ("train", "test")
    }
    for split, members in {**splits, "excluded": []}.items():
        write_text(folder / "splits" / "default" / f"{split}_tasks.txt", "".join(f"{task}\n" for task in members))
    write_json(folder / "known_answers.json", answers)
    write_text(folder / "README.md", page(answers, FAMILIES, ids))
    return len(ids)
