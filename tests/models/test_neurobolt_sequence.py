"""Whole scans of EEG to volumes of fMRI: any montage and repetition time, from the past alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import neurofm
from neurofm.data.bold import cleaned
from neurofm.data.fmri_contract import FMRIContract
from neurofm.data.pair_batch import PairBatch
from neurofm.models.neurobolt_sequence import (
    NeuroBOLTSequence,
    NeuroBOLTSequenceConfig,
    _alone,
    correlation,
)
from neurofm.nn.lag_basis import canonical, lag_basis
from neurofm.nn.scan_ridge import ScanRidge
from tests.support.by_windows import predict_by_windows
from tests.support.small import tokenizer as small_tokenizer

SFREQ = 50.0
ROIS = ("cuneus", "thalamus")


def electrodes(n: int, seed: int = 0) -> torch.Tensor:
    place = torch.randn(1, n, 3, generator=torch.Generator().manual_seed(seed))
    place = torch.nn.functional.normalize(place.abs() * torch.tensor([1.0, 1.0, 1.0]), dim=-1)
    return torch.cat([place, torch.zeros_like(place)], dim=-1)


def scan(seed: int, n_channels: int = 12, seconds: int = 120, t_r: float = 2.0,
         noise: float = 0.3) -> PairBatch:
    """A 10 Hz rhythm whose power waxes slowly lies under one electrode; one region follows its
    power, the other does not."""
    rng = np.random.default_rng(seed)
    n = round(seconds * SFREQ)
    waxing = np.convolve(rng.standard_normal(n + 400), np.hanning(401), "valid")
    waxing = waxing / waxing.std()
    rhythm = np.sin(2 * np.pi * 10 * np.arange(n) / SFREQ + rng.uniform(0, 6)) * np.exp(waxing / 2)
    geometry = electrodes(n_channels)
    near = torch.exp(4 * (geometry[0, :, :3] @ geometry[0, 0, :3] - 1)).numpy()
    eeg = near[:, None] * rhythm + 0.5 * rng.standard_normal((n_channels, n))
    volume_s = torch.arange(3.0, seconds, t_r)
    delay = torch.arange(0, 24, 1 / SFREQ)
    response = canonical(delay).numpy()
    course = np.convolve(np.exp(waxing), response)[:n][(volume_s * SFREQ).long().numpy()]
    course = (course - course.mean()) / course.std()
    target = np.stack([course + noise * rng.standard_normal(len(course)),
                       rng.standard_normal(len(course))], axis=1)
    return PairBatch(
        torch.from_numpy(eeg / eeg.std()).float()[None], geometry,
        torch.zeros(1, n_channels).long(), torch.ones(1, n_channels).bool(), torch.tensor([n]),
        volume_s[None], torch.from_numpy(target).float()[None])


@pytest.fixture(scope="module")
def model() -> NeuroBOLTSequence:
    made = NeuroBOLTSequence(NeuroBOLTSequenceConfig(rois=ROIS, sfreq=SFREQ, n_sources=6)).eval()
    assert "chosen by 1 scans" in made.finish(scan(seed) for seed in range(5))
    return made


def test_finds_what_eeg_says_in_others_and_nothing_where_it_says_nothing(model):
    found = torch.cat([correlation(model.predict(one), one.target, ~one.target.isnan())
                       for one in (scan(100), scan(101), scan(102, t_r=1.3))])
    assert found[:, 0].min() > 0.7
    assert found[:, 1].abs().max() < 0.4


def test_predictions_come_neither_early_nor_late(model):
    """A frame's power is that of its window's middle, not of its end."""
    found, target = [], []
    for seed in range(110, 118):
        one = scan(seed, seconds=300, t_r=0.5)
        found.append(model.predict(one)[0, 80:, 0].numpy())
        target.append(one.target[0, 80:, 0].numpy())
    lags = np.arange(-5, 6)  # of half a second
    r = [np.mean([np.corrcoef(np.roll(x, lag)[8:-8], y[8:-8])[0, 1]
                  for x, y in zip(found, target, strict=True)]) for lag in lags]
    square, slope, _ = np.polyfit(lags[3:8] * 0.5, r[3:8], 2)
    assert abs(-slope / (2 * square)) < 0.2  # seconds; 0.4 if a frame counted as of its end


def test_another_montage_and_repetition_time(model):
    one = scan(200, n_channels=20, t_r=3.0)
    assert correlation(model.predict(one), one.target, ~one.target.isnan())[0, 0] > 0.6


def test_nothing_after_a_volume_matters_to_it(model):
    one = scan(300)
    known = model.statistics(one)
    other = replace(one, signal=one.signal.clone())
    other.signal[..., 3000:] += 3.0
    before = int((one.volume_s[0] < 3000 / SFREQ).sum())
    first, second = model.predict(one, known), model.predict(other, known)
    assert torch.equal(first[:, :before], second[:, :before])
    assert not torch.allclose(first[:, before + 2 :], second[:, before + 2 :], atol=1e-3)


def test_bad_stretches_say_nothing_and_leave_the_rest_alone(model):
    """What stands where EEG is marked bad does not matter, and would if it were not marked."""
    one = scan(350)
    bad = torch.zeros(1, one.signal.shape[-1], dtype=torch.bool)
    bad[:, 1000:1400] = True
    loud = one.signal + 30 * torch.randn(one.signal.shape) * bad[:, None]
    silent = torch.where(bad[:, None], 0.0, one.signal)

    def r(found):
        return correlation(found, one.target, ~one.target.isnan())[0, 0]

    marked = model.predict(replace(one, signal=loud, bad=bad))
    assert torch.allclose(marked, model.predict(replace(one, signal=silent, bad=bad)), atol=1e-5)
    assert r(marked) > 0.6
    assert r(model.predict(replace(one, signal=loud))) < r(marked) - 0.1
    known = model.statistics(replace(one, signal=loud, bad=bad))
    by_windows = predict_by_windows(model, replace(one, signal=loud, bad=bad), known)
    assert torch.allclose(by_windows, marked, atol=1e-4)


def test_window_by_window_is_the_same(model):
    one = scan(400)
    known = model.statistics(one)
    whole, windows = model.predict(one, known), predict_by_windows(model, one, known)
    assert torch.allclose(whole, windows, atol=1e-4 * whole.abs().max())


def test_padding_of_channels_and_ends_changes_nothing(model):
    one = scan(500)
    n, more = one.signal.shape[-1], 777
    padded = PairBatch(
        torch.nn.functional.pad(one.signal, (0, more, 0, 3)),
        torch.nn.functional.pad(one.geometry, (0, 0, 0, 3)),
        torch.nn.functional.pad(one.kind, (0, 3)), torch.nn.functional.pad(one.valid, (0, 3)),
        one.n_times, torch.nn.functional.pad(one.volume_s, (0, 2), value=torch.nan),
        torch.nn.functional.pad(one.target, (0, 0, 0, 2), value=torch.nan))
    volumes = one.volume_s.shape[1]
    assert torch.allclose(model.predict(padded)[:, :volumes], model.predict(one), atol=1e-4)
    assert _alone(padded, 0).signal.shape[-1] == n
    loss, metrics = model(padded)
    wanted, r = model(one)
    assert loss == pytest.approx(float(wanted), abs=1e-4)
    assert metrics["r"] == pytest.approx(float(r["r"]), abs=1e-4)


def test_saved_and_loaded_it_is_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded, one = neurofm.load(tmp_path), scan(600)
    assert loaded.config.rois == ROIS
    assert torch.equal(loaded.predict(one), model.predict(one))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_a_tokenizers_encoder_stands_beside_spectra():
    tokenizer = small_tokenizer(spatial="leadfield", ratios=[4, 4])
    made = NeuroBOLTSequence(NeuroBOLTSequenceConfig(rois=ROIS, sfreq=SFREQ, n_sources=4),
                             tokenizer=tokenizer).eval()
    n = made.config.n_features
    assert n == 6 * 4 * 5 // 2 + tokenizer.config.n_sources * tokenizer.config.dim
    made.finish([scan(seed) for seed in range(3)])
    encoded = made.read.weight.view(2, 2, n)[..., 60:]
    assert encoded.abs().max() > 0  # it has a say
    one = scan(7)
    known = made.statistics(one)
    assert made.predict(one, known).isfinite().all()


def test_bad_input(model):
    one = scan(1)
    with pytest.raises(ValueError, match="gives 2 regions, the batch has 1"):
        model(replace(one, target=one.target[..., :1]))
    with pytest.raises(ValueError, match="whole samples"):
        NeuroBOLTSequenceConfig(hop_s=0.333, sfreq=100.0)
    ridge = ScanRidge(3, 1)
    ridge.add(torch.randn(5, 3).double(), torch.full((5, 1), torch.nan).double())
    with pytest.raises(ValueError, match="nothing can be learned"):
        ridge.solve()


def test_the_response_is_the_canonical_one():
    delay = torch.arange(0, 30, 0.01)
    response = canonical(delay)
    assert delay[response.argmax()] == pytest.approx(5.0, abs=0.05)
    assert delay[response.argmin()] == pytest.approx(15.7, abs=0.7)
    basis = lag_basis(torch.tensor([[30.0]]), torch.tensor([4.0, 26.0, 30.5]), 0.5, 2.0)
    assert basis[0, 0, 0].abs().max() == 0  # 26 s ago
    assert basis[0, 0, 2].abs().max() == 0  # not yet
    assert basis[0, 0, 1, 0] == pytest.approx(0.5 * float(canonical(torch.tensor(5.0))))


def test_ridge_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((80, 6)), rng.standard_normal((80, 2))
    ridge = ScanRidge(6, 2)
    for k in range(4):
        rows = slice(20 * k, 20 * k + 20)
        ridge.add(torch.from_numpy(x[rows]), torch.from_numpy(y[rows]))
    weight, bias, said = ridge.solve()
    assert "too few scans" in said
    size = np.mean(np.diag(x.T @ x))
    wanted = Ridge(alpha=1.0 * size, fit_intercept=False).fit(x, y).coef_
    assert np.allclose(weight.numpy(), wanted, atol=1e-5)
    assert (bias == 0).all()


def test_targets_are_cleaned_within_their_part_alone():
    rng = np.random.default_rng(0)
    series = rng.standard_normal((3, 200)).cumsum(axis=1) + 50
    series[1, 20:30] = np.nan
    series[2] = 7.0
    contract = FMRIContract(highpass_hz=None, lowpass_hz=0.15)
    whole = cleaned(series[:, :120], 2.0, contract)
    other = series.copy()
    other[:, 120:] += 1000
    assert np.array_equal(cleaned(other[:, :120], 2.0, contract), whole, equal_nan=True)
    assert np.isnan(whole[1, 20:30]).all()
    assert np.isfinite(whole[1, 30:]).all()
    assert np.isnan(whole[2]).all()  # does not vary
    assert np.nanmean(whole[:2], axis=1) == pytest.approx([0, 0], abs=1e-5)
    assert np.nanstd(whole[:2], axis=1) == pytest.approx([1, 1], abs=1e-5)
