"""How it is used and judged: fine-tuning, decoding of new recordings, evaluation."""
