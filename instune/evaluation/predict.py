"""Ask a model every question of the target tasks, through lm-evaluation-harness."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from lm_eval.evaluator import evaluate

from instune.errors import InputError
from instune.evaluation.predictions import Prediction
from instune.evaluation.streaming import StreamingLM
from instune.evaluation.tasks import Document, PoolTask, Prompter
from instune.records import Example, Task


def prompt_hash(text: str) -> str:
    """16 hex digits over the prompt's bytes."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _prediction(lm: StreamingLM, task: PoolTask, document: Document, weights: str) -> Prediction:
    generation_request = lm.generation_request(document.text, task.settings)
    reference_request = lm.likelihood_request(document.text, document.reference)
    generation, reference = lm.generation(generation_request), lm.likelihood(reference_request)
    example, likelihoods, truncated = document.example, None, [*document.truncated]
    if reference_request.cut:
        truncated.append("output")
    if task.task.metric == "choice" and example.choices:
        choice_requests = [lm.likelihood_request(document.text, choice) for choice in example.choices]
        likelihoods = [lm.likelihood(request).value for request in choice_requests]
        if any(request.cut for request in choice_requests):
            truncated.append("choices")
    if not all(map(math.isfinite, [reference.value, *(likelihoods or [])])):
        raise InputError(
            f"task {example.task_id}, example {example.example_id}: the model gives a log-likelihood that is not finite. "
            "Its weights hold NaN, or precision is too low: try evaluate.precision: float32, or look at the training curves."
        )
    return Prediction(
        task_id=example.task_id,
        example_id=example.example_id,
        prompt=document.text,
        prompt_hash=prompt_hash(document.text),
        output=generation.text,
        references=list(example.references),
        choices=None if example.choices is None else list(example.choices),
        choice_loglikelihoods=likelihoods,
        nll=-reference.value,
        nll_tokens=reference.tokens,
        prompt_tokens=document.tokens,
        output_tokens=generation.tokens,
        finish=generation.finish,
        model=weights,
        truncated=truncated,
        merged=reference_request.merged,
    )


def pool_tasks(
    tasks: Mapping[str, Task], examples: Mapping[str, Sequence[Example]], prompter: Prompter, *, max_new_tokens: int
) -> dict[str, PoolTask]:
    """One harness task per task that has examples, by id.

    Raises:
        InputError: a prompt does not fit.
    """
    terminator = prompter.template.terminator
    return {
        task_id: PoolTask(
            tasks[task_id],
            [prompter.document(tasks[task_id], example) for example in of_task],
            terminator=terminator,
            max_new_tokens=max_new_tokens,
        )
        for task_id, of_task in examples.items()
    }


def predict(lm: StreamingLM, tasks: Mapping[str, PoolTask], *, weights: str) -> list[Prediction]:
    """Every prediction of the tasks, in their order.

    Raises:
        InputError: a log-likelihood is not finite.
    """
    evaluate(lm, {"tasks": dict(tasks), "groups": {}, "group_map": {}}, bootstrap_iters=0, log_samples=False)
    return [_prediction(lm, task, document, weights) for task in tasks.values() for document in task.documents]
