"""FLEEG: a convolutional decoder of EEG whose front is of one site and whose back all sites share.

Source: FLEEG, "Aggregating Intrinsic Information to Enhance BCI Performance through Federated
Learning" (Neural Networks 172:106100, arXiv 2308.11636), on the DeepConvNet of Schirrmeister et al.
2017 (arXiv 1703.05051). Four blocks of convolution, batch norm, ELU and max-pooling, and a linear
classifier. Sites differ in channels, rate and length of their trials: their first blocks have
kernels and pools of their own, by which all come to the same number of frames. What is shared are
the last `shared_blocks` convolutions and the classifier; with the published sizes and one shared
block 202,802 numbers, 0.81 MB. Batch norms are personal, also those within the shared part.

Our deviation: the published sizes were chosen by hand for nine data sets; `sizes` finds them for
any length.
"""

import itertools
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ..data.batch import Batch
from ..limits import Count, Positive, ShareBelowOne
from ..nn.max_norm import max_norm_
from ..pretrained import NeuroFMConfig
from .protocol import WindowDecoder

N_BLOCKS = 4
MOMENTUM = 0.1  # of batch norms
KERNEL, POOL = 10, 3  # of DeepConvNet, at 250 Hz
LARGEST, LARGEST_LAST = 2.0, 0.5  # norms of an output's weights
_POOLS, _SMALLEST, _LARGEST = range(1, 9), 3, 60  # what `sizes` looks through
_BY_POOL = np.geomspace(1.0, 8.0, 25)  # personal kernels, in pools


class FLEEGConfig(NeuroFMConfig):
    """Settings of a `FLEEG`.

    Parameters
    ----------
    ch_names, n_times, sfreq
        Channels, samples and sampling rate (Hz) of a site's trials.
    classes
        Names of the classes.
    filters
        Outputs of the four convolutions.
    kernels, pools
        Lengths in samples of their inputs; empty = those of `sizes`.
    n_frames
        Frames that the classifier sees.
    shared_blocks
        How many of the last convolutions are shared.
    dropout
        In front of each convolution but the first, and of the classifier.
    shared_norms
        Whether their batch norms are shared too (in the paper they are not).
    """

    model_type = "neurofm_fleeg"

    def __init__(
        self,
        ch_names: tuple[str, ...] | list[str] = ("C3", "C4"),
        n_times: Count = 1000,
        sfreq: Positive = 250.0,
        classes: tuple[str, ...] | list[str] = ("0", "1"),
        filters: tuple[Count, ...] | list[Count] = (25, 50, 100, 200),
        kernels: tuple[Count, ...] | list[Count] = (),
        pools: tuple[Count, ...] | list[Count] = (),
        n_frames: Count = 7,
        shared_blocks: Count = 1,
        shared_norms: bool = False,
        dropout: ShareBelowOne = 0.5,
        **of_transformers,
    ):
        self.ch_names, self.classes = tuple(ch_names), tuple(classes)
        self.n_times, self.sfreq = n_times, sfreq
        self.filters = tuple(filters)
        self.n_frames = n_frames
        self.shared_blocks = shared_blocks
        self.shared_norms = shared_norms
        self.dropout = dropout
        super().__init__(**of_transformers)
        self.require(len(self.filters) == N_BLOCKS,
                     f"filters must be {N_BLOCKS} numbers of outputs, got {self.filters}")
        self.require(shared_blocks < N_BLOCKS,
                     f"shared_blocks must be 1 … {N_BLOCKS - 1} (the first block has a site's "
                     f"channels), got {shared_blocks}")
        self.require(len(self.classes) >= 2 and len(set(self.classes)) == len(self.classes),
                     f"classes must be two or more different names, got {self.classes}")
        self.require(bool(kernels) == bool(pools), "give kernels and pools together, or neither")
        if not kernels:
            kernels, pools = sizes(n_times, shared_blocks, n_frames)
        self.kernels, self.pools = tuple(kernels), tuple(pools)
        found = widths(n_times, self.kernels, self.pools)
        self.require(len(found) == N_BLOCKS and found[-1] == n_frames,
                     f"{n_times} samples come to {found} frames after each block by kernels "
                     f"{self.kernels} and pools {self.pools}; wanted {n_frames} after the last: "
                     f"leave kernels and pools out to have them chosen")


def widths(n_times: int, kernels: tuple[int, ...], pools: tuple[int, ...]) -> list[int]:
    """Number of frames in a FLEEG.

    Parameters
    ----------
    n_times
        Number of samples.
    kernels
        Length of the kernel of each block.
    pools
        Pooling of each block.

    Returns
    -------
    list[int]
        Frames after each block.
    """
    found = []
    for kernel, pool in zip(kernels, pools, strict=True):
        n_times = (n_times - kernel + 1) // pool
        found.append(n_times)
    return found


@lru_cache(maxsize=64)
def sizes(
    n_times: int, shared_blocks: int = 1, n_frames: int = 7
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(kernels, pools) by which `n_times` samples come to exactly `n_frames`.

    Shared convolutions have DeepConvNet's kernel, since their weights must fit everywhere; pools
    have no weights. Of all that fit, the nearest to DeepConvNet is taken: pools alike, personal
    kernels 10/3 of their pool, few samples lost at the end. 1000 samples give DeepConvNet itself.

    Raises ValueError where nothing fits, with the shortest length that does.
    """
    n_personal = N_BLOCKS - shared_blocks
    pools = np.array(np.meshgrid(*[_POOLS] * N_BLOCKS)).reshape(N_BLOCKS, -1)
    ratio, more = np.meshgrid(_BY_POOL, np.arange(-2, 3))
    ratio, more = ratio.ravel()[:, None], more.ravel()[:, None]  # [trial, 1] against [pools]
    length, lost, kernels = np.full((len(ratio), pools.shape[1]), n_times), 0, []
    for block in range(N_BLOCKS):
        if block < n_personal:
            kernel = np.round(ratio * pools[block]) + (more if block == 0 else 0)
            kernel = np.clip(kernel, _SMALLEST, _LARGEST).astype(int)
        else:
            kernel = np.full(length.shape, KERNEL)
        frames = length - kernel + 1
        lost = lost + (frames % pools[block]) * np.prod(pools[:block], axis=0) / n_times
        length = np.where(frames > 0, frames // pools[block], -(10**6))
        kernels.append(kernel)
    off = np.log(pools) - np.log(pools).mean(axis=0)
    cost = np.square(off).sum(axis=0) + np.square(np.log(ratio * POOL / KERNEL)) * n_personal + lost
    cost = np.where(length == n_frames, cost + 1e-3 * np.abs(more), np.inf)
    best = np.unravel_index(np.argmin(cost), cost.shape)
    if not np.isfinite(cost[best]):
        least, most = _reach(shared_blocks, n_frames)
        raise ValueError(
            f"trials of {n_times} samples cannot come to {n_frames} frames with {shared_blocks} "
            f"shared convolution(s) of {KERNEL} samples: about {least} to {most} samples can; give "
            f"{'longer' if n_times < least else 'shorter'} windows (contract.window_s), "
            f"{'a higher' if n_times < least else 'a lower'} contract.sfreq, or share fewer blocks"
        )
    return (tuple(int(kernel[best]) for kernel in kernels),
            tuple(int(pool) for pool in pools[:, best[1]]))


def _reach(shared_blocks: int, n_frames: int) -> tuple[int, int]:
    """Shortest and longest trials that come to so many frames."""
    ends = []
    for pool, kernel in ((1, _SMALLEST), (max(_POOLS), round(max(_BY_POOL) * max(_POOLS)))):
        length = n_frames
        for block in reversed(range(N_BLOCKS)):
            shared = block >= N_BLOCKS - shared_blocks
            length = length * pool + (KERNEL if shared else min(kernel, _LARGEST)) - 1
        ends.append(length)
    return ends[0], ends[1]


class FLEEG(WindowDecoder):
    """Classes of trials of one site. `shared_names` names the weights that sites share.

    Parameters
    ----------
    config
        Settings.
    """

    config_class = FLEEGConfig
    bounds_weights = True  # False for final weights: a look at their norms is no part of a graph

    mean: Tensor
    scale: Tensor
    class_weight: Tensor

    def __init__(self, config: FLEEGConfig):
        super().__init__(config)
        filters, n_channels = config.filters, len(config.ch_names)
        self.temporal = nn.Parameter(torch.empty(filters[0], config.kernels[0]))
        self.spatial = nn.Parameter(torch.empty(filters[0], filters[0], n_channels))
        self.convolutions = nn.ModuleList([
            nn.Conv1d(*pair, kernel, bias=False) for pair, kernel in
            zip(itertools.pairwise(filters), config.kernels[1:], strict=True)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(n, momentum=MOMENTUM) for n in filters])
        self.classifier = nn.Linear(filters[-1] * config.n_frames, len(config.classes))
        self.register_buffer("mean", torch.zeros(n_channels, 1))
        self.register_buffer("scale", torch.ones(n_channels, 1))
        self.register_buffer("class_weight", torch.ones(len(config.classes)))
        for weight in (self.temporal, self.spatial, self.classifier.weight,
                       *(layer.weight for layer in self.convolutions)):
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.classifier.bias)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Nothing: the constructor has drawn them."""

    @property
    def reads_places(self) -> bool:
        return False

    @property
    def ch_names(self) -> tuple[str, ...]:
        return self.config.ch_names

    @property
    def n_times(self) -> int:
        return self.config.n_times

    @property
    def window_length(self) -> int:
        return self.config.n_times

    @torch.no_grad()
    def start(self, signal: Float[Tensor, "trial channel time"], target: Tensor) -> None:
        """Take the mean and deviation of each channel, and the class frequencies, from training
        trials of the site. They are personal.

        Parameters
        ----------
        signal
            Trials, `[trial, channel, time]`.
        target
            Class of each trial, `[trial]`.
        """
        std, mean = torch.std_mean(signal, dim=(0, 2), correction=0)
        self.mean.copy_(mean[:, None])
        self.scale.copy_(1 / torch.where(std > 0, std, 1.0)[:, None])
        count = torch.bincount(target, minlength=len(self.class_weight)).clamp(min=1)
        self.class_weight.copy_(len(target) / (len(count) * count))

    @torch.no_grad()
    def settle(self, batches: Iterable[Float[Tensor, "batch channel time"]]) -> None:
        """Estimate the running means and variances of the personal batch norms again.

        Called when new shared weights came.

        Parameters
        ----------
        batches
            Signals, each `[batch, channel, time]`.
        """
        was = self.training
        self.eval()
        for norm in self.norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # the plain mean over batches
        for signal in batches:
            self.logits(signal)
        for norm in self.norms:
            norm.momentum = MOMENTUM
        self.train(was)

    def shared_names(self) -> list[str]:
        """Names in the state dict of the weights that sites share.

        Returns
        -------
        list[str]
            In the order of depth.
        """
        first = N_BLOCKS - self.config.shared_blocks
        names = [f"convolutions.{block - 1}.weight" for block in range(first, N_BLOCKS)]
        if self.config.shared_norms:
            names += [f"norms.{block}.{part}" for block in range(first, N_BLOCKS)
                      for part in ("weight", "bias", "running_mean", "running_var")]
        return [*names, "classifier.weight", "classifier.bias"]

    def picked(self, batch) -> Float[Tensor, "batch channel time"]:
        """Signals of the model's channels, in its order. A batch without names has it.

        Parameters
        ----------
        batch
            Windows side by side, padded.

        Returns
        -------
        Tensor
            `[batch, channel, time]`.
        """
        if not batch.ch_names:
            return batch.signal
        rows, wanted = [], self.config.ch_names
        for window, names in enumerate(batch.ch_names):
            place = {name: row for row, name in enumerate(names)}
            if lost := [name for name in wanted if name not in place]:
                where = f"{batch.source[window]}: " if batch.source else ""
                raise ValueError(
                    f"{where}this FLEEG reads the channels {', '.join(wanted)} of its site; the "
                    f"recording has no {', '.join(lost)} (it has {', '.join(names)}): rename "
                    f"channels (rename), or take a decoder on an encoder that reads any montage")
            rows.append([place[name] for name in wanted])
        rows = torch.tensor(rows, device=batch.signal.device)
        return batch.signal.gather(1, rows[..., None].expand(-1, -1, batch.signal.shape[-1]))

    def pool(self, batch: Batch) -> Float[Tensor, "batch feature"]:
        """What the classifier sees."""
        return self.features(self.picked(batch))

    def embed(self, batch: Batch) -> Float[Tensor, "batch 1 frame filter"]:
        """Outputs of the last convolution."""
        return self.pool(batch).unflatten(1, (self.config.filters[-1], -1)).mT[:, None]

    def features(
        self, signal: Float[Tensor, "batch channel time"]
    ) -> Float[Tensor, "batch feature"]:
        """Features that the classifier reads.

        Parameters
        ----------
        signal
            Signals of the model's channels, `[batch, channel, time]`.

        Returns
        -------
        Tensor
            `[batch, feature]`.
        """
        config = self.config
        if signal.shape[1:] != (len(config.ch_names), config.n_times):
            raise ValueError(f"this model takes {len(config.ch_names)} channels of "
                             f"{config.n_times} samples, got {list(signal.shape[1:])}")
        if self.bounds_weights:
            self.bound_()
        # Nothing lies between the filters in time and in space: they are one convolution.
        kernel = torch.einsum("oic,ik->ock", self.spatial, self.temporal)
        x = self._rest(F.conv1d((signal - self.mean) * self.scale, kernel), 0)
        for block, layer in enumerate(self.convolutions, start=1):
            x = F.dropout(x, config.dropout, self.training)
            x = self._rest(layer(x), block)
        return x.flatten(1)

    def logits(self, signal: Float[Tensor, "batch channel time"]) -> Float[Tensor, "batch class"]:
        """One output per class.

        Parameters
        ----------
        signal
            Signals of the model's channels, `[batch, channel, time]`.

        Returns
        -------
        Tensor
            `[batch, class]`, before softmax.
        """
        return self.classifier(self.features(signal))

    def bound_(self) -> None:
        """Shorten weights to the norms that they may have, in place."""
        for weight in (self.temporal, self.spatial, *(each.weight for each in self.convolutions)):
            max_norm_(weight, LARGEST)
        max_norm_(self.classifier.weight, LARGEST_LAST)

    def _rest(self, x: Tensor, block: int) -> Tensor:
        return F.max_pool1d(F.elu(self.norms[block](x)), self.config.pools[block])

    def name(
        self, pooled: Float[Tensor, "batch feature"], center: Tensor | None = None
    ) -> Float[Tensor, "batch class"]:
        """Probabilities of the classes. center: not used."""
        return self.classifier(pooled).softmax(dim=-1)

    def make_final(self) -> None:
        """Shorten the weights, and look at their norms no more."""
        self.bound_()
        self.bounds_weights = False

    def forward(self, batch) -> tuple[Tensor, dict[str, Tensor]]:
        """→ (cross-entropy in which classes weigh alike, {"accuracy"}). batch: has `signal` [batch,
        channel, time] and `target`, class indices."""
        logits, target = self.logits(self.picked(batch)), batch.target.long()
        entropy = F.cross_entropy(logits, target, reduction="none")
        hit = (logits.argmax(dim=-1) == target).float().mean()
        return (entropy * self.class_weight[target]).mean(), {"accuracy": hit.detach()}
