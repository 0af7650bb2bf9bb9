"""How decoders are trained by default: the head alone, all of it gently, all of it from nothing."""

import dataclasses

from neurofm.training.loop import TrainConfig


def head_training() -> TrainConfig:
    """Of the head alone: a few passes over strongly decayed weights; of a linear head, which is
    solved, weight_decay is the penalty and nothing else counts. Chosen on the training and
    validation people of eegmat and of the demo's simulation, taking turns."""
    return TrainConfig(
        steps=300, batch_windows=32, lr=1e-3, weight_decay=1.0, log_every=100, validate_every=10,
        save_every=300,
    )


def full_training() -> TrainConfig:
    """Gentle, so that what pretraining gave is kept."""
    return TrainConfig(
        steps=200, batch_windows=32, lr=1e-4, weight_decay=0.05, log_every=20, validate_every=10,
        save_every=100,
    )


def random_training() -> TrainConfig:
    """Of everything from random weights: there is nothing to be kept."""
    return dataclasses.replace(full_training(), lr=3e-4, steps=300)
