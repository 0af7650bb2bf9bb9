"""Checkpoints: load, save, fingerprint, ledger of training subjects, golden answers, card."""

from .card import card
from .ledger import LEDGER, doubt, seen, training_ledger
from .store import fingerprint, load, read_ledger, save_checkpoint

__all__ = [
    "LEDGER", "card", "doubt", "fingerprint", "load", "read_ledger", "save_checkpoint", "seen",
    "training_ledger",
]
