"""How loud each channel of a window is, in a few units."""

import torch

import neurofm


class ToyLoudConfig(neurofm.BackboneConfig):
    model_type = "neurofm_toy_loud"
    pools = ("mean",)

    def __init__(self, dim: int = 8, **of_transformers):
        self.dim = dim
        super().__init__(**of_transformers)

    def n_pooled(self, pool):
        return self.dim


class ToyLoud(neurofm.Backbone):
    """Units of one sample."""

    config_class = ToyLoudConfig
    reads_places = False

    def __init__(self, config):
        super().__init__(config)
        self.units = torch.nn.Linear(1, config.dim)
        self.back = torch.nn.Linear(config.dim, 1)
        self.post_init()

    def embed(self, batch):
        return torch.tanh(self.units(batch.signal[..., None]))

    def pooled(self, batch, pool):
        return self.embed(batch).square().mean(dim=(1, 2))

    def used(self, pool):
        return [self.units]

    def layer(self, name):
        return 0, 1

    def forward(self, batch):
        loss = torch.square(self.back(self.embed(batch))[..., 0] - batch.signal).mean()
        return loss, {}
