"""A second masked model of fMRI: a hidden region is a share of the mean of those seen."""

import torch

import neurofm
from neurofm.nn.segments import cut


class ToyMaskedConfig(neurofm.NeuroFMConfig):
    model_type = "neurofm_toy_masked"

    def __init__(self, segment_s: float = 20.0, **of_transformers):
        self.segment_s = segment_s
        super().__init__(**of_transformers)


class ToyMasked(neurofm.RegionModel):
    """The share is learned."""

    config_class = ToyMaskedConfig
    reads_places = False

    def __init__(self, config):
        super().__init__(config)
        self.share = torch.nn.Parameter(torch.zeros(1))
        self.post_init()

    def cut(self, batch):
        measured = torch.ones_like(batch.signal[:, 0], dtype=torch.bool)
        return cut(batch.signal, batch.t_r, measured, self.config.segment_s, 10)

    def fill_in(self, batch, hidden):
        seg = self.cut(batch)
        seen = torch.ones_like(seg.volumes) if hidden is None else ~hidden.mT[..., None]
        mean = (seg.volumes * seen).sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True)
        return (self.share * mean).expand_as(seg.volumes), seg

    def forward(self, batch):
        half = torch.arange(batch.signal.shape[1]) % 2 == 0
        hidden = half.expand(len(batch), self.cut(batch).valid.shape[1], -1)
        found, seg = self.fill_in(batch, hidden)
        return torch.square(found - seg.volumes)[:, half].mean(), {}
