"""Decoder: a pretrained BrainOmni with a head that names the class of a window.

Source: "BrainOmni" (arXiv 2505.18185, sec. 4): features are averaged over frames, sources are
flattened, then dropout, Linear → 256, SELU, Linear → classes, with label smoothing 0.1. Ours by
default: how sources go together (`neurofm.nn.second_order`) instead of the average. A linear probe
is the other head. The tokenizer is always frozen; the transformer is too, or trains along.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batch import Batch, Movable, Tokens
from ..nn.second_order import log_gram
from ..pretrained import NeuroFMConfig, NeuroFMPreTrainedModel
from .brainomni import BrainOmni, BrainOmniConfig

POOLS = ("covariance", "mean")
HEADS = ("mlp", "linear")
MODES = ("frozen", "full")
LEAST_STD = 0.02  # about the median deviation of a pretrained backbone's features


class DecoderConfig(NeuroFMConfig):
    """The defaults are the published head on the published "tiny" model, but for `pool`.

    backbone: config of the BrainOmni inside. classes: names of the classes, in the order of the
        probabilities; the names are the labels of the corpus.
    mode: "frozen" trains the head alone; "full" trains the transformer with it.
    pool: what the head sees of a window's features: "covariance" between sources over frames, as
        matrix logarithm, or their "mean" over frames, as published.
    head: "mlp" is the published one, "linear" a linear probe. hidden_dim, dropout: of the head.
    label_smoothing: share of the target spread evenly over the classes.
    """

    model_type = "neurofm_decoder"
    sub_configs = {"backbone": BrainOmniConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        backbone: BrainOmniConfig | dict | None = None,
        classes: Sequence[str] = ("0", "1"),
        mode: str = "frozen",
        pool: str = "covariance",
        head: str = "mlp",
        hidden_dim: int = 256,
        dropout: float = 0.1,
        label_smoothing: float = 0.1,
        **of_transformers,
    ):
        if not isinstance(backbone, BrainOmniConfig):
            backbone = BrainOmniConfig(**(backbone or {}))
        self.backbone = backbone
        self.classes = tuple(str(name) for name in classes)
        self.mode = mode
        self.pool = pool
        self.head = head
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        super().__init__(**of_transformers)
        self.require(
            len(set(self.classes)) == len(self.classes) >= 2,
            f"classes must be at least two different names, got {self.classes}",
        )
        self.require(mode in MODES, f"mode must be one of {MODES}, got {mode!r}")
        self.require(pool in POOLS, f"pool must be one of {POOLS}, got {pool!r}")
        self.require(head in HEADS, f"head must be one of {HEADS}, got {head!r}")
        self.require(
            0 <= label_smoothing < 1, f"label_smoothing must be in [0, 1), got {label_smoothing}"
        )

    @property
    def n_features(self) -> int:
        """Width of what the head sees: pairs of sources, or sources × dim."""
        n = self.backbone.tokenizer.n_sources
        return n * (n + 1) // 2 if self.pool == "covariance" else n * self.backbone.dim


@dataclass
class Pooled(Movable):
    """Pooled features of a batch of windows; `target`, `seed` and `source` as in Batch.

    With a frozen backbone these are computed once, and the head trains on them alone.
    """

    features: Float[Tensor, "batch feature"]
    target: Tensor | None = None
    seed: Int[Tensor, " batch"] | None = None
    source: list[str] = field(default_factory=list)


class Head(nn.Module):
    """Features → classes; a model of its own for the training loop when the backbone is frozen.

    Deviation from the published head: features are first brought to mean 0 and deviation 1 over
    the training windows (`fit`). They have length 1 over 256 or 512 dimensions and differ little
    between windows, so without it the learning rate would have to be tuned for each backbone. Where
    the backbone trains along, small deviations are not blown up (`LEAST_STD`): the features move
    as a whole by more than that, and the loss of an untrained backbone was 5 to 80 instead of 0.7.
    Classes weigh alike, however many windows they have, because balanced accuracy is asked for.
    """

    def __init__(self, config: DecoderConfig):
        super().__init__()
        n, n_classes = config.n_features, len(config.classes)
        self.label_smoothing = config.label_smoothing
        self.least_std = LEAST_STD if config.mode == "full" else 1e-6
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("scale", torch.ones(n))
        self.register_buffer("class_weight", torch.ones(n_classes))
        if config.head == "mlp":
            self.layers = nn.Sequential(
                nn.Dropout(config.dropout), nn.Linear(n, config.hidden_dim), nn.SELU(),
                nn.Linear(config.hidden_dim, n_classes),
            )  # fmt: skip
        else:
            self.layers = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(n, n_classes))

    @torch.no_grad()
    def fit(self, features: Float[Tensor, "window feature"], target: Int[Tensor, " window"]):
        """Take mean, deviation and class frequencies from the training windows; nothing else."""
        std, mean = torch.std_mean(features.float(), dim=0, correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(1 / std.clamp(min=self.least_std))
        count = torch.bincount(target, minlength=len(self.class_weight)).clamp(min=1)
        self.class_weight.copy_(len(target) / (len(count) * count))

    def logits(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch class"]:
        return self.layers((features.float() - self.mean) * self.scale)

    def forward(self, pooled: Pooled) -> tuple[Tensor, dict[str, Tensor]]:
        """→ (loss, metrics). loss: cross-entropy, mean over windows. metrics: accuracy."""
        if pooled.target is None:
            raise ValueError("training a decoder needs windows with a target (class index)")
        target = pooled.target.long()
        logits = self.logits(pooled.features)
        # Weights are applied by hand: `weight=` of cross_entropy divides by the batch's own sum,
        # which would make the loss depend on how a batch is cut over processes.
        entropy = F.cross_entropy(
            logits, target, reduction="none", label_smoothing=self.label_smoothing
        )
        loss = (entropy * self.class_weight[target]).mean()
        hit = (logits.argmax(dim=-1) == target).float().mean()
        return loss, {"accuracy": hit.detach()}


class Decoder(NeuroFMPreTrainedModel):
    """Probabilities of classes for each window of any layout and any length.

    backbone: a pretrained one, whose weights are copied in and whose config replaces
        `config.backbone`; None leaves a fresh one, to be filled by loading (or left random).
    """

    config_class = DecoderConfig

    def __init__(self, config: DecoderConfig, backbone: BrainOmni | None = None):
        if backbone is not None:
            config = DecoderConfig(**{**config.to_dict(), "backbone": backbone.config})
        super().__init__(config)
        self.backbone = BrainOmni(config.backbone)
        self.head = Head(config)
        self.post_init()
        if backbone is not None:
            self.backbone.load_state_dict(backbone.state_dict())
            self.contract = backbone.contract
        self.choose_trainable()

    def choose_trainable(self) -> None:
        """Only what features depend on: the last block, the token head and the mask token of the
        backbone never enter them, and unused parameters would stop distributed training."""
        self.backbone.requires_grad_(False)
        if self.config.mode == "full":
            self.backbone.project.requires_grad_(True)
            self.backbone.near.requires_grad_(True)
            self.backbone.blocks[:-1].requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Decoder":
        """Training mode, for the head; the backbone stays in evaluation even where it trains along:
        dropout inside would loosen how sources go together, by more than labels change it."""
        super().train(mode)
        self.backbone.eval()
        return self

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: norms and biases."""
        return parameter.ndim < 2

    @property
    def classes(self) -> tuple[str, ...]:
        return self.config.classes

    def embed(self, batch: Batch | Tokens) -> Float[Tensor, "batch source frame dim"]:
        """Features of the backbone."""
        return self.backbone.embed(batch)

    def pool(self, batch: Batch | Tokens) -> Float[Tensor, "batch feature"]:
        """What the head sees of a window: see `DecoderConfig.pool`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.mode == "full"):
            features = self.backbone.embed(batch)
            if self.config.pool == "covariance":
                return log_gram(features)
            return features.mean(dim=2).flatten(1)

    def forward(self, batch: Batch | Tokens) -> tuple[Tensor, dict[str, Tensor]]:
        """Name the class of each window → (loss, metrics); `batch.target` holds class indices."""
        return self.head(Pooled(self.pool(batch), batch.target, batch.seed, batch.source))

    @torch.no_grad()
    def probabilities(self, batch: Batch | Tokens) -> Float[Tensor, "batch class"]:
        """Probability of each of `classes` for each window (the network's own, not calibrated)."""
        return self.head.logits(self.pool(batch)).softmax(dim=-1)
