"""Ask one model every question of the target tasks: greedy answers and log-likelihoods of the references.

Reads:  data/models/base or tuned, data/pool/tasks.parquet, examples.parquet; sections evaluate, prompt, targets, seed
Writes: data/predictions/<model>/predictions.jsonl: one `Prediction` per line, sorted by task and example
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
import transformers
from pydantic import PositiveInt

from instune import config, model_checks, models
from instune.config import Section
from instune.devices import alone
from instune.errors import InputError
from instune.evaluation import decoding, streaming
from instune.evaluation.journal import Journal, digest, file_digest
from instune.evaluation.predict import pool_tasks, predict
from instune.evaluation.predictions import write_predictions
from instune.evaluation.tasks import Prompter, first_examples
from instune.models import Precision
from instune.prompts import Prompt
from instune.records import read_examples, read_tasks
from instune.targets import Targets, target_tasks
from stages.command import run

SCRATCH = Path(".scratch/evaluate")


class Params(Section):
    # bfloat16 moved the NLL of single answers of the packaged model by up to 0.15 nats per token, and their mean by 0.01;
    # float32 is exact and takes about twice the time on a CPU
    max_new_tokens: PositiveInt  # tokens
    batch_size: PositiveInt  # prompts per batch
    precision: Precision  # of weights and products; auto: bfloat16 where the device computes it natively


SECTIONS = {"evaluate": Params, "prompt": Prompt, "targets": Targets, "seed": int}


def main(*, model: Path, tasks: Path, examples: Path, out: Path) -> None:
    """Write the predictions of one model; a killed run goes on where it stopped."""
    values = config.load(SECTIONS)
    params, prompt = values["evaluate"], values["prompt"]
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    pool, tokenizer, shape = read_tasks(tasks), models.load_tokenizer(model), models.load_config(model)
    model_checks.check_positions(shape, prompt.max_tokens)
    limit, seq2seq = params.max_new_tokens, shape.is_encoder_decoder
    prompter = Prompter(prompt, tokenizer, max_new_tokens=limit, seed=values["seed"], seq2seq=seq2seq)
    targets = target_tasks(pool, values["targets"])
    asked = first_examples(read_examples(examples, targets), values["targets"].examples_per_task)
    if not asked:
        raise InputError(f"{examples}: none of the {len(targets)} target tasks has an example. Choose other targets.")
    questions = pool_tasks(pool, asked, prompter, max_new_tokens=limit)

    device = models.pick_device()
    dtype = models.autocast_dtype(device, params.precision)
    network = models.load_model(model, device=device).to(dtype)
    weights = models.weights_hash(model)
    code = file_digest(Path(decoding.__file__), Path(streaming.__file__), *models.settings_files(model))
    documents = [document for task in questions.values() for document in task.documents]
    contents = digest([(document.text, document.reference, document.example.choices) for document in documents])
    machine = [device.type, str(dtype), torch.__version__, transformers.__version__]
    scratch = SCRATCH / "-".join([weights, code, contents, str(params.batch_size), *machine])
    journal = Journal(scratch / "answers.jsonl")
    lm = streaming.StreamingLM(network, tokenizer, journal, batch_size=params.batch_size, max_tokens=prompt.max_tokens)
    count = write_predictions(out, predict(lm, questions, weights=weights))
    journal.close()
    shutil.rmtree(scratch)
    without = f"; {len(targets) - len(asked)} target tasks have no example" if len(asked) < len(targets) else ""
    print(f"{out}: {count} predictions on {len(asked)} tasks{without}. Look at predictions.jsonl, or run score.")


if __name__ == "__main__":
    run(main, within=alone)
