"""A small convolutional network from EEG to regions: filters in time, in space, power, delays.

After ShallowConvNet (Schirrmeister et al. 2017, arXiv 1703.05051): convolution over time and over
channels without anything in between, square, mean over frames, logarithm. Other than there, frames
are z-scored over their scan (in place of batch normalization, which does not know who is loud), and
the last layer looks at all frames of the 24 s before a volume.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from neurofm.data.pair_batch import PairBatch
from neurofm.models.neurobolt_sequence import scan_loss
from neurofm.nn.trainable import Trainable

HOP_S = 0.5
KERNEL_S = 0.1  # 25 samples of 250 Hz, as there
REACH_S = 24.0
N_FILTERS = 24


class FrameConvNet(Trainable):
    """Fully convolutional: a whole scan in one pass.

    n_channels: of every scan, in one order. n_rois: regions. sfreq: of the EEG, Hz.
    """

    def __init__(self, n_channels: int, n_rois: int, sfreq: float, dropout: float = 0.5):
        super().__init__()
        self.hop, self.hop_s = round(HOP_S * sfreq), round(HOP_S * sfreq) / sfreq
        kernel = 2 * round(KERNEL_S * sfreq / 2) + 1
        self.temporal = nn.Conv1d(1, N_FILTERS, kernel, bias=False)
        self.spatial = nn.Linear(n_channels * N_FILTERS, N_FILTERS, bias=False)
        self.n_lags = round(REACH_S / self.hop_s)
        self.dropout = nn.Dropout(dropout)
        self.delays = nn.Conv1d(N_FILTERS, n_rois, self.n_lags)
        nn.init.normal_(self.delays.weight, std=(N_FILTERS * self.n_lags) ** -0.5)
        nn.init.zeros_(self.delays.bias)

    def predict(self, batch: PairBatch) -> Float[Tensor, "batch volume roi"]:
        """Values of regions at each volume: those of the last frame that had ended."""
        n_frames = batch.signal.shape[-1] // self.hop
        frame = torch.arange(n_frames, device=batch.signal.device)
        real = ((frame + 1) * self.hop <= batch.n_times[:, None])[:, None]
        if batch.bad is not None:
            bad = batch.bad[:, None, : n_frames * self.hop].float()
            real &= F.max_pool1d(bad, self.hop) == 0
        frames = self._frames(batch, n_frames, real)
        found = self.delays(F.pad(self.dropout(frames), (self.n_lags - 1, 0)))
        last = (batch.volume_s.nan_to_num(0.0) / self.hop_s).floor().long() - 1
        at = last.clamp(0, n_frames - 1)[:, None].expand(-1, found.shape[1], -1)
        return found.gather(2, at).transpose(1, 2).float()

    def _frames(
        self, batch: PairBatch, n_frames: int, real: Bool[Tensor, "batch 1 frame"]
    ) -> Float[Tensor, "batch filter frame"]:
        """Log power of the filtered signals, z-scored over the frames of the scan."""
        with torch.autocast(batch.signal.device.type, enabled=False):
            signal = batch.signal.float()[..., : n_frames * self.hop]
            there = real.repeat_interleave(self.hop, dim=-1)
            signal = scored(signal, there)
            # No layer lies between the two convolutions, so they are one.
            in_space = self.spatial.weight.unflatten(1, (-1, N_FILTERS))
            kernel = torch.einsum("ocf,fk->ock", in_space, self.temporal.weight[:, 0])
            filtered = F.conv1d(signal, kernel, padding="same")
            power = F.avg_pool1d(filtered.square(), self.hop)
            return scored(torch.log(power + 1e-4), real)

    def forward(self, batch: PairBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """→ (mean squared error over what was measured, {"r"})."""
        return scan_loss(self.predict(batch), batch.target.float())


def scored(
    x: Float[Tensor, "batch row time"], real: Bool[Tensor, "batch 1 time"]
) -> Float[Tensor, "batch row time"]:
    """z-scored over real times; 0 elsewhere."""
    n = real.sum(dim=-1, keepdim=True).clamp(min=1)
    centered = (x - (x * real).sum(dim=-1, keepdim=True) / n) * real
    spread = torch.sqrt(centered.square().sum(dim=-1, keepdim=True) / n)
    return centered / spread.clamp(min=1e-12)
