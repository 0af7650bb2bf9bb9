"""A Flower deployment on loopback: one SuperLink and some SuperNodes, each a process of its own.

SuperNodes and command line talk TLS with the SuperLink, and SuperNodes authenticate by key.
Nothing is written outside the deployment's folder.
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
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

BIN = Path(sys.executable).parent
SUPERLINK = "superlink"  # its name among the processes, and in FLWR_HOME/config.toml
PATIENCE_S = 120  # for a process to start and for a command to end; most take 1 to 3 s
RESTART_S = 5


class Deployment:
    """Runs inside `with Deployment(folder, {"a": {"corpus": "x"}}) as deployment:`.

    `nodes` maps a SuperNode's name to its node config, to which "name" is added.
    `env` is added to every process's environment.
    """

    def __init__(
        self, folder: Path, nodes: dict[str, dict[str, str]], env: dict[str, str] | None = None
    ) -> None:
        self.folder = folder.resolve()
        self.nodes = {name: {"name": name, **config} for name, config in nodes.items()}
        self.env = env or {}
        self.address = free_addresses(["serverappio", "fleet", "control", *nodes])
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

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
        """Start a SuperNode or "superlink" and wait until it is connected.

        A killed SuperNode is refused while the SuperLink believes it online, 60 s from its last
        heartbeat on, and exits: it is started again and again, as a service manager would do.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self._start_once(name, deadline):
            self.kill(name)
            if "could not be activated" not in self.log(name) or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:\n{self.log(name)}")
            time.sleep(RESTART_S)

    def kill(self, name: str) -> None:
        """Kill a SuperNode or "superlink" and its descendants: none can say goodbye."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):  # all had ended by themselves
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def run(self, app_dir: Path, run_config: dict[str, str | int | float | bool]) -> int:
        """Submit the app and return its run's id."""
        config = ("--run-config", key_values(run_config)) if run_config else ()
        out = self.flwr("run", str(app_dir), SUPERLINK, *config, "--format", "json")
        return int(json.loads(out)["run-id"])

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
        """What "superlink", or a SuperNode with its ClientApps, has printed, logged and raised."""
        return (self.folder / f"{name}.log").read_text()

    def flwr(self, *arguments: str, timeout_s: float = PATIENCE_S) -> str:
        """Run Flower's command line and return what it wrote to stdout."""
        done = subprocess.run(
            [BIN / "flwr", *arguments],
            env=self._environment("cli"),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if done.returncode:
            raise RuntimeError(f"flwr {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def _environment(self, name: str) -> dict[str, str]:
        flower = {
            "FLWR_HOME": str(self.folder / "home" / name),
            "FLWR_TELEMETRY_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # where Flower finds its own programs
            "PYTHONUNBUFFERED": "1",
        }
        return os.environ | flower | self.env

    def _superlink(self) -> list[str]:
        command = f"""flower-superlink --enable-supernode-auth --database superlink.db
            --ssl-ca-certfile ca.crt --ssl-certfile server.crt --ssl-keyfile server.key
            --serverappio-api-address {self.address["serverappio"]}
            --fleet-api-address {self.address["fleet"]}
            --control-api-address {self.address["control"]}"""
        return command.split()

    def _supernode(self, name: str) -> list[str]:
        command = f"""flower-supernode --superlink {self.address["fleet"]}
            --root-certificates ca.crt --auth-supernode-private-key {name}.key
            --clientappio-api-address {self.address[name]} --node-config"""
        return [*command.split(), key_values(self.nodes[name])]

    def _start_once(self, name: str, deadline: float) -> bool:
        """Whether the process was connected before it exited and before the deadline."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = self.processes[name] = subprocess.Popen(
                self._supernode(name) if name in self.nodes else self._superlink(),
                env=self._environment(name),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        before = len(self.log(name))
        while process.poll() is None and time.monotonic() < deadline:
            if name == SUPERLINK:
                up = has_tables(self.folder / "superlink.db") and is_open(self.address["fleet"])
            else:
                up = "SuperNode ID:" in self.log(name)[before:]
            if up:
                return True
            time.sleep(0.2)
        return False


def key_values(config: dict[str, str | int | float | bool] | dict[str, str]) -> str:
    """What --run-config and --node-config take: TOML key="value" pairs with spaces between."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in config.items())


def free_addresses(names: list[str]) -> dict[str, str]:
    """Addresses of 127.0.0.1 with different ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        return {n: f"127.0.0.1:{s.getsockname()[1]}" for n, s in zip(names, sockets, strict=True)}


def is_open(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as one:
        return one.connect_ex((host, int(port))) == 0


def has_tables(database: Path) -> bool:
    """Whether the SuperLink is done making its database: a request that comes before breaks it."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
            return opened.execute("SELECT * FROM alembic_version").fetchone() is not None
    except sqlite3.OperationalError:
        return False


def write_certificates(folder: Path) -> None:
    """ca.crt, and server.crt with server.key for localhost and 127.0.0.1, valid for a day."""
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, n)]) for n in ("CA", "server")]
    keys = [ec.generate_private_key(ec.SECP384R1()) for _ in names]
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    extensions = [x509.BasicConstraints(True, None), x509.SubjectAlternativeName(hosts)]
    now = datetime.datetime.now(datetime.UTC)
    for file, name, key, extension in zip(("ca", "server"), names, keys, extensions, strict=True):
        certificate = (
            x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=True)
            .sign(keys[0], hashes.SHA256())
        )
        (folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    write_private_key(folder / "server.key", keys[1], serialization.PrivateFormat.PKCS8)


def write_node_keys(folder: Path, name: str) -> None:
    """NAME.key and NAME.pub, as `ssh-keygen -t ecdsa -b 384` writes them."""
    key = ec.generate_private_key(ec.SECP384R1())
    write_private_key(folder / f"{name}.key", key, serialization.PrivateFormat.OpenSSH)
    encoding, public = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(encoding, public))


def write_private_key(
    path: Path, key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat
) -> None:
    path.touch(mode=0o600)
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
