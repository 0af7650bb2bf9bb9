"""The best linear prediction of hidden regions from the others in the same volume.

The covariance is that of the training people; the penalty is chosen by the validation people.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neurofm.data.corpus import Corpus

PENALTIES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)


def hide(
    n_segments: int, n_regions: int, share: float, whole: bool, seed: int
) -> Bool[Tensor, "segment region"]:
    """Which regions are hidden in each segment."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(1 if whole else n_segments, n_regions, generator=generator)
    rank = drawn.argsort(dim=1).argsort(dim=1)
    return (rank < round(share * n_regions)).expand(n_segments, -1)


@dataclass(frozen=True, eq=False)
class Ridge:
    """The best linear prediction of regions from others in the same volume."""

    names: list[str]  # of the regions of `covariance`
    covariance: Float[np.ndarray, "region region"]
    penalty: float  # added to its diagonal

    @classmethod
    def of(cls, corpus: Corpus, share: float, seed: int) -> "Ridge":
        """From the training people; the penalty is the one by which the validation people (without
        any: the training people) are filled in best at this share."""
        training = corpus.select("train")
        names = list(corpus.layout(training[0]).names)
        whole = [w for w in training.tolist() if set(corpus.layout(w).names) >= set(names)]
        volumes = np.concatenate([_measured(corpus, w, names) for w in whole], axis=1)
        covariance = volumes @ volumes.T / volumes.shape[1]
        chosen_by = corpus.select("validation")
        chosen_by = chosen_by if len(chosen_by) else training
        error = dict.fromkeys(PENALTIES, 0.0)
        for window in chosen_by.tolist():
            own = [name for name in corpus.layout(window).names if name in names]
            x = _measured(corpus, window, own)
            hidden = hide(1, len(own), share, True, seed + window)[0].numpy()
            for penalty in PENALTIES:
                found = cls(names, covariance, penalty).predict(x, hidden, own)
                error[penalty] += float(np.square(found - x[hidden]).mean())
        return cls(names, covariance, min(error, key=error.__getitem__))

    def predict(
        self, x: Float[np.ndarray, "region volume"], hidden: Bool[np.ndarray, " region"],
        names: list[str],
    ) -> Float[np.ndarray, "hidden volume"]:
        """The hidden regions of some volumes. names: of the regions of x."""
        place = {name: k for k, name in enumerate(self.names)}
        if lost := [name for name in names if name not in place]:
            raise ValueError(f"ridge regression knows the regions of the training people alone, "
                             f"not {', '.join(lost[:5])}: it needs one atlas")
        at = np.array([place[name] for name in names])
        seen = self.covariance[np.ix_(at[~hidden], at[~hidden])]
        seen = seen + self.penalty * np.eye(len(seen))
        return self.covariance[np.ix_(at[hidden], at[~hidden])] @ np.linalg.solve(seen, x[~hidden])

    def fill_in(
        self, volumes: Float[Tensor, "1 region segment volume"],
        hidden: Bool[Tensor, "segment region"], names: tuple[str, ...],
    ) -> Float[Tensor, "1 region segment volume"]:
        """All segments; regions that were seen stay 0."""
        found, x, mask = np.zeros(volumes.shape), volumes[0].double().numpy(), hidden.numpy()
        for segment in range(x.shape[1]):
            found[0, mask[segment], segment] = self.predict(x[:, segment], mask[segment],
                                                            list(names))
        return torch.from_numpy(found).float()


def _measured(corpus: Corpus, window: int, names: list[str]) -> Float[np.ndarray, "region volume"]:
    x = corpus.signal(window, names)
    return x[:, np.isfinite(x).all(axis=0)].astype(np.float64)
