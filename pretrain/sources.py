"""What is trained on: corpora, token sets, scans of EEG with fMRI, or of fMRI with T1s.

`run`: a `PretrainConfig`.
"""

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neurofm import artifacts, repository
from neurofm.data import augment, brains, joined
from neurofm.data.augment import Augmented
from neurofm.data.corpus import Corpus
from neurofm.data.pairs import Pairs
from neurofm.data.scans import Scans
from neurofm.data.tokens import TokenSet
from neurofm.data.volume_windows import VolumeWindows
from neurofm.models.protocol import NeuroFMPreTrainedModel
from neurofm.pretrained import NeuroFMConfig

Source = Corpus | TokenSet | Scans | VolumeWindows


def open_data(run) -> Source:
    """Corpora, token sets or scans of EEG with fMRI, whichever the folders are."""
    folders = [repository.data_folder(place) for place in run.places]
    kind = artifacts.open_sealed(folders[0]).kind
    if kind not in ("corpus", "tokens", "pairs"):
        raise ValueError(f"{run.named}: wanted a corpus, tokens or pairs to train on, this is a "
                         f"{kind}")
    if kind != "pairs":
        parts = [_opened(folder) for folder in folders]
        corpora = [part for part in parts if isinstance(part, Corpus)]
        if brains.are_brains(corpora) and len(parts) == 2:
            return brains.join(corpora)
        return joined.join(parts)
    if len(folders) > 1:
        raise ValueError(f"{run.named}: several data sets may be corpora or token sets, and "
                         f"{folders[0]} holds pairs: name it alone")
    pairs = Pairs.open(folders[0])
    if run.model_class.learns_from != "volumes":
        return Scans(pairs)
    return VolumeWindows(pairs, n_times=architecture_of(run).n_times)


def _opened(folder: Path) -> Corpus | TokenSet:
    kind: type[Corpus | TokenSet] = (
        TokenSet if artifacts.read_manifest(folder).kind == "tokens" else Corpus)
    return kind.open(folder)


def windows_of(run, data: Source, say: Callable[..., None]) -> np.ndarray:
    """Windows to train on; of several data sets, as often as their shares ask for."""
    windows = np.concatenate([data.select(split) for split in run.splits])
    if isinstance(data, brains.Brains):
        if run.weights or run.temperature != 1:
            raise ValueError("weights and temperature are of data sets that are mixed; scans and "
                             "images of the same people are read together: leave them out")
        n_images = int((data.image_of[windows] != brains.NONE).sum())
        n_scans = int(data.has_scan[windows].sum())
        say(f"{len(windows)} windows: {n_scans} with a scan, {n_images} with an image")
        return windows
    if len(run.places) == 1 or not isinstance(data, Corpus | TokenSet):
        return windows
    windows, bounds = np.sort(windows), joined.bounds(data)
    sizes = np.diff(np.searchsorted(windows, [0, *bounds])).tolist()
    shares = joined.shares_of(sizes, run.weights, run.temperature)
    found = joined.repeated(data, windows, shares, run.train.seed)
    passes = np.histogram(found, [0, *bounds])[0] / np.maximum(sizes, 1)
    say("; ".join(f"{place}: {size} windows, {often:.2f} times a pass" for place, size, often
                  in zip(run.places, sizes, passes.tolist(), strict=True)))
    return found


def augmented(run, data: Source, model: NeuroFMPreTrainedModel
              ) -> Source | Augmented:
    """What is trained on: the data, of which a share is augmented where that is asked for."""
    if not run.augment_share:
        return data
    if not isinstance(data, Corpus):
        raise ValueError(f"augment_share needs signals, which {run.named} does not hold: name a "
                         f"corpus, or leave it out")
    augment.check(data.contract, run.augment_by, model.n_channels)
    return Augmented(data, run.augment_share, tuple(run.augment_by))


def architecture_of(run) -> NeuroFMConfig:
    """The config of the model; its class checks the fields one by one and together."""
    made = run.model_class.config_class
    try:
        return made(**run.architecture)
    except TypeError as problem:  # a text where a number was wanted, one number for a list …
        fields = [str(field) for name, field in inspect.signature(made).parameters.items()
                  if name in run.architecture]
        raise ValueError(f"architecture {run.architecture} does not fit {made.__name__}, which "
                         f"wants {'; '.join(fields)} ({problem})") from problem
