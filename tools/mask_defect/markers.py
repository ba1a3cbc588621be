"""The share of role-marker tokens that carry loss, under tokenizers of two kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from instune.prompts import SEGMENTS, Prompt, load_template
from instune.records import Example, Task
from instune.tuning.labels import loss_weights
from instune.tuning.rows import Counts, RowBuilder, TrainingRow

MARKER = "<|"  # begins every role marker of the template tulu, and nothing else that the template writes
TEMPLATE = SEGMENTS.index("template")
MAX_TOKENS = 2048  # of a row, as in the paper
PROMPT = Prompt(
    template="tulu",
    wording="definition",
    instruction_position="before",
    exemplars=0,
    max_instruction_tokens=MAX_TOKENS,
    max_input_tokens=MAX_TOKENS,
    max_tokens=MAX_TOKENS,
)


def llama_like(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """BPE as Llama-2's: text begins with a space of the tokenizer's own, `<s>` in front, unknown characters by bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    words = pre_tokenizers.Split("\u2581", "merged_with_next")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\n"), "isolated"), words])
    specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials, limit_alphabet=200, show_progress=False),
    )
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    settings = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, **settings)


def rows_under(
    mask: str, tasks: Mapping[str, Task], examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase
) -> list[TrainingRow]:
    """Rows under the template tulu and a named mask."""
    template = load_template("tulu", tokenizer)
    settings = {"weights": loss_weights(mask), "normalize_by": "weights", "seed": 0}
    builder, counts = RowBuilder(tasks, tokenizer, template, PROMPT, **settings), Counts()
    return [row for row in (builder.build(example, counts) for example in examples) if row is not None]


def marker_places(row: TrainingRow, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Places of the tokens that say whose turn it is, the line break in front of them included; never the first, which no
    position predicts, and never BOS."""
    places = []
    for owner, group in groupby(range(len(row.input_ids)), key=row.segments.__getitem__):
        run = [place for place in group if row.input_ids[place] != tokenizer.bos_token_id]
        if owner == TEMPLATE and MARKER in tokenizer.decode([row.input_ids[place] for place in run]):
            places += [place for place in run if place]
    return places


def shares(rows: Mapping[str, Sequence[TrainingRow]], tokenizer: PreTrainedTokenizerBase) -> dict[str, object]:
    """How many rows and role-marker tokens there are, and the share of these tokens that carry loss, by mask.

    Args:
        rows: mask -> the same rows under it.
    """
    counts = {}
    for mask, own in rows.items():
        weights = [row.loss_weights[place] for row in own for place in marker_places(row, tokenizer)]
        counts[mask] = (len(weights), sum(weight > 0 for weight in weights) / len(weights))
    first = next(iter(rows))
    return {
        "rows": len(rows[first]),
        "marker_tokens": counts[first][0],
        "share_with_loss": {mask: share for mask, (_, share) in counts.items()},
    }
