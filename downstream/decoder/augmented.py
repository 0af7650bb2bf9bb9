"""Copies of training windows, made worse, for a decoder whose features are computed once."""

from collections.abc import Sequence

import numpy as np

from neurofm.checkpoints.contracts import contract_of
from neurofm.data import augment
from neurofm.data.sensors import Sensors
from neurofm.data.worse import Change
from neurofm.models.decoder import Decoder

from .labeled import Labeled


def copies(
    data: Labeled, decoder: Decoder, number: int, by: Sequence[augment.By], seed: int
) -> tuple[np.ndarray, Change]:
    """(training windows and `number` copies of each, as `features.OfCorpus` numbers them; what
    changes the copies).

    A copy's change is a function of (seed, copy, window). Where the decoder re-centers, it is the
    same in all windows of a recording, as a person's mean has to be of recordings alike.
    """
    contract = augment.check(contract_of(decoder), by, decoder.n_channels)
    windows, n = data.windows["train"], len(data.corpus)
    recording = data.corpus.windows["recording"].to_numpy()

    def change(window: int, signal: np.ndarray, sensors: Sensors) -> tuple[np.ndarray, Sensors]:
        copy, own = divmod(window, n)
        if not copy:
            return signal, sensors
        key = int(recording[own]) if decoder.config.recentered else own
        return augment.changed(signal, sensors, contract, by,
                               np.random.default_rng([seed, copy, key]))

    return np.concatenate([windows + copy * n for copy in range(number + 1)]), change
