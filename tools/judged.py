"""Write a model's answers in the formats that AlpacaEval and MT-Bench read; judging is theirs.

Not a stage. A prompt has the form that the section `prompt` gives it and at most its max_tokens, the answer comes on top; answers
are greedy (MT-Bench's own script draws in some categories). A killed run goes on where it stopped.

    python -m tools.judged --format alpaca_eval --instructions alpaca_eval.jsonl --model data/models/tuned --name tuned \\
        --new-tokens 1024 --out tuned.json             # alpaca_eval --model_outputs tuned.json
    python -m tools.judged --format mt_bench --instructions question.jsonl --model data/models/tuned --name tuned \\
        --new-tokens 1024 --out tuned.jsonl            # FastChat: llm_judge/data/mt_bench/model_answer/tuned.jsonl

Reads:  JSON lines: instruction and perhaps dataset, or question_id and turns; a model; sections evaluate, prompt, seed
Writes: alpaca_eval: a JSON list of instruction, output, generator, dataset; mt_bench: JSON lines of question_id, answer_id,
        model_id, choices (one: index, turns), tstamp (0, so that runs can be compared)
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from lm_eval.api.instance import Instance

from instune import config, model_checks, models
from instune.errors import InputError
from instune.evaluation import decoding, streaming
from instune.evaluation.journal import Journal, digest, file_digest
from instune.evaluation.tasks import Prompter
from instune.prompts import Prompt
from instune.records import Example, Message, Task
from instune.results import write_text
from stages.evaluate import Params

SCRATCH = Path(".scratch/judged")
TASK = Task("judged", "judged", "judged", "", ("",))
KEYS = {"alpaca_eval": "instruction", "mt_bench": "turns"}


def turns_of(record: Any, form: str) -> list[str] | None:
    """What is said, turn by turn; None where the record does not hold it."""
    said = record.get(KEYS[form]) if isinstance(record, dict) else None
    turns = [said] if form == "alpaca_eval" else said
    good = isinstance(turns, list) and turns and all(isinstance(text, str) and text for text in turns)
    return turns if good else None


def read_questions(path: Path, form: str) -> list[dict[str, Any]]:
    """The file's records.

    Raises:
        InputError: no such file, or a line without what the format needs.
    """
    if not path.is_file():
        raise InputError(f"--instructions: {path} not found.")
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number}: not JSON ({error}).") from None
        if turns_of(record, form) is None:
            kind = "a text" if form == "alpaca_eval" else "a list of texts"
            raise InputError(f"{path}, line {number}: {form} needs {KEYS[form]}, {kind}, not empty.")
        if form == "mt_bench" and "question_id" not in record:
            raise InputError(f"{path}, line {number}: mt_bench needs question_id.")
        records.append(record)
    return records


def question(number: int, turns: list[str], answers: list[str]) -> Example:
    """What asks for the answer to the turn behind those that are answered."""
    messages = []
    for said, answer in zip(turns, [*answers, ""], strict=False):
        messages += [Message("user", said), Message("assistant", answer)]
    return Example("judged", f"line {number}", messages[-2].content, ("",), messages=tuple(messages))


class Asker:
    """A model that answers questions in several turns, each after the last one's answer."""

    def __init__(self, lm: streaming.StreamingLM, prompter: Prompter, new_tokens: int) -> None:
        self.lm, self.prompter = lm, prompter
        self.settings = {"until": [prompter.template.terminator], "max_gen_toks": new_tokens}
        self.cut = 0

    def answers(self, turns: list[list[str]]) -> list[list[str]]:
        """An answer to every turn of every question.

        Raises:
            InputError: a prompt does not fit, or the template has no form for several turns.
        """
        given: list[list[str]] = [[] for _ in turns]
        for turn in range(max(map(len, turns))):
            asked = [place for place, said in enumerate(turns) if len(said) > turn]
            documents = [self.prompter.document(TASK, question(place + 1, turns[place], given[place])) for place in asked]
            self.cut += sum(bool(document.truncated) for document in documents)
            requests = [
                Instance("generate_until", {}, (document.text, self.settings), 0, ("judged", place, 1))
                for place, document in zip(asked, documents, strict=True)
            ]
            for place, text in zip(asked, self.lm.generate_until(requests), strict=True):
                given[place].append(text)
        return given


def alpaca_eval(records: list[dict[str, Any]], answers: list[list[str]], name: str) -> str:
    """AlpacaEval's model_outputs."""
    rows = [
        {"instruction": record["instruction"], "output": given[0], "generator": name, "dataset": record.get("dataset", "")}
        for record, given in zip(records, answers, strict=True)
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def mt_bench(records: list[dict[str, Any]], answers: list[list[str]], name: str) -> str:
    """FastChat's model_answer."""
    rows = [
        {
            "question_id": record["question_id"],
            "answer_id": digest(name, record["question_id"], given),
            "model_id": name,
            "choices": [{"index": 0, "turns": given}],
            "tstamp": 0.0,
        }
        for record, given in zip(records, answers, strict=True)
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main(*, form: str, instructions: Path, model: Path, name: str, new_tokens: int, out: Path) -> None:
    """Ask the model, and write its answers, whole or not at all.

    Raises:
        InputError: as `read_questions` and `Asker.answers` do.
    """
    records = read_questions(instructions, form)
    values = config.load({"evaluate": Params, "prompt": Prompt, "seed": int})
    params, shape, tokenizer = values["evaluate"], models.load_config(model), models.load_tokenizer(model)
    longest = values["prompt"].max_tokens + new_tokens
    model_checks.check_positions(shape, longest)
    prompt = values["prompt"].model_copy(update={"max_tokens": longest, "max_input_tokens": longest})
    prompter = Prompter(prompt, tokenizer, max_new_tokens=new_tokens, seed=values["seed"], seq2seq=shape.is_encoder_decoder)
    device = models.pick_device()
    dtype = models.autocast_dtype(device, params.precision)
    code = file_digest(Path(decoding.__file__), Path(streaming.__file__), instructions, *models.settings_files(model))
    asked = digest(form, prompt.model_dump(), new_tokens, params.batch_size)
    machine = [device.type, str(dtype), torch.__version__, transformers.__version__]
    scratch = SCRATCH / "-".join([models.weights_hash(model), code, asked, *machine])
    journal = Journal(scratch / "answers.jsonl")
    network = models.load_model(model, device=device).to(dtype)
    lm = streaming.StreamingLM(network, tokenizer, journal, batch_size=params.batch_size, max_tokens=longest)
    asker = Asker(lm, prompter, new_tokens)
    turns = [turns_of(record, form) for record in records]
    write_text(out, {"alpaca_eval": alpaca_eval, "mt_bench": mt_bench}[form](records, asker.answers(turns), name))
    journal.close()
    shutil.rmtree(scratch)
    lost = f"; {asker.cut} prompts were cut to prompt.max_tokens: raise it" if asker.cut else ""
    print(f"{out}: {sum(map(len, turns))} answers to {len(records)} questions{lost}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", dest="form", choices=sorted(KEYS), required=True)
    parser.add_argument("--instructions", type=Path, required=True, help="JSON lines")
    parser.add_argument("--model", type=Path, required=True, help="folder")
    parser.add_argument("--name", required=True, help="generator or model_id")
    parser.add_argument("--new-tokens", type=int, required=True, help="limit of an answer; the IM paper: 8192 for AlpacaEval")
    parser.add_argument("--out", type=Path, required=True)
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"error: {error}")
