"""Training steps and tokenization beside the public BrainOmni code, in one process.

    BRAINOMNI_REPO=~/BrainOmni python -m tests.benchmarks.bench_train [--pairs 5] [--cpu-time]

Published sizes and the same weights on both sides; 64 channels. Stage two: one step of
BrainOmni-tiny on 2 × 30 s, ours from tokens that `neurofm tokenize` has made, theirs tokenizing
anew at each step, as published. Tokenizer: one step on 2 × 10 s. Tokenize: 2 × 30 s. Ours computes
as `train.precision: auto` does here. Theirs and ours alternate; printed are medians, and of the
ratios pair by pair the median, the lowest and the highest. `--cpu-time` counts seconds of CPU
instead of wall time: less disturbed by what else runs. Without a checkout ours is timed alone;
docs/results/speed.md quotes the public code's numbers with their date.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from neurofm.data.batch import Batch, Tokens
from neurofm.models.brainomni import BrainOmni, BrainOmniConfig
from neurofm.tokenizers.brain_tokenizer import BrainTokenizer, BrainTokenizerConfig
from neurofm.training.compute import autocast
from neurofm.training.loop import TrainConfig
from tests.benchmarks import public_brainomni
from tests.benchmarks.bench_tokenize import minutes

CPU = torch.device("cpu")


def started(tokenizer: BrainTokenizer) -> BrainTokenizer:
    """As after its first steps: it quantizes."""
    with torch.no_grad():
        quantizer = tokenizer.quantizer
        quantizer.started.fill_(True)
        quantizer.bypassed.fill_(False)
        quantizer.uses.fill_(5)
        quantizer.sums.copy_(quantizer.codebook * 5)
    return tokenizer


def training(model: nn.Module, loss: Callable) -> Callable:
    """A step: forward, backward, AdamW."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def ours_on(model: nn.Module, batch: Batch | Tokens) -> Callable:
    def loss() -> torch.Tensor:
        with autocast(TrainConfig(), CPU, model):
            return model(batch)[0]

    return training(model.train(), loss)


def encoding(tokenizer: BrainTokenizer, batch: Batch) -> Callable:
    def encode() -> None:
        with torch.inference_mode():
            tokenizer.eval().encode(batch)

    return encode


def contestants(public: nn.Module | None) -> dict[str, tuple[Callable | None, Callable]]:
    """What is timed: name → (theirs, ours)."""
    torch.manual_seed(0)
    if public is None:
        tokenizer = started(BrainTokenizer(BrainTokenizerConfig(spatial="attention")))
        omni = BrainOmni(BrainOmniConfig(), tokenizer=tokenizer)
    else:
        omni = public_brainomni.ours(public)
        tokenizer = started(BrainTokenizer(omni.tokenizer.config))
        tokenizer.load_state_dict(omni.tokenizer.state_dict())
    lead_field = started(BrainTokenizer(BrainTokenizerConfig(spatial="leadfield")))
    long, short = minutes(2, 30), minutes(2, 10)
    tokens = omni.tokenizer.encode(long)
    theirs: dict[str, Callable | None] = {"stage two": None, "tokenizer": None, "tokenize": None}
    if public is not None:
        theirs = of_public(public, long, short)
    return {
        "stage-two step, ours from tokens": (theirs["stage two"], ours_on(omni, tokens)),
        "tokenizer step, published part": (theirs["tokenizer"], ours_on(tokenizer, short)),
        "tokenizer step, lead field": (theirs["tokenizer"], ours_on(lead_field, short)),
        "tokenize, published part": (theirs["tokenize"], encoding(omni.tokenizer, long)),
        "tokenize, lead field": (theirs["tokenize"], encoding(lead_field, long)),
    }


def of_public(public: nn.Module, long: Batch, short: Batch) -> dict[str, Callable | None]:
    """The public code's side."""
    of_its_own = public_brainomni.model(Path(public_brainomni.checkout() or ".")).tokenizer
    for parameter in public.tokenizer.parameters():
        parameter.requires_grad_(False)
    public.train()
    return {
        "stage two": training(public, lambda: public(
            long.signal, long.geometry, long.kind)["loss"]),
        "tokenizer": training(of_its_own.train(), lambda: of_its_own(
            short.signal, short.geometry, short.kind)[0]["loss"]),
        "tokenize": lambda: public.tokenizer.tokenize(long.signal, long.geometry, long.kind, 0.25),
    }


def timed(work: Callable, clock: Callable[[], float]) -> float:
    began = clock()
    work()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--only", default="", help="part of a name")
    chosen = parser.parse_args()
    clock = time.process_time if chosen.cpu_time else time.perf_counter
    folder = public_brainomni.checkout()
    public = None if folder is None else public_brainomni.model(folder)
    of = "CPU" if chosen.cpu_time else "the clock"
    print(f"{torch.get_num_threads()} threads, seconds of {of}")
    print(f"{'what':<36}{'public':>8}{'ours':>8}{'ratio':>8}")
    for name, (theirs, ours) in contestants(public).items():
        if chosen.only not in name:
            continue
        ours()
        if theirs is None:
            took = statistics.median(timed(ours, clock) for _ in range(chosen.pairs))
            print(f"{name:<36}{'-':>8}{took:>8.2f}", flush=True)
            continue
        theirs()
        pairs = [(timed(theirs, clock), timed(ours, clock)) for _ in range(chosen.pairs)]
        public_s, ours_s = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratios = sorted(a / b for a, b in pairs)
        print(f"{name:<36}{public_s:>8.2f}{ours_s:>8.2f}{statistics.median(ratios):>8.2f}  "
              f"[{ratios[0]:.2f}, {ratios[-1]:.2f}]", flush=True)


if __name__ == "__main__":
    main()
