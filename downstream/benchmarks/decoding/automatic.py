"""Automatic decoders as methods: `Stacked`, fitted on training and validation windows.

All that they choose is chosen by folds inside these windows, which the seed deals out. What windows
are measured by is kept for all folds that measure alike: with the same channels, bands, components.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from neurofm.models.stacked import Stacked
from neurofm.models.stacked_config import NETWORK

from ...decoder.features import InMemory, OfCorpus
from ...decoder.inner_folds import LEAST_PEOPLE
from ...decoder.labeled import Labeled
from ...decoder.stack import fit_stack, part
from ...decoder.stacked_build import build_stacked, channels_of, measure
from ...scoring.predictions import predict
from . import methods
from .few_shot import Values
from .fitted import Networks, of_both


@dataclass(eq=False)
class Automatic:
    """Fits and applies automatic decoders."""

    networks: Networks  # whose models, and features of them, are views
    windows: np.ndarray  # of all folds
    batch_windows: int
    # rows by what they are measured with; held-out answers of views, of the latest fold and seed
    _rows: dict[bytes, Tensor] = field(default_factory=dict)
    _answers: tuple[tuple, dict[str, np.ndarray]] = ((), {})

    def answers(self, name: str, data: Labeled, seed: int) -> tuple[np.ndarray, dict]:
        """(answers to the fold's test windows, share of each view that has any)."""
        model, pooled = self.fitted(name, data, seed)
        found = predict(model, pooled, data.windows["test"], "cpu")
        return found, {view: round(share, 2) for view, share in model.weights.items()
                       if share >= 0.005}

    def fitted(self, name: str, data: Labeled, seed: int) -> tuple[Stacked, InMemory]:
        """The decoder, and what it measures of all windows."""
        training = of_both(data).windows["train"]
        model, pooled = self._measured(name, data, training)
        place = (data.fold, len(training), seed)
        if self._answers[0] != place:
            self._answers = place, {}
        known = self._answers[1]
        own = {view: value for view, value in known.items() if not view.startswith(NETWORK)}
        table = data.corpus.windows
        fit_stack(model, pooled, training, table["recording"].to_numpy()[training],
                  table["start_s"].to_numpy()[training], seed=seed, outputs_of=own,
                  say=lambda *_: None)
        known.update(own)
        return model, pooled

    def views(self, name: str, data: Labeled) -> dict[str, tuple[Values, float]]:
        """Features of all windows of a fold and share of each view that has any."""
        model, pooled = self.fitted(name, data, 0)
        training, test = of_both(data).windows["train"], data.windows["test"]
        windows = np.concatenate([training, test])
        parts = [part(pooled, pooled.rows(some)) for some in (training, test)]
        return {view: (Values(windows, np.concatenate([one.features(model, model.views[k])
                                                       for one in parts]), training), share)
                for k, (view, share) in enumerate(model.weights.items()) if share > 0}

    def _measured(
        self, name: str, data: Labeled, training: np.ndarray
    ) -> tuple[Stacked, InMemory]:
        """The empty decoder, and what it measures of all windows."""
        whose = methods.automatic_model(name, self.networks.models)
        model = build_stacked(data, training, everybody=self.windows)
        key = _signature(model)
        if key not in self._rows:
            self._rows[key] = measure(model, data, self.windows,
                                      batch_windows=self.batch_windows,
                                      device=self.networks.accelerator.device).values
        rows = self._rows[key]
        source = OfCorpus(data.corpus, self.windows, data.target, data.contract.geometry)
        if whose is not None:
            pool, features = self.networks.view(whose, data)
            model = build_stacked(data, training, self.networks.models[whose], pool,
                                  everybody=self.windows)
            rows = torch.cat([rows, features.values.flatten(1)], dim=1)
            assert list(model.config.sections)[-1] == NETWORK
        return model.to("cpu"), source.with_(rows)


def check(parts: list[Labeled], windows: np.ndarray) -> None:
    """Raise ValueError for windows that an automatic decoder cannot read together.

    windows: of all folds.
    """
    for fold in parts:
        try:
            layout = channels_of(fold.corpus, of_both(fold).windows["train"], windows)
        except ValueError as problem:
            raise ValueError(f"methods: automatic decoders cannot read these recordings together: "
                             f"{problem}; or leave auto out (--methods)") from None
        if set(layout.kinds) == {"eeg"} and layout.has_position.all():
            rows = np.unique(fold.corpus.windows["recording"].to_numpy()[windows])
            for key in fold.corpus.recordings["layout"].iloc[rows].unique():
                other = fold.corpus.layouts[key]
                if "eeg" not in other.kinds:
                    raise ValueError(
                        f"{fold.corpus.folder}: methods: automatic decoders read EEG here, and "
                        f"some recordings have none ({', '.join(sorted(set(other.kinds)))}); "
                        f"restrict all methods with --only, or leave auto out (--methods)")


def draws(parts: list[Labeled]) -> bool:
    """Whether a seed changes anything: of few people folds inside are blocks of time, not drawn."""
    return any(len(np.unique(fold.corpus.subjects(of_both(fold).windows["train"]))) >= LEAST_PEOPLE
               for fold in parts)


def _signature(model: Stacked) -> bytes:
    """What decides how windows are measured, but for the pretrained model."""
    config = model.config
    words = (config.sections, config.channels, config.bands, config.n_times, config.placed,
             config.average)
    return repr(words).encode() + b"".join(
        each.numpy().tobytes() for each in (model.geometry, model.basis, model.least))
