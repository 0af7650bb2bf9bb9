"""Checkpoints and the Hugging Face Hub: load, save, publish, and know whom a model has seen."""

from .card import card
from .checkpoints import fingerprint, load, read_ledger, save_checkpoint
from .ledger import LEDGER, doubt, seen, training_ledger

__all__ = [
    "LEDGER", "card", "doubt", "fingerprint", "load", "read_ledger", "save_checkpoint", "seen",
    "training_ledger",
]
