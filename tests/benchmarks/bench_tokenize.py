"""Time to tokenize a minute of 64-channel EEG, and to train BrainOmni-tiny from tokens.

Published BrainTokenizer size (5.05 M parameters) with both spatial parts; and the training step of
BrainOmni-tiny on 2 × 30 s, from tokens, and with tokenization in the loop as published code does.
"""

import resource
import statistics
import time

import torch

from neurofm.data.batch import Batch, Tokens
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig

REPEATS = 5


def cap(n_channels: int) -> torch.Tensor:
    """Directions of electrodes spread over the upper head, [1, channel, 6]."""
    from neurofm.nn.leadfield import spiral

    place = spiral(n_channels, lowest=-0.2)
    return torch.cat([place, torch.zeros_like(place)], dim=1)[None]


def minutes(n: int, seconds: float, n_channels: int = 64) -> Batch:
    torch.manual_seed(0)
    return Batch(
        torch.randn(n, n_channels, round(seconds * 256)),
        cap(n_channels).expand(n, -1, -1),
        torch.zeros(n, n_channels, dtype=torch.int64),
        torch.ones(n, n_channels, dtype=torch.bool),
    )


def median_s(work) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    print(f"{torch.get_num_threads()} threads; median of {REPEATS}")
    print(f"{'what':<58}{'seconds':>9}")
    batch = minutes(1, 60)
    for spatial in ("attention", "leadfield"):
        tokenizer = BrainTokenizer(BrainTokenizerConfig(spatial=spatial)).eval()
        n = sum(p.numel() for p in tokenizer.parameters()) / 1e6
        took = median_s(lambda tokenizer=tokenizer: tokenizer.encode(batch))
        print(f"{f'tokenize 60 s x 64 channels, {spatial}, {n:.2f} M':<58}{took:>9.2f}")
    tokenizer = BrainTokenizer(BrainTokenizerConfig()).eval()
    model = BrainOmni(BrainOmniConfig(), tokenizer=tokenizer).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    signals = minutes(2, 30)
    tokens = Tokens(tokenizer.encode(signals).ids)

    def step(batch):
        loss, _ = model(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for what, data in (("tokens", tokens), ("signals of 64 channels", signals)):
        took = median_s(lambda data=data: step(data))
        print(f"{f'BrainOmni-tiny training step, 2 x 30 s, from {what}':<58}{took:>9.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{'peak memory of this process, GB':<58}{peak:>9.2f}")


if __name__ == "__main__":
    main()
