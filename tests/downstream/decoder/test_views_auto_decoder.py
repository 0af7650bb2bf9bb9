"""Views of a stacked decoder: what they measure is what baselines and other packages measure."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mne.channels import interpolation
from nilearn.connectome import ConnectivityMeasure
from pyriemann.utils.tangentspace import tangent_space

from neurofm.data.batch import Batch
from neurofm.downstream.baselines import recentering, spectra
from neurofm.downstream.baselines.means_lda import MeansLDA
from neurofm.models.stacked import Stacked
from neurofm.models.stacked_config import EVENTS, RECENTERED, SCANS, SIGNALS, StackedConfig
from neurofm.nn.spline_map import spline_map
from tests.support import small

N, SFREQ, N_TIMES = 7, 128.0, 256
NAMES = tuple(f"E{k}" for k in range(N))
BANDS = ((4.0, 8.0), (8.0, 13.0), (13.0, 30.0))
SUBJECTS = np.repeat(["a", "b"], 6)


def made(views, *, events=True, reads="signals", **fields) -> Stacked:
    """A stacked decoder of the channels of `windows()`, on double references."""
    known = {"classes": ("left", "right"), "views": views, "channels": NAMES, "kinds": (0,) * N,
             "sfreq": SFREQ, "n_times": N_TIMES, "bands": BANDS, "n_components": N}
    if reads == "scans":
        known |= {"reads": "scans", "sfreq": 0.0, "n_times": 0}
    model = Stacked(StackedConfig(**{**known, **fields})).eval()
    model.geometry.copy_(windows().geometry[0])
    return model


def windows(n: int = 12, seed: int = 0) -> Batch:
    batch = small.batch(n, N, N_TIMES, seed)
    noise = torch.randn(batch.signal.shape, generator=torch.Generator().manual_seed(seed))
    return replace(batch, signal=batch.signal + 0.3 * noise, ch_names=[NAMES] * n)


def seen(model: Stacked, pooled: torch.Tensor, target: np.ndarray | None = None):
    """Features of each view by its name, of windows of two people, taught by the same windows."""
    rows = model.rows(pooled.double())
    means = torch.stack([pooled.double()[torch.from_numpy(who == SUBJECTS)].mean(0)
                         for who in ("a", "b")])
    of = torch.from_numpy((SUBJECTS == "b").astype(np.int64))
    target = torch.from_numpy(np.arange(len(pooled)) % 2 if target is None else target)
    found = {}
    for name, view in zip(model.config.views, model.views, strict=True):
        view.fit(rows, model.rows(means), of, target, 2)
        found[name] = view(rows, model.rows(means), of).numpy()
        assert found[name].shape == (len(pooled), view.n_features), name
    return found


def both(names) -> tuple[str, ...]:
    return (*names, *(name + RECENTERED for name in names))


@pytest.fixture(scope="module")
def features():
    """Of all views of signals, and the covariances that baselines see of the same windows."""
    model = made(both(SIGNALS))
    batch = windows()
    covariance = np.stack([
        spectra.covariances(x, SFREQ)[1:4] for x in batch.signal.double().numpy()])
    with torch.no_grad():
        return seen(model, model.pool(batch)), covariance, batch


def close(a: np.ndarray, b: np.ndarray, by: float = 1e-4) -> None:
    assert a.shape == b.shape
    assert np.abs(a - b).max() < by * np.abs(b).max()


# spherical splines


def test_auto_decoder_splines_are_those_of_mne():
    rng = np.random.default_rng(0)
    given, wanted = rng.normal(size=(2, 24, 3))
    found = spline_map(torch.from_numpy(wanted), torch.from_numpy(given)[None],
                       torch.ones(1, 24, dtype=torch.bool))[0].numpy()
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (wanted, given)]
    far = (unit[0] @ unit[1].T).max(axis=1) < 0.995
    assert far.sum() > 12
    close(found[far], interpolation._make_interpolation_matrix(given, wanted)[far], 1e-6)


def test_auto_decoder_an_electrode_at_a_place_keeps_its_signal():
    batch = windows(2)
    order = torch.randperm(N)
    found = spline_map(batch.geometry[0, :, :3], batch.geometry[:, order, :3],
                       batch.valid[:, order])
    assert torch.equal(found[:, :, order.argsort()],
                       torch.eye(N, dtype=torch.float64).expand(2, -1, -1))


def test_auto_decoder_padding_changes_no_spline():
    batch, far = windows(3), torch.nn.functional.normalize(torch.randn(5, 3), dim=1)
    more = small.padded(batch, 4, filling=0.7)
    plain = spline_map(far, batch.geometry[..., :3], batch.valid)
    wide = spline_map(far, more.geometry[..., :3], more.valid)
    assert torch.allclose(wide[..., :N], plain, atol=1e-9)
    assert not wide[..., N:].any()


# what windows are measured by


@pytest.mark.parametrize("placed", [True, False])
def test_auto_decoder_order_of_channels_and_padding_change_nothing(placed):
    model = made(both(SIGNALS), placed=placed, average=placed)
    batch = windows(4)
    order = [3, 0, 6, 1, 5, 2, 4]
    mixed = replace(batch, signal=batch.signal[:, order], geometry=batch.geometry[:, order],
                    ch_names=[tuple(NAMES[k] for k in order)] * 4)
    wide = replace(small.padded(mixed, 3, filling=0.0), ch_names=mixed.ch_names)
    plain = model.pool(batch)
    assert torch.allclose(model.pool(mixed), plain, atol=1e-4)
    assert torch.allclose(model.pool(wide), plain, atol=1e-4)


def test_auto_decoder_says_which_channels_it_lacks():
    model = made(("power",))
    batch = replace(windows(2), ch_names=[(*NAMES[:-2], "X", "Y")] * 2)
    with pytest.raises(ValueError, match="missing: E5, E6"):
        model.pool(batch)


def test_auto_decoder_band_power_is_that_of_the_baselines(features):
    found, covariance, _ = features
    log = np.log(np.diagonal(covariance, axis1=2, axis2=3) + 1e-12).reshape(len(covariance), -1)
    close(found["power"], log)
    close(found["power_recentered"], recentering.log_power(log, SUBJECTS))


@pytest.mark.parametrize("name", ["covariance", "filter_bank"])
@pytest.mark.parametrize("recentered", [False, True])
def test_auto_decoder_tangent_vectors_are_those_of_pyriemann(features, name, recentered):
    """About the same mean: ours is the log-Euclidean one, the baselines' the Riemannian one."""
    found, covariance, _ = features
    matrices = spectra.Channels().fit(covariance)(
        covariance.sum(axis=1) if name == "covariance" else covariance)
    parts = []
    for each in ([matrices] if name == "covariance" else matrices.swapaxes(0, 1)):
        if recentered:
            each = each.copy()
            for who in ("a", "b"):
                rows = who == SUBJECTS
                whitener = recentering.invsqrtm(_log_mean(each[rows]))
                each[rows] = whitener @ each[rows] @ whitener
        parts.append(tangent_space(each, _log_mean(each)))
    close(found[name + RECENTERED * recentered], np.concatenate(parts, axis=1), 1e-3)


def _log_mean(matrices: np.ndarray) -> np.ndarray:
    from pyriemann.utils.mean import mean_logeuclid

    return mean_logeuclid(matrices)


@pytest.mark.parametrize("stretch_s", [0.05, 0.2])
def test_auto_decoder_evoked_means_are_those_of_the_baselines(features, stretch_s):
    """Where stretches hold the same whole number of samples; a rate of 160 Hz has them."""
    model = made((f"evoked_{stretch_s * 1000:.0f}ms",), sfreq=160.0, n_times=320)
    signal = small.batch(12, N, 320).signal
    with torch.no_grad():
        (ours,) = seen(model, model.pool(replace(windows(), signal=signal))).values()
    theirs = MeansLDA(0, stretch_s, 160.0).features(signal.numpy(), SUBJECTS, True)
    close(ours, theirs)


def test_auto_decoder_covariances_with_evoked_responses_tell_a_wave_that_powers_do_not():
    """The wave's sign differs between the classes."""
    batch = windows(12)
    wave = torch.exp(-(torch.linspace(-3, 3, N_TIMES) ** 2))
    target = np.arange(12) % 2
    sign = torch.from_numpy(2.0 * target - 1).float()
    batch = replace(batch, signal=batch.signal + 3 * sign[:, None, None] * wave)
    with torch.no_grad():
        model = made((*EVENTS, "power"))
        found = seen(model, model.pool(batch), target)

    def apart(x: np.ndarray) -> float:
        far = x[target == 1].mean(0) - x[target == 0].mean(0)
        return float(np.abs(far / (x.std(0) + 1e-9)).max())

    assert all(apart(found[name]) > 1.5 > apart(found["power"]) for name in EVENTS)


def scans(n_volumes: int = 40, missing: int = 0) -> Batch:
    random = torch.Generator().manual_seed(1)
    signal = torch.randn(4, N, n_volumes, generator=random) @ torch.eye(n_volumes)
    signal = signal + torch.randn(4, 1, n_volumes, generator=random)
    measured = torch.ones(4, n_volumes + missing, dtype=torch.bool)
    measured[:, n_volumes:] = False
    signal = torch.cat([signal, torch.full((4, N, missing), 99.0)], dim=2)
    return replace(small.batch(4, N, n_volumes + missing), signal=signal, measured=measured,
                   t_r=torch.full((4,), 2.0), ch_names=[NAMES] * 4)


def test_auto_decoder_views_of_scans_are_those_of_nilearn():
    model = made(tuple(SCANS), reads="scans")
    with torch.no_grad():
        pooled = model.pool(scans())
    rows = model.rows(pooled)
    series = [x.T for x in scans().signal.double().numpy()]
    correlation = ConnectivityMeasure(kind="correlation", vectorize=True, discard_diagonal=True,
                                      standardize=False)
    # Their order is that of the lower triangle; of a correlation without shrinkage.
    from sklearn.covariance import EmpiricalCovariance

    correlation.set_params(cov_estimator=EmpiricalCovariance())
    lower = np.tril_indices(N, -1)
    square = np.zeros((4, N, N))
    square[:, lower[0], lower[1]] = np.arctanh(correlation.fit_transform(series))
    upper = np.triu_indices(N, 1)
    close(rows["correlation"].numpy(), square.swapaxes(1, 2)[:, upper[0], upper[1]])
    close(rows["mean"].numpy(), np.stack([x.mean(0) for x in series]))
    close(rows["variance"].numpy(), np.log([x.var(0) for x in series]))


def test_auto_decoder_covariance_of_regions_is_shrunk_as_nilearn_does():
    model = made(("connectivity",), reads="scans")
    of = scans()
    from scipy.linalg import logm
    from sklearn.covariance import LedoitWolf

    with torch.no_grad():
        rows = model.rows(model.pool(of))["connectivity"].numpy()
    row, column = np.triu_indices(N)
    for x, found in zip(of.signal.double().numpy(), rows, strict=True):
        log = logm(LedoitWolf(store_precision=False).fit(x.T).covariance_)
        close(found, log[row, column] * np.where(row == column, 1, 2**0.5), 1e-3)


def test_auto_decoder_volumes_that_are_missing_do_not_count():
    model = made(both(SCANS), reads="scans")
    with torch.no_grad():
        assert torch.allclose(model.pool(scans()), model.pool(scans(missing=9)), atol=1e-5)


@pytest.mark.parametrize("n_channels", [N, 3])
def test_auto_decoder_gradients_reach_the_signal(n_channels):
    """`explain` needs them; also where eigenvalues are alike, as on a cap of few electrodes."""
    model = made(both(SIGNALS), placed=True, average=True)
    for linear in model.linear:
        linear.weight.normal_(std=0.1)
    with torch.no_grad():
        pooled = model.pool(windows())
        seen(model, pooled)
        model.centre.copy_(pooled.mean(0))
    batch = windows(2)
    signal = torch.randn(2, n_channels, N_TIMES, generator=torch.Generator().manual_seed(0))
    batch = replace(batch, signal=signal.requires_grad_(), geometry=batch.geometry[:, :n_channels],
                    valid=batch.valid[:, :n_channels], kind=batch.kind[:, :n_channels])
    model.name(model.pool(batch))[:, 0].log().sum().backward()
    found, step = batch.signal.grad, torch.zeros_like(signal)
    assert found.isfinite().all()
    assert found.abs().max() > 0
    step[0] = 1e-2 * found[0] / found[0].norm()
    with torch.no_grad():
        said = [model.name(model.pool(replace(batch, signal=signal + sign * step)))[0, 0].log()
                for sign in (1, -1)]
    assert float((said[0] - said[1]) / 2) == pytest.approx(1e-2 * float(found[0].norm()), rel=0.05)
