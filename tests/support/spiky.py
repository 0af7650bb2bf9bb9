"""A network whose loss spikes where a test wants it to."""

import torch

from neurofm.nn.trainable import Trainable

STEPS = 80


class Spiky(Trainable):
    """Its loss is 10⁶ times as large in the steps `bad`. In the step `poison` a buffer changes, and
    `late` steps after it every loss is as large: the weights have gone wrong."""

    def __init__(self, bad=(), poison=None, late=10, factor=1e6):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 1)
        self.register_buffer("poisoned", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.bad, self.poison, self.late, self.factor = set(bad), poison, late, factor

    def anneal(self, progress):
        self.step = round(progress * STEPS) + 1

    def forward(self, batch):
        self.seen += 1
        if self.step == self.poison:
            self.poisoned.fill_(self.step)
        x = batch.ids.flatten(1)[:, :8].float() / 16
        loss = (self.layer(x).mean(dim=1) - 1).square().mean() + 1
        wrong = self.poisoned > 0 and self.step >= self.poisoned + self.late
        return loss * (self.factor if self.step in self.bad or wrong else 1), {}
