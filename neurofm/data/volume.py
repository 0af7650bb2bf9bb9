"""Volume: one T1-weighted image of a head with its place in space."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from .recording import Recording
from .sensors import KINDS, Sensors

T1W = "T1w"  # name of the one channel of a volume


@dataclass(frozen=True, eq=False)
class Volume(Recording):
    """An image of a head: a recording of one channel, whose samples are voxels.

    Parameters
    ----------
    shape
        Of the image.
    affine
        Voxel → millimeters (x right, y forward, z up), 4 × 4.
    space
        Template that the image is in already, such as MNI152NLin2009cAsym; "" = none.
    mask
        Which voxels are brain, by `mask_source`; None = nobody said.
    mask_source
        Where the mask comes from, in words.
    """

    shape: tuple[int, int, int] = (0, 0, 0)
    affine: Float64[np.ndarray, "4 4"] | None = None
    space: str = ""
    mask: np.ndarray | None = None
    mask_source: str = ""

    @property
    def data(self) -> Float32[np.ndarray, "x y z"]:
        """The image."""
        return self.signal.reshape(self.shape)

    @property
    def duration_s(self) -> float:
        """An image has none."""
        return 0.0


def one_channel() -> Sensors:
    """What stands for the sensors of a volume.

    Returns
    -------
    Sensors
        One of kind roi in the middle of the template's brain.
    """
    return Sensors((T1W,), np.array([KINDS.index("roi")]), np.array([[0.0, -0.018, 0.004]]),
                   np.zeros((1, 3)))
