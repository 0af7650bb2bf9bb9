"""The head of a `Decoder`: pooled features → classes or a number, a model of its own for the loop.

Source: "BrainOmni" (arXiv 2505.18185, sec. 4): dropout, Linear → 256, SELU, Linear → classes, with
label smoothing 0.1; ours by default is a linear probe.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batch import Movable
from ..nn.attentive_pool import AttentivePool
from ..nn.dropout import Dropout, seed_dropout
from ..nn.trainable import Trainable

if TYPE_CHECKING:
    from .decoder import DecoderConfig

LEAST_STD = 0.02  # about the median deviation of a pretrained backbone's features


@dataclass
class Pooled(Movable):
    """Pooled features of a batch of windows; `target`, `seed`, `source` and `weight` as in Batch.

    With a frozen backbone these are computed once, and the head trains on them alone. Where the
    head itself pools (by attention) there is a further axis, of places; where all features are 0
    there is none.
    """

    features: Float[Tensor, "batch *place feature"]
    target: Tensor | None = None
    seed: Int[Tensor, " batch"] | None = None
    source: list[str] = field(default_factory=list)
    weight: Float[Tensor, " batch"] | None = None


class Head(Trainable):
    """Features → classes or a number; a model of its own for the loop when the backbone is frozen.

    Deviation from the published head: features are first brought to mean 0 and deviation 1 over
    the training windows (`fit`). They have length 1 over 256 or 512 dimensions and differ little
    between windows, so without it the learning rate would have to be tuned for each backbone. Where
    the backbone trains along, small deviations are not blown up (`LEAST_STD`): the features move
    as a whole by more than that, and the loss of an untrained backbone was 5 to 80 instead of 0.7.
    Classes weigh alike, however many windows they have, because balanced accuracy is asked for, if
    `fit` is not told otherwise. A number is predicted in deviations of the training windows'
    numbers.
    """

    mean: Tensor
    scale: Tensor
    centre: Tensor  # the name of the tensor in checkpoints
    number: Tensor
    class_weight: Tensor
    temperature: Tensor

    def __init__(self, config: "DecoderConfig"):
        super().__init__()
        n, n_outputs = config.n_features, len(config.classes) or 1
        self.regression = config.regression
        self.label_smoothing = config.label_smoothing
        self.least_std = 1e-6 if config.mode == "frozen" else LEAST_STD
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        if config.recentered:
            self.register_buffer("centre", torch.zeros(n))  # mean over training people of theirs
        if self.regression:
            self.register_buffer("number", torch.tensor([0.0, 1.0]))  # mean, deviation
        else:
            self.register_buffer("class_weight", torch.ones(n_outputs))
            self.register_buffer("temperature", torch.ones(1))
        if config.pool == "attention":
            self.pool = AttentivePool(n, config.backbone.n_heads)
        if config.head == "mlp":
            self.layers = nn.Sequential(
                Dropout(config.dropout), nn.Linear(n, config.hidden_dim), nn.SELU(),
                nn.Linear(config.hidden_dim, n_outputs),
            )  # fmt: skip
        else:
            self.layers = nn.Sequential(Dropout(config.dropout), nn.Linear(n, n_outputs))

    @torch.no_grad()
    def fit(self, features: Float[Tensor, "window *place feature"], target: Tensor,
            weight: Float[Tensor, " window"] | None = None,
            class_weight: Float[Tensor, " class"] | None = None):
        """Take mean, deviation and frequencies from the training windows; nothing else.

        weight: how much each window counts; None = alike. class_weight: how much a window of each
        class counts, beside that; None = so that classes weigh alike.
        """
        places = features.float().flatten(0, -2)
        of_places = weight if weight is None else weight.repeat_interleave(
            len(places) // len(features))
        real = places.any(dim=1)
        std, mean = _std_mean(places[real], of_places if of_places is None else of_places[real])
        self.mean.copy_(mean)
        self.scale.copy_(1 / std.clamp(min=self.least_std))
        if self.regression:
            std, mean = _std_mean(target.float(), weight)
            self.number.copy_(torch.stack([mean, std.clamp(min=1e-6)]))
        else:
            count = torch.bincount(target, weight, minlength=len(self.class_weight))
            count = count.clamp(min=1 if weight is None else 1e-6)
            of_class = 1 / count if class_weight is None else class_weight.to(count.device)
            self.class_weight.copy_(of_class * (count.sum() / (of_class * count).sum()))

    @torch.no_grad()
    def calibrate(self, features: Float[Tensor, "window *place feature"], target: Tensor,
                  weight: Float[Tensor, " window"] | None = None):
        """Choose the temperature at which the cross-entropy of these windows, not trained on, is
        lowest (Guo et al. 2017, arXiv 1706.04599); classes weigh alike, as in training."""
        logits, counted = self.logits(features).double(), self.class_weight[target].double()
        if weight is not None:
            counted = counted * weight
        if not counted.any():
            return

        def entropy(temperature: float) -> float:
            each = F.cross_entropy(logits / temperature, target, reduction="none")
            return float((each * counted).sum() / counted.sum())

        grid = torch.logspace(-1, 1.3, 93, dtype=torch.float64).tolist()  # 0.1 … 20, steps of 6 %
        self.temperature.fill_(min(grid, key=entropy))

    def logits(
        self, features: Float[Tensor, "batch *place feature"]
    ) -> Float[Tensor, "batch output"]:
        """One output a class, before softmax and temperature; or one, in deviations."""
        x = (features.float() - self.mean) * self.scale
        return self.layers(self.pool(x, features.any(dim=-1)) if x.ndim == 3 else x)

    def predict(
        self, features: Float[Tensor, "batch *place feature"]
    ) -> Float[Tensor, "batch output"]:
        """Probabilities of the classes; or the number."""
        logits = self.logits(features)
        if self.regression:
            return logits * self.number[1] + self.number[0]
        return (logits / self.temperature).softmax(dim=-1)

    def forward(self, pooled: Pooled) -> tuple[Tensor, dict[str, Tensor]]:
        """→ (loss, metrics), means over windows. Classes: cross-entropy; accuracy. Number: Huber's
        loss of deviations; mean absolute error in its own unit."""
        if pooled.target is None:
            raise ValueError("training a decoder needs windows with a target (class index, number)")
        seed_dropout(self, pooled.seed, len(pooled.features), pooled.features.device)
        logits = self.logits(pooled.features)
        counted = 1.0 if pooled.weight is None else pooled.weight.to(logits.dtype)
        if self.regression:
            wanted = (pooled.target.float() - self.number[0]) / self.number[1]
            far = (logits[:, 0] - wanted).abs().mean() * self.number[1]
            each = F.smooth_l1_loss(logits[:, 0], wanted, reduction="none")
            return (each * counted).mean(), {"mae": far.detach()}
        target = pooled.target.long()
        # Weights are applied by hand: `weight=` of cross_entropy divides by the batch's own sum,
        # which would make the loss depend on how a batch is cut over processes.
        entropy = F.cross_entropy(
            logits, target, reduction="none", label_smoothing=self.label_smoothing
        )
        loss = (entropy * self.class_weight[target] * counted).mean()
        hit = (logits.argmax(dim=-1) == target).float().mean()
        return loss, {"accuracy": hit.detach()}


def _std_mean(x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Deviation and mean over the first axis."""
    if weight is None:
        std, mean = torch.std_mean(x, dim=0, correction=0)
        return std, mean
    share = (weight.double() / weight.double().sum()).view(-1, *[1] * (x.ndim - 1))
    mean = (share * x).sum(dim=0)
    return (share * (x - mean).square()).sum(dim=0).sqrt().float(), mean.float()
