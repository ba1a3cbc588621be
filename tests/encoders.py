"""A small sentence encoder with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, PreTrainedTokenizerBase


def save_encoder(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """One layer of BERT, and the mean of its vectors."""
    network = folder.with_suffix(".bert")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), **shape, max_position_embeddings=64)
    BertModel(config).save_pretrained(network)
    tokenizer.save_pretrained(network)
    SentenceTransformer(modules=[Transformer(str(network)), Pooling(16)], device="cpu").save(str(folder))
    shutil.rmtree(network)
