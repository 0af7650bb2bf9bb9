"""The small corpus of these tests, a tokenizer trained on it, and its tokens."""

from corpora import corpus_folder, tokenizer_folder, tokens_folder

__all__ = ["corpus_folder", "tokenizer_folder", "tokens_folder"]
