"""How even the work of processes will be, told before a training starts.

Work of a process in a step: channels of its windows, padding included, as `dealing.loads` counts.
The order of the data is a function of (seed, step), so the first steps tell what all will be like.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from accelerate import Accelerator

from .by_width import ByWidth
from .dealing import dealt, loads
from .sampler import Order

if TYPE_CHECKING:
    from .loop import TrainConfig

MOST = 0.1  # spread that nothing is said of
_STEPS, _TIMES = 24, 32  # steps looked at; largest batch that is suggested, in batches of the run
_MOST_WINDOWS = 4096  # of a step that is looked at


def spread(
    windows: ByWidth, batch_windows: int, work: Callable[[np.ndarray], np.ndarray], world: int,
    accumulate: int = 1, seed: int = 0,
) -> float:
    """Work of the busiest process less that of the idlest, as a share of the mean: mean over steps.

    Parameters
    ----------
    windows
        To be trained on.
    batch_windows
        Windows of a step.
    work
        Width of windows → their work.
    world
        Number of processes.
    accumulate, seed
        As in `TrainConfig`.
    """
    order = Order(windows, batch_windows, seed)
    of_width = work(order.widths).astype(float)
    found = []
    for step in range(min(_STEPS, order.steps_per_pass)):
        each = of_width[np.searchsorted(order.widths, order.step(step).widths)]
        load = loads(each, dealt(each, world, accumulate))
        found.append(np.ptp(load) / load.mean())
    return float(np.mean(found))


def tell(
    windows: ByWidth, config: "TrainConfig", work: Callable[[np.ndarray], np.ndarray],
    accelerator: Accelerator, say: Callable,
) -> None:
    """Say it, once, where it is uneven."""
    if accelerator.is_main_process and (uneven := in_words(
            windows, config.batch_windows, work, accelerator.num_processes, config.accumulate,
            config.seed)):
        say(uneven)


def in_words(
    windows: ByWidth, batch_windows: int, work: Callable[[np.ndarray], np.ndarray], world: int,
    accumulate: int = 1, seed: int = 0,
) -> str:
    """What is to be said of it, and which larger batch would mend it; "" where all is well. See
    `spread`."""
    if world == 1 or len(windows.classes()[0]) < 2:
        return ""

    def of(size: int) -> float:
        return spread(windows, size, work, world, accumulate, seed)

    if (now := of(batch_windows)) <= MOST:
        return ""
    said = (f"the {world} processes have uneven work: in a step it differs by {100 * now:.0f} % "
            f"on average, and all wait for the busiest one")
    size, limit = 2 * batch_windows, min(len(windows), _TIMES * batch_windows, _MOST_WINDOWS)
    while size <= limit:
        if (then := of(size)) <= MOST:
            return f"{said}. With train.batch_windows {size} it would by {100 * then:.0f} %"
        size *= 2
    return (f"{said}: windows of a step have few and many channels. Fewer processes, or a larger "
            f"train.batch_windows, would lower it")
