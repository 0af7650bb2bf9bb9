"""Decoder: a pretrained model with a head that names the class of a window, or a number.

Source: "BrainOmni" (arXiv 2505.18185, sec. 4): features are averaged over frames, sources are
flattened, then dropout, Linear → 256, SELU, Linear → classes, with label smoothing 0.1. Ours by
default: how sources go together (`neurofm.nn.second_order`) instead of the average, and a linear
probe. What stands below the head (`neurofm.models.protocol`) is frozen or trains along; a tokenizer
is frozen always.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..data.batch import Batch, Tokens
from ..limits import Count, Positive, PositiveShare, ShareBelowOne, Unchecked
from ..nn.dropout import seed_dropout
from ..pretrained import NeuroFMConfig
from . import find
from .brainomni import BrainOmniConfig
from .decoder_head import Head, Pooled
from .protocol import Backbone, BackboneConfig, WindowDecoder

HEADS = ("linear", "mlp")
MODES = ("frozen", "full", "lora", "dora")


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
        Where the band of most training recordings ends, Hz; None = where the contract's does.
    lowest_end_hz
        Where the band of at least a tenth of them ends, Hz; None = where the contract's does.
    """

    model_type = "neurofm_decoder"
    sub_configs = {"backbone": NeuroFMConfig}  # noqa: RUF012 (transformers' convention)

    def __init__(
        self,
        backbone: BackboneConfig | dict | None = None,
        classes: Annotated[Sequence[str], Unchecked()] = ("0", "1"),
        mode: str = "frozen",
        rank: Count = 8,
        layer_decay: PositiveShare = 0.75,
        pool: str = "",
        recentered: bool = False,
        head: str = "linear",
        hidden_dim: Count = 256,
        dropout: ShareBelowOne = 0.1,
        label_smoothing: ShareBelowOne = 0.1,
        calibration_windows: int = 0,
        band_end_hz: Positive | None = None,
        lowest_end_hz: Positive | None = None,
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
        self.lowest_end_hz = lowest_end_hz
        super().__init__(**of_transformers)
        self.require(
            len(set(self.classes)) == len(self.classes) != 1,
            f"classes must be at least two different names (or none at all, to predict a number), "
            f"got {self.classes}",
        )
        self.require(mode in MODES, f"mode must be one of {MODES}, got {mode!r}")
        self.require(self.pool in backbone.pools,
                     f"pool must be one of {backbone.pools}, got {pool!r}")
        self.require(head in HEADS, f"head must be one of {HEADS}, got {head!r}")

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
    def center(self) -> Float[Tensor, " feature"]:
        return self.head.centre if self.config.recentered else super().center

    @property
    def mean_number(self) -> float:
        return float(self.head.number[0]) if self.config.regression else super().mean_number

    @property
    def pretrained(self) -> Backbone:
        """See `WindowDecoder.pretrained`."""
        return self.backbone

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

    @property
    def lowest_end_hz(self) -> float | None:
        """See `WindowDecoder.lowest_end_hz`."""
        return self.config.lowest_end_hz

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

    def prepare(self, batch: Batch) -> Batch | Tokens:
        """Tokens, where the backbone reads them."""
        return self.backbone.prepare(batch)

    def pool(self, batch: Batch | Tokens) -> Float[Tensor, "batch *place feature"]:
        """What the head sees of a window: see `DecoderConfig.pool`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.mode != "frozen"):
            return self.backbone.pooled(batch, self.config.pool)

    def forward(self, batch: Batch | Tokens) -> tuple[Tensor, dict[str, Tensor]]:
        """Predict each window's target → (loss, metrics); `batch.target` holds class indices, or
        numbers."""
        seed_dropout(self, batch.seed, len(batch), self.device)
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
