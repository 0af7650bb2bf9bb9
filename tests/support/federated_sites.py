"""Small sites for tests of federations: other electrodes, rates, lengths and people each."""

from collections.abc import Callable
from pathlib import Path

from flwr.app import Message

from neurofm.downstream.federated import rounds
from neurofm.downstream.federated.client_app import client_app
from neurofm.downstream.federated.in_process import InProcess
from neurofm.downstream.federated.learning import Learning
from neurofm.downstream.federated.rounds import Federation
from neurofm.downstream.federated.site import Site
from neurofm.downstream.protocol.windows import Protocol
from neurofm.training.loop import TrainConfig
from tests.support import planted

# name → electrodes, sampling rate (Hz), length of a trial (s)
SHAPES = {"clinic": (16, 128.0, 2.0), "lab": (9, 100.0, 1.5), "ward": (12, 160.0, 1.0),
          "home": (8, 64.0, 3.0), "field": (10, 80.0, 2.0)}


def corpora(folder: Path, n: int = 3, people: int = 5, n_windows: int = 12, effect: float = 0.9
            ) -> dict[str, str]:
    """Corpora of the first n sites."""
    found = {}
    for k, (name, (n_channels, sfreq, window_s)) in enumerate([*SHAPES.items()][:n]):
        contract = planted.CONTRACT.with_(sfreq=sfreq, window_s=window_s, lowpass_hz=28.0)
        planted.make_corpus(folder / name, effect=effect, n_windows=n_windows, seed=10 + k,
                            caps=(n_channels,), split=["train"] * people, contract=contract)
        found[name] = str(folder / name)
    return found


def sites(found: dict[str, str], work: Path) -> list[Site]:
    return [Site(name, folder, str(work / name)) for name, folder in found.items()]


def learning(**fields) -> Learning:
    """Few rounds, five folds."""
    train = fields.pop("train", {})
    return Learning(**{
        "classes": ["left", "right"], "rounds": 2, "protocol": Protocol(kind="kfold", folds=5),
        "train": TrainConfig(**{"lr": 3e-3, "batch_windows": 16, "warmup": 0.0, "final_lr": 0.1,
                                **train}),
        **fields})


def federate(
    found: dict[str, str], work: Path, federation: Federation,
    spoil: Callable[[str, Message, Message], Message] | None = None, say=lambda *_: None,
) -> dict:
    """Run a federation in this process → site → metrics. spoil: (site, message, reply) → reply, of
    training alone."""
    own = sites(found, work)
    app = client_app(own)

    def called(message: Message, context):
        reply = app(message, context)
        if spoil and message.metadata.message_type == "train":
            name = own[int(context.node_config["partition-id"])].name
            return spoil(name, message, reply)
        return reply

    return rounds.run(InProcess(called, len(own)), federation, work / "server", len(own), say)


def weights_after(work: Path):
    """Shared weights of the last round."""
    return rounds._resumed(work / "server")[1]
