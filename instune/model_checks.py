"""What must agree within a model folder: configuration, weights, tokenizer, the ids that begin and end a generation."""

from __future__ import annotations

from collections.abc import Collection

from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from instune.errors import InputError
from instune.shown import shown

MOST_TOKENS = 2**31  # more ids than any vocabulary has; beyond 63 bits torch itself fails
MOST_LAYERS = 10_000  # more than any model has; a number with a slipped finger would be built for hours
LAYERS = ("num_hidden_layers", "num_decoder_layers", "encoder_layers", "decoder_layers")


def _beyond_torch(value: object, place: str = "") -> str | None:
    """The key, if any, of a whole number that no tensor can hold."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, int) and abs(value) > MOST_TOKENS**2:
        return place
    return next((found for key, held in inside if (found := _beyond_torch(held, f"{place}.{key}".strip(".")))), None)


def check_config(name: str, config: PreTrainedConfig) -> None:
    """Before a model is built: its layers are counted, and its numbers are ones to compute with.

    Args:
        name: of the model, for the message.

    Raises:
        InputError: more than `MOST_LAYERS`, no number of them, a dropout that is no probability, or an integer beyond 2^62.
    """
    for key in LAYERS:
        layers = getattr(config.get_text_config(), key, None)
        if layers is not None and not (type(layers) is int and 0 <= layers <= MOST_LAYERS):
            raise InputError(f"{name}: config.json: {key}: {shown(layers)} is no number of layers up to {MOST_LAYERS}. Mend it.")
    for key, share in config.to_dict().items():
        if "drop" in key and isinstance(share, int | float) and not 0 <= share <= 1:
            raise InputError(f"{name}: config.json: {key}: {shown(share)} is no probability. Mend it.")
    if key := _beyond_torch(config.to_dict()):
        raise InputError(f"{name}: config.json: {shown(key)} is a number that no model computes with, beyond 2^62. Mend it.")


def check_positions(config: PreTrainedConfig, tokens: int) -> None:
    """A row must fit into the model's context.

    Args:
        tokens: prompt.max_tokens.

    Raises:
        InputError: more than the positions that the model's configuration names, if it names any.
    """
    key = config.attribute_map.get("max_position_embeddings", "max_position_embeddings")  # GPT-2 calls it n_positions
    positions = config.to_dict().get(key)
    if positions is not None and tokens > positions:
        raise InputError(
            f"prompt.max_tokens: {tokens} is more than the base model reads: its {key} is {positions}. "
            f"Set prompt.max_tokens to at most {positions}, or choose another base model."
        )


def decoder_start(model: PreTrainedModel) -> int | None:
    """The token that a seq2seq model's decoder reads first; None for a causal model.

    Raises:
        InputError: neither configuration nor generation configuration of a seq2seq model names it.
    """
    if not model.config.is_encoder_decoder:
        return None
    for config in (model.config, model.generation_config):
        token = config.to_dict().get("decoder_start_token_id")
        if token is not None:
            return token
    raise InputError(
        "base_model: the encoder-decoder model names no decoder_start_token_id in config.json or generation_config.json. Add it."
    )


def name_decoder_start(model: PreTrainedModel) -> None:
    """Let both configurations name what a decoder reads first, as they may not: one is for likelihoods, one for generation.

    Raises:
        InputError: neither names it.
    """
    start = decoder_start(model)
    for config in (model.config, model.generation_config):
        if config.to_dict().get("decoder_start_token_id") is None:
            config.decoder_start_token_id = start


def check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """A tokenizer must belong to its model, and be able to end a text or to pad one.

    Args:
        name: of the model, for messages.
        config: of the model.

    Raises:
        InputError: no eos and no pad token, a token without embedding, or a maximal length that is none.
    """
    limit, ids = tokenizer.model_max_length, tokenizer.get_vocab()
    if not isinstance(limit, int | float) or not limit > 0:
        raise InputError(f"{name}: tokenizer_config.json: model_max_length: {shown(limit)} is no positive number. Mend it.")
    if tokenizer.eos_token_id is None and tokenizer.pad_token_id is None:
        raise InputError(f"{name}: the tokenizer names neither eos_token nor pad_token. Add eos_token to tokenizer_config.json.")
    token, size = max(ids, key=ids.get, default=""), config.get_text_config().to_dict().get("vocab_size")
    if size is not None and ids.get(token, 0) >= size:
        raise InputError(
            f"{name}: the tokenizer's token {shown(token)} has id {ids[token]}, and the model has {size} embeddings.\n"
            "  Give the tokenizer that belongs to the model, or a model with resized embeddings."
        )


def check_generation(name: str, model: PreTrainedModel) -> None:
    """What begins and ends a generation must be token ids, where it is named.

    An eos beyond the vocabulary passes: published models name such, and it does no harm, since no generation stops there. What a
    decoder reads first needs an embedding.

    Args:
        name: of the model, for the message.

    Raises:
        InputError: an eos id is no integer or beyond what a vocabulary can hold; the decoder's first token has no
            embedding.
    """
    ends = model.generation_config.eos_token_id
    listed = ends if isinstance(ends, list) else [ends]
    if ends is not None and not all(type(end) is int and abs(end) < MOST_TOKENS for end in listed):
        raise InputError(
            f"{name}: generation_config.json: eos_token_id: {shown(ends)} is no token id and no list of them. Mend it."
        )
    if not model.config.is_encoder_decoder:
        return
    size = model.get_input_embeddings().num_embeddings
    for start in (model.config.decoder_start_token_id, model.generation_config.decoder_start_token_id):
        if type(start) is not int or not 0 <= start < size:
            raise InputError(
                f"{name}: decoder_start_token_id: {shown(start)} is no token id; the model has {size} embeddings. "
                "Mend it in config.json or generation_config.json."
            )


def check_weights(name: str, missing: Collection[str]) -> None:
    """Transformers fills tensors that it does not find with random numbers, and says so in a log only.

    Args:
        name: of the model, for the message.
        missing: tensors that the configuration asks for and the weights do not hold.

    Raises:
        InputError: there are any.
    """
    if missing:
        raise InputError(
            f"{name}: the weights lack {len(missing)} tensors of the model that config.json describes, as "
            f"{shown(min(missing))}; they would be random.\n  Give weights and config.json that belong together."
        )
