"""Pool tasks as in-memory tasks of lm-evaluation-harness: each document asks for an answer and for the reference's likelihood."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import Task as HarnessTask
from lm_eval.config.task import TaskConfig
from transformers import PreTrainedTokenizerBase

from instune.errors import InputError
from instune.prompts import Prompt, choose_wording, load_template
from instune.records import Example, Task
from instune.templates import Template
from instune.tuning.labels import TOO_LONG, Dropped, build_row


@dataclass(frozen=True)
class Document:
    """A prompt ready to be asked, and what is known of its answer.

    Attributes:
        text: the prompt, byte for byte the start of the row that training would see.
        tokens: its number of tokens, BOS included.
        truncated: segments that were cut to fit; `turns` where the oldest of a conversation were left out.
        reference: first reference with the terminator.
    """

    example: Example
    text: str
    tokens: int
    truncated: tuple[str, ...]
    reference: str


class Prompter:
    """Turns examples into documents, by the same rendering and truncation as training.

    Args:
        prompt: the `prompt` section; a prompt may take `max_tokens` less the new tokens.
        max_new_tokens: limit of a generation.
        seed: of the wording drawn per example.
        seq2seq: the model reads the prompt with its encoder.

    Raises:
        InputError: no room is left, or the template does not fit the tokenizer or the kind of model.
    """

    def __init__(
        self, prompt: Prompt, tokenizer: PreTrainedTokenizerBase, *, max_new_tokens: int, seed: int, seq2seq: bool
    ) -> None:
        self.prompt, self.tokenizer, self.seed = prompt, tokenizer, seed
        self.room = prompt.max_tokens - max_new_tokens
        if self.room < 1:
            raise InputError(
                f"evaluate.max_new_tokens: {max_new_tokens} leaves no room in prompt.max_tokens: {prompt.max_tokens}. "
                "Lower the first or raise the second."
            )
        self.template: Template = load_template(prompt.template, tokenizer, seq2seq=seq2seq)

    def document(self, task: Task, example: Example) -> Document:
        """The example's prompt.

        Raises:
            InputError: it does not fit even with an empty input, the template cannot show it, a choice is empty, or none of its
                choices is a reference.
        """
        known = {reference.strip() for reference in example.references}
        if task.metric == "choice" and example.choices and not any(choice.strip() in known for choice in example.choices):
            raise InputError(
                f"task {task.task_id}, example {example.example_id}: none of the choices {list(example.choices)} is a reference "
                f"{list(example.references)}, so no answer could be right. Mend the pool's choices, or its references."
            )
        if task.metric == "choice" and example.choices and "" in example.choices:
            raise InputError(
                f"task {task.task_id}, example {example.example_id}: choice {example.choices.index('')} is empty, and an "
                "empty text has no likelihood. Mend the pool's choices."
            )
        row = build_row(
            task,
            example,
            tokenizer=self.tokenizer,
            prompt=self.template,
            wording=choose_wording(task, example, how=self.prompt.wording, seed=self.seed),
            exemplars=task.positive_examples[: self.prompt.exemplars],
            output=None,
            max_tokens=self.room,
            max_instruction_tokens=self.prompt.max_instruction_tokens,
            max_input_tokens=self.prompt.max_input_tokens,
            instruction_position=self.prompt.instruction_position,
        )
        if isinstance(row, Dropped):
            way_out = "Set prompt.template: tulu, which shows every conversation, or choose other targets."
            if row == TOO_LONG:
                way_out = f"There is room for {self.room}. Raise prompt.max_tokens or lower prompt.max_instruction_tokens."
            raise InputError(f"task {task.task_id}, example {example.example_id}: {row.reason}. {way_out}")
        reference = example.references[0] + self.template.terminator
        return Document(example, row.text, len(row.input_ids), row.truncated, reference)


class PoolTask(HarnessTask):
    """One task of the pool.

    A document's requests: one generation, the first reference with its terminator, then each choice of a `choice` task, without.
    """

    VERSION = 1
    OUTPUT_TYPE = "generate_until"

    def __init__(self, task: Task, documents: Sequence[Document], *, terminator: str, max_new_tokens: int) -> None:
        self.settings = {"until": [terminator], "max_gen_toks": max_new_tokens, "do_sample": False}
        super().__init__()
        self._config = TaskConfig(task=task.task_id, num_fewshot=0, repeats=1, generation_kwargs=dict(self.settings))
        self.task, self.documents = task, list(documents)

    def download(self, *_: Any) -> None:
        """Nothing: the documents are in memory."""

    def has_training_docs(self) -> bool:
        return False

    def has_validation_docs(self) -> bool:
        return False

    def has_test_docs(self) -> bool:
        return True

    def test_docs(self) -> list[Document]:
        return self.documents

    def doc_to_text(self, doc: Document) -> str:
        return doc.text

    def doc_to_target(self, doc: Document) -> str:
        return doc.reference

    def construct_requests(self, doc: Document, ctx: str, *, metadata: tuple, **_: Any) -> list[Instance]:
        continuations = [doc.reference]
        if self.task.metric == "choice":
            continuations += doc.example.choices or ()
        requests: list[tuple[str, tuple]] = [("generate_until", (ctx, self.settings))]
        requests += [("loglikelihood", (ctx, continuation)) for continuation in continuations]
        return [
            Instance(request_type=kind, doc={}, arguments=arguments, idx=index, metadata=metadata)
            for index, (kind, arguments) in enumerate(requests)
        ]

    def build_all_requests(self, **_: Any) -> None:
        """As the base class without few-shot sampling, chat templates and the pickled cache: prompts come rendered."""
        self._instances = [
            request
            for index, doc in enumerate(self.documents)
            for request in self.construct_requests(doc, doc.text, metadata=(self.task.task_id, index, 1))
        ]

    def process_results(self, doc: Document, results: Sequence[Any]) -> dict[str, float]:
        """The reference's log-likelihood alone; answers are scored from the predictions file, by the score stage."""
        return {"loglikelihood": results[1][0]}

    def aggregation(self) -> dict[str, Any]:
        return {"loglikelihood": fmean}

    def higher_is_better(self) -> dict[str, bool]:
        return {"loglikelihood": True}


def first_examples(examples: Iterable[Example], count: int) -> dict[str, list[Example]]:
    """The first `count` examples of each task, in file order."""
    kept: dict[str, list[Example]] = {}
    for example in examples:
        of_task = kept.setdefault(example.task_id, [])
        if len(of_task) < count:
            of_task.append(example)
    return kept
