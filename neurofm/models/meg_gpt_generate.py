"""Signals out of a trained MEGGPT, sample by sample.

Of body "causal" the past is kept as keys and values, so that a sample costs the same however long
it is; "patched" reads its whole context anew for each, as released.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from .meg_gpt import MEGGPT


@torch.no_grad()
def generate(
    model: "MEGGPT", prompt: Int[Tensor, "batch channel time"], n: int,
    geometry: Float[Tensor, "batch channel 6"] | None = None, *, temperature: float = 1.0,
    top_p: float = 0.99, seed: int = 0, session: Int[Tensor, " batch"] | None = None,
    cached: bool = True,
) -> Int[Tensor, "batch channel new"]:
    """Labels that follow the prompt, without the prompt.

    Parameters
    ----------
    model
        The model.
    prompt
        Labels, int `[batch, channel, time]`.
    n
        Number of labels.
    geometry
        Position and orientation of channels, `[batch, channel, 6]`, which "causal" reads.
    temperature
        Sampling temperature.
    top_p
        Sample from the most probable tokens that together have this probability.
    seed
        Seed of what is drawn.
    session
        Number of the subject of each window, `[batch]`, −1 = unknown; None = no subjects.
    cached
        Keep keys and values of earlier positions.

    Returns
    -------
    Tensor
        int `[batch, channel, n]`.
    """
    if n < 1 or not temperature > 0 or not 0 < top_p <= 1:
        raise ValueError(f"wanted n ≥ 1 samples, a temperature above 0 and top_p in (0, 1], got "
                         f"{n}, {temperature} and {top_p}")
    context, causal = model.config.context, model.config.body == "causal"
    if not causal and prompt.shape[-1] < context:
        raise ValueError(f"a prompt must be as long as the context, {context} samples, got "
                         f"{prompt.shape[-1]}")
    generator = torch.Generator(prompt.device).manual_seed(seed)
    memory = model.body.memory() if causal and cached else None
    first = 0 if causal else -context  # of the labels that are read
    seen, new, found = prompt[..., first:], prompt, []
    for _ in range(n):
        if memory is not None:
            body = model.body(new, geometry, None, session, memory)
        else:
            body = model.body(seen, geometry, None, session)
        scores = model.head(body[:, :, -1]).float() / temperature
        new = draw(scores, top_p, generator)[..., None]
        found.append(new)
        if memory is None:
            seen = torch.cat([seen, new], dim=-1)[..., first:]
    return torch.cat(found, dim=-1)


def draw(
    scores: Float[Tensor, "batch channel code"], top_p: float, generator: torch.Generator
) -> Int[Tensor, "batch channel"]:
    """Draw a label of each channel.

    Parameters
    ----------
    scores
        `[batch, channel, code]`.
    top_p
        Sample from the most probable tokens that together have this probability.
    generator
        Random generator.

    Returns
    -------
    Tensor
        int `[batch, channel]`; never 0, which training has not seen.
    """
    scores = scores.clone()
    scores[..., 0] = -torch.inf
    share, label = scores.softmax(dim=-1).sort(dim=-1, descending=True)
    share = torch.where(share.cumsum(dim=-1) - share < top_p, share, 0.0)
    place = torch.multinomial(share.flatten(0, 1), 1, generator=generator)
    return label.flatten(0, 1).gather(1, place).view(scores.shape[:-1])


def unigram_prompt(
    count: Int[Tensor, " code"], shape: tuple[int, int, int], seed: int
) -> Int[Tensor, "batch channel time"]:
    """Draw labels by their frequency.

    Parameters
    ----------
    count
        Frequency of each label, `[code]`.
    shape
        (batch, channel, time).
    seed
        Seed of what is drawn.

    Returns
    -------
    Tensor
        int `[batch, channel, time]`.
    """
    generator = torch.Generator().manual_seed(seed)
    share = count.double()
    share[0] = 0
    n = shape[0] * shape[1] * shape[2]
    return torch.multinomial(share, n, replacement=True, generator=generator).view(shape)
