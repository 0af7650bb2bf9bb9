"""Checkpoints: load, save, fingerprint, ledger of training subjects, golden answers, card."""

from ..repository import LEDGER, fingerprint, read_ledger
from ..seen import doubt, seen
from .card import card
from .ledger import training_ledger
from .store import load, load_kind, save_checkpoint, write_checkpoint

__all__ = [
    "LEDGER", "card", "doubt", "fingerprint", "load", "load_kind", "read_ledger", "save_checkpoint",
    "seen", "training_ledger", "write_checkpoint",
]
