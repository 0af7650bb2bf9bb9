"""What others learn of a site: clipped and noisy changes, masked sums; and who may spoil them."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from neurofm.downstream.federated import messages, plans, privacy, rounds
from neurofm.downstream.federated.privacy import Privacy
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.federated.secure import Secure
from neurofm.downstream.federated.strategies import Averaging
from tests.support.federated_sites import corpora, federate, learning, weights_after

EQUAL = Averaging(weights="equal")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("sites"))


@pytest.fixture(scope="module")
def plain(found, tmp_path_factory):
    """Shared weights without any privacy, sites counting alike."""
    work = tmp_path_factory.mktemp("plain")
    federate(found, work, Federation(learning(), EQUAL))
    return weights_after(work)


def distance(one, other) -> float:
    return math.sqrt(sum(np.square(one[name] - other[name]).sum() for name in one))


@pytest.mark.parametrize("where", ["server", "client"])
def test_without_noise_and_with_a_wide_clip_it_is_plain_averaging(found, plain, tmp_path, where):
    federate(found, tmp_path, Federation(learning(), EQUAL, Privacy(where, noise=0.0, clip=1e6)))
    found = weights_after(tmp_path)
    assert found.keys() == plain.keys()
    assert all(np.allclose(found[name], plain[name], atol=1e-6) for name in plain)
    assert math.isinf(rounds.lines(tmp_path / "server")[-1]["epsilon"])


@pytest.mark.parametrize("where", ["server", "client"])
def test_changes_are_clipped_where_that_is_asked_for(found, tmp_path, where):
    sent = []

    def keep(site, message, reply):
        sent.append((messages.to_weights(message.content.array_records[messages.ARRAYS]),
                     messages.to_weights(reply.content.array_records[messages.ARRAYS])))
        return reply

    settings = learning(rounds=1)
    federate(found, tmp_path, Federation(settings, EQUAL, Privacy(where, noise=0.0, clip=0.05)),
             keep)
    moved = [distance(came, went) for went, came in sent]
    assert min(moved) > 0.1 if where == "server" else max(moved) < 0.0501  # as it left the site
    assert distance(weights_after(tmp_path), plans.initial(settings)) < 0.0501


def test_noise_has_the_size_that_was_promised(found, tmp_path):
    settings = learning(rounds=1)
    federate(found, tmp_path,
             Federation(settings, EQUAL, Privacy("server", noise=3.0, clip=0.01)))
    moved = np.concatenate([
        (value - plans.initial(settings)[name]).ravel()
        for name, value in weights_after(tmp_path).items()])
    assert moved.std() == pytest.approx(3.0 * 0.01 / 3, rel=0.01)


def test_noise_is_for_the_sites_that_answered(found, tmp_path):
    """Two of three: each is half of the mean, and Flower would add the noise for thirds."""
    def spoil(site, message, reply):
        weights = messages.to_weights(reply.content.array_records[messages.ARRAYS])
        if site == "ward":
            reply.content[messages.ARRAYS] = messages.to_record(
                {name: value * np.nan for name, value in weights.items()})
        return reply

    settings = learning(rounds=1)
    federate(found, tmp_path,
             Federation(settings, EQUAL, Privacy("server", noise=3.0, clip=0.01)), spoil)
    moved = np.concatenate([
        (value - plans.initial(settings)[name]).ravel()
        for name, value in weights_after(tmp_path).items()])
    assert moved.std() == pytest.approx(3.0 * 0.01 / 2, rel=0.01)


def test_the_budget_is_that_of_gaussian_mechanisms():
    spent = [privacy.epsilon(noise, 10, 1e-5) for noise in (0.5, 1, 2, 4, 8, 16)]
    assert spent == sorted(spent, reverse=True)
    assert privacy.epsilon(1.0, 5, 1e-5) < privacy.epsilon(1.0, 6, 1e-5)
    assert privacy.epsilon(1.0, 0, 1e-5) == 0
    assert math.isinf(privacy.epsilon(0.0, 1, 1e-5))
    # Four rounds of noise 2 are one of noise 1, and delta is what the two Gaussians say.
    epsilon = privacy.epsilon(2.0, 4, 1e-5)
    assert epsilon == pytest.approx(privacy.epsilon(1.0, 1, 1e-5))
    delta = norm.cdf(1 - epsilon / 2) - math.exp(epsilon) * norm.cdf(-1 - epsilon / 2)
    assert delta == pytest.approx(1e-5, rel=1e-3)
    # By drawing: P(loss > e) of a Gaussian against the same one shifted by 1.
    x = np.random.default_rng(0).standard_normal(2_000_000)
    loss = 0.5 - x  # log p(x) / p(x - shift), under p
    drawn = np.mean(np.maximum(0, 1 - np.exp(1.0 - loss)))
    assert privacy._delta(1.0, 1.0) == pytest.approx(drawn, rel=0.02)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match=r"averaging\.weights=equal"):
        Federation(privacy=Privacy("server")).check(4)
    with pytest.raises(ValueError, match="outcome of fedmedian is not known"):
        Federation(averaging=Averaging("fedmedian", "equal"), privacy=Privacy("client")).check(4)
    with pytest.raises(ValueError, match="needs 3 sites or more"):
        Federation(secure=Secure(on=True)).check(2)
    with pytest.raises(ValueError, match="gives the mean alone"):
        Federation(averaging=Averaging("fedmedian"), secure=Secure(on=True)).check(4)
    with pytest.raises(ValueError, match="krum with malicious=1 needs 5 sites, there are 4"):
        Federation(averaging=Averaging("krum")).check(4)
    with pytest.raises(ValueError, match="no round could be finished"):
        Federation(averaging=Averaging(min_sites=5)).check(4)


def test_masked_sums_are_the_average_and_hide_each_site(found, tmp_path):
    """Secure aggregation against plain averaging; what a site sends is no weight of its own."""
    federate(found, tmp_path / "plain", Federation(learning(rounds=1)))
    expected = weights_after(tmp_path / "plain")
    sent = []

    def keep(site, message, reply):
        sent.append(reply)
        return reply

    how = Secure(on=True, largest_trials=100)
    federate(found, tmp_path / "masked", Federation(learning(rounds=1), secure=how), keep)
    masked = weights_after(tmp_path / "masked")
    assert all(np.abs(masked[name] - expected[name]).max() < 2e-4 for name in expected)
    assert len(sent) == 4 * 3  # four stages
    for reply in sent:
        for record in reply.content.array_records.values():
            assert len(record) == 0
    vectors = [value for reply in sent for record in reply.content.config_records.values()
               for value in record.get("masked_params", [])]
    assert vectors
    drawn = np.concatenate([np.frombuffer(v, dtype=np.int64, offset=128) for v in vectors[:3]])
    assert drawn.std() > 1e8  # spread over the whole modulus
    line = rounds.lines(tmp_path / "masked" / "server")[0]
    assert line["sites"] == sorted(found)


def test_masked_sums_of_clipped_changes(found, tmp_path):
    settings = learning(rounds=1)
    federate(found, tmp_path, Federation(
        settings, EQUAL, Privacy("client", noise=0.0, clip=0.05),
        Secure(on=True, largest_trials=100)))
    moved = distance(weights_after(tmp_path), plans.initial(settings))
    assert 0.01 < moved < 0.08  # clipped to .05, and rounded


def test_a_site_that_drops_out_of_a_masked_round(tmp_path):
    five = corpora(tmp_path / "sites", n=4)

    def spoil(site, message, reply):
        about = reply.content.config_records["secaggplus_configs"]
        if site == "home" and "masked_params" in about:
            raise ConnectionError("gone")
        return reply

    how = Secure(on=True, largest_trials=100, threshold=0.5)
    federate(five, tmp_path / "work", Federation(learning(rounds=1), secure=how), spoil)
    line = rounds.lines(tmp_path / "work" / "server")[0]
    assert line["sites"] == ["clinic", "lab", "ward"]
    assert line["rejected"] == [["home", "ConnectionError: gone"]]
    three = {name: folder for name, folder in five.items() if name != "home"}
    federate(three, tmp_path / "plain", Federation(learning(rounds=1)))
    expected, got = weights_after(tmp_path / "plain"), weights_after(tmp_path / "work")
    assert all(np.abs(got[name] - expected[name]).max() < 2e-4 for name in expected)


def test_one_poisoned_site_ruins_the_mean_and_not_the_robust_strategies(tmp_path):
    """Weights × 1000 with the screen of sizes switched off; five sites, one of which lies."""
    five = corpora(tmp_path / "sites", n=5, n_windows=4)
    settings = learning(rounds=1)
    honest = tmp_path / "honest"
    federate(five, honest, Federation(settings))
    size = distance(weights_after(honest), plans.initial(settings))

    def poison(site, message, reply):
        weights = messages.to_weights(reply.content.array_records[messages.ARRAYS])
        if site == "ward":
            reply.content[messages.ARRAYS] = messages.to_record(
                {name: 1000 * value for name, value in weights.items()})
        return reply

    off = {}
    for strategy in ("fedavg", "fedmedian", "fedtrimmedavg", "krum", "multikrum"):
        work = tmp_path / strategy
        how = Averaging(strategy, largest_change=0.0)
        federate(five, work, Federation(settings, how), poison)
        off[strategy] = distance(weights_after(work), weights_after(honest)) / size
    assert off["fedavg"] > 50
    assert max(off[name] for name in off if name != "fedavg") < 2
    federate(five, tmp_path / "screened", Federation(settings), poison)  # as it is by default
    assert distance(weights_after(tmp_path / "screened"), weights_after(honest)) / size < 2


def test_an_attack_on_the_average_reaches_the_budget_and_no_more(monkeypatch):
    """Did a site train on these recordings or on others? The attacker knows all but the noise, and
    the two change the weights in opposite directions, which is the worst case."""
    from tests.benchmarks import bench_membership as bench

    monkeypatch.setattr(bench, "CLIP", 0.5)
    drawn = np.random.default_rng(0).normal(size=(3, 40))
    first = {"w": np.zeros(40, np.float32)}
    *others, mine = ({"w": row.astype(np.float32)} for row in drawn)
    opposite = {"w": -mine["w"]}
    direction = mine["w"].astype(np.float64)
    for noise, draws in ((0.0, 4), (1.0, 600), (4.0, 600)):
        np.random.seed(1)  # noqa: NPY002 - Flower's noise is of the global generator
        score = np.array([direction @ bench.averaged(first, [*others, one], noise)
                          for one in (mine, opposite) for _ in range(draws // 2)])
        auc = np.mean(score[:draws // 2, None] > score[None, draws // 2:])
        bound = norm.cdf(2 / noise / np.sqrt(2)) if noise else 1.0
        assert auc == pytest.approx(bound, abs=0.06)
        if noise:  # what the budget is computed from
            assert privacy.epsilon(noise, 1, 0.01) == pytest.approx(
                privacy.epsilon(2 * noise, 4, 0.01))
