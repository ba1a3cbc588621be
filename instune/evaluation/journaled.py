"""Any model of lm-evaluation-harness behind a journal: what is answered is on disk, and is never asked again.

lm-eval's own response cache is one file for all models, and its request cache pickles; neither is used. Requests are asked in
chunks that depend on all of them, answered ones too, so that a resumed run computes every chunk as an unbroken one would.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from tqdm import tqdm

from instune.errors import InputError
from instune.evaluation.journal import Journal, digest
from instune.prompts import stable_integer

SAMPLED = "do_sample"


def keys_of(kind: str, requests: Sequence[Instance]) -> list[str]:
    """A key per request, equal where kind and arguments are: one question, one answer.

    Of a request that draws its answer every repetition is a question of its own.
    """
    seen: Counter[str] = Counter()
    keys = []
    for request in requests:
        key = digest(kind, *request.args)
        if kind == "generate_until" and request.args[1].get(SAMPLED):
            seen[key] += 1
            key = digest(key, seen[key])
        keys.append(key)
    return keys


def chunks(asked: dict[str, Instance], contexts: int) -> Iterator[list[str]]:
    """Keys in lists of at most `contexts` different contexts that share their settings, the longest first.

    Continuations of one context stay together: lm-eval scores those of one token by a single pass.
    """

    def order(key: str) -> tuple[str, int, str, str]:
        context, *rest = asked[key].args
        settings = json.dumps([part for part in rest if isinstance(part, dict)], sort_keys=True)
        return settings, -len(context), context, key

    in_order = sorted(map(order, asked))
    for _, of_settings in groupby(in_order, key=lambda place: place[0]):
        by_context = groupby(of_settings, key=lambda place: place[2])
        while batch := [[key for *_, key in same] for _, same in islice(by_context, contexts)]:
            yield [key for same in batch for key in same]


def _refusal(ask: Callable[..., list[Any]], requests: Sequence[Instance]) -> InputError:
    """What lm-eval asserts in vain, said with the first request that it refuses by itself."""
    culprit, reason = requests[0], ""
    for request in requests:
        try:
            ask([request], disable_tqdm=True)
        except AssertionError as error:
            culprit, reason = request, str(error)
            break
    return InputError(
        f"benchmark task {culprit.task_name}, document {culprit.doc_id}: lm-eval cannot ask for {culprit.args[-1]!r} "
        f"({reason or 'the tokenizer merges all of it into the prompt, and no token is left to score'}). "
        "Let doc_to_text and doc_to_target meet at a space or a line end, or leave the document out."
    )


class JournaledLM(LM):
    """A model behind lm-eval's interface that answers from the journal what it has answered before.

    In a process group every rank has a model and a journal, and lm-eval gives it its part of the documents.

    Args:
        lm: the model of this process, which knows of no other.
        journal: where finished requests go; must belong to this model, these settings and this rank alone.
        contexts: different contexts per chunk; a kill loses the chunk that is being asked.
        shrink: makes the model's batches smaller after one that did not fit into memory; False where that cannot be.
        seed: of drawn answers; each chunk draws from a state of its own.
        device: of what ranks exchange.
    """

    def __init__(
        self, lm: LM, journal: Journal, *, contexts: int, shrink: Callable[[], bool], seed: int, device: torch.device
    ) -> None:
        super().__init__()
        self.lm, self.journal, self.contexts, self.shrink, self.seed = lm, journal, contexts, shrink, seed
        self._device = device
        if dist.is_available() and dist.is_initialized():
            self._rank, self._world_size = dist.get_rank(), dist.get_world_size()

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding would give it) of each continuation."""
        return [(value, greedy) for value, greedy in self._answers("loglikelihood", requests, self.lm.loglikelihood)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Log-likelihood in nats of each whole text."""
        return self._answers("loglikelihood_rolling", requests, self.lm.loglikelihood_rolling)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The text of each answer, up to its stop string."""
        return self._answers("generate_until", requests, self.lm.generate_until)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The model's own chat template."""
        return self.lm.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt)

    @property
    def tokenizer_name(self) -> str:
        """Of the model."""
        return self.lm.tokenizer_name

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The text of the model's chat template."""
        return self.lm.chat_template(chat_template)

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """The ranks' tensors, stacked."""
        parts = [torch.zeros_like(tensor) for _ in range(self.world_size)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """The ranks' objects on rank `dst`, None elsewhere."""
        found = [None] * self.world_size if self.rank == dst else None
        dist.gather_object(obj, found, dst)
        return found

    def barrier(self) -> None:
        """Wait for all ranks."""
        dist.barrier()

    def _answers(self, kind: str, requests: list[Instance], ask: Callable[..., list[Any]]) -> list[Any]:
        keys = keys_of(kind, requests)
        asked = dict(zip(keys, requests, strict=True))
        with tqdm(total=len(asked), desc=kind, unit="request", mininterval=1, disable=self.rank != 0) as progress:
            for chunk in chunks(asked, self.contexts):
                if not self.journal.has_all(chunk):
                    found = self._ask(ask, chunk, [asked[key] for key in chunk])
                    self.journal.add(dict(zip(chunk, found, strict=True)))
                progress.update(len(chunk))
        return [self.journal.answers[key] for key in keys]

    def _ask(self, ask: Callable[..., list[Any]], chunk: Sequence[str], requests: list[Instance]) -> list[Any]:
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            while True:
                torch.manual_seed(stable_integer(self.seed, chunk[0]))
                try:
                    return ask(requests, disable_tqdm=True)
                except AssertionError:
                    raise _refusal(ask, requests) from None
                except Exception as error:  # what lacks memory raises no class of its own
                    if not should_reduce_batch_size(error) or not self.shrink():
                        raise
                clear_device_cache(garbage_collection=True)
