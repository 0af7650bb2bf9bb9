"""Replies that a site should not send cost that site the round, and nothing else.

NEUROFM_FUZZ sets the number of random ones (1000 where it is not set).
"""

import copy
import json
import os
import random

import numpy as np
import pandas as pd
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from neurofm import artifacts
from neurofm.downstream.federated import (
    messages,
    plans,
    receiving,
    rounds,
    screening,
    strategies,
)
from neurofm.downstream.federated.declared import Declared
from neurofm.downstream.federated.federated_page import verdicts
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.federated.secure import Secure
from neurofm.downstream.federated.secure_checks import Stages
from neurofm.downstream.federated.strategies import Averaging
from tests.support.bad_masked_replies import BAD as BAD_MASKED
from tests.support.bad_masked_replies import NONSENSE, UNMASK
from tests.support.bad_replies import BAD, error, forced, with_metrics, without
from tests.support.fake_sites import NAMES, TRIALS, WEIGHTS, Wire, app, mutated, settings

N_FUZZ = int(os.environ.get("NEUROFM_FUZZ", "1000"))
PATIENCE_S = 1.0


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(plans, "initial", lambda learning: dict(WEIGHTS))


def spoiled(change_of_round, site: str = "ward"):
    """Of `Wire`: from round 2 on `site` sends what change_of_round[number] makes of its reply."""
    kept = {}

    def spoil(name, message, reply):
        if message.metadata.message_type != "train":
            return reply
        number = int(message.content[messages.CONFIG][messages.ROUND])
        if name == "clinic":
            kept[number] = copy.deepcopy(reply)
        change = change_of_round.get(number)
        return change(message, reply, kept[number]) if name == site and change else reply

    return spoil


def run(folder, spoil, n_rounds, averaging=None, n=3, **fields):
    told = []
    federation = Federation(settings(rounds=n_rounds, **fields),
                            averaging or Averaging(timeout_s=PATIENCE_S))
    judged = rounds.run(Wire(n, spoil), federation, folder, n, told.append)
    return judged, rounds.lines(folder), [str(text) for text in told]


def test_every_bad_reply_costs_its_site_the_round_and_nothing_else(tmp_path):
    assert len(BAD) >= 40
    changes = dict(enumerate(BAD.values(), start=2))
    judged, lines, told = run(tmp_path, spoiled(changes), len(BAD) + 1)
    assert lines[0]["sites"] == ["clinic", "lab", "ward"]
    assert lines[0]["rejected"] == []
    for name, line in zip(BAD, lines[1:], strict=True):
        assert line["sites"] == ["clinic", "lab"], name
        assert [site for site, _ in line["rejected"]] == ["ward"], name
        reason = line["rejected"][0][1]
        assert 0 < len(reason) < 400, name
        assert reason.isprintable(), name
        assert f"round {line['round']}: ward does not count: {reason}" in told, name
    assert sorted(judged) == ["clinic", "lab", "ward"]
    weights = rounds._resumed(tmp_path)[1]
    assert all(np.abs(value).max() < 100 for value in weights.values())


def test_a_bad_reply_has_no_part_in_the_average(tmp_path):
    """As if the site had not answered at all."""
    changes = {2: BAD["10^18 trials"], 3: BAD["weights of another"]}
    run(tmp_path / "bad", spoiled(changes), 3)
    run(tmp_path / "none", spoiled(dict.fromkeys((2, 3), error(3, "gone"))), 3)
    one, other = (rounds._resumed(tmp_path / name)[1] for name in ("bad", "none"))
    assert all(np.array_equal(one[name], other[name]) for name in WEIGHTS)


class One:
    """A grid with one site, ward, whose reply is made when it is fetched."""

    def __init__(self, make):
        self.make = make

    def push_messages(self, asked):
        return [message.metadata.message_id for message in asked]

    def pull_messages(self, numbers):
        return [self.make()]


@pytest.fixture
def honest():
    """(what ward is asked, what it answers)."""
    content = RecordDict({
        messages.ARRAYS: messages.to_record(dict(WEIGHTS)), messages.CONFIG: ConfigRecord({
            messages.ROUND: 1, messages.LEARNING: settings().to_json()})})
    message = Message(content, 3, "train")
    message.metadata.__dict__.update(_run_id=1, _src_node_id=1, _message_id="m")
    context = Context(1, 3, {"partition-id": 2}, RecordDict(), {})
    return message, app()(copy.deepcopy(message), context)


def verdict(message, make, declared):
    """(update that counts or None, reason why not)."""
    answers = receiving.ask(One(make), [message], PATIENCE_S, {3: "ward"})
    good, rejected = screening.screen(answers, dict(WEIGHTS), 0.0, declared)
    assert len(good) + len(rejected) == 1
    if good:
        assert 0 < good[0].trials <= TRIALS
        assert all(np.isfinite(value).all() for value in good[0].weights.values())
        return good[0], ""
    assert rejected[0].site == "ward"
    assert 0 < len(rejected[0].reason) < 400
    assert rejected[0].reason.isprintable()
    return None, rejected[0].reason


@pytest.fixture
def declared(tmp_path):
    return Declared(tmp_path / "sites.json", dict.fromkeys(NAMES, TRIALS))


def test_random_bad_replies_that_flower_cannot_unpack(honest, declared):
    """Real packed messages, spoiled at random places: a verdict each, never an error."""
    message, reply = honest
    packed = {key: each.deflate() for key, each in get_all_nested_objects(reply).items()}
    number, draw, reasons = reply.object_id, random.Random(0), set()

    def spoiled_on_the_way():
        came, key = dict(packed), draw.choice([*packed])
        came[key] = mutated(came[key], draw)
        return inflate_object_from_contents(number, came)

    counted = 0
    for _ in range(N_FUZZ):
        update, reason = verdict(message, spoiled_on_the_way, declared)
        counted += update is not None
        reasons.add(reason[:12])
    assert counted < 0.5 * N_FUZZ  # a flipped bit of a weight or a loss leaves a reply as good
    assert len(reasons) > 5


VALUES = [0, -1, 10**18, 2**70, 0.5, float("nan"), float("inf"), "", "x" * 999, b"", b"\0" * 99,
          True, None, [], [1], [1.5, 2.5], ["a"], {}, "ward", "clinic"]


def of_random_records(reply, draw):
    """Other kinds and sizes in every place, those too that Flower itself would refuse."""
    for _ in range(draw.randint(1, 3)):
        record = reply.content.__dict__["_data"]
        name = draw.choice(sorted(record)) if record else "arrays"
        what = draw.randrange(5)
        if what == 0:
            record.pop(name, None)
        elif what == 1:
            record[draw.choice(("more", "arrays", "metrics", "about"))] = draw.choice(
                [*record.values()] or [None])
        elif len(record.get(name) or ()):
            inside = record[name].__dict__["_data"]
            key = draw.choice(sorted(inside, key=str))
            inside[draw.choice((key, key, "more", ""))] = draw.choice(VALUES)
            if what == 3:
                inside.pop(key, None)
    return reply


def test_random_bad_replies_of_other_records(honest, declared):
    message, reply = honest
    draw, counted = random.Random(1), 0
    for _ in range(N_FUZZ):
        update, _ = verdict(message, lambda: of_random_records(copy.deepcopy(reply), draw),
                            declared)
        counted += update is not None
    assert counted < 0.5 * N_FUZZ


def test_a_round_goes_on_whatever_bad_reply_comes(declared):
    """The others are averaged; who sent it is the one who does not count."""
    draw = random.Random(2)

    def cut(packed):
        key = draw.choice(sorted(packed))
        packed[key] = mutated(packed[key], draw)

    def spoil(site, message, reply):
        return of_random_records(reply, draw) if site == "ward" else reply

    federation = Federation(settings(), Averaging(timeout_s=PATIENCE_S))
    strategy = strategies.build(federation.averaging, 3)
    for number in range(1, 121):
        grid = Wire(3, cut=cut) if number % 2 else Wire(3, spoil)
        found = rounds._open(grid, federation, strategy, number, dict(WEIGHTS),
                             dict(enumerate(NAMES[:3], start=1)), declared)
        said = [one["site"] for one in found.answers]
        assert said[:2] == ["clinic", "lab"]
        assert [one.site for one in found.rejected] == (["ward"] if len(said) == 2 else [])
        assert all(np.isfinite(value).all() for value in found.weights.values())


def test_a_bad_reply_to_the_judgment(tmp_path):
    """Is said, and the others are judged."""
    bad = {
        "accuracy of 7": with_metrics(balanced_accuracy=7.0),
        "accuracy as a list": with_metrics(balanced_accuracy=[0.7]),
        "-1 subjects": with_metrics(subjects=-1.0),
        "infinite windows": with_metrics(windows=float("inf")),
        "no interval": without(messages.METRICS, "low"),
        "a metric more": with_metrics(names=1),
        "no about": without(messages.ABOUT),
        "no metrics": without(messages.METRICS),
        "an error": error(messages.FAILED, None),
    }
    for name, change in bad.items():
        def spoil(site, message, reply, change=change):
            judging = message.metadata.message_type == "evaluate"
            return change(message, reply, reply) if site == "ward" and judging else reply

        judged, _, told = run(tmp_path / name, spoil, 1)
        assert sorted(judged) == ["clinic", "lab"], name
        lost = json.loads((tmp_path / name / "judged.json").read_text())["lost"]
        assert [site for site, _ in lost] == ["ward"], name
        assert any(text.startswith("ward was not judged") for text in told), name


def as_lab(site, message, reply):
    if site == "ward":
        reply.content[messages.ABOUT] = forced(reply.content[messages.ABOUT], site="lab")
    return reply


def test_a_site_with_the_name_of_another_loses_alone_where_names_are_bound_to_nodes(tmp_path):
    how = Averaging(timeout_s=PATIENCE_S, nodes={"clinic": 1, "lab": 2, "ward": 3})
    judged, lines, told = run(tmp_path, as_lab, 2, how)
    for line in lines:
        assert line["sites"] == ["clinic", "lab"]
        assert line["rejected"] == [["ward", "calls itself lab, which it is not"]]
    assert "round 1: ward does not count: calls itself lab, which it is not" in told
    assert sorted(judged) == ["clinic", "lab"]
    with pytest.raises(ValueError, match=r"averaging\.nodes"):
        Averaging(nodes={"clinic": 7, "lab": 7})
    assert Averaging(nodes={"clinic": 2**64 - 1}).nodes


def test_two_that_claim_one_name_in_the_first_round(tmp_path):
    """None of them counts; whoever used a name before keeps it."""
    _, lines, _ = run(tmp_path, as_lab, 2, Averaging(timeout_s=PATIENCE_S, min_sites=1))
    for line in lines:
        assert line["sites"] == ["clinic"]
        assert sorted(site for site, _ in line["rejected"]) == ["node 2", "node 3"]
        assert "so does another site; averaging.nodes says which" in line["rejected"][0][1]


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def test_finished_rounds_are_verified_when_a_run_goes_on(tmp_path):
    """A damaged one is done again from the round before; of none that is whole it begins anew."""
    run(tmp_path / "whole", None, 4)
    run(tmp_path / "stopped", None, 2)  # a file has its own order of weights, in which sites draw
    run(tmp_path / "stopped", None, 4)

    def same(name: str) -> bool:  # but for the order in which Flower adds the sites up
        found, wanted = (rounds._resumed(tmp_path / each)[1] for each in ("cut", name))
        return all(np.allclose(found[each], wanted[each], atol=1e-6) for each in wanted)

    run(tmp_path / "cut", None, 3)
    _flip(tmp_path / "cut" / "round-00003.safetensors")
    _, lines, told = run(tmp_path / "cut", None, 4)
    assert "round-00003.safetensors: is damaged" in told[0]
    assert told[1] == "continuing after round 2"
    assert [line["round"] for line in lines] == [1, 2, 3, 4]
    assert same("stopped")
    for path in (tmp_path / "cut").glob("round-*.safetensors"):
        _flip(path)
    _, lines, told = run(tmp_path / "cut", None, 4)
    assert told[2] == "no whole round is left: starting from the first"
    assert same("whole")
    (tmp_path / "cut" / "rounds.jsonl").write_text('{"round": 1}\n{"rou')
    with pytest.raises(artifacts.ArtifactError, match=r"rounds\.jsonl: is damaged; delete"):
        run(tmp_path / "cut", None, 5)


@pytest.mark.parametrize(("trials", "largest", "expected"), [
    ([10, 20, 30], 0.5, [10, 20, 30]),
    ([10, 20, 10**18], 0.5, [10, 20, 30]),
    ([10, 10**18], 0.5, [10, 10]),
    ([5, 10, 500, 10**18], 0.3, [5, 10, 11.25, 11.25]),
    ([5, 10, 500, 10**18], 0.1, [5, 5, 5, 5]),
    ([5, 10**9], 1.0, [5, 10**9]),
    ([7], 0.5, [7]),
])
def test_no_site_has_more_than_the_largest_share(trials, largest, expected):
    found = screening.counted(trials, largest)
    shares = np.array(found) / sum(found)
    assert np.allclose(shares, np.array(expected) / sum(expected))
    assert shares.max() <= max(largest, 1 / len(trials)) + 1e-9


def test_many_trials_in_the_first_round_do_not_make_the_average_ones_own(tmp_path):
    """Nothing is declared yet: the share bounds it. Later no larger number is believed."""
    changes = {number: with_metrics(num_examples=10**9) for number in (1, 2)}
    changes[3] = with_metrics(num_examples=10**9 - 1)
    sent = {}

    def spoil(site, message, reply):
        if message.metadata.message_type == "train":
            number = int(message.content[messages.CONFIG][messages.ROUND])
            reply = changes[number](message, reply, reply) if site == "ward" else reply
            sent.setdefault(number, {})[site] = messages.to_weights(
                reply.content[messages.ARRAYS])
        return reply

    _, lines, told = run(tmp_path, spoil, 3)
    assert lines[0]["trials"] == [36, 36, 10**9]
    assert lines[0]["counted"] == [36, 36, 72]
    assert any("ward counts for 72 of its 1000000000 trials" in text for text in told)
    assert json.loads((tmp_path / "sites.json").read_text()) == {
        "clinic": 36, "lab": 36, "ward": 10**9}
    expected = {name: 0.25 * sent[3]["clinic"][name] + 0.25 * sent[3]["lab"][name]
                + 0.5 * sent[3]["ward"][name] for name in WEIGHTS}
    got = rounds._resumed(tmp_path)[1]
    assert all(np.allclose(got[name], expected[name], atol=1e-6) for name in WEIGHTS)


def test_what_sites_declared_is_kept_and_others_are_not_among_them(tmp_path):
    agreed = Averaging(timeout_s=PATIENCE_S, declared={"clinic": 36, "lab": 40})
    _, lines, _ = run(tmp_path, None, 1, agreed)
    assert lines[0]["sites"] == ["clinic", "lab"]
    assert lines[0]["rejected"] == [["ward", "is not among the sites of averaging.declared"]]
    assert not (tmp_path / "sites.json").exists()
    more = Averaging(timeout_s=PATIENCE_S, declared=dict.fromkeys(NAMES[:3], 35))
    with pytest.raises(rounds.FederationFailed, match="36 trials, and has declared 35"):
        run(tmp_path / "more", None, 1, more)
    with pytest.raises(ValueError, match="largest_share"):
        Averaging(largest_share=0.0)
    with pytest.raises(ValueError, match=r"averaging\.declared"):
        Averaging(declared={"lab": 0})


def test_the_page_has_a_verdict_of_each_site():
    table = pd.DataFrame([
        {"sites": '["clinic", "lab"]', "counted": "[36, 12]", "rejected": '[["ward", "late"]]'},
        {"sites": '["clinic", "lab"]', "counted": "[36, 36]", "rejected": '[["ward", "late"]]'},
        {"sites": '["clinic", "ward"]', "counted": "null", "rejected": '[["lab", "<b>"]]'}])
    found = verdicts(table).set_index("site")
    assert found["rounds that counted"].to_dict() == {"clinic": 3, "lab": 2, "ward": 1}
    assert found.loc["ward", "why"] == "2 × late"
    assert found.loc["clinic", "why"] == "every answer counted"
    assert found.loc["lab", "mean share"] == "0.38"


def masked_run(folder, bad: dict, n_rounds: int):
    """A federation of four under secure aggregation; ward sends bad[round] = (stage, change)."""
    kept = {}

    def spoil(site, message, reply):
        if message.metadata.message_type != "train" or reply.has_error():
            return reply
        record = reply.content[RECORD_KEY_CONFIGS]
        if site == "clinic":
            kept["record"] = copy.deepcopy(record)
        stage, change = bad.get(int(message.metadata.group_id), ("", None))
        if site == "ward" and stage in record:
            change(reply, record, kept["record"])
        return reply

    told = []
    federation = Federation(settings(rounds=n_rounds), Averaging(timeout_s=PATIENCE_S),
                            secure=Secure(on=True, largest_trials=100, threshold=0.5))
    judged = rounds.run(Wire(4, spoil), federation, folder, 4, told.append)
    return judged, rounds.lines(folder), told


def test_a_bad_reply_to_a_masked_round_costs_its_site_the_round(tmp_path):
    """What can be seen of it, in any of the four stages; the mean is of those who are left."""
    bad = dict(enumerate(BAD_MASKED.values(), start=1))
    judged, lines, _ = masked_run(tmp_path, bad, len(bad) + 1)
    assert len(judged) == 4
    for (name, (stage, _)), line in zip(BAD_MASKED.items(), lines, strict=False):
        assert {site for site, _ in line["rejected"]} == {"ward"}, name
        left = ["clinic", "home", "lab"] + ["ward"] * (stage == UNMASK)
        assert sorted(line["sites"]) == left, name  # its weights were there before its shares
        assert line["rejected"][0][1].isprintable(), name
    assert lines[-1]["rejected"] == []
    moved = {number: [np.random.default_rng([site, number]).normal(0, 0.1, (2, 5))
                      for site in range(4)] for number in range(1, len(lines) + 1)}
    expected = sum(np.mean([one for site, one in enumerate(moved[number]) if site != 2
                            or len(line["sites"]) == 4], axis=0)
                   for number, line in enumerate(lines, start=1))
    assert np.allclose(rounds._resumed(tmp_path)[1]["a.weight"], expected, atol=1e-3)


@pytest.mark.parametrize("name", NONSENSE)
def test_a_bad_reply_behind_a_mask_is_noticed(tmp_path, name):
    """It has the right form; whose it was cannot be told. Nothing of the round is kept."""
    with pytest.raises(rounds.FederationFailed, match=r"round 2: .*the sites together: no sum"):
        masked_run(tmp_path, {2: NONSENSE[name]}, 3)
    assert len(rounds.lines(tmp_path)) == 1
    _, lines, _ = masked_run(tmp_path, {}, 3)
    assert [line["round"] for line in lines] == [1, 2, 3]


def test_random_bad_replies_to_masked_rounds_never_end_in_an_error(tmp_path):
    draw = random.Random(2)
    values = [0, -1, 2**60, 0.5, "", "x" * 99, b"", b"\0" * 99, True, None, [], [1], [b"a"], {}]

    def spoil(site, message, reply):
        if site == "ward" and reply.has_content() and draw.random() < 0.5:
            record = reply.content[draw.choice(sorted(reply.content))].__dict__["_data"]
            record[draw.choice([*record, "more"])] = draw.choice(values)
        return reply

    federation = Federation(settings(), Averaging(timeout_s=PATIENCE_S),
                            secure=Secure(on=True, largest_trials=100, threshold=0.5))
    n_lost = 0
    for number in range(1, max(10, N_FUZZ // 500) + 1):
        found = rounds._masked(
            Wire(4, spoil), federation, None, number, dict(WEIGHTS),
            dict(enumerate(NAMES, start=1)), Declared(tmp_path / "sites.json", {}))
        n_lost += len(found.answers) < 4
        assert {one.site for one in found.rejected} <= {"ward", "the sites together"}
        assert {"clinic", "lab", "home"} <= {one["site"] for one in found.answers}
        assert all(np.abs(value).max() < 10 for value in found.weights.values())
    assert n_lost


@pytest.mark.parametrize("trials", [float("inf"), float("nan"), -3, 10**18, 0.5])
def test_a_bad_reply_about_trials_where_all_sites_count_alike(tmp_path, trials):
    """It weighs nothing, and is not believed either."""
    declared = Declared(tmp_path / "sites.json", {"ward": 36})
    stages = Stages(None, [], {}, declared, 2**32, 1, True)
    told = {"site": "ward", messages.EQUAL: 1, "loss": 0.1, "val_loss": 0.1}
    success = {"code": 0, "message": ""}
    stages._said("ward", [], {"num_examples": 1}, {**told, messages.TRIALS: 36}, success)
    with pytest.raises(ValueError, match="trials"):
        stages._said("ward", [], {"num_examples": 1}, {**told, messages.TRIALS: trials}, success)
