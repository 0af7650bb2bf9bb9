"""Samples below, near and above zero."""

import torch

import neurofm


class ToySignConfig(neurofm.NeuroFMConfig):
    model_type = "neurofm_toy_sign"
    window_length = 1
    n_codes = 3

    def __init__(self, border: float = 0.5, **of_transformers):
        self.border = border
        super().__init__(**of_transformers)


class ToySign(neurofm.Tokenizer):
    """Three levels."""

    config_class = ToySignConfig
    of_channels = True
    reads_places = False

    def __init__(self, config):
        super().__init__(config)
        self.level = torch.nn.Parameter(torch.ones(1))
        self.post_init()

    def _ids(self, signal):
        return (signal > self.config.border).long() - (signal < -self.config.border).long() + 1

    def encode(self, batch):
        ids = self._ids(batch.signal)[..., None]
        return neurofm.Tokens(ids, batch.target, batch.seed, batch.source)

    def decode(self, tokens, geometry, kind, valid, *, n_times=None):
        ids = tokens.ids if isinstance(tokens, neurofm.Tokens) else tokens
        return ((ids[..., 0] - 1) * self.level)[..., :n_times]

    def forward(self, batch):
        found = (self._ids(batch.signal) - 1) * self.level
        loss = torch.square(found - batch.signal)[batch.valid].mean()
        return loss, {"error": loss.detach()}
