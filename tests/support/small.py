"""Small tokenizers and batches of simulated signals, shared by tests of layers and models."""

import torch

from neurofm.data.batch import Batch
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig


def tokenizer(seed: int = 0, **fields) -> BrainTokenizer:
    """An untrained tokenizer of about 20,000 parameters, in evaluation mode."""
    torch.manual_seed(seed)
    small = {"window_length": 128, "n_filters": 4, "dim": 16, "n_sources": 4, "n_heads": 2,
             "n_levels": 3, "n_codes": 16}
    return BrainTokenizer(BrainTokenizerConfig(**{**small, **fields})).eval()


def batch(
    n_windows: int = 3, n_channels: int = 7, n_times: int = 512, seed: int = 0
) -> Batch:
    """Four smooth sources on a sphere, seen by electrodes on it, average-referenced."""
    random = torch.Generator().manual_seed(seed)
    place = torch.nn.functional.normalize(torch.randn(n_channels, 3, generator=random), dim=1)
    source = torch.nn.functional.normalize(torch.randn(4, 3, generator=random), dim=1)
    course = torch.randn(n_windows, 4, n_times, generator=random).cumsum(dim=-1)
    course = course - torch.nn.functional.avg_pool1d(course, 65, 1, 32, count_include_pad=False)
    signal = torch.exp(3 * (place @ source.T - 1)) @ course
    signal = signal - signal.mean(dim=1, keepdim=True)
    signal = signal / signal.std(dim=(1, 2), keepdim=True)
    geometry = torch.cat([place, torch.zeros_like(place)], dim=1)
    return Batch(
        signal,
        geometry.expand(n_windows, -1, -1).clone(),
        torch.zeros(n_windows, n_channels, dtype=torch.int64),
        torch.ones(n_windows, n_channels, dtype=torch.bool),
        seed=torch.arange(n_windows) + 10 * seed,
    )


def padded(plain: Batch, n_more: int, filling: float = 0.0) -> Batch:
    """The same batch with `n_more` channels of padding, whose content must not matter."""
    n, _, n_times = plain.signal.shape
    return Batch(
        torch.cat([plain.signal, torch.full((n, n_more, n_times), filling)], dim=1),
        torch.cat([plain.geometry, torch.full((n, n_more, 6), filling)], dim=1),
        torch.cat([plain.kind, torch.zeros(n, n_more, dtype=torch.int64)], dim=1),
        torch.cat([plain.valid, torch.zeros(n, n_more, dtype=torch.bool)], dim=1),
        seed=plain.seed,
    )
