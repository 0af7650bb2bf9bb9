"""The data path alone beside the step alone, of one run: which of them bounds the training?

    python -m tests.benchmarks.bench_loader [--config run.yaml] [--steps 20]

`--config`: of `neurofm pretrain`, as it would be trained, with its `train.workers`; without it a
BrainTokenizer with the lead field on a simulated corpus of 19 and 64 channels. Batches a second
that the loader gives to nobody, steps a second (forward, backward, AdamW) on batches already in
memory, and the first as a multiple of the second: below 1 the data bound the run.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from neurofm import config
from neurofm.pretrain.sources import augmented, open_data, windows_of
from neurofm.pretrain.train import PretrainConfig, build
from neurofm.training.by_width import ByWidth
from neurofm.training.compute import autocast
from neurofm.training.loop import accelerator_for
from neurofm.training.sampler import Order, StepData, steps
from tests.support import corpora


def simulated(folder: Path) -> list[str]:
    """Arguments of a run that needs no data."""
    data = corpora.make(folder / "corpus", n_channels=(19, 64), n_windows=64)
    run = corpora.write_yaml(folder / "run", {
        "model": "brain_tokenizer", "data": str(data),
        "architecture": {"window_length": 64, "spatial": "leadfield", "ratios": [4, 4]},
        "train": {"batch_windows": 16}})
    return [f"--config={run}"]


def rate(work: Callable[[], Iterator], n: int) -> float:
    """Items a second; the first is not counted, so that loaders have started."""
    items = work()
    next(items)
    began = time.perf_counter()
    found = sum(1 for _ in items)
    assert found == n - 1
    return found / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="", help="of neurofm pretrain")
    parser.add_argument("--steps", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="neurofm-bench-") as name:
        given = [f"--config={chosen.config}"] if chosen.config else simulated(Path(name))
        run = config.parse(PretrainConfig, [*given, f"--out={Path(name, 'out')}"],
                           command="pretrain")
        measure(run, Path(name), chosen.steps)


def measure(run: PretrainConfig, folder: Path, n: int) -> None:
    """Print both rates of a run."""
    accelerator = accelerator_for(run.train, folder)
    source = open_data(run)
    windows = windows_of(run, source, print)
    model = build(run, source, windows).to(accelerator.device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=True)
    order = Order(ByWidth.of(windows, source.widths), run.train.batch_windows, run.train.seed)
    data = StepData(augmented(run, source, model), order, work=model.work,
                    accumulate=run.train.accumulate)
    kept = [data[step] for step in range(min(n, 8))]

    def loaded() -> Iterator:
        yield from steps(data, 0, n, run.train.workers, pin=accelerator.device.type == "cuda")

    def trained_on() -> Iterator:
        for step in range(n):
            for batch in kept[step % len(kept)]:
                with autocast(run.train, accelerator.device, model):
                    loss, _ = model(batch.to(accelerator.device))
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            yield float(loss.detach())

    batches, done = rate(loaded, n), rate(trained_on, n)
    print(f"{type(model).__name__}, {run.train.batch_windows} windows a step, "
          f"{run.train.workers} loaders, {accelerator.device.type}")
    print(f"{'loader alone, batches a second':<40}{batches:>10.1f}")
    print(f"{'step alone, steps a second':<40}{done:>10.2f}")
    bound = "the data bound this run" if batches < done else "the step bounds this run"
    print(f"{'loader against the step':<40}{batches / done:>10.1f} ×: {bound}")


if __name__ == "__main__":
    main()
