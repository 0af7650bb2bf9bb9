"""A second model of scans: a region is the loudness of the EEG some seconds before."""

import torch

import neurofm
from neurofm.models.neurobolt_sequence import NeuroBOLTSequence, scan_loss


class ToyLoudnessConfig(neurofm.NeuroFMConfig):
    model_type = "neurofm_toy_loudness"
    delay_s = 6.0

    def __init__(self, rois=(), sfreq=100.0, **of_transformers):
        self.rois = tuple(rois)
        self.sfreq = sfreq
        super().__init__(**of_transformers)

    def knowing(self, data, windows):
        return ToyLoudnessConfig(data.pairs.rois.names, data.contract.sfreq)


class ToyLoudness(neurofm.ScanModel):
    """Loudness before each volume, times a number for each region."""

    config_class = ToyLoudnessConfig
    reads_places = False

    def __init__(self, config):
        super().__init__(config)
        self.gain = torch.nn.Linear(1, max(1, len(config.rois)))
        self.post_init()

    @property
    def rois(self):
        return self.config.rois

    example = NeuroBOLTSequence.example

    def predict(self, batch):
        n, n_times = len(batch.signal), batch.signal.shape[-1]
        power = torch.square(batch.signal).mean(dim=1).cumsum(dim=1)
        at = (batch.volume_s.nan_to_num(0.0) - self.config.delay_s) * self.config.sfreq
        start, stop = (((at + shift * self.config.sfreq).long()).clamp(0, n_times - 1)
                       for shift in (-2.0, 2.0))
        rows = torch.arange(n, device=power.device)[:, None]
        return self.gain((power[rows, stop] - power[rows, start])[..., None])

    def forward(self, batch):
        return scan_loss(self.predict(batch), batch.target)
