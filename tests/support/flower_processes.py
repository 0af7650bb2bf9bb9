"""A federation on loopback: one SuperLink and some sites, each a process of its own.

Sites (`neurofm federate join`) and command line talk TLS with the SuperLink, and sites authenticate
by key. Nothing is written outside the deployment's folder.
"""

import contextlib
import datetime
import ipaddress
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec

BIN = Path(sys.executable).parent
SUPERLINK = "superlink"  # its name among the processes, and in FLWR_HOME/config.toml
REFUSED = "is not let in"  # what a site says when its number is still in use
PATIENCE_S = 120  # for a process to start and for a command to end; most take 1 to 3 s


class Deployment:
    """`nodes` maps each site's name to options of `neurofm federate join`, to which its name, key
    and server are added."""

    def __init__(self, folder: Path, nodes: dict[str, dict[str, str]]) -> None:
        self.folder = folder.resolve()
        self.nodes = nodes
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        names = ["serverappio", "fleet", "control"]
        with contextlib.ExitStack() as stack:  # different ports that nothing listens on now
            servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
            ports = [server.getsockname()[1] for server in servers]
        self.address = {n: f"127.0.0.1:{port}" for n, port in zip(names, ports, strict=True)}

    def __enter__(self) -> "Deployment":
        for name in ("cli", SUPERLINK, *self.nodes):
            (self.folder / "home" / name).mkdir(parents=True)
        write_certificates(self.folder)
        (self.folder / "home" / "cli" / "config.toml").write_text(
            f'[superlink.{SUPERLINK}]\naddress = "{self.address["control"]}"\n'
            f'root-certificates = "{self.folder / "ca.crt"}"\n'
        )
        try:
            self.start(SUPERLINK)
            for name in self.nodes:
                write_node_keys(self.folder, name)
                self.flwr("supernode", "register", str(self.folder / f"{name}.pub"), SUPERLINK)
                self.start(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.kill(name)

    def start(self, name: str) -> None:
        """Start a site or "superlink", also after a kill, and wait until it is connected.

        A killed site is refused until its last heartbeat is 60 s ago: it is started again and
        again.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self._start_once(name, deadline):
            self.kill(name)
            if REFUSED not in self.log(name) or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{self.log(name)}")
            time.sleep(5)

    def kill(self, name: str) -> None:
        """Kill a site or "superlink" and its descendants: none can say goodbye."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):  # all had ended by themselves
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, app_dir: Path, run_config: dict[str, str | int]) -> int:
        """Submit the app and return its run's id."""
        config = ("--run-config", key_values(run_config))
        answer = json.loads(self.flwr("run", str(app_dir), SUPERLINK, *config, "--format", "json"))
        if not answer["success"]:  # and yet flwr exits with 0
            raise RuntimeError(answer)
        return int(answer["run-id"])

    def wait(self, run: int, timeout_s: float) -> str:
        """Wait for the run's end and return "finished:completed", ":failed" or ":stopped"."""
        try:
            self.flwr("log", str(run), SUPERLINK, timeout_s=timeout_s)  # follows it to the end
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"run {run} after {timeout_s} s:\n{self.run_log(run)}") from None
        out = self.flwr("list", SUPERLINK, "--run-id", str(run), "--format", "json")
        return json.loads(out)["runs"][0]["status"]

    def run_log(self, run: int) -> str:
        """What the run's ServerApp has printed, logged and raised; no other log has it."""
        return self.flwr("log", str(run), SUPERLINK, "--show")

    def log(self, name: str) -> str:
        """What "superlink", or a site, has printed, logged and raised."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def flwr(self, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
        """Run Flower's command line and return what it wrote to stdout."""
        command, env = [BIN / "flwr", *arguments], self._environment("cli")
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout_s)
        if done.returncode:
            raise RuntimeError(f"flwr {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def _environment(self, name: str) -> dict[str, str]:
        return os.environ | {
            "FLWR_HOME": str(self.folder / "home" / name),
            "FLWR_TELEMETRY_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # where Flower finds its own programs
            "PYTHONUNBUFFERED": "1",
        }

    def _command(self, name: str) -> list[str]:
        address = self.address
        if name == SUPERLINK:
            return f"""flower-superlink --enable-supernode-auth --database superlink.db
                --ssl-ca-certfile ca.crt --ssl-certfile server.crt --ssl-keyfile server.key
                --serverappio-api-address {address["serverappio"]}
                --fleet-api-address {address["fleet"]}
                --control-api-address {address["control"]}""".split()
        options = {"name": name, "server": address["fleet"], "certificate": "ca.crt",
                   "key": f"{name}.key", **self.nodes[name]}
        return [sys.executable, "-m", "neurofm.cli", "federate", "join",
                *(f"--{key}={value}" for key, value in options.items())]

    def _start_once(self, name: str, deadline: float) -> bool:
        """Whether it was connected before it was refused, exited or was too late."""
        command, env = self._command(name), self._environment(name)
        with (self.folder / f"{name}.log").open("ab") as log:
            before = len(self.log(name))
            process = self.processes[name] = subprocess.Popen(  # with its own process group
                command, env=env, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        while process.poll() is None and time.monotonic() < deadline:
            new = self.log(name)[before:]
            if "joined as node" in new or ("Starting Fleet API" in new and self._has_tables()):
                return True
            time.sleep(0.2)
        return False

    def _has_tables(self) -> bool:
        """Whether the SuperLink is done making its database: a request before that breaks it."""
        uri = f"file:{self.folder / 'superlink.db'}?mode=ro"
        absent = contextlib.suppress(sqlite3.OperationalError)
        with absent, contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            return database.execute("SELECT * FROM alembic_version").fetchone() is not None
        return False


def key_values(config: Mapping[str, str | int]) -> str:
    """What --run-config takes: TOML key="value" pairs with spaces between."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())


def write_certificates(folder: Path) -> None:
    """ca.crt, and server.crt with server.key for localhost and 127.0.0.1, valid for a day."""
    files = ("ca", "server")
    keys = [write_key(folder / f"{file}.key", form.PrivateFormat.PKCS8) for file in files]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, file)]) for file in files]
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    extensions = [x509.BasicConstraints(True, None), x509.SubjectAlternativeName(hosts)]
    now = datetime.datetime.now(datetime.UTC)
    for file, name, key, extension in zip(files, names, keys, extensions, strict=True):
        certificate = (
            x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=True)
            .sign(keys[0], hashes.SHA256())
        )
        (folder / f"{file}.crt").write_bytes(certificate.public_bytes(form.Encoding.PEM))


def write_node_keys(folder: Path, name: str) -> None:
    """NAME.key and NAME.pub, as `ssh-keygen -t ecdsa -b 384` writes them."""
    public = write_key(folder / f"{name}.key", form.PrivateFormat.OpenSSH).public_key()
    text = public.public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    (folder / f"{name}.pub").write_bytes(text)


def write_key(path: Path, private: form.PrivateFormat) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(key.private_bytes(form.Encoding.PEM, private, form.NoEncryption()))
    path.chmod(0o600)  # as ssh-keygen makes it
    return key
