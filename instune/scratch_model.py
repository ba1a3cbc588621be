"""A small Llama-style model and byte-level BPE tokenizer from scratch, for tests and whoever wants no pretrained model."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with a ChatML template; eos is `<|im_end|>`, pad is its own token, and no BOS is added."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|pad|>", chat_template=CHATML, model_max_length=2048
    )


def new_model(
    tokenizer: PreTrainedTokenizerFast, *, hidden_size: int, layers: int, heads: int, seed: int, attention: str = "sdpa"
) -> LlamaForCausalLM:
    """A Llama with tied embeddings and random weights drawn from `seed` without touching the global generator."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation=attention,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def pretrain(
    model: LlamaForCausalLM, ids: torch.Tensor, *, steps: int, batch_size: int, length: int, learning_rate: float, seed: int
) -> list[float]:
    """Plain language modelling on random windows of one long row of tokens.

    Args:
        ids: (N,) token ids of the joined text, N > length.
        length: tokens per window.

    Returns:
        the loss of every step, nats per token.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    losses = []
    model.train()
    for _ in tqdm(range(steps), desc="pretraining", unit="step"):
        starts = torch.randint(len(ids) - length, (batch_size,), generator=generator)
        window = torch.stack([ids[start : start + length] for start in starts.tolist()]).to(model.device)  # (B, T)
        loss = model(input_ids=window, labels=window).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    model.eval()
    return losses
