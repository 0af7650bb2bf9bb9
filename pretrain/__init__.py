"""How it learns: a corpus becomes a tokenizer, tokens, and a pretrained model."""
