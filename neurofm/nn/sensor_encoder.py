"""Where a sensor is and what it measures, as a vector (BrainOmni, arXiv 2505.18185, sec. 3.1)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.sensors import KINDS
from .attention import FeedForward


class SensorEncoder(nn.Module):
    """Position and orientation (6 numbers) and kind of each sensor → vector of width `dim`.

    kind_rows: row of the kind embedding for each of `neurofm.data.sensors.KINDS`; −1 = this
        encoder does not know that kind. Published BrainOmni shares one row among planar and axial
        gradiometers and knows no parcels: (0, 1, 2, 2, −1).
    """

    def __init__(self, dim: int, kind_rows: tuple[int, ...]):
        super().__init__()
        self.kind_rows = tuple(kind_rows)
        self.place_in = nn.Linear(6, dim // 2)
        self.place_out = nn.Linear(dim // 2, dim)
        self.kind = nn.Embedding(max(self.kind_rows) + 1, dim)
        self.mix = FeedForward(dim)
        self.norm = nn.RMSNorm(dim, eps=1e-6)

    def forward(
        self, geometry: Float[Tensor, "batch channel 6"], kind: Int[Tensor, "batch channel"]
    ) -> Float[Tensor, "batch channel dim"]:
        rows = torch.tensor(self.kind_rows, device=kind.device)[kind]
        # On a GPU the embedding itself fails; in an export no value is known.
        if (rows.device.type == "cpu" and not torch.compiler.is_exporting()
                and (rows < 0).any()):
            name = KINDS[int(kind[rows < 0][0])]
            known = [k for k, row in zip(KINDS, self.kind_rows, strict=True) if row >= 0]
            raise ValueError(
                f"this tokenizer knows sensors of kind {known}, got {name!r}: drop those channels "
                f"or train a tokenizer whose `kind_rows` has a row for them"
            )
        geometry = geometry.to(self.kind.weight.dtype)
        place = self.place_out(F.selu(self.place_in(geometry)))
        x = place + self.kind(rows)
        return self.norm(x + self.mix(x))
