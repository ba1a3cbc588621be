"""A folder of tiny YAML tasks of lm-evaluation-harness, of every kind, with their data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROWS = [
    {"question": "Which colour?", "choices": ["red", "blue or green", "ü"], "gold": 1, "answer": "yes"},
    {"question": "Say yes or no.", "choices": ["yes", "no no no", "1 2"], "gold": 0, "answer": "no"},
    {"question": "The apple is", "choices": ["red", "a b c d", "1"], "gold": 2, "answer": "red apple"},
    {"question": "Name the colour of the fruit in the text. " * 3 + ".", "choices": ["a", "b", "c"], "gold": 0, "answer": "é"},
    {"question": "Name the fruit.", "choices": ["a", "b", "c"], "gold": 1, "answer": "apple"},
]
SHARED = """dataset_path: json
dataset_kwargs: {data_files: {test: DATA/test.jsonl, train: DATA/train.jsonl}}
test_split: test
"""
TASKS = {
    "tiny_choice": """
training_split: train
fewshot_split: train
num_fewshot: 2
output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: choices
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
  - {metric: acc_bytes, aggregation: mean, higher_is_better: true}
""",
    "tiny_letters": """
output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA. {{choices[0]}}\\nB. {{choices[1]}}\\nC. {{choices[2]}}\\nAnswer:"
doc_to_choice: [A, B, C]
doc_to_target: gold
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tiny_answer": """
training_split: train
fewshot_split: train
num_fewshot: 1
output_type: generate_until
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: answer
generation_kwargs: {until: ["e", "Q:"], max_gen_toks: 9, do_sample: false}
filter_list:
  - name: first-word
    filter:
      - {function: regex, regex_pattern: "(\\\\w+)"}
      - {function: take_first}
  - name: whole
    filter:
      - {function: take_first}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
""",
    "tiny_word": """
output_type: loglikelihood
doc_to_text: "{{question}}"
doc_to_target: " {{answer}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
""",
    "tiny_text": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list:
  - {metric: byte_perplexity, aggregation: weighted_perplexity, higher_is_better: false}
""",
}
GROUP = """
group: tiny
task: [tiny_choice, tiny_letters]
aggregate_metric_list:
  - {metric: acc, aggregation: mean, weight_by_size: true}
metadata: {version: 1}
"""


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_tasks(folder: Path, *, rows: list[dict[str, Any]] = ROWS) -> Path:
    """Five tasks and a group of two, over five documents, with two for few-shot examples."""
    folder.mkdir(parents=True)
    write_rows(folder / "test.jsonl", rows)
    write_rows(folder / "train.jsonl", rows[1:3])
    for name, text in TASKS.items():
        shared = SHARED.replace("DATA", str(folder))
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{shared}{text}metadata: {{version: 1}}\n", encoding="utf-8")
    (folder / "tiny.yaml").write_text(GROUP, encoding="utf-8")
    return folder
