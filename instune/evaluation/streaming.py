"""A language model for lm-evaluation-harness that tokenizes as training does and writes every finished request to disk.

lm-eval's own HFLM moves a context's trailing spaces, tokenizes context and continuation apart, adds stop strings of its own and
returns nothing before all is done; its caches are not keyed by model. Here a context and its continuation are one text, tokenized
once (`encoding.encode`), and a batch is written to the journal as it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from instune.errors import InputError
from instune.evaluation.decoding import Generation, Likelihood, generate, likelihoods, make_greedy, own_stops
from instune.evaluation.journal import Journal, digest
from instune.prompts import SEGMENTS, Span
from instune.tuning.encoding import encode

OUTPUT = SEGMENTS.index("output")


@dataclass(frozen=True)
class Request:
    """One thing to ask.

    Attributes:
        key: hash of all that tells requests apart, for one model.
        ids: token ids of the context.
        continuation: token ids to score, empty in a generation.
        cut: whether the continuation was longer than the room and lost its end.
        merged: whether the tokenizer merged the last characters of the context into the continuation.
        max_new_tokens: limit of a generation.
        stops: ids that end a generation.
        stop_texts: stop strings that are no single special token; the text is cut at them afterwards.
    """

    key: str
    ids: list[int]
    continuation: list[int]
    cut: bool = False
    merged: bool = False
    max_new_tokens: int = 0
    stops: tuple[int, ...] = ()
    stop_texts: tuple[str, ...] = ()


class StreamingLM(LM):
    """A loaded model behind lm-eval's interface, answering from the journal what it has answered before.

    Args:
        model: causal or seq2seq, on its device and in its dtype; its answers are greedy.
        journal: where finished requests go; must belong to this model and these settings alone.
        batch_size: requests per batch.
        max_tokens: context and continuation together; a longer continuation is scored up to there, and marked.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, journal: Journal, *, batch_size: int, max_tokens: int
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.journal = model, tokenizer, journal
        self.batch_size, self.max_tokens = batch_size, max_tokens
        self.stops = (own_stops(model) | {tokenizer.eos_token_id}) - {None}
        make_greedy(model)
        self.before_text = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        self.seq2seq = model.config.is_encoder_decoder

    def generation_request(self, context: str, settings: dict[str, Any]) -> Request:
        """The request of `generate_until`; `until` names stop strings, single special tokens stop the decoding itself."""
        ids = encode([Span("template", context)], self.tokenizer)[0]
        stops, texts = set(self.stops), []
        for text in settings["until"]:
            tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            if len(tokens) == 1 and text in self.tokenizer.all_special_tokens:
                stops.add(tokens[0])
            else:
                texts.append(text)
        limit = settings["max_gen_toks"]
        key = digest("generate", ids, sorted(stops), texts, limit)
        return Request(key, ids, [], max_new_tokens=limit, stops=tuple(sorted(stops)), stop_texts=tuple(texts))

    def likelihood_request(self, context: str, continuation: str) -> Request:
        """The request of `loglikelihood`: the ids are those of the row that training would see.

        Raises:
            InputError: the context alone fills `max_tokens`.
        """
        if self.seq2seq:
            ids, wanted = (encode([Span("output", text)], self.tokenizer)[0] for text in (context, continuation))
            merged = False
        else:
            whole, owners, _ = encode([Span("template", context), Span("output", continuation)], self.tokenizer)
            first = owners.index(OUTPUT)
            ids, wanted = whole[:first] or [self.before_text], whole[first:]
            before = encode([Span("template", context)], self.tokenizer)[0]
            merged = whole[: len(before)] != before
        room = self.max_tokens - len(ids)
        if room < 1:
            raise InputError(f"prompt.max_tokens: {self.max_tokens} leaves no room behind a prompt of {len(ids)} tokens.")
        kept = wanted[:room]
        return Request(digest("likelihood", ids, kept), ids, kept, cut=len(kept) < len(wanted), merged=merged)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Texts, greedy, without the stop string."""
        asked = [self.generation_request(*request.args) for request in requests]
        self._answer(asked, self._generate, "generating")
        return [self.journal.answers[request.key]["text"] for request in asked]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether greedy decoding would give it) of each continuation."""
        asked = [self.likelihood_request(*request.args) for request in requests]
        self._answer(asked, self._score, "scoring references")
        answers = [self.journal.answers[request.key] for request in asked]
        return [(answer["value"], answer["greedy"]) for answer in answers]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Not answered.

        Raises:
            InputError: always; tasks have a prompt and an answer here, perplexity of whole texts is another measure.
        """
        raise InputError("Perplexity tasks (loglikelihood_rolling) cannot be evaluated here. Remove them.")

    def generation(self, request: Request) -> Generation:
        """The full answer to a finished generation request."""
        return Generation(**self.journal.answers[request.key])

    def likelihood(self, request: Request) -> Likelihood:
        """The full answer to a finished likelihood request."""
        return Likelihood(**self.journal.answers[request.key])

    def _answer(self, requests: Sequence[Request], ask: Callable[[list[Request]], list[Any]], what: str) -> None:
        """Answer in batches of like length, longest first, so that the first batch shows whether memory suffices.

        Batches are cut from all requests, answered ones too: a resumed run computes every batch as an unbroken one would.
        """
        distinct = sorted({request.key: request for request in requests}.values(), key=_order)
        with tqdm(total=len(distinct), desc=what, unit="prompt", mininterval=1) as progress:
            for _, group in groupby(distinct, key=lambda request: _order(request)[:2]):
                while batch := list(islice(group, self.batch_size)):
                    if not self.journal.has_all(request.key for request in batch):
                        answers = ask(batch)
                        self.journal.add({request.key: asdict(answer) for request, answer in zip(batch, answers, strict=True)})
                    progress.update(len(batch))

    def _generate(self, batch: list[Request]) -> list[Generation]:
        prompts, first = [request.ids for request in batch], batch[0]
        answers = generate(self.model, self.tokenizer, prompts, stops=first.stops, max_new_tokens=first.max_new_tokens)
        return [cut_at(answer, request.stop_texts) for answer, request in zip(answers, batch, strict=True)]

    def _score(self, batch: list[Request]) -> list[Likelihood]:
        contexts, continuations = [request.ids for request in batch], [request.continuation for request in batch]
        return likelihoods(self.model, contexts, continuations, pad_token=self.tokenizer.pad_token_id)


def _order(request: Request) -> tuple[tuple[int, ...], int, int, str]:
    """Requests that may share a batch stand together, the longest first."""
    return request.stops, request.max_new_tokens, -len(request.ids) - len(request.continuation), request.key


def cut_at(generation: Generation, stop_texts: Sequence[str]) -> Generation:
    """The generation up to the first stop string, if one occurs."""
    places = [place for stop in stop_texts if (place := generation.text.find(stop)) >= 0]
    return Generation(generation.text[: min(places)], generation.tokens, "stop") if places else generation
