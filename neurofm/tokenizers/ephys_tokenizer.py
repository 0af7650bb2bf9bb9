"""EphysTokenizer: a token a sample, learned by reconstruction; of MEG-GPT.

Source: "MEG-GPT" (arXiv 2510.18080) and "EphysTokenizer" (arXiv 2602.16626). A recurrent network
reads a channel forward in time and names a token at each sample; each token stands for one kernel,
and the signal is the sum of the kernels of its tokens. While training, a token is a mixture of
softmax and choice, whose share of the choice grows.

From random weights (as published) most tokens die in the first steps of a short training. `start`
"levels" begins instead as what a tokenizer of samples can always be, a quantizer of amplitudes:
some units of the network copy the sample, a token is the nearest of spaced levels, a kernel is its
level at the token's own sample. What it becomes is learned from there, all weights alike.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.batch import Batch
from ..limits import Count, Limit, PositiveShare
from ..nn.losses import window_shares
from .sample_tokenizer import SampleTokenizer, SampleTokenizerConfig, variance_explained

SHARPNESS = 10.0  # published: logits are divided by 0.1
STARTS = ("random", "levels")
_COPIES = 16  # units that copy the sample at the start, as tanh(_SLOPE · sample)
_SLOPE = 0.3
_FURTHEST = 3.1 * _SLOPE  # levels are evenly spaced in ± this of tanh's values: dense about 0


class EphysTokenizerConfig(SampleTokenizerConfig):
    """The defaults are the released tokenizer, but for the margin.

    Parameters
    ----------
    n_tokens
        Largest number of tokens.
    n_used
        Number of tokens that the training data use (found after training).
    n_units
        Units of the recurrent network.
    kernel
        Samples of a token's kernel.
    window_length
        Samples encoded together, from a state of 0.
    margin
        Samples at the start of a window that only warm the state up; the window before encodes
        them. 0 = as published, where the first samples of a window are reconstructed worse.
    mixed_until
        Share of a training run in which tokens are mixed with their softmax, ever less.
    start
        "random" as published, or "levels", a quantizer of amplitudes; see the top of the file.
    """

    model_type = "neurofm_ephys_tokenizer"

    def __init__(
        self,
        n_tokens: Annotated[int, Limit(2)] = 128,
        n_used: int = 0,
        n_units: Count = 128,
        kernel: Count = 10,
        window_length: Count = 200,
        margin: int = 40,
        mixed_until: PositiveShare = 0.9,
        start: str = "random",
        **of_transformers,
    ):
        self.n_tokens = n_tokens
        self.n_used = n_used
        self.n_units = n_units
        self.kernel = kernel
        self.window_length = window_length
        self.margin = margin
        self.mixed_until = mixed_until
        self.start = start
        super().__init__(**of_transformers)
        self.require(n_used <= n_tokens,
                     f"n_used must be 0 … n_tokens ({n_tokens}), got {n_used}")
        self.require(margin < window_length,
                     f"margin must be below window_length ({window_length}), got "
                     f"{margin}")
        self.require(start in STARTS, f"start must be one of {STARTS}, got {start!r}")
        self.require(start == "random" or n_units >= 2 * _COPIES,
                     f"start {start!r} wants n_units of {2 * _COPIES} or more, got {n_units}")


class EphysTokenizer(SampleTokenizer):
    """Tokens of single channels; weights are shared by all channels.

    Parameters
    ----------
    config
        Settings.
    """

    config_class = EphysTokenizerConfig

    def __init__(self, config: EphysTokenizerConfig):
        super().__init__(config)
        self.encoder = nn.GRU(1, config.n_units, batch_first=True)
        self.to_token = nn.Linear(config.n_units, config.n_tokens)
        self.norm = nn.LayerNorm(config.n_tokens)
        # As published there are as many outputs as tokens, which are summed: a kernel a token.
        self.kernels = nn.Conv1d(config.n_tokens, config.n_tokens, config.kernel)
        self.mixture = 1.0  # 1 = softmax alone, 0 = the choice alone; follows from the step
        self.post_init()
        if config.start == "levels":
            self._start_as_levels()

    @torch.no_grad()
    def _start_as_levels(self) -> None:
        """A quantizer of amplitudes; see the top of the file."""
        n, n_tokens = self.config.n_units, self.config.n_tokens
        for parameter in self.encoder.parameters():  # gates: reset, update, new; n rows each
            for gate in range(3):
                parameter[gate * n : gate * n + _COPIES] = 0.0
        self.encoder.bias_ih_l0[n : n + _COPIES] = -5.0  # always updated: nothing is kept
        self.encoder.weight_ih_l0[2 * n : 2 * n + _COPIES] = _SLOPE
        level = torch.linspace(-_FURTHEST, _FURTHEST, n_tokens, device=self.device)
        # −(copy − level)² / 2 without the copy's own square, which all tokens share; / _SLOPE² for
        # numbers near those of samples. The norm that follows changes no order.
        self.to_token.weight.mul_(0.1)
        self.to_token.weight[:, :_COPIES] = level[:, None] / _SLOPE**2 / _COPIES
        self.to_token.bias.copy_(-level.square() / _SLOPE**2 / 2)
        self.kernels.weight.zero_()
        self.kernels.bias.zero_()
        self.kernels.weight[:, :, -1] = torch.atanh(level) / _SLOPE / n_tokens

    def anneal(self, progress: float) -> None:
        """`progress` 0 … 1 of a training run: how much of a token is still its softmax."""
        self.mixture = max(0.0, 1.0 - progress / self.config.mixed_until)

    # ----------------------------------------------------------------- encoding

    def logits(
        self, signal: Float[Tensor, "row time"], state: Float[Tensor, "1 row unit"] | None = None
    ) -> tuple[Float[Tensor, "row time token"], Float[Tensor, "1 row unit"]]:
        """Scores of tokens at each sample.

        Parameters
        ----------
        signal
            Standardized channels, `[row, time]`.
        state
            State before the first sample, `[1, row, unit]`; None = the beginning.

        Returns
        -------
        tuple[Tensor, Tensor]
            Scores `[row, time, token]`; state after the last sample `[1, row, unit]`.
        """
        hidden, state = self.encoder(signal[..., None].to(self.to_token.weight.dtype), state)
        return SHARPNESS * self.norm(self.to_token(hidden)), state

    def tokens(self, signal: Float[Tensor, "row time"]) -> Int[Tensor, "row time"]:
        """Windows that overlap by the margin, each from a state of 0; see `margin`."""
        length, margin, n_times = self.config.window_length, self.config.margin, signal.shape[1]
        stride = length - margin
        n = max(0, -(-(n_times - length) // stride)) + 1
        padded = F.pad(signal, (0, (n - 1) * stride + length - n_times))
        windows = padded.unfold(1, length, stride)
        found = torch.cat([  # rows a few at a time: a recording has a hundred thousand samples
            self.logits(part)[0].argmax(dim=-1) for part in windows.flatten(0, 1).split(4096)])
        found = found.view(len(signal), n, length)
        inner = found[:, :, margin:].flatten(1)
        return torch.cat([found[:, 0, :margin], inner], dim=1)[:, :n_times]

    # ----------------------------------------------------------------- decoding

    def table(self) -> tuple[Float[Tensor, "token sample"], Float[Tensor, ""]]:
        """Kernels of the tokens.

        Returns
        -------
        tuple[Tensor, Tensor]
            Kernel of each token `[token, sample]`, its last value at the sample of the token;
            level of the signal, a scalar.
        """
        return self.kernels.weight.sum(dim=0), self.kernels.bias.sum()

    def signal(self, tokens: Int[Tensor, "row time"]) -> Float[Tensor, "row time"]:
        """Sum of kernels; nothing comes before its token."""
        table, level = self.table()
        table = torch.cat([table, torch.zeros_like(table[:1])])  # row −1: no such token
        found = level.expand(tokens.shape).clone()
        for back in range(min(self.config.kernel, tokens.shape[1])):
            now = table[:, self.config.kernel - 1 - back]
            found[:, back:] += now[tokens[:, : tokens.shape[1] - back]]
        return found

    # ----------------------------------------------------------------- training

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstruct → (loss, metrics). loss: mean squared error of real channels of a window,
        then mean over windows. metrics: pve,
        percentage of variance explained by the mixture; in evaluation, with chosen tokens."""
        rows = batch.signal[batch.valid].float()
        length = self.config.window_length
        whole = rows.shape[1] // length * length
        if whole == 0:
            raise ValueError(f"this tokenizer trains on windows of {length} samples or more, got "
                             f"{rows.shape[1]}")
        rows = rows[:, :whole].reshape(-1, length)
        logits, _ = self.logits(rows)
        chosen = logits.argmax(dim=-1)
        if self.training:
            hard = F.one_hot(chosen, self.config.n_tokens).to(logits.dtype)
            weight = self.mixture * logits.softmax(dim=-1) + (1 - self.mixture) * hard
            table, level = self.table()
            padded = F.pad(weight.transpose(1, 2), (self.config.kernel - 1, 0))
            found = F.conv1d(padded, table[None])[:, 0] + level
        else:
            found = self.signal(chosen)
        error = torch.square(rows - found).mean(dim=1).view(-1, whole // length).mean(dim=1)
        loss = (error * window_shares(batch.valid)).sum()
        return loss, {"pve": variance_explained(found, rows).detach()}

    def stream(self) -> "Stream":
        """Tokenizer of signals that come bit by bit.

        Returns
        -------
        Stream
            With its own state.
        """
        return Stream(self)


class Stream:
    """Tokens of a signal as it comes, channel by channel; the state is all that is kept."""

    def __init__(self, tokenizer: EphysTokenizer):
        self.tokenizer, self.state = tokenizer, None

    @torch.no_grad()
    def push(self, signal: Float[Tensor, "channel time"]) -> Int[Tensor, "channel time"]:
        """Labels of the next samples."""
        logits, self.state = self.tokenizer.logits(signal, self.state)
        return self.tokenizer.vocabulary.label_of[logits.argmax(dim=-1)]
