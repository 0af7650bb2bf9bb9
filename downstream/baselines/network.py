"""Small networks trained from random weights on signals, with the one loop.

The same for all of them: 128 Hz, channels standardized by the training windows, AdamW without
decay, cross-entropy in which classes weigh alike, the weights of the step at which the validation
people's loss was lowest.
"""

import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.signal import resample_poly
from torch import Tensor, nn

from neurofm.data.batch import Movable
from neurofm.job import Stopped
from neurofm.nn.trainable import Trainable
from neurofm.training.loop import TrainConfig, accelerator_for, train

from . import inputs, recentering

SFREQ = 128.0  # Hz; that of the EEGNet paper, whose sizes of kernels both networks have
STEPS, BATCH_WINDOWS, VALIDATE_EVERY = 300, 32, 10
SETTINGS = tuple({"lr": lr, "dropout": p} for lr in (1e-3, 4e-3, 3e-4) for p in (0.25, 0.5))


@dataclass
class Examples(Movable):
    """Signals of a batch of windows; fields as in Batch."""

    signal: Float[Tensor, "batch channel time"]
    target: Int[Tensor, " batch"]
    seed: Int[Tensor, " batch"] | None = None
    source: list[str] = field(default_factory=list)
    ch_names: list[tuple[str, ...]] = field(default_factory=list)


class InMemory:
    """Windows for the loop, asked for by their row. source: names of their recordings' people."""

    def __init__(self, signal: np.ndarray, target: np.ndarray, subjects: np.ndarray):
        self.signal = torch.from_numpy(signal)
        self.target = torch.from_numpy(np.asarray(target, dtype=np.int64))
        self.subjects = subjects

    def widths(self, windows: np.ndarray) -> np.ndarray:
        """All alike: nothing is padded."""
        return np.ones(len(windows), dtype=np.int64)

    def batch(self, windows: np.ndarray, seeds: np.ndarray | None = None, target=None) -> Examples:
        rows = torch.from_numpy(windows)
        return Examples(
            self.signal[rows], self.target[rows],
            seed=None if seeds is None else torch.as_tensor(seeds, dtype=torch.int64),
            source=[f"subject {self.subjects[w]}" for w in windows],
        )


class Trained(Trainable):
    """A network as the loop wants it. net: [batch, channel, time] → [batch, class]."""

    def __init__(self, net: nn.Module, signal: np.ndarray, target: np.ndarray):
        super().__init__()
        self.net = net
        count = np.bincount(target)
        mean, std = signal.mean(axis=(0, 2)), signal.std(axis=(0, 2))
        for name, values in {
            "mean": mean[:, None],
            "scale": 1 / np.where(std > 0, std, 1)[:, None],  # a flat channel stays at 0
            "class_weight": len(target) / (len(count) * count),
        }.items():
            self.register_buffer(name, torch.from_numpy(values).float())

    def logits(self, signal: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch class"]:
        return self.net((signal - self.mean) * self.scale)

    def forward(self, batch: Examples) -> tuple[Tensor, dict[str, Tensor]]:
        """→ (loss, metrics), means over windows."""
        logits = self.logits(batch.signal)
        entropy = F.cross_entropy(logits, batch.target, reduction="none")
        loss = (entropy * self.class_weight[batch.target]).mean()
        return loss, {"accuracy": (logits.argmax(dim=1) == batch.target).float().mean().detach()}


class Network:
    """A baseline is a network with its settings: build(n_channels, n_times, n_classes).

    sfreq: of the signals that it will be given, in Hz.
    """

    SEES = "signals"
    REGRESSION = False
    DRAWS = True
    SETTINGS = SETTINGS
    recentered = False

    def __init__(self, seed: int, lr: float, dropout: float, sfreq: float = 256.0):
        if not sfreq > 0:
            raise ValueError(f"sfreq must be above 0 Hz, got {sfreq}")
        self.seed, self.lr, self.dropout, self.sfreq = seed, lr, dropout, sfreq

    def build(self, n_channels: int, n_times: int, n_classes: int) -> nn.Module:
        """The network for such windows (at 128 Hz), from random weights."""
        raise NotImplementedError

    def fit(self, x: np.ndarray, target: np.ndarray, subjects: np.ndarray, validation) -> None:
        """Train on x; validation = (x, target, subjects) of others says which step is kept."""
        inputs.check_training(self.SEES, self.REGRESSION, x, target, subjects)
        if validation is None or len(validation[0]) == 0:
            raise ValueError("a network needs windows of validation subjects to be stopped by; got "
                             "none: give the corpus a validation split")
        self.shape = x.shape[1:]
        inputs.check_windows(self.SEES, validation[0], validation[2], self.shape)
        if strange := set(np.unique(validation[1]).tolist()) - set(target.tolist()):
            raise ValueError(f"validation windows have classes that no training window has: "
                             f"{sorted(strange)}")
        signal = self._prepared(x, subjects)
        watched = self._prepared(validation[0], validation[2])
        config = TrainConfig(
            steps=STEPS, batch_windows=BATCH_WINDOWS, lr=self.lr, weight_decay=0.0, beta2=0.999,
            precision="float32", log_every=STEPS, validate_every=VALIDATE_EVERY, save_every=STEPS,
            seed=self.seed,
        )
        # Nothing that is drawn at random after this depends on whether a baseline was trained.
        with torch.random.fork_rng(), tempfile.TemporaryDirectory() as out:
            torch.manual_seed(self.seed)
            net = self.build(signal.shape[1], signal.shape[2], len(np.unique(target)))
            accelerator = accelerator_for(config, Path(out))
            try:
                self.model = train(
                    Trained(net, signal, target), InMemory(signal, target, subjects),
                    np.arange(len(signal)), config, Path(out), accelerator,
                    validation=(InMemory(watched, *validation[1:]), np.arange(len(watched))),
                    choose="val/loss", say=lambda *_: None,
                ).eval()
            except Stopped as stop:  # its state goes with the temporary folder
                raise Stopped("stopped as asked; what is finished is kept: run the same command "
                              "again to continue", stop.signaled) from None

    @torch.no_grad()
    def predict(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """Probabilities [window, class]."""
        inputs.check_windows(self.SEES, x, subjects, self.shape)
        signal = torch.from_numpy(self._prepared(x, subjects))
        device = self.model.mean.device
        parts = [self.model.logits(part.to(device)).double().softmax(dim=1).cpu()
                 for part in signal.split(BATCH_WINDOWS)]
        return torch.cat(parts).numpy()

    def _prepared(self, x: np.ndarray, subjects: np.ndarray) -> np.ndarray:
        """At 128 Hz and, where asked for, re-centered; float32 [window, channel, time]."""
        ratio = Fraction(SFREQ / self.sfreq).limit_denominator(1000)
        signal = np.asarray(x, dtype=np.float32)
        if ratio != 1:
            signal = resample_poly(signal, ratio.numerator, ratio.denominator, axis=2)
        signal = recentering.signals(signal, subjects) if self.recentered else signal
        return np.ascontiguousarray(signal, dtype=np.float32)
