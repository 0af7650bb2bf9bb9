"""Tokenizers: signals to token ids and back. One file each."""
