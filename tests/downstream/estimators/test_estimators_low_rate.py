"""Epochs of a device that ends below the model's band."""

import logging

import mne
import numpy as np
import pytest

from neurofm import NeuroFMClassifier, NeuroFMEmbedding
from tests.downstream.estimators.test_estimators import info_of
from tests.support.planted import cap, windows_of

INFO = info_of(cap(), sfreq=64.0)  # of a band up to 45 Hz


@pytest.fixture(scope="module")
def x():
    """[epoch, channel, time], volts: 4 s at 64 Hz, left and right by turns."""
    return 1e-5 * windows_of(np.random.default_rng(0), cap(), ["left", "right"] * 8, 0.9)


def test_accepted_with_a_warning_and_known_to_the_decoder(planted, x, caplog):
    made = NeuroFMClassifier(planted.backbone, INFO, validation_fraction=0)
    with caplog.at_level(logging.WARNING, "neurofm.downstream"):
        made.fit(x, ["left", "right"] * 8)
    assert "epochs: no signal at 32–45 Hz: sampled at 64 Hz" in caplog.text
    assert made.decoder_.band_end_hz == 32
    assert made.predict(x).shape == (16,)


def epochs_to(x, lowpass_hz: float) -> mne.EpochsArray:
    """Epochs of 128 Hz, low-passed by their header."""
    info = info_of(cap())
    with info._unlock():
        info["lowpass"] = lowpass_hz
    return mne.EpochsArray(x.astype(float), info, verbose="ERROR")


def test_the_band_of_most_epochs_is_that_of_the_decoder(planted, x):
    """A few of another device are none to be silent about."""
    labels = ["left", "right"] * 8
    for n_slow, end_hz in ((4, None), (12, 30.0)):
        parts = [epochs_to(x[:n_slow], 30.0), epochs_to(x[n_slow:], 64.0)]
        made = NeuroFMClassifier(planted.backbone, validation_fraction=0).fit(parts, labels)
        assert made.decoder_.band_end_hz == end_hz


def test_refused_where_that_is_asked(planted, x):
    with pytest.raises(ValueError, match=r"epochs: wanted the band up to 45 Hz.*ends at 32 Hz"):
        NeuroFMEmbedding(planted.backbone, INFO, lacking="refuse").fit(x)
    with pytest.raises(ValueError, match="lacking: wanted accept or refuse, got 'known'"):
        NeuroFMEmbedding(planted.backbone, INFO, lacking="known").fit(x)
