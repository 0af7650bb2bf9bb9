"""Tokens a second out of MEGGPT, with its past remembered and with all of it read anew; and how
many times faster than real time 52 parcels are tokenized.

As large as released (5 blocks are 4 here, width 256) over 52 parcels, after 400 samples of context.
"""

import statistics
import time

import torch

from neurofm.data.batch import Batch
from neurofm.models.meg_gpt import MEGGPT, MEGGPTConfig
from neurofm.models.meg_gpt_generate import generate
from neurofm.tokenizers.ephys_tokenizer import EphysTokenizer, EphysTokenizerConfig

PARCELS, CONTEXT, REPEATS = 52, 400, 3


def seconds(work) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    torch.manual_seed(0)
    model = MEGGPT(MEGGPTConfig(n_codes=66, context=CONTEXT)).eval()
    prompt = torch.randint(1, 66, (1, PARCELS, CONTEXT))
    geometry = torch.randn(1, PARCELS, 6)
    print(f"{torch.get_num_threads()} threads; median of {REPEATS}")

    def drawn(n: int, cached: bool):
        return generate(model, prompt, n, geometry, seed=1, cached=cached)

    with torch.no_grad():  # reading the prompt costs both once: what counts is a sample after it
        first = seconds(lambda: drawn(1, True))
        cached = (seconds(lambda: drawn(41, True)) - first) / 40
        anew = seconds(lambda: drawn(3, False)) / 3
    same = torch.equal(drawn(4, True), drawn(4, False))
    print(f"{'what':<52}{'tokens/s':>10}")
    what = f"generation, {CONTEXT} samples of context, remembered"
    print(f"{what:<52}{PARCELS / cached:>10,.0f}")
    print(f"{'generation, all read anew for each sample':<52}{PARCELS / anew:>10,.1f}")
    print(f"ratio {anew / cached:.0f}; equal seeds give equal tokens: {same}")
    tokenizer = EphysTokenizer(EphysTokenizerConfig()).eval()
    minute = Batch(torch.randn(1, PARCELS, 60 * 250), torch.zeros(1, PARCELS, 6),
                   torch.full((1, PARCELS), 4), torch.ones(1, PARCELS, dtype=torch.bool))
    took = seconds(lambda: tokenizer.encode(minute))
    print(f"tokenize {PARCELS} parcels at 250 Hz: {60 / took:.0f} x real time")


if __name__ == "__main__":
    main()
