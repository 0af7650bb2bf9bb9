"""`neurofm federate join`: one app, the agreed settings, a key of one's own; whatever comes."""

import re
from types import SimpleNamespace

import pytest
import yaml
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.common.constant import ErrorCode
from flwr.common.differential_privacy_constants import KEY_CLIPPING_NORM
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.typing import RunNotRunningException
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree

from neurofm import cli, config
from neurofm.downstream.federated import messages, node
from neurofm.downstream.federated.client_app import client_app
from neurofm.downstream.federated.privacy import Privacy
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.federated.secure import Secure
from neurofm.downstream.federated.site import Site
from neurofm.downstream.federated.strategies import Averaging
from neurofm.downstream.join import JoinConfig
from tests.support import planted
from tests.support.fake_sites import WEIGHTS, settings
from tests.support.flower_processes import write_node_keys

PLAIN = Federation(settings())


def request(learning, kind: str = "train", stage: dict | None = None, **more) -> Message:
    """As the server sends it."""
    content = {messages.ARRAYS: messages.to_record(WEIGHTS), messages.CONFIG: ConfigRecord({
        messages.ROUND: 1, messages.LEARNING: learning.to_json(), **more})}
    if stage is not None:
        content[RECORD_KEY_CONFIGS] = ConfigRecord(stage)
    message = Message(RecordDict(content), 1, kind)
    message.metadata.__dict__.update(_run_id=1, _src_node_id=1, _message_id="m")
    return message


def answered(tmp_path, agreed: Federation, message: Message, capsys) -> str:
    """What a site that has agreed to this says in its own log; it has no corpus."""
    path = tmp_path / "agreed.yaml"
    path.write_text(yaml.safe_dump(config.resolved(agreed)))
    site = Site("clinic", str(tmp_path / "none"), str(tmp_path / "work"), agreed=str(path))
    context = Context(1, 1, {"partition-id": 0}, RecordDict(), {})
    reply = client_app([site])(message, context)
    assert reply.error.code == messages.FAILED
    assert not (tmp_path / "work").exists()
    assert "none" not in reply.error.reason
    return capsys.readouterr().err


SETUP = {Key.STAGE: Stage.SETUP, Key.SAMPLE_NUMBER: 2, Key.SHARE_NUMBER: 2, Key.THRESHOLD: 2,
         Key.CLIPPING_RANGE: 8.0, Key.TARGET_RANGE: 2**22, Key.MOD_RANGE: 2**32,
         Key.MAX_WEIGHT: 100.0}
MASKED = Federation(settings(), secure=Secure(on=True))
CLIPPED = Federation(settings(), Averaging(weights="equal"), Privacy("client", clip=0.5))


@pytest.mark.parametrize(("agreed", "message", "words"), [
    (PLAIN, request(settings(only={"subject": "07"})), "they differ in learning.only"),
    (PLAIN, request(settings(rounds=9, fold=3)), "learning.fold, learning.rounds"),
    (PLAIN, request(settings(passes=5), "evaluate"), "learning.passes"),
    (MASKED, request(settings()), "weights that are not masked"),
    (MASKED, request(settings(), stage=SETUP), "the server masks with 2 sites"),
    (MASKED, request(settings(), stage=SETUP | {Key.SAMPLE_NUMBER: 9, Key.SHARE_NUMBER: 9}),
     "of which 2 must stay; 3 and 5 were agreed"),
    (CLIPPED, request(settings()), "clipped to None"),
    (CLIPPED, request(settings(), **{KEY_CLIPPING_NORM: 100.0}), "clipped to 100.0"),
], ids=["one subject", "another fold", "another judgment", "no masks", "masks of two",
        "a low threshold", "not clipped", "clipped less"])
def test_what_was_not_agreed_is_refused_before_anything_is_done(
        agreed, message, words, tmp_path, capsys):
    said = answered(tmp_path, agreed, message, capsys)
    assert words in said


@pytest.mark.parametrize(("agreed", "message"), [
    (PLAIN, request(settings(fingerprint="of the server"))),
    (MASKED, request(settings(), "evaluate")),
    (CLIPPED, request(settings(), **{KEY_CLIPPING_NORM: 0.5})),
])
def test_what_was_agreed_gets_as_far_as_the_corpus(agreed, message, tmp_path, capsys):
    assert "wanted a finished corpus" in answered(tmp_path, agreed, message, capsys)


class Link:
    """The connection to a SuperLink that has one message, of a run of `app`."""

    def __init__(self, message: Message, app: str):
        message.metadata.__dict__["_message_id"] = message.object_id
        self.message, self.app = message, app
        self.objects = {key: each.deflate()
                        for key, each in get_all_nested_objects(message).items()}
        self.tree = get_object_tree(message)
        self.pulled: list[str] = []
        self.confirmed: list[str] = []
        self.sent: list[Message] = []
        self.waiting = True

    def __iter__(self):
        return iter((7, self.receive, self.send, self.get_run, None, self.pull,
                     lambda run, number, content: None,
                     lambda run, number: self.confirmed.append(number)))

    def receive(self):
        if not self.waiting:
            raise KeyboardInterrupt
        self.waiting = False
        bare = Message(metadata=self.message.metadata, content=RecordDict())
        return bare, self.tree

    def get_run(self, number):
        return SimpleNamespace(fab_hash=self.app, fab_id="somebody/\x1b[2Jsurvey",
                               fab_version="1.0")

    def pull(self, run, number):
        self.pulled.append(number)
        return self.objects[number]

    def send(self, reply, tree, took_s):
        self.sent.append(reply)
        return set()


def served(link: Link, tmp_path) -> list[str]:
    told: list[str] = []
    about = {"name": "clinic", "corpus": str(tmp_path / "none"), "work": str(tmp_path / "work")}
    with pytest.raises(KeyboardInterrupt):  # until there is nothing more, and no sooner
        node._Node(tuple(link), about, node.own_app(), told.append).go_on()
    return told


def test_another_app_is_refused_unread_and_the_site_goes_on(tmp_path):
    link = Link(request(settings()), "f" * 64)
    told = served(link, tmp_path)
    assert link.sent[0].error.code == ErrorCode.INVALID_FAB
    assert not link.pulled
    assert told[1].startswith("REFUSED: run 1 is of app somebody/ [2Jsurvey 1.0 (ffff")
    assert "\x1b" not in told[1]


def test_our_app_is_answered_and_a_bad_message_of_it_too(tmp_path, capsys):
    link = Link(request(settings()), node.own_app())
    served(link, tmp_path)
    assert link.sent[0].error.code == messages.FAILED  # it has no corpus
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert set(link.pulled) == set(link.objects)
    for spoil in (lambda data: data[:-3], lambda data: b"", lambda data: b"Evil 0 3\x00abc"):
        link = Link(request(settings()), node.own_app())
        link.objects = {key: spoil(data) for key, data in link.objects.items()}
        served(link, tmp_path)
        assert link.sent[0].error.code == messages.FAILED


def test_a_run_that_has_ended_is_ignored(tmp_path):
    link = Link(request(settings()), node.own_app())

    def ended(number):
        raise RunNotRunningException

    link.get_run = ended
    assert "has ended; ignored" in served(link, tmp_path)[1]
    assert not link.sent


def test_the_pinned_app_is_the_one_that_is_submitted(repo):
    from hashlib import sha256

    fab = build_fab_from_disk(repo / "downstream" / "federated" / "flower-app")
    assert node.own_app() == sha256(fab).hexdigest()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, a certificate, and a pair of keys."""
    folder = tmp_path_factory.mktemp("place")
    planted.make_corpus(folder / "corpus", split=["train"] * 2, n_windows=4)
    (folder / "ca.crt").write_text("none")
    write_node_keys(folder, "clinic")
    return folder


def words(place, **changed) -> list[str]:
    options = {"name": "clinic", "data": place / "corpus", "out": place / "work",
               "server": "127.0.0.1:9", "certificate": place / "ca.crt",
               "key": place / "clinic.key", **changed}
    return ["federate", "join", *(f"--{key}={value}" for key, value in options.items())]


@pytest.mark.parametrize(("changed", "said"), [
    ({"data": "nowhere"}, "nowhere"),
    ({"certificate": "nowhere.crt"}, "nowhere.crt"),
    ({"key": "nowhere.key"}, "nowhere.key"),
    ({"key": "{place}/ca.key"}, "ssh-keygen"),
    ({"key": "{place}/open.key"}, "chmod 600"),
    ({"settings": "{place}/bad.yaml"}, "rounds"),
])
def test_what_is_wrong_at_a_site_is_said_before_it_connects(place, changed, said, capsys):
    (place / "ca.key").write_text("no key")
    (place / "ca.key").chmod(0o600)
    (place / "open.key").write_bytes((place / "clinic.key").read_bytes())
    (place / "open.key").chmod(0o644)
    (place / "bad.yaml").write_text("learning: {rouns: 3}\n")
    changed = {key: value.format(place=place) for key, value in changed.items()}
    assert cli.main(words(place, **changed)) == 1
    assert said in capsys.readouterr().err
    assert not (place / "work").exists()


@pytest.mark.parametrize("changed", [
    {"name": ""}, {"name": "a\nb"}, {"name": "x" * 65}, {"server": "example.org"},
    {"server": ":9092"}, {"server": "example.org:port"}, {"app": "abc"}, {"app": "g" * 64}])
def test_options_that_cannot_be(changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        JoinConfig(**{**{"name": "a", "data": "b", "out": "c", "server": "d:1", "certificate": "e",
                         "key": "f"}, **changed})


def test_help_names_the_process_and_its_options(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["help", "federate", "join"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "neurofm federate join" in said
    assert "--certificate" in said


def test_the_recipes_of_a_site_are_as_the_guide_says(repo):
    folder = repo / "docker" / "site"
    made = yaml.safe_load((folder / "compose.yaml").read_text())
    site = made["services"]["site"]
    assert site["networks"] == ["inside"]
    assert made["networks"]["inside"] == {"internal": True}
    assert site["read_only"]
    assert site["cap_drop"] == ["ALL"]
    models = site["volumes"].pop()  # a folder where MODELS names one, else an empty volume
    assert models == "${MODELS:-models}:/models:ro"
    assert "models" in made["volumes"]
    assert {each["target"]: each.get("read_only", False) for each in site["volumes"]} == {
        "/data": True, "/work": False, "/keys": True}
    options = dict(zip(site["command"][2::2], site["command"][3::2], strict=True))
    assert options["--data"] == "/data"
    assert options["--out"] == "/work"
    mounts = ("/data", "/work", "/keys", "/models")
    assert all(value.startswith(mounts) for value in options.values() if value.startswith("/"))
    guide = (repo / "configs" / "federated" / "README.md").read_text()
    encoder = re.search(r"^  model: (\S+)", guide, re.MULTILINE)[1]
    assert encoder.startswith("/models/")
    assert f"--model {encoder}" in guide
    head = (folder / "compose.yaml").read_text().split("services:")[0]
    assert f"MODELS={encoder.rpartition('/')[0]}" in head
    corpus = re.search(r"DATA=(\S+)", head)[1]
    assert f"--data {corpus} " in guide
    work = re.search(r"WORK=(\S+)", head)[1]
    assert f"--out {work} " in guide
    assert f"--model {work}/fold-0-seed-0/checkpoint" in guide
    for service in made["services"].values():  # Compose refuses to start these otherwise
        assert not (service["read_only"] and "configs" in service)
    door = next(iter(made["services"]["door"]["volumes"]))
    assert 'server superlink "${SERVER_IP}:9092"' in (folder / door["source"]).read_text()
    unit = (folder / "neurofm-site.service").read_text().splitlines()
    for line in ("User=neurofm-site", "IPAddressDeny=any", "ReadOnlyPaths=/data/corpus",
                 "ProtectSystem=strict", "NoNewPrivileges=true", "Restart=always",
                 "SuccessExitStatus=85"):
        assert line in unit


