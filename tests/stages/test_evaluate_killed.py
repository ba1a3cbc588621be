import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from instune.evaluation import streaming
from instune.evaluation.predictions import read_predictions
from instune.records import write_examples, write_tasks
from stages import evaluate

PARAMS = """
seed: 0
targets: {by: split, values: [test], examples_per_task: 3}
prompt:
  {template: chat, instruction_position: before, wording: any, exemplars: 1,
  max_instruction_tokens: 40, max_input_tokens: 40, max_tokens: 200}
evaluate: {max_new_tokens: 5, batch_size: 2, precision: float32}
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from instune.evaluation import streaming
from stages import evaluate

real, batches = streaming.likelihoods, []

def likelihoods(*arguments, **settings):
    batches.append(arguments)
    if len(batches) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **settings)

streaming.likelihoods = likelihoods
tasks, examples = Path("tasks.parquet"), Path("examples.parquet")
evaluate.main(model=Path(sys.argv[1]), tasks=tasks, examples=examples, out=Path("predictions/base"))
"""


def test_an_evaluation_killed_by_sigkill_repeats_no_finished_request(tmp_path, monkeypatch, tiny_pool, model_folder):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    write_tasks(Path("tasks.parquet"), tiny_pool[0].values())
    write_examples(Path("examples.parquet"), tiny_pool[1])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", KILLED, str(model_folder)], env=environment, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not Path("predictions").exists()
    (journal,) = Path(".scratch/evaluate").rglob("answers.jsonl")
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 8  # six answers, and the likelihoods of the first batch

    asked, real = [], streaming.likelihoods
    monkeypatch.setattr(streaming, "generate", None)  # a generation asked again fails
    monkeypatch.setattr(streaming, "likelihoods", lambda *given, **settings: asked.append(given) or real(*given, **settings))
    evaluate.main(
        model=model_folder, tasks=Path("tasks.parquet"), examples=Path("examples.parquet"), out=Path("predictions/base")
    )
    assert len(asked) == 2  # batches two and three
    assert len(read_predictions(Path("predictions/base"))) == 6
