"""A second masked model of fMRI: a hidden region is a linear sum of those seen in the volume."""

import torch

import neurofm
from neurofm.nn.segments import cut


class ToyMaskedConfig(neurofm.NeuroFMConfig):
    model_type = "neurofm_toy_masked"

    def __init__(self, segment_s: float = 20.0, n_regions: int = 0, **of_transformers):
        self.segment_s = segment_s
        self.n_regions = n_regions
        super().__init__(**of_transformers)

    def knowing(self, data, windows):
        return ToyMaskedConfig(self.segment_s, len(data.layout(int(windows[0])).names))


class ToyMasked(neurofm.RegionModel):
    """The weights are learned."""

    config_class = ToyMaskedConfig
    reads_places = False

    def __init__(self, config):
        super().__init__(config)
        self.weight = torch.nn.Parameter(torch.zeros(config.n_regions, config.n_regions))
        self.post_init()

    def cut(self, batch):
        measured = torch.ones_like(batch.signal[:, 0], dtype=torch.bool)
        return cut(batch.signal, batch.t_r, measured, self.config.segment_s, 10)

    def fill_in(self, batch, hidden):
        seg = self.cut(batch)
        seen = 1.0 if hidden is None else (~hidden).mT[..., None].float()
        return torch.einsum("ij,bjsv->bisv", self.weight, seg.volumes * seen), seg

    def forward(self, batch):
        n_segments = self.cut(batch).valid.shape[1]
        hidden = torch.rand(len(batch), n_segments, self.config.n_regions) < 0.5
        found, seg = self.fill_in(batch, hidden)
        return torch.square(found - seg.volumes)[hidden.mT].mean(), {}
