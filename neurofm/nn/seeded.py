"""Random numbers of a window, from that window's own seed.

So what is hidden or masked in a window does not depend on the process it runs in, on its
neighbors in the batch, or on how a batch is cut. The numbers do depend on the kind of device.
"""

import torch
from jaxtyping import Int
from torch import Tensor


def window_generators(
    seed: Int[Tensor, " batch"] | None, n_windows: int, device: torch.device
) -> list[torch.Generator]:
    """One generator a window on `device`; without seeds, torch's global generator draws them."""
    if seed is None:
        seed = torch.randint(2**62, (n_windows,))
    return [torch.Generator(device).manual_seed(one) for one in seed.tolist()]
