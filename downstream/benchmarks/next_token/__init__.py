"""How well the next token of unseen people is predicted."""
