"""What the training loop asks of a network. Each answer has a default; a network overrides it."""

import numpy as np
from torch import Tensor, nn


class Trainable(nn.Module):
    """Base of networks that `neurofm.training.loop.train` trains.

    `forward(batch)` returns (loss, metrics): a scalar, and numbers or vectors by name, all of them
    means over the windows of the batch.

    Attributes
    ----------
    bf16_on_cpu
        Whether bfloat16 makes it faster on CPUs with AMX, as measured.
    uses_all
        Whether each training step gives a gradient to every parameter that is trained; else
        several processes look for the others in each step, which takes time.
    checkpointing
        Keep what goes into each block alone, and compute the rest again for the gradient.
    """

    bf16_on_cpu = False
    uses_all = False
    checkpointing = False

    def blocks_of_one_kind(self) -> list[nn.Module]:
        """What is compiled once and used many times.

        Returns
        -------
        list[nn.Module]
            Blocks with the same code and the same shapes; none by default.
        """
        return []

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """Whether a parameter has no weight decay.

        Parameters
        ----------
        name
            Name of the parameter.
        parameter
            The parameter.

        Returns
        -------
        bool
            True for vectors, which are biases and gains.
        """
        return parameter.ndim < 2

    def lr_scale(self, name: str) -> float:
        """Factor on the learning rate of a parameter.

        Parameters
        ----------
        name
            Name of the parameter.

        Returns
        -------
        float
            1 = the learning rate of the run.
        """
        return 1.0

    def work(self, widths: np.ndarray) -> np.ndarray:
        """Work of a window by its number of channels, by which windows are dealt to processes.

        Parameters
        ----------
        widths
            Numbers of channels, ascending.

        Returns
        -------
        ndarray
            In the work of one channel, ascending.
        """
        return widths

    def anneal(self, progress: float) -> None:
        """Called before each step.

        Parameters
        ----------
        progress
            Finished share of the run, 0 to 1.
        """

    def logged(self, vectors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Numbers for the log.

        Parameters
        ----------
        vectors
            Means of the metrics that are vectors.

        Returns
        -------
        dict[str, Tensor]
            Single numbers by name.
        """
        return {}
