"""How well a tokenizer reconstructs recordings of unseen people."""
