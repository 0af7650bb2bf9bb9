"""Floating-point operations of a training, counted from a model's own matrix products.

    forward(window)   every product and convolution of a forward pass over one window, by torch's
                      rules (2 m n k of a product; softmax, norms and activations are not counted)
    training(window)  forward of all parts, and twice as much again of those that are trained:
                      the gradient of inputs and the gradient of weights
    of widths         affine in the number of channels, between the narrowest and the widest window

The search for the nearest code is not counted before a quantizer starts.
"""

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)


def counter() -> FlopCounterMode:
    """torch's counter, which knows recurrent layers and attention of CPUs too.

    Returns
    -------
    FlopCounterMode
        Counts what is computed inside `with`.
    """
    aten = torch.ops.aten
    return FlopCounterMode(display=False, custom_mapping={
        aten.mkldnn_rnn_layer: _rnn, aten.mkldnn_rnn_layer_backward: _rnn_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward})


def _rnn(x, weight_in, weight_hidden, *_, **__) -> int:
    return 2 * math.prod(x[:2]) * (math.prod(weight_in) + math.prod(weight_hidden))


def _rnn_backward(*shapes, **others) -> int:
    return 2 * _rnn(*shapes, **others)


def _attention(query, key, value, *_, **__) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient, query, key, value, *_, **__) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


def forward_flops(model: nn.Module, batch: Any) -> tuple[int, int]:
    """Count a forward pass.

    Parameters
    ----------
    model
        On the CPU. A copy of it is used: codebooks and random generators stay as they are.
    batch
        What its `forward` takes.

    Returns
    -------
    tuple[int, int]
        (all of it, what belongs to parts that are trained).
    """
    model = copy.deepcopy(model).train()
    counted = counter()
    with torch.random.fork_rng(devices=[]), torch.no_grad(), counted:
        model(batch)
    frozen = [name for name, part in model.named_children()
              if any(True for _ in part.parameters())
              and not any(each.requires_grad for each in part.parameters())]
    counts = counted.get_flop_counts()
    unchanged = sum(sum(counts.get(f"{type(model).__name__}.{name}", {}).values())
                    for name in frozen)
    return counted.get_total_flops(), counted.get_total_flops() - unchanged


def training_flops(model: nn.Module, data: Any, windows: np.ndarray) -> float:
    """Mean over windows of what one costs in a training step.

    Parameters
    ----------
    model
        The model, on the CPU.
    data
        Source of the windows: has `widths` and `batch`.
    windows
        Indices of the windows.

    Returns
    -------
    float
        FLOPs a window.
    """
    widths = np.asarray(data.widths(windows), dtype=float)
    ends = [int(widths.argmin()), int(widths.argmax())]
    costs = []
    for place in ends if widths[ends[0]] < widths[ends[1]] else ends[:1]:
        batch = data.batch(windows[place : place + 1], np.zeros(1, dtype=np.int64))
        whole, trained = forward_flops(model, batch)
        costs.append(whole + 2 * trained)
    if len(costs) == 1:
        return float(costs[0])
    slope = (costs[1] - costs[0]) / (widths[ends[1]] - widths[ends[0]])
    return float(costs[0] + slope * (widths.mean() - widths[ends[0]]))
