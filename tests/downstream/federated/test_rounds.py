"""Rounds of a federation: what is averaged, who is judged, what happens when somebody fails."""

import json

import numpy as np
import pytest
import torch
from flwr.app import Message

from neurofm.data.corpus import Corpus
from neurofm.downstream.federated import messages, personal, plans, rounds
from neurofm.downstream.federated.learning import Learning
from neurofm.downstream.federated.rounds import Federation, FederationFailed
from neurofm.downstream.federated.site import Site, fold_of
from neurofm.downstream.federated.strategies import Averaging
from neurofm.training.loop import TrainConfig, accelerator_for, train
from tests.support.federated_sites import corpora, federate, learning, sites, weights_after


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("sites"))


@pytest.fixture(scope="module")
def plain(found, tmp_path_factory):
    """(folder, metrics) of a federation of three sites without any trouble."""
    work = tmp_path_factory.mktemp("plain")
    return work, federate(found, work, Federation(learning()))


def same(one, other, atol: float = 0.0) -> bool:
    return one.keys() == other.keys() and all(
        np.allclose(one[name], other[name], rtol=0, atol=atol) for name in one)


def test_every_site_is_judged_and_keeps_what_is_its_own(plain, found):
    work, metrics = plain
    assert sorted(metrics) == sorted(found)
    shared = set(weights_after(work))
    for name in found:
        folder = work / name / "fold-0-seed-0"
        assert {path.name for path in folder.iterdir()} > {
            "state", "rounds.jsonl", "checkpoint", "predictions.parquet", "chosen.safetensors"}
        assert len((folder / "rounds.jsonl").read_text().splitlines()) == 2
        other = (work / "lab" / "fold-0-seed-0") if name != "lab" else work / "ward/fold-0-seed-0"
        mine, theirs = (torch_state(path) for path in (folder, other))
        assert any(mine[key].shape != theirs[key].shape for key in mine)  # other fronts
        assert not shared & {key for key in mine if "norms" in key}
        assert metrics[name]["subjects"] == 1
    for line in rounds.lines(work / "server"):
        assert line["sites"] == sorted(found)
        assert line["rejected"] == []
        assert 811_208 < line["bytes_up"] < 820_000  # 202,802 numbers and little else
        assert 811_208 < line["bytes_down"] < 820_000


def torch_state(folder):
    from safetensors.torch import load_file

    return load_file(sorted((folder / "state").glob("step-*"))[-1] / "model.safetensors")


def test_the_average_is_weighted_by_trials_or_not(found, tmp_path):
    for weights in ("trials", "equal"):
        said, work = {}, tmp_path / weights

        def keep(site, message, reply, said=said):
            said[site] = (messages.to_weights(reply.content.array_records[messages.ARRAYS]),
                          reply.content.metric_records[messages.METRICS][messages.TRIALS])
            return reply

        federate(found, work, Federation(learning(rounds=1), Averaging(weights=weights)), keep)
        counts = np.array([n if weights == "trials" else 1 for _, n in said.values()], dtype=float)
        for name, value in weights_after(work).items():
            mean = np.tensordot(counts / counts.sum(),
                                np.stack([own[name] for own, _ in said.values()]), 1)
            assert np.allclose(value, mean, atol=1e-6)


def test_a_federation_of_one_is_training_without_interruption(found, tmp_path):
    """Rounds stop and go on: shared weights, own weights, moments, schedule, dropout."""
    alone = {"lab": found["lab"]}
    settings = learning(rounds=3)
    federate(alone, tmp_path / "rounds", Federation(settings, Averaging(min_sites=1)))
    site = Site("lab", found["lab"], str(tmp_path / "straight"))
    made = plans.build(site, settings)
    first = {name: torch.from_numpy(value) for name, value in plans.initial(settings).items()}
    made.model.load_state_dict({**made.model.state_dict(), **first})
    windows = made.data.windows["train"]
    config = settings.schedule(len(windows))
    accelerator = accelerator_for(config, tmp_path / "straight")
    train(made.model, made.source, windows, config, tmp_path / "straight", accelerator,
          say=lambda *_: None)
    straight = made.model.state_dict()
    again = torch_state(tmp_path / "rounds" / "lab" / "fold-0-seed-0")
    assert all(torch.equal(straight[name], again[name]) for name in straight)


def test_who_is_judged_has_no_part_in_anything(found, plain, tmp_path):
    """With other signals of the people held out, every weight and statistic stays the same."""
    changed = corpora(tmp_path / "sites")
    site = Site("clinic", changed["clinic"], str(tmp_path / "none"))
    data = fold_of(site, learning())
    held_out = set(data.corpus.subjects(data.windows["test"]))
    assert len(held_out) == 1
    corpus = Corpus.open(changed["clinic"])
    touched = []
    read = Corpus.signal

    def noise(self, window, *as_read):
        if self.folder == corpus.folder and self.subjects(np.array([window]))[0] in held_out:
            touched.append(window)
            return np.full_like(read(self, window, *as_read), 3.0)
        return read(self, window, *as_read)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Corpus, "signal", noise)
        federate(changed, tmp_path / "work", Federation(learning()))
    assert touched
    assert same(weights_after(plain[0]), weights_after(tmp_path / "work"))
    one, two = (torch_state(folder / "clinic" / "fold-0-seed-0")
                for folder in (plain[0], tmp_path / "work"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_server_that_is_killed_goes_on_after_its_last_round(found, plain, tmp_path):
    def stop(text):
        if str(text).startswith("round 1/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        federate(found, tmp_path, Federation(learning()), say=stop)
    told = []
    federate(found, tmp_path, Federation(learning()), say=told.append)
    assert told[0] == "continuing after round 1"
    assert same(weights_after(plain[0]), weights_after(tmp_path))


def test_a_site_that_is_killed_loses_nothing_of_its_own(found, plain, tmp_path):
    """The second round is asked for twice: after it was done, and after it was begun."""
    calls = []

    def die(site, message, reply):
        calls.append(site)
        if site == "lab" and calls.count("lab") == 2:
            raise KeyboardInterrupt  # after its own training, before the server has the answer
        return reply

    with pytest.raises(KeyboardInterrupt):
        federate(found, tmp_path, Federation(learning()), die)
    federate(found, tmp_path, Federation(learning()))
    assert same(weights_after(plain[0]), weights_after(tmp_path))


def changed(reply: Message, change) -> Message:
    weights = messages.to_weights(reply.content.array_records[messages.ARRAYS])
    reply.content[messages.ARRAYS] = messages.to_record(change(dict(weights)))
    return reply


def _nan(weights):
    weights["classifier.bias"] = weights["classifier.bias"] * np.nan
    return weights


def _shape(weights):
    weights["classifier.weight"] = weights["classifier.weight"][:, :-1]
    return weights


def _missing(weights):
    del weights["classifier.bias"]
    return weights


@pytest.mark.parametrize(("change", "words"), [
    (_nan, "2 of 2 are not finite"), (_shape, r"wanted [2, 1400], got [2, 1399]"),
    (_missing, "weights classifier.bias: missing"),
    (lambda weights: {name: 1000 * value for name, value in weights.items()},
     "more than 10 times the median"),
])
def test_nonsense_costs_its_site_the_round_and_nothing_else(found, tmp_path, change, words):
    def spoil(site, message, reply):
        return changed(reply, change) if site == "ward" else reply

    told = []
    metrics = federate(found, tmp_path, Federation(learning()), spoil, told.append)
    assert sorted(metrics) == sorted(found)
    for line in rounds.lines(tmp_path / "server"):
        assert line["sites"] == ["clinic", "lab"]
        assert line["rejected"][0][0] == "ward"
        assert words in line["rejected"][0][1]
    assert any(words in str(text) for text in told)
    assert all(np.isfinite(value).all() for value in weights_after(tmp_path).values())


def test_too_few_answers_fail_with_reasons_and_are_made_good_later(found, plain, tmp_path):
    def spoil(site, message, reply):
        number, _, _ = messages.asked(message)
        return changed(reply, _nan) if number == 2 and site != "lab" else reply

    with pytest.raises(FederationFailed, match=r"round 2: wanted 2 answers that count, got 1 of 3 "
                                               r"\(clinic: classifier.bias"):
        federate(found, tmp_path, Federation(learning()), spoil)
    federate(found, tmp_path, Federation(learning()))
    assert same(weights_after(plain[0]), weights_after(tmp_path))


def test_errors_of_a_site_stay_at_the_site(found, tmp_path, capsys):
    """Its log tells what was wrong; the server hears that something was."""
    wrong = {**found, "ward": str(tmp_path / "secret-patient-name")}
    told = []
    metrics = federate(wrong, tmp_path / "work", Federation(learning()), say=told.append)
    assert sorted(metrics) == ["clinic", "lab"]
    assert "secret-patient-name" in capsys.readouterr().err
    text = (tmp_path / "work" / "server" / "rounds.jsonl").read_text()
    assert "secret" not in text
    assert rounds.lines(tmp_path / "work" / "server")[0]["rejected"] == [
        ["ward", "ArtifactError; the site's log says why"]]


def test_messages_hold_numbers_and_no_names(found, tmp_path):
    """What leaves a site names the site, but no person, recording, file or folder."""
    sent = []

    def keep(site, message, reply):
        sent.append(reply)
        return reply

    federate(found, tmp_path, Federation(learning(rounds=1)), keep)
    for reply in sent:
        assert set(reply.content) == {messages.ARRAYS, messages.METRICS, messages.ABOUT}
        assert set(reply.content[messages.METRICS]) == {"num-examples", "one", "loss", "val_loss"}
        assert dict(reply.content[messages.ABOUT]) == {"site": reply.content["about"]["site"]}


def test_who_joins_late_takes_part_from_then_on(found, tmp_path):
    from neurofm.downstream.federated.client_app import client_app
    from neurofm.downstream.federated.in_process import InProcess

    class Late(InProcess):
        asked = 0

        def get_node_ids(self):
            nodes = list(super().get_node_ids())
            return nodes if self.asked else nodes[:2]

        def push_messages(self, messages):
            found = super().push_messages(messages)
            self.asked += 1
            return found

    grid = Late(client_app(sites(found, tmp_path)), 3)
    federation = Federation(learning(), Averaging(timeout_s=0.5))
    told = []
    metrics = rounds.run(grid, federation, tmp_path / "server", 3, told.append)
    assert [line["sites"] for line in rounds.lines(tmp_path / "server")] == [
        ["clinic", "lab"], ["clinic", "lab", "ward"]]
    assert sorted(metrics) == sorted(found)
    assert any("2 of 3 sites are there" in str(text) for text in told)
    state = tmp_path / "ward" / "fold-0-seed-0" / "state"
    steps = learning().steps_a_round(6 * 6)
    assert [path.name for path in state.glob("step-*")] == [f"step-{2 * steps:08d}"]


def test_a_slow_site_is_named_and_left_out(found, tmp_path):
    from neurofm.downstream.federated.client_app import client_app
    from neurofm.downstream.federated.in_process import InProcess

    class Slow(InProcess):
        """Node 3 answers the first round, and then no more in time."""

        asked = 0

        def push_messages(self, messages):
            self.asked += 1
            return super().push_messages(messages)

        def pull_messages(self, message_ids):
            return [one for one in super().pull_messages(message_ids)
                    if self.asked == 1 or one.metadata.src_node_id != 3]

    grid = Slow(client_app(sites(found, tmp_path)), 3)
    metrics = rounds.run(grid, Federation(learning(), Averaging(timeout_s=0.9)),
                         tmp_path / "server", 3, lambda *_: None)
    assert rounds.lines(tmp_path / "server")[1]["rejected"] == [
        ["ward", "no answer within 0.9 s"]]
    assert sorted(metrics) == ["clinic", "lab"]


def test_proximal_weights_stay_near(found, tmp_path):
    far = {}
    for mu in (0.0, 30.0):
        part = personal.take_part(Site("lab", found["lab"], str(tmp_path / str(mu))),
                                  learning(proximal=mu, passes=4), 1, plans.initial(learning()))
        far[mu] = sum(np.square(part.weights[name] - value).sum()
                      for name, value in plans.initial(learning()).items())
    assert far[30.0] < 0.5 * far[0.0]


def test_settings_travel_whole_and_strange_ones_are_refused():
    one = learning(proximal=0.1, architecture={"shared_blocks": 2})
    assert Learning.from_json(one.to_json()) == one
    fields = json.loads(one.to_json())
    with pytest.raises(ValueError, match="install the same version on both ends"):
        Learning.from_json(json.dumps({**fields, "newer": 1}))
    with pytest.raises(ValueError, match=r"train.steps is not asked for"):
        learning(train={"steps": 7})


def test_other_settings_do_not_mix_with_a_sites_state(found, tmp_path):
    site = Site("lab", found["lab"], str(tmp_path))
    first = learning(architecture={"shared_blocks": 2})
    personal.take_part(site, learning(), 1, plans.initial(learning()))
    with pytest.raises(ValueError, match="was begun with other settings"):
        personal.take_part(site, first, 1, plans.initial(first))
    with pytest.raises(ValueError, match="settings at both ends differ"):
        personal.take_part(Site("lab", found["lab"], str(tmp_path / "b")), learning(), 1,
                           plans.initial(first))


@pytest.mark.parametrize("changes", [{"track": ["wandb"]}, {"spikes": 10.0}, {"steps": 3}])
def test_bad_input_training_that_a_site_does_not_take(changes):
    """A server's settings never send a site's numbers to a tracker."""
    with pytest.raises(ValueError, match=rf"train\.{next(iter(changes))} is not"):
        Learning(train=TrainConfig(**changes))
