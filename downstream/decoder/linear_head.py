"""A linear head's one minimum: logistic regression, or Huber's, with an L2 penalty.

A linear probe is convex, so it is solved rather than trained: no learning rate, no number of steps
and no seed decides what a pretrained model's features are said to be worth.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from neurofm.models.decoder_head import Head, Pooled

_STEPS = 1000  # of L-BFGS; some tens are usual


def solve(head: Head, features: Float[Tensor, "window feature"], target: Tensor, penalty: float,
          windows_weight: Tensor | None = None) -> float:
    """Set the head's weights to the minimum of loss + penalty / 2 · |W|², and return that loss.

    The loss is the head's own mean over windows (by their weights), of features that `Head.fit`
    standardizes, without dropout; biases are free. In scikit-learn's terms C = 1 / (penalty ·
    windows) for three classes or more, and twice that for two, which have a row of W each here.
    """
    head.eval().double()  # float32 gradients are too rough for the last digits
    seen = Pooled(features, target, weight=windows_weight)
    weight = next(p for p in head.parameters() if p.ndim == 2)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.zero_()
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=_STEPS, tolerance_grad=1e-7,
                                  tolerance_change=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = head(seen)[0] + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        loss = float(head(seen)[0])
    optimizer.zero_grad(set_to_none=True)
    head.float()
    return loss
