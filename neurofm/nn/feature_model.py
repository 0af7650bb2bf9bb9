"""What a model with features answers: `[batch, source, frame, dim]`, and what the axes mean."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor


class FeatureModel:
    """Mixin of models: features, their sources and frames, and features of a layer inside."""

    def embed(self, batch: Any) -> Tensor:
        """Features of every place and time.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, source, frame, dim]`.

        Raises
        ------
        ValueError
            The model has no features.
        """
        raise ValueError(f"a {type(self).__name__} has no features to embed a recording by; give a "
                         f"pretrained model that has, such as a BrainOmni or a BrainMAE, or a "
                         f"decoder")

    def source_names(self, n: int, ch_names: Sequence[str]) -> tuple[str, ...]:
        """Names of the sources of `embed`.

        Parameters
        ----------
        n
            Number of sources.
        ch_names
            Names of the channels that were embedded.

        Returns
        -------
        tuple[str, ...]
            Of latent sources "source_0", …; a model whose sources are channels answers their names.
        """
        return tuple(f"source_{number}" for number in range(n))

    def frame_times(self, n: int, n_times: int, sfreq: float) -> Float64[np.ndarray, " frame"]:
        """Middle of each frame of `embed`.

        Parameters
        ----------
        n
            Number of frames.
        n_times
            Samples of the window that was embedded.
        sfreq
            Sampling rate of the window, Hz.

        Returns
        -------
        ndarray
            Seconds from the start of the window, `[frame]`; frames of equal length, unless the
            model answers otherwise.
        """
        return (np.arange(n) + 0.5) * n_times / n / sfreq

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the modules inside whose output `embed_at` gives, the first one first."""
        return ()

    def placed(self, output: Tensor, batch: Any) -> Float[Tensor, "batch source frame dim"]:
        """Output of a layer as features.

        Parameters
        ----------
        output
            What the layer gave.
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, source, frame, dim]`.
        """
        return output

    def check_layer(self, layer: str) -> None:
        """Check that there is such a layer.

        Parameters
        ----------
        layer
            One of `layer_names`, or "".

        Raises
        ------
        ValueError
            The model has no such layer; the message names those it has.
        """
        if layer and layer not in self.layer_names:
            there = ", ".join(self.layer_names) or "none: its features are of one layer"
            raise ValueError(f"layer {layer!r}: a {type(self).__name__} has the layers {there}")

    def embed_at(self, batch: Any, layer: str = "") -> Float[Tensor, "batch source frame dim"]:
        """Features of a layer.

        Parameters
        ----------
        batch
            Windows side by side, padded.
        layer
            One of `layer_names`; "" = what `embed` gives.

        Returns
        -------
        Tensor
            `[batch, source, frame, dim]`.

        Raises
        ------
        ValueError
            The model has no such layer.
        """
        self.check_layer(layer)
        if not layer:
            return self.embed(batch)
        found: list[Tensor] = []
        module: torch.nn.Module = self.get_submodule(layer)  # type: ignore[attr-defined]
        hook = module.register_forward_hook(lambda _module, _given, made: found.append(made))
        try:
            self.embed(batch)
        finally:
            hook.remove()
        return self.placed(found[-1], batch).float()
