"""Decoder: a pretrained model with a head that names the class of a window, or a number.

Source: "BrainOmni" (arXiv 2505.18185, sec. 4): features are averaged over frames, sources are
flattened, then dropout, Linear → 256, SELU, Linear → classes, with label smoothing 0.1. Ours by
default: how sources go together (`neurofm.nn.second_order`) instead of the average, and a linear
probe. What stands below the head (`neurofm.models.protocol`) is frozen or trains along; a tokenizer
is frozen always.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batch import Batch, Movable, Tokens
from ..nn.attentive_pool import AttentivePool
from ..nn.trainable import Trainable
from ..pretrained import NeuroFMConfig
from . import find
from .brainomni import BrainOmniConfig
from .protocol import Backbone, BackboneConfig, WindowDecoder

HEADS = ("linear", "mlp")
MODES = ("frozen", "full", "lora", "dora")
LEAST_STD = 0.02  # about the median deviation of a pretrained backbone's features


class DecoderConfig(NeuroFMConfig):
    """The defaults are for the published "tiny" model; the published decoder has pool "mean" and
    head "mlp".

    Parameters
    ----------
    backbone
        Config of the model inside.
    classes
        Names of the classes, in the order of the probabilities; the names are the labels of the
        corpus. None at all = regression: the decoder predicts a number.
    mode
        "frozen" trains the head alone; "full" trains the transformer with it; "lora" and "dora"
        train low-rank changes of its matrices with it which are part of them once trained.
    rank
        Rank of those changes.
    layer_decay
        Factor on the learning rate for each layer further from the head, where they train along.
    pool
        What the head sees of a window, as the model inside makes it (its `pooled`): "covariance" of
        what it takes for sources, a "mean", or all places by learned "attention"; "" = the first of
        those it can make.
    recentered
        The head sees a person's features minus their mean over windows of that person, for which no
        label is needed (Zanini et al. 2018, IEEE TBME 65:1107, for covariances).
    head
        "linear" is a linear probe, which is solved rather than trained (`solved`) with the recipe's
        weight_decay as its penalty; "mlp" is the published one.
    hidden_dim, dropout
        Width and dropout of the head, where it is trained.
    label_smoothing
        Share of the target spread evenly over the classes.
    calibration_windows
        Windows of validation subjects that chose the temperature; 0 = none, or not known.
    band_end_hz
        Where the band of the training recordings ends, Hz; None = where the contract's does.
    """

    model_type = "neurofm_decoder"
    sub_configs = {"backbone": NeuroFMConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        backbone: BackboneConfig | dict | None = None,
        classes: Sequence[str] = ("0", "1"),
        mode: str = "frozen",
        rank: int = 8,
        layer_decay: float = 0.75,
        pool: str = "",
        recentered: bool = False,
        head: str = "linear",
        hidden_dim: int = 256,
        dropout: float = 0.1,
        label_smoothing: float = 0.1,
        calibration_windows: int = 0,
        band_end_hz: float | None = None,
        **of_transformers,
    ):
        if not isinstance(backbone, BackboneConfig):
            backbone = _config(backbone or {})
        self.backbone = backbone
        self.classes = tuple(str(name) for name in classes)
        self.mode = mode
        self.rank = rank
        self.layer_decay = layer_decay
        self.pool = pool or backbone.pools[0]
        self.recentered = recentered
        self.head = head
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.calibration_windows = calibration_windows
        self.band_end_hz = band_end_hz
        super().__init__(**of_transformers)
        self.require(
            len(set(self.classes)) == len(self.classes) != 1,
            f"classes must be at least two different names (or none at all, to predict a number), "
            f"got {self.classes}",
        )
        self.require(mode in MODES, f"mode must be one of {MODES}, got {mode!r}")
        self.require(rank >= 1, f"rank must be at least 1, got {rank}")
        self.require(0 < layer_decay <= 1, f"layer_decay must be in (0, 1], got {layer_decay}")
        self.require(self.pool in backbone.pools,
                     f"pool must be one of {backbone.pools}, got {pool!r}")
        self.require(head in HEADS, f"head must be one of {HEADS}, got {head!r}")
        self.require(
            0 <= label_smoothing < 1, f"label_smoothing must be in [0, 1), got {label_smoothing}"
        )

    @property
    def n_features(self) -> int:
        """Width of what the head sees of a window, or of each of its places."""
        return self.backbone.n_pooled(self.pool)

    @property
    def solved(self) -> bool:
        """True where the head has one best set of weights."""
        return self.head == "linear" and self.pool != "attention"

    @property
    def regression(self) -> bool:
        """True where a number is predicted."""
        return not self.classes


def _config(fields: dict) -> BackboneConfig:
    """The config that has these fields; its kind stands in `model_type`."""
    kind = fields.get("model_type", BrainOmniConfig.model_type).removeprefix("neurofm_")
    return find(kind).config_class(**fields)


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

    def __init__(self, config: DecoderConfig):
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
                nn.Dropout(config.dropout), nn.Linear(n, config.hidden_dim), nn.SELU(),
                nn.Linear(config.hidden_dim, n_outputs),
            )  # fmt: skip
        else:
            self.layers = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(n, n_outputs))

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


class Decoder(WindowDecoder):
    """Probabilities of classes, or a number, for each window of any layout and any length.

    Parameters
    ----------
    config
        Settings.
    backbone
        Pretrained model whose weights and config are copied; None = a fresh one, to be filled
        by loading (or left random).
    """

    config_class = DecoderConfig

    def __init__(self, config: DecoderConfig, backbone: Backbone | None = None):
        if backbone is not None:
            config = DecoderConfig(**{**config.to_dict(), "backbone": backbone.config})
        super().__init__(config)
        kind = config.backbone.model_type.removeprefix("neurofm_")
        self.backbone: Backbone = find(kind)(config.backbone)
        self.modality = self.backbone.modality
        self.head = Head(config)
        self.post_init()
        if backbone is not None:
            self.backbone.load_state_dict(backbone.state_dict())
            self.contract = backbone.contract
        self.choose_trainable()

    def choose_trainable(self) -> None:
        """Only what the pooled features depend on: unused parameters would stop distributed
        training."""
        self.backbone.requires_grad_(False)
        if self.config.mode == "full":
            for part in self.backbone.used(self.config.pool):
                part.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Decoder":
        """Training mode, for the head; the backbone stays in evaluation even where it trains along:
        dropout inside would loosen how sources go together, by more than labels change it."""
        super().train(mode)
        self.backbone.eval()
        return self

    def lr_scale(self, name: str) -> float:
        """Factor on the learning rate of a parameter: `layer_decay` for each layer between it and
        the head (ULMFiT, arXiv 1801.06146; BEiT's form of it)."""
        if not name.startswith("backbone."):
            return 1.0
        layer, n_layers = self.backbone.layer(name.removeprefix("backbone."))
        return self.config.layer_decay ** (n_layers - layer)

    @property
    def reads_places(self) -> bool:
        return self.backbone.reads_places

    @property
    def ch_names(self) -> tuple[str, ...]:
        return self.backbone.ch_names

    @property
    def n_channels(self) -> int:
        return self.backbone.n_channels

    @property
    def window_length(self) -> int:
        return self.backbone.window_length

    @property
    def recentered(self) -> bool:
        return self.config.recentered

    @property
    def temperature(self) -> float:
        return 1.0 if self.config.regression else float(self.head.temperature)

    @property
    def calibration_windows(self) -> int:
        return self.config.calibration_windows

    @property
    def band_end_hz(self) -> float | None:
        """See `WindowDecoder.band_end_hz`."""
        return self.config.band_end_hz

    def embed(self, batch: Batch | Tokens) -> Float[Tensor, "batch source frame dim"]:
        """Features of the backbone."""
        return self.backbone.embed(batch)

    def embed_at(
        self, batch: Batch | Tokens, layer: str = ""
    ) -> Float[Tensor, "batch source frame dim"]:
        """Features of a layer of the backbone."""
        return self.backbone.embed_at(batch, layer)

    @property
    def layer_names(self) -> tuple[str, ...]:
        return self.backbone.layer_names

    def source_names(self, n: int, ch_names: Sequence[str]) -> tuple[str, ...]:
        """Sources of the backbone."""
        return self.backbone.source_names(n, ch_names)

    def frame_times(self, n: int, n_times: int, sfreq: float) -> np.ndarray:
        """Frames of the backbone."""
        return self.backbone.frame_times(n, n_times, sfreq)

    def pool(self, batch: Batch | Tokens) -> Float[Tensor, "batch *place feature"]:
        """What the head sees of a window: see `DecoderConfig.pool`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.mode != "frozen"):
            return self.backbone.pooled(batch, self.config.pool)

    def forward(self, batch: Batch | Tokens) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict each window's target → (loss, metrics); `batch.target` holds class indices, or
        numbers."""
        return self.head(Pooled(self.pool(batch), batch.target, batch.seed, batch.source,
                                batch.weight))

    @torch.no_grad()
    def name(
        self, pooled: Float[Tensor, "batch *place feature"],
        center: Float[Tensor, " feature"] | None = None,
    ) -> Float[Tensor, "batch output"]:
        """`predict`, from what `pool` gave."""
        if self.config.recentered:
            pooled = pooled - (self.head.centre if center is None else center.to(pooled.device))
        return self.head.predict(pooled)
