"""A decoder on another cap: the same answers where caps coincide, nearby ones where electrodes are
left out, and a planted source is found by electrodes that training never saw.
"""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from neurofm.data.batch import collate
from neurofm.data.corpus import Corpus
from neurofm.downstream.decoder.labeled import labeled
from neurofm.downstream.decoder.stack import fit_stack
from neurofm.downstream.decoder.stacked_build import build_stacked, measure
from neurofm.models.stacked_config import SEEN
from neurofm.nn.partial_cap import Moments, part_of, seen_places
from tests.support import planted as simulated

FEW = (1, 2, 4, 7, 8, 11, 12, 15)  # of 16


@pytest.fixture(scope="module")
def fitted(planted):
    """(decoder, labeled windows) of the planted effect on 16 electrodes."""
    data = labeled(Corpus.open(planted.corpus))
    windows = np.sort(np.concatenate([data.windows["train"], data.windows["validation"]]))
    model = build_stacked(data, windows, views=("power", "filter_bank_recentered"))
    table = data.corpus.windows.iloc[windows]
    before = measure(model, data, data.all)
    fit_stack(model, before, windows, table["recording"].to_numpy(), table["start_s"].to_numpy(),
              say=lambda text: None)
    return model, data, before


def windows_of(data, keep=None, windows=None):
    """Test windows, with some electrodes alone."""
    windows = data.windows["test"] if windows is None else windows
    layout = data.corpus.layout(int(windows[0]))
    keep = list(range(len(layout))) if keep is None else list(keep)
    signals = [data.corpus.signal(int(k))[keep] for k in windows]
    signals = [signal - signal.mean(axis=0) for signal in signals]
    return collate(signals, [layout[keep]] * len(windows), data.contract.geometry)


def odds(model, data, batch, subjects=None) -> np.ndarray:
    """Log-odds, each person about an own center."""
    rows = model.pool(batch)
    subjects = data.corpus.subjects(data.windows["test"]) if subjects is None else subjects
    found = np.empty(len(rows))
    for who in np.unique(subjects):
        own = np.flatnonzero(subjects == who)
        p = model.name(rows[own], rows[own].double().mean(dim=0).float())
        found[own] = (p[:, 1] / p[:, 0]).log().numpy()
    return found


def right(data, said: np.ndarray) -> float:
    return float(((said > 0) == data.target[data.windows["test"]]).mean())


def test_auto_decoder_moments_solve_what_scikit_learn_solves_from_windows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 30)) @ rng.normal(size=(30, 30))
    weight = rng.uniform(0.5, 2, 50)
    weight /= weight.mean()
    target = rng.normal(size=(50, 2))
    target -= np.average(target, axis=0, weights=weight)
    down = rng.normal(size=(30, 7))
    block = Moments(30, 2)
    block.fit(*map(torch.from_numpy, (x, target, weight)))
    mean, weights = block.solved(lambda rows: rows @ torch.from_numpy(down), 0.01)
    part = x @ down
    scale = StandardScaler().fit(part, sample_weight=weight)
    theirs = Ridge(0.01 * 7 * 50, fit_intercept=False).fit(scale.transform(part), target, weight)
    ours = (torch.from_numpy(part) - mean) @ weights
    assert np.allclose(ours, theirs.predict(scale.transform(part)), atol=1e-4)


def test_auto_decoder_sees_a_place_that_is_nearest_to_an_electrode():
    places = torch.eye(3)
    near = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1, 0], [0.9, 0.2, 0],
                                                       [0.5, 0.6, 0.6]]), dim=1)
    valid = torch.tensor([[True, True, True], [True, False, False], [False, False, True]])
    found = seen_places(places, near.expand(3, -1, -1), valid)
    assert found.tolist() == [[True, False, False], [True, False, False], [False] * 3]


def test_auto_decoder_on_its_own_cap_is_what_it_was(fitted):
    model, data, before = fitted
    batch = windows_of(data)
    rows = model.pool(batch)
    assert torch.allclose(rows, before.take(data.windows["test"]), atol=1e-4)
    assert (model.rows(rows)[SEEN] == 1).all()
    order = torch.randperm(16).tolist()
    shuffled = odds(model, data, windows_of(data, order))
    assert np.allclose(shuffled, odds(model, data, batch), atol=1e-3)


def test_auto_decoder_tells_little_else_where_few_electrodes_are_left_out(fitted):
    model, data, _ = fitted
    whole = odds(model, data, windows_of(data))
    alike = []
    for n in (15, 13, 10, 6):
        keep = np.sort(np.random.default_rng(3).permutation(16)[:n])
        alike.append(np.corrcoef(odds(model, data, windows_of(data, keep)), whole)[0, 1])
    assert alike[0] > 0.9, alike
    assert alike[-1] < alike[0], alike
    assert min(alike) > 0.5, alike


def test_auto_decoder_half_of_the_cap_still_tells(fitted):
    model, data, _ = fitted
    rows = model.rows(model.pool(windows_of(data, FEW)))
    assert rows[SEEN][0].nonzero().ravel().tolist() == list(FEW)
    assert model.interpolated(data.corpus.layout(0)[list(FEW)]) == ()
    said = odds(model, data, windows_of(data, FEW))
    assert right(data, said) > 0.85
    mixed = collate([*windows_of(data).signal.numpy(), *windows_of(data, FEW).signal.numpy()],
                    [data.corpus.layout(0)] * len(said) + [data.corpus.layout(0)[list(FEW)]] *
                    len(said), data.contract.geometry)
    subjects = data.corpus.subjects(data.windows["test"])
    both = odds(model, data, mixed, np.concatenate([subjects + "a", subjects + "b"]))
    assert np.allclose(both[len(said):], said, atol=1e-3)


def test_auto_decoder_finds_a_planted_source_with_another_cap(fitted):
    """21 electrodes at other places: new people, the same effect."""
    model, data, _ = fitted
    rng, layout = np.random.default_rng(5), simulated.cap(21)
    labels = rng.permutation(["left", "right"] * 20).tolist()
    signals = simulated.windows_of(rng, layout, labels, 0.9)
    for keep in (range(21), range(0, 21, 2)):
        parts = [signal[list(keep)] - signal[list(keep)].mean(axis=0) for signal in signals]
        batch = collate(parts, [layout[list(keep)]] * 40, data.contract.geometry)
        said = odds(model, data, batch, np.zeros(40))
        wanted = np.array(labels) == model.classes[1]
        assert ((said > 0) == wanted).mean() > 0.8, len(parts[0])


def test_auto_decoder_of_a_stream_goes_from_the_training_center_to_the_persons(fitted):
    """A center that is partly the training people's is one of the part of the cap, too."""
    model, data, _ = fitted
    rows = model.pool(windows_of(data, FEW))[:8]
    own = rows.double().mean(dim=0).float()
    part = part_of(model.basis, model.rows(own[None])[SEEN][0] > 0.5, model.config.average)
    prior = model.partial.fewer(model.partial.middle.flatten()[None], part, model.least[0].double())
    for share in (0.25, 1.0):
        mixed = share * model.centre + (1 - share) * own
        wanted = share * prior[0] + (1 - share) * model.rows(own[None])["covariance"][
            0, : prior.shape[1]].double()
        seen = model.rows(own[None])[SEEN][0] > 0.5
        found = model.partial.centers(model.rows(mixed[None]), part, seen,
                                      model.least[0].double())["covariance"][0]
        assert torch.allclose(found, wanted, atol=1e-4)
    assert torch.equal(model.name(rows), model.name(rows, model.centre))
    assert not torch.allclose(model.name(rows), model.name(rows, own), atol=1e-3)


def test_auto_decoder_says_so_where_no_electrode_is_near(fitted):
    model, data, _ = fitted
    with pytest.raises(ValueError, match=r"at least two electrodes .* got 1; .* E0, E1"):
        model.pool(windows_of(data, (3,)))
