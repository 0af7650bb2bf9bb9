"""BrainTokenizer: EEG and MEG of any layout → tokens of 16 latent sources, and back.

Source: "BrainOmni" (arXiv 2505.18185, sec. 3.1 and 3.2). Windows of 2 s are encoded one by one by
a codec (`neurofm.nn.spatial`), features are normalized and quantized, and the tokenizer learns by
reconstructing all channels while a quarter of them are hidden.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..data.batch import Batch, Tokens
from ..nn.dropout import bits, normal, seed_dropout, window_keys
from ..nn.leadfield import LeadFieldCodec
from ..nn.losses import distance, masked_mean, pearson, zscore
from ..nn.quantizer import Quantized, ResidualQuantizer, perplexity
from ..nn.spatial import AttentionCodec
from .brain_tokenizer_config import BrainTokenizerConfig
from .tokenizer import Tokenizer


def _attention_codec(config: BrainTokenizerConfig) -> AttentionCodec:
    return AttentionCodec(
        config.dim, config.n_sources, config.n_heads, config.n_filters, list(config.ratios),
        config.kernel, config.last_kernel, config.kind_rows, config.dropout,
    )  # fmt: skip


def _leadfield_codec(config: BrainTokenizerConfig) -> LeadFieldCodec:
    return LeadFieldCodec(
        config.dim, config.n_sources, config.n_filters, list(config.ratios), config.kernel,
        config.last_kernel,
    )  # fmt: skip


_CODECS: dict[str, Callable[[BrainTokenizerConfig], AttentionCodec | LeadFieldCodec]] = {
    "attention": _attention_codec, "leadfield": _leadfield_codec}


class BrainTokenizer(Tokenizer):
    """Windows, hidden channels, quantizer and losses; the codec maps channels to sources and back.

    Parameters
    ----------
    config
        Settings.
    """

    config_class = BrainTokenizerConfig
    uses_all = True
    # Codes learned by averaging do not survive bfloat16.
    _keep_in_fp32_modules_strict = ["quantizer"]  # noqa: RUF012 (transformers' own convention)

    def __init__(self, config: BrainTokenizerConfig):
        super().__init__(config)
        self.codec = _CODECS[config.spatial](config)
        self.quantizer = ResidualQuantizer(
            config.dim, config.n_levels, config.n_codes, config.code_dim, config.ema_decay,
            config.revive_below, config.rotation_trick, bypassed=config.quantize_from > 0,
        )  # fmt: skip
        self.post_init()

    def anneal(self, progress: float) -> None:
        """`progress` 0 … 1 of a training run: switches the quantizer on when its time has come."""
        bypassed = progress < self.config.quantize_from
        if bypassed != self.quantizer.known("bypassed"):
            self.quantizer.bypassed.fill_(bypassed)

    def work(self, widths: np.ndarray) -> np.ndarray:
        """Work of windows by their channels, as the codec has it."""
        return self.codec.work(widths)

    def no_decay(self, name: str, parameter: Tensor) -> bool:
        """True for parameters without weight decay: as published, norms, kinds and quantizer."""
        return parameter.ndim < 2 or ".kind." in name or "quantizer." in name

    # ------------------------------------------------------------------ windows

    def windows(
        self, signal: Float[Tensor, "batch channel time"], overlap: float, tail: str = "pad"
    ) -> Float[Tensor, "batch channel window sample"]:
        """Cut signals into windows; the rest at the end is padded with zeros.

        The published code drops the rest at overlap 0; reproducing its numbers needs tail="drop".

        Parameters
        ----------
        signal
            Signals, `[batch, channel, time]`.
        overlap
            Share of a window that the next one repeats.
        tail
            What is left at the end: "pad" with zeros, or "drop".

        Returns
        -------
        Tensor
            `[batch, channel, window, sample]`.
        """
        length, stride, n_times = self.config.window_length, self.config.stride(overlap), \
            signal.shape[-1]
        if tail not in ("pad", "drop"):
            raise ValueError(f"tail must be 'pad' or 'drop', got {tail!r}")
        if tail == "drop" and n_times < length:
            raise ValueError(f"tail='drop' needs at least one window of {length} samples, "
                             f"got {n_times}")
        if tail == "pad":
            n_windows = max(0, -(-(n_times - length) // stride)) + 1
            lacking = (n_windows - 1) * stride + length - n_times
            signal = F.pad(signal, (0, lacking)) if lacking else signal
        return signal.unfold(-1, length, stride)

    def _joined(
        self, windows: Float[Tensor, "batch channel window sample"], overlap: float
    ) -> Float[Tensor, "batch channel time"]:
        """Windows back to back; where they overlap, a cross-fade."""
        length, stride = windows.shape[-1], self.config.stride(overlap)
        if stride == length:
            return windows.flatten(2)
        b, c, n, _ = windows.shape
        ramp = torch.arange(1, length + 1, device=windows.device, dtype=windows.dtype)
        weight = torch.minimum(ramp, ramp.flip(0))
        signal = windows.new_zeros(b, c, (n - 1) * stride + length)
        total = windows.new_zeros(signal.shape[-1])
        for i in range(n):
            here = slice(i * stride, i * stride + length)
            signal[..., here] += windows[:, :, i] * weight
            total[here] += weight
        return signal / total

    # ----------------------------------------------------------------- encoding

    def encode(
        self, batch: Batch, overlap: float | None = None, tail: str = "pad"
    ) -> Tokens:
        """Token ids [batch, source, frame, level]; frames of successive windows one after another.

        overlap: share of a window that the next covers too; None = the config's.
        """
        _, ids = self.features(batch, overlap, tail)
        return Tokens(ids, target=batch.target, seed=batch.seed, source=batch.source)

    @torch.no_grad()
    def features(
        self, batch: Batch, overlap: float | None = None, tail: str = "pad"
    ) -> tuple[Float[Tensor, "batch source frame dim"], Int[Tensor, "batch source frame level"]]:
        """Quantized features and their token ids; nothing is learned here.

        Parameters
        ----------
        batch
            Windows side by side, padded.
        overlap
            Share of a window that the next one repeats; None = that of the config.
        tail
            What is left at the end: "pad" with zeros, or "drop".

        Returns
        -------
        tuple[Tensor, Tensor]
            Features `[batch, source, frame, dim]`; token ids `[batch, source, frame, level]`.
        """
        if self.quantizer.bypassed:
            raise ValueError(
                f"this tokenizer has not begun to quantize (quantize_from = "
                f"{self.config.quantize_from} of its training), so it has no tokens yet: "
                f"train it further, or use `embed`"
            )
        x = self._unquantized(batch, overlap, tail)
        training = self.quantizer.training
        quantized = self.quantizer.train(False)(x)
        self.quantizer.train(training)
        return quantized.features, quantized.ids

    def embed(
        self, batch: Batch, overlap: float | None = None
    ) -> Float[Tensor, "batch source frame dim"]:
        """Features before quantization, of length 1."""
        return self._unquantized(batch, overlap, "pad")

    def frame_times(self, n: int, n_times: int, sfreq: float) -> np.ndarray:
        """Frames of one of its windows, then of the next, which may overlap; the last window
        may reach beyond the end."""
        per, length = self._frames_per_window, self.config.window_length
        window, frame = np.divmod(np.arange(n), per)
        return (window * self.config.stride() + (frame + 0.5) * length / per) / sfreq

    def _unquantized(
        self, batch: Batch, overlap: float | None, tail: str
    ) -> Float[Tensor, "batch source frame dim"]:
        overlap = self.config.overlap if overlap is None else overlap
        windows = self.windows(batch.signal, overlap, tail)
        x = self.codec.encode(windows, batch.geometry, batch.kind, batch.valid)
        return F.normalize(x.float(), dim=-1).flatten(2, 3)

    # ----------------------------------------------------------------- decoding

    def decode(
        self,
        tokens: Tokens | Int[Tensor, "batch source frame level"]
        | Float[Tensor, "batch source frame dim"],
        geometry: Float[Tensor, "batch channel 6"],
        kind: Int[Tensor, "batch channel"],
        valid: Bool[Tensor, "batch channel"] | None = None,
        overlap: float | None = None,
        n_times: int | None = None,
    ) -> Float[Tensor, "batch channel time"]:
        """Signals of any sensors, z-scored per channel and window, from tokens, ids or features.

        geometry, kind, valid: of the sensors to synthesize, which need not be those encoded.
        overlap: as it was encoded; None = the config's. n_times: length wanted, to cut off what
        filled the last window.
        """
        overlap = self.config.overlap if overlap is None else overlap
        x = tokens.ids if isinstance(tokens, Tokens) else tokens
        features = x if x.is_floating_point() else self.quantizer.codes(x)
        valid = torch.ones_like(kind, dtype=torch.bool) if valid is None else valid
        features = features.unflatten(2, (-1, self._frames_per_window))
        windows = self.codec.decode(features, geometry, kind, valid)
        windows = windows[..., : self.config.window_length]
        return self._joined(windows, overlap)[..., :n_times]

    @property
    def keeps_scale(self) -> bool:
        return self.codec.keeps_scale

    def reconstruct(
        self, batch: Batch
    ) -> tuple[Tokens, Float[Tensor, "batch channel time"]]:
        """Window by window: where windows overlap, a cross-fade would flatter the tokens."""
        tokens = self.encode(batch, overlap=0.0)
        return tokens, self.decode(tokens, batch.geometry, batch.kind, batch.valid, overlap=0.0,
                                   n_times=batch.signal.shape[-1])

    @property
    def _frames_per_window(self) -> int:
        frames = self.config.window_length
        for ratio in reversed(self.config.ratios):
            frames = -(-frames // ratio)
        return frames

    # ----------------------------------------------------------------- training

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruct all channels from those not hidden → (loss, metrics).

        In evaluation, metric `reconstruction` is the Pearson r with no channel hidden.

        loss = L1 + exp(−Pearson r) + commitment + L1 of spectral magnitude and of phase, with the
        window z-scored per channel as the target. Deviation: r is averaged over a window of
        the batch before exp, not over the whole batch, so the loss does not depend on the cut.
        """
        seed_dropout(self, batch.seed, len(batch), batch.signal.device)
        windows = self.windows(batch.signal, overlap=0.0)
        target = zscore(windows.float())
        hidden, noise = self._draw(batch)
        seen = windows if noise is None else windows + self.windows(noise, overlap=0.0)
        x = self.codec.encode(seen, batch.geometry, batch.kind, batch.valid & ~hidden)
        quantized: Quantized = self.quantizer(F.normalize(x.float(), dim=-1))
        signal = self._decoded(quantized.features, windows, batch)
        far = distance(signal, target, batch.valid)
        commitment = quantized.commitment.flatten(1).mean(dim=1)
        loss = (
            far.l1
            + torch.exp(-far.pearson)
            + self.config.commitment * commitment
            + far.magnitude
        )
        if self.config.phase:  # 0 times the gradient of a vanishing phase would be NaN
            loss = loss + self.config.phase * far.phase
        loss = loss.mean()
        with torch.no_grad():
            r_hidden = masked_mean(pearson(signal, target), hidden)
        metrics = {
            "l1": far.l1.mean(),
            "pearson": far.pearson.mean(),
            "pearson_hidden": r_hidden.nanmean(),  # a window of one channel hides none
            "commitment": commitment.mean(),
            "magnitude": far.magnitude.mean(),
            "phase": far.phase.mean(),
        }
        if not self.training:
            x = self.codec.encode(windows, batch.geometry, batch.kind, batch.valid)
            features = self.quantizer(F.normalize(x.float(), dim=-1)).features
            whole = pearson(self._decoded(features, windows, batch), target)
            metrics["reconstruction"] = masked_mean(whole, batch.valid).mean()
        for level in range(self.config.n_levels):
            metrics[f"uses_{level}"] = quantized.share[level]
        return loss, {name: value.detach() for name, value in metrics.items()}

    def logged(self, uses: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the log says of how often codes were used: perplexity and dead codes of a level."""
        found = {}
        for name, share in uses.items():
            level = name.removeprefix("uses_")
            found[f"perplexity_{level}"] = perplexity(share)
            found[f"dead_codes_{level}"] = (share == 0).sum()
        return found

    def _decoded(
        self,
        features: Float[Tensor, "batch source window frame dim"],
        windows: Float[Tensor, "batch channel window sample"],
        batch: Batch,
    ) -> Float[Tensor, "batch channel window sample"]:
        """Reconstruction in the scale of the target, the z-scored `windows`."""
        signal = self.codec.decode(features, batch.geometry, batch.kind, batch.valid)
        signal = signal.float()[..., : self.config.window_length]
        if not self.codec.keeps_scale:
            return signal
        mean, std = windows.mean(dim=-1, keepdim=True), windows.std(dim=-1, keepdim=True)
        return (signal - mean) / (std + 1e-8)

    def _draw(
        self, batch: Batch
    ) -> tuple[Bool[Tensor, "batch channel"], Float[Tensor, "batch channel time"] | None]:
        """Which channels are hidden, and (in training) noise for the others, from each window's
        seed. Drawn for real channels only, so padding changes nothing."""
        valid, noise = batch.valid, None
        keys = window_keys(batch.seed, len(valid), 2, valid.device)
        n_valid = valid.sum(dim=1, keepdim=True)
        n_hidden = (self.config.hidden * n_valid.double()).long().clamp(min=1)
        n_hidden = torch.minimum(n_hidden, n_valid - 1)
        # Real channels in random order, the others behind them.
        drawn = bits(keys[0], valid.shape[1]).long().masked_fill(~valid, 2**40)
        place = drawn.argsort(dim=1, stable=True).argsort(dim=1)
        hidden = place < n_hidden
        if self.training and self.config.noise:
            each = normal(keys[1], batch.signal[0].numel()).view_as(batch.signal)
            noise = torch.where(valid[..., None], self.config.noise * each, 0.0)
        return hidden, noise
