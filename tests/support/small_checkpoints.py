"""A small checkpoint of every kind of model, untrained: what can be published."""

from pathlib import Path

import torch

from neurofm import checkpoints, models
from neurofm.data.contract import InputContract
from neurofm.data.fmri_contract import FMRIContract
from neurofm.nn.example import layout
from tests.support import small

NAMES = ("FZ", "C3", "CZ", "C4", "PZ")
_LABRAM = {"n_filters": 4, "dim": 100, "n_blocks": 2, "n_heads": 5}
_EEG = InputContract(sfreq=128.0, lowpass_hz=45.0, window_s=2.0)
_SAMPLES = InputContract(sfreq=50.0, lowpass_hz=20.0, window_s=2.0)
_LABRAM_EEG = InputContract(sfreq=200.0, lowpass_hz=75.0, window_s=2.0)
LEDGER = {
    "recordings": [{"recording": "ds000117-01-rest-0a", "role": "train", "subject": "ds000117/01",
                    "hours": 0.1}],
    "datasets": {"ds000117": {"licence": "CC0", "doi": "doi:10.18112/openneuro.ds000117.v1.0.5"}}}


def _made(name: str, **fields):
    cls = models.find(name)
    return cls(cls.config_class(**fields))


def _finished(model, signals: int):
    """A tokenizer of samples knows its codes after a look at signals."""
    model.finish([small.batch(n_times=signals)])
    return model


def _brainomni():
    made = _made("brainomni", tokenizer={"window_length": 128, "n_filters": 4, "dim": 16,
                                         "ratios": (4, 2), "n_sources": 8, "n_heads": 2,
                                         "n_levels": 2, "n_codes": 32},
                 dim=32, n_heads=4, n_blocks=2)
    made.contract = _EEG
    return made


def _meg_gpt():
    cls = models.find("meg_gpt")
    config = cls.config_class(dim=32, n_heads=4, feedforward_dim=64, n_blocks=2, context=40)
    return cls(config, _made("ephys_tokenizer", n_tokens=8, n_units=8))


def _decoder():
    decoder = models.find("decoder")
    return decoder(decoder.config_class(classes=("left", "right"), head="linear"), _brainomni())


def _stacked():
    cls, backbone = models.find("stacked"), _brainomni()
    sensors = layout("eeg", NAMES)
    made = cls(cls.config_class(
        classes=("left", "right"), views=("power", "filter_bank_recentered", "network"),
        channels=NAMES, kinds=(0,) * 5, placed=True, average=True, sfreq=128.0,
        bands=((4.0, 8.0), (8.0, 13.0)), n_components=5, backbone=backbone.config), backbone)
    made.geometry.copy_(torch.from_numpy(sensors.geometry(_EEG.geometry)))
    for linear in made.linear:
        linear.weight.normal_(std=0.1)
    return made


MAKERS = {
    "brain_tokenizer": (small.tokenizer, _EEG),
    "brainomni": (_brainomni, _EEG),
    "brainmae": (lambda: _made("brainmae", dim=32, n_heads=4), FMRIContract()),
    "ephys_tokenizer": (lambda: _made("ephys_tokenizer", n_tokens=8, n_units=8), _SAMPLES),
    "mu_law": (lambda: _finished(_made("mu_law", n_tokens=16), 512), _SAMPLES),
    "quantile": (lambda: _finished(_made("quantile", n_tokens=16), 512), _SAMPLES),
    "meg_gpt": (_meg_gpt, _SAMPLES),
    "labram": (lambda: _made("labram", **_LABRAM), _LABRAM_EEG),
    "neurobolt": (lambda: _made("neurobolt", **_LABRAM, n_times=400, n_scales=2,
                                n_spectral_blocks=1, n_spectral_heads=5, channels=NAMES, n_rois=2),
                  _LABRAM_EEG),
    "neurobolt_sequence": (lambda: _made("neurobolt_sequence", rois=("cuneus", "thalamus"),
                                         sfreq=50.0, n_sources=4), _SAMPLES),
    "fleeg": (lambda: _made("fleeg", ch_names=NAMES, n_times=200, classes=("left", "right")),
              _SAMPLES.with_(window_s=4.0)),
    "decoder": (_decoder, _EEG),
    "stacked": (_stacked, _EEG),
}


def make(name: str, folder: Path) -> Path:
    """A sealed checkpoint of the model of that name in `neurofm.models.INDEX`."""
    torch.manual_seed(0)
    build, contract = MAKERS[name]
    model = build().eval()
    model.contract = contract
    checkpoints.save_checkpoint(model, folder, config={"model": "lab/base"}, parents={},
                                ledger=LEDGER, metrics={})
    return folder
