"""What the training loop asks of a network. Each answer has a default; a network overrides it."""

from torch import Tensor, nn


class Trainable(nn.Module):
    """Base of networks that `neurofm.training.loop.train` trains.

    `forward(batch)` returns (loss, metrics): a scalar, and numbers or vectors by name, all of them
    means over the windows of the batch.
    """

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: vectors, which are biases and gains."""
        return parameter.ndim < 2

    def lr_scale(self, name: str) -> float:
        """Factor on the learning rate of a parameter."""
        return 1.0

    def anneal(self, progress: float) -> None:
        """Called before each step with the finished share of the run, 0 … 1."""

    def logged(self, vectors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Single numbers for the log, from the means of metrics that are vectors."""
        return {}
