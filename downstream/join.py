"""Take part in a federation as a site, with one app alone.

    neurofm federate join --name clinic --data /data/corpus --out /data/federation
        --server server.example.org:9092 --certificate ca.crt --key clinic --settings agreed.yaml

A process that waits for rounds of a server and trains on the recordings of this site. It runs the
code that is installed here and no other: a run of another app is refused, logged, and the site
stays. With --settings it also refuses a server that asks for other settings than were agreed, or
for weights without the agreed masks. Asked to stop (SIGTERM) it ends with status 0, in the middle
of a round with status 85; the same command goes on.
"""

import os
import signal
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

from neurofm.data.corpus import Corpus
from neurofm.limits import limited
from neurofm.lock import only_one
from neurofm.run import FAILED, OK, Command, Job

from .federated import agreed, node
from .federated.receiving import is_name


@dataclass
@limited
class JoinConfig:
    """Take part in a federation as a site.

    Parameters
    ----------
    name
        Name of the site, as the server and its page show it.
    data
        Corpus of labeled windows. Nothing of it leaves the site.
    out
        Folder of what stays at the site: personal weights, states, the finished decoder.
    server
        Host and port of the SuperLink, "server.example.org:9092".
    certificate
        File of the authority's certificate, by which the server is recognized.
    key
        File of the site's private key (OpenSSH's form), readable by its owner alone.
    settings
        YAML file of the settings that all sites have agreed on. Other requests are refused.
    model
        The site's own copy of the pretrained encoder; default: what the settings name.
    channels
        Channels that a FLEEG reads; default: all of its recordings.
    app
        SHA-256 of the one app that is run; default: that of this installation.
    """

    name: str
    data: str
    out: str
    server: str
    certificate: str
    key: str
    settings: str = ""
    model: str = ""
    channels: list[str] = field(default_factory=list)
    app: str = ""

    def __post_init__(self):
        if not is_name(self.name):
            raise ValueError(f"name: wanted up to 64 printable characters, got {self.name!r}")
        host, _, port = self.server.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"server: wanted HOST:PORT, got {self.server!r}")
        if self.app and (len(self.app) != 64 or set(self.app) - set("0123456789abcdef")):
            raise ValueError(f"app: wanted the 64 hexadecimal digits of a SHA-256, got "
                             f"{self.app!r}")


def join(run: JoinConfig, job: Job) -> int:
    """Serve rounds until asked to stop."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    corpus, key = Corpus.open(run.data), _key(Path(run.key).expanduser())
    certificate = Path(run.certificate).expanduser().read_bytes()
    if run.settings:
        agreed.read(run.settings)
    else:
        job.say("no --settings: the server decides which subjects train and whether weights are "
                "masked")
    if os.access(corpus.folder, os.W_OK):
        job.say(f"{run.data} can be written by this process; mount it read-only")
    app = run.app or node.own_app()
    about = {"name": run.name, "corpus": run.data, "work": run.out, "model": run.model,
             "channels": ",".join(run.channels), "agreed": run.settings}
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        with only_one(run.out, "federate join"):
            node.serve(run.server, certificate, key, about, app, job.say)
    except node.NotJoined as problem:
        sys.stderr.write(f"neurofm federate join: {problem}\n")
        return FAILED
    except _Asked:
        job.say("asked to stop; the same command goes on")
    finally:
        signal.signal(signal.SIGTERM, before)
    return OK


class _Asked(BaseException):
    """Of a signal while no round is trained."""


def _stop(*_: object) -> None:
    raise _Asked


def _key(path: Path):
    """A site's private key; ValueError where others may read it, or where it is of another kind."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError(f"{path}: others may read this private key: chmod 600 {path}")
    try:
        found = load_ssh_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: wanted a private key without passphrase, as `ssh-keygen -t "
                         f"ecdsa -b 384 -N '' -f {path.name}` makes it")
    return found


COMMAND = Command("federate join", JoinConfig, join)
main = COMMAND
