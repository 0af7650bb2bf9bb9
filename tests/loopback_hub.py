"""A Hugging Face Hub on this machine, for tests: what huggingface_hub's own client asks, answered.

    with LoopbackHub() as hub:
        HfApi(endpoint=hub.endpoint, token="hf_test_write").create_repo("tester/model")

State is in memory. It has no Xet: a client that has `hf_xet` uploads through Xet without asking,
so set HF_HUB_DISABLE_XET=1. Large files go to and come from addresses that hold a ticket instead
of a token, on another origin (`localhost`, not `127.0.0.1`), as with the storage of the real Hub.
"""

import base64
import json
import re
import secrets
import socket
import threading
import traceback
from collections import namedtuple
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5, sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

LARGE = 10 * 2**20  # larger files must be LFS, and those with these names
LFS = (".bin", ".ckpt", ".gz", ".h5", ".npy", ".npz", ".onnx", ".parquet", ".pt", ".safetensors")
LICENCES = re.compile(  # most of https://huggingface.co/docs/hub/repositories-licenses
    r"mit|apache-2\.0|(bigscience-|creativeml-|bigcode-)?openrail(-m)?|bsd(-[23]-clause)?|isc|cc|"
    r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[234]\.0|cdla-(sharing-1|permissive-[12])\.0|odc-by|odbl|pddl|"
    r"a?gpl-3\.0|gpl(-2\.0)?|lgpl(-2\.1|-3\.0)?|mpl-2\.0|eupl-1\.[12]|unlicense|zlib|unknown|other")
Request = namedtuple("Request", "method path authorized")  # path with its query
Commit = namedtuple("Commit", "id title date files")  # files: dict[str, File]


class Refused(Exception):
    """A request answered with an error; the client chooses its exception by `code`."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str):
        self.status, self.body = status, {"error": message}
        self.headers = {"X-Error-Message": message, "X-Error-Code": code, **headers}


class File:
    """Content at a path. `oid` is git's name of it: of the pointer, when it is an LFS file."""

    def __init__(self, data: bytes, lfs: bool = False):
        self.data, self.sha256, size = data, sha256(data).hexdigest(), len(data)
        pointer = (f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\n"
                   f"size {size}\n").encode()
        blob = pointer if lfs else data
        self.oid = sha1(b"blob %d\0" % len(blob) + blob).hexdigest()
        self.lfs = {"oid": self.sha256, "sha256": self.sha256, "size": size,
                    "pointerSize": len(pointer)} if lfs else None
        self.said = {"size": size, "oid": self.oid, "blobId": self.oid, "lfs": self.lfs}


@dataclass
class Repo:
    address: str  # its name with the namespace, after "datasets/" if it is one
    private: bool
    gated: bool = False
    branches: dict[str, Commit] = field(default_factory=dict)
    tags: dict[str, Commit] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)  # by id, oldest first
    objects: dict[str, bytes] = field(default_factory=dict)  # LFS, by sha256

    def find(self, revision: str) -> Commit:
        """The commit that a branch, a tag or a full commit id names."""
        named = self.commits | self.tags | self.branches
        if revision not in named:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return named[revision]

    def add(self, branch: str, files: dict[str, File], title: str) -> Commit:
        """A new commit on a branch, whose whole content is `files`."""
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        commit = Commit(secrets.token_hex(20), title, date, files)
        self.branches[branch] = self.commits[commit.id] = commit
        return commit


def check_card(text: str, kind: str = "model") -> list[str]:
    """What is wrong with the metadata of a README.md: a part of what the Hub checks."""
    block = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n?---[ \t]*(\r?\n|$)", text, re.DOTALL)
    try:
        data = dict(yaml.safe_load(block[1]) or {}) if block else {}
        if kind == "model" and "model-index" in data:
            model_index_to_eval_results(data["model-index"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"YAML or model-index is malformed: {error!r}"]
    said = data.get("license") or []
    for name in said if isinstance(said, list) else [said]:
        if not LICENCES.fullmatch(str(name)):
            return [f'"license": {name!r} is not one that the Hub knows']
    return []


class LoopbackHub:
    """The hub; a context manager. `tokens` maps a token to its user, who owns that namespace."""

    def __init__(self, tokens: dict[str, str] | None = None):
        self.tokens = tokens or {"hf_test_write": "tester", "hf_test_read": "tester"}
        self.read_only, self.orgs = {"hf_test_read"}, {"lab"}  # every user may write to `orgs`
        self.repos: dict[tuple[str, str], Repo] = {}  # by kind ("model", "dataset") and name
        self.requests: list[Request] = []
        self.unknown: list[Request] = []  # asked for, but not implemented here
        self.full = 0  # status (507, 413) that uploads are refused with
        self.part_size = 0  # larger LFS files are asked for in parts of so many bytes
        self.tickets: dict[str, tuple] = {}  # one for each large upload and download
        self.cuts: list[tuple[str, int]] = []
        self.corrupted: set[str] = set()
        self.corrupt = self.corrupted.add  # (path): flip a byte in the next download of this file
        self.lock, self.sockets = threading.RLock(), set[socket.socket]()

    def __enter__(self) -> "LoopbackHub":
        handler = type("Bound", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.storage = self.endpoint.replace("127.0.0.1", "localhost")
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        for connection in list(self.sockets):  # or a kept connection would still be served
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server.server_close()

    def fail(self, after_bytes: int = 0, on: str = "/storage/", times: int = 1) -> None:
        """Break the next `times` uploads or downloads, of more bytes, with `on` in their path.

        "/storage/" is in those of large uploads, "/cdn/" of large downloads, then "/commit/", …
        """
        self.cuts += [(on, after_bytes)] * times

    def cut(self, path: str, size: int) -> int | None:
        """After how many of its bytes this request or reply breaks, if it does."""
        with self.lock:
            for on, after in self.cuts:
                if on in path and (size > after or not after):
                    self.cuts.remove((on, after))
                    return after
        return None


ROUTES: list[tuple[str, re.Pattern, bool, Callable]] = []
API = r"/api/(?P<kind>model|dataset)s/(?P<name>[^/]+/[^/]+)"
PAGE = r"/(?P<kind>datasets/)?(?P<name>[^/]+/[^/]+)"


def route(methods: str, pattern: str, write: bool = False) -> Callable[[Callable], Callable]:
    """What answers this path. One with <name> needs a right to read; `write`, one to write."""
    entry = methods, re.compile(pattern), write
    return lambda function: ROUTES.append((*entry, function)) or function


class Handler(BaseHTTPRequestHandler):
    """One request: `parts` of its path, `user`, `repo`, `commit`, `body`; and its reply."""

    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # headers and body in one write
    hub: LoopbackHub

    def answer(self, path: str) -> Any:
        """Find the route; look up user, repository and revision, and their rights; call it."""
        hub, found = self.hub, [(*rest, match) for methods, pattern, *rest in ROUTES
                                if self.command in methods and (match := pattern.fullmatch(path))]
        if not found:
            hub.unknown.append(Request(self.command, self.path, "Authorization" in self.headers))
            raise Refused(501, f"not implemented by the loopback hub: {self.command} {path}")
        write, function, match = found[0]
        self.parts = {key: unquote(text) for key, text in match.groupdict().items() if text}
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and "ticket" in self.parts:  # as S3 answers
            raise Refused(400, "Only one auth mechanism allowed: a token came beside the ticket")
        if token and token not in hub.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        self.user, self.repo, self.commit = hub.tokens.get(token), None, None
        self.role, name = "read" if token in hub.read_only else "write", self.parts.get("name")
        if name:
            self.repo = hub.repos.get((self.parts.get("kind", "model").removesuffix("s/"), name))
            if not self.repo or (self.repo.private and not self.owns(name)):
                raise Refused(404, "Repository not found", "RepoNotFound")
        if (write or "whoami" in path) and not self.user:
            raise Refused(401, "Invalid username or password.")
        if write and (self.role == "read" or not self.owns(name or self.user)):
            raise Refused(403, "you must use a write token, of a user who may write here")
        if hub.full and ("ticket" in self.parts or "/commit/" in path) and self.command != "GET":
            raise Refused(hub.full, "No space left")
        if "revision" in self.parts:
            self.commit = self.repo.find(self.parts["revision"])
        return function(self)

    def owns(self, name: str) -> bool:
        return bool(self.user) and name.split("/")[0] in {self.user, *self.hub.orgs}

    @route("GET", "/api/whoami-v2")
    def whoami(self) -> dict:
        return {"type": "user", "name": self.user, "orgs": [{"name": o} for o in self.hub.orgs],
                "auth": {"accessToken": {"displayName": "loopback", "role": self.role}}}

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self) -> dict:
        errors = check_card(self.json["content"], self.json.get("repoType") or "model")
        self.status = 400 if errors else 200
        return {"errors": [{"message": message} for message in errors], "warnings": []}

    @route("POST", "/api/repos/create", write=True)
    def create_repo(self) -> dict:
        kind = self.json.get("type") or "model"
        name = f"{self.json.get('organization') or self.user}/{self.json['name']}"
        repo = Repo(("datasets/" if kind == "dataset" else "") + name,
                    private=self.json.get("visibility") == "private")
        if not self.owns(name):
            raise Refused(403, f"You have no right to create {name}")
        if (kind, name) in self.hub.repos:
            self.status = 409
        else:
            attributes = "".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LFS)
            repo.add("main", {".gitattributes": File(attributes.encode())}, "initial commit")
            self.hub.repos[kind, name] = repo
        return {"url": f"{self.hub.endpoint}/{repo.address}"}

    @route("GET", API + "(/revision/(?P<revision>[^/]+))?")
    def info(self) -> dict:
        commit = self.commit or self.repo.find("main")
        siblings = [{"rfilename": path} | (file.said if "blobs" in self.query else {})
                    for path, file in sorted(commit.files.items())]
        return {"id": self.parts["name"], "sha": commit.id, "private": self.repo.private,
                "gated": self.repo.gated, "lastModified": commit.date, "siblings": siblings}

    @route("GET", API + "/tree/(?P<revision>[^/]+)(/(?P<path>.+))?")
    def tree(self) -> list[dict]:
        top, files = "".join(f"{path}/" for path in [self.parts.get("path")] if path), {}
        for path, file in sorted(self.commit.files.items()):
            if path.startswith(top):
                for slash in re.finditer("/", path[len(top):]):
                    folder = path[: len(top) + slash.start()]
                    files[folder] = {"type": "directory", "oid": sha1(folder.encode()).hexdigest()}
                files[path] = {"type": "file"} | file.said
        if top and not files:
            raise Refused(404, f"{top} does not exist", "EntryNotFound")
        every = self.query["recursive"][0].lower() in ("true", "1")
        return [{"path": p} | f for p, f in files.items() if every or "/" not in p[len(top):]]

    @route("GET", API + "/refs")
    def refs(self) -> dict:
        def said(folder: str, names: dict[str, Commit]) -> list[dict]:
            return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit.id}
                    for name, commit in names.items()]
        return {"branches": said("heads", self.repo.branches), "converts": [], "pullRequests": [],
                "tags": said("tags", self.repo.tags)}

    @route("POST", API + "/(?P<what>branch|tag)/(?P<where>[^/]+)", write=True)
    def create_ref(self) -> None:
        refs, name, start = self.repo.tags, self.json.get("tag"), self.parts["where"]
        if self.parts["what"] == "branch":
            refs, name, start = self.repo.branches, start, self.json.get("startingPoint", "main")
        if name in refs:
            raise Refused(409, "Reference already exists")
        refs[name] = self.repo.find(start)

    @route("POST", API + "/preupload/(?P<revision>[^/]+)", write=True)
    def preupload(self) -> dict:
        """How each file is to be sent; by `oid` the client leaves out those that are the same."""
        said = []
        for path, size in ((asked["path"], asked["size"]) for asked in self.json["files"]):
            mode = "lfs" if size > LARGE or path.endswith(LFS) else "regular"
            file = self.commit.files.get(path)
            said.append({"path": path, "uploadMode": mode, "shouldIgnore": False,
                         "oid": file and (file.sha256 if file.lfs else file.oid)})
        return {"files": said}

    @route("POST", PAGE + r"\.git/info/lfs/objects/batch", write=True)
    def batch(self) -> dict:
        """Where to send each object: nowhere, when it is there already."""
        step, said = self.hub.part_size, self.json["objects"]
        for wanted in (asked for asked in said if asked["oid"] not in self.repo.objects):
            ticket, n_parts = secrets.token_hex(8), -(-wanted["size"] // (step or wanted["size"]))
            self.hub.tickets[ticket] = (self.repo, wanted["oid"], wanted["size"], {})
            href = f"{self.hub.storage}/storage/{ticket}"
            parts = {str(n): f"{href}/{n}" for n in range(1, n_parts + 1)}
            header = {"chunk_size": str(step)} | parts if n_parts > 1 else {}
            wanted["actions"] = {"upload": {"href": href, "header": header}}
        return {"transfer": "multipart" if step else "basic", "objects": said}

    @route("PUT POST", r"/storage/(?P<ticket>\w+)(/(?P<part>\d+))?")
    def store(self) -> None:
        """PUT an object, or a part of one; POST the list of the parts when all were sent."""
        repo, oid, size, parts = self.hub.tickets[self.parts["ticket"]]
        if "part" in self.parts:
            self.out["ETag"] = f'"{md5(self.body).hexdigest()}"'
            parts[self.out["ETag"]] = self.body
            return
        data = self.body if self.command == "PUT" else b"".join(
            parts[part["etag"]] for part in self.json["parts"])
        if len(data) != size or sha256(data).hexdigest() != oid:
            raise Refused(400, f"{len(data)} bytes are not the {size} that were announced")
        repo.objects[oid] = data

    @route("POST", API + "/commit/(?P<revision>[^/]+)", write=True)
    def create_commit(self) -> dict:
        repo, branch, files = self.repo, self.parts["revision"], dict(self.commit.files)
        if branch not in repo.branches:
            raise Refused(404, f"Not a branch: {branch}", "RevisionNotFound")
        for key, value in (json.loads(line).values() for line in self.body.splitlines()):
            path = value.get("path", "")
            if key == "header":
                title = value["summary"]
                if not self.commit.id.startswith(value.get("parentCommit", "")):
                    raise Refused(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[path] = File(base64.b64decode(value["content"]))
                if len(files[path].data) > LARGE:
                    raise Refused(400, f"{path} is too large: it must be an LFS file")
                if path == "README.md" and (errors := check_card(files[path].data.decode())):
                    raise Refused(400, f"Invalid metadata in README.md: {errors}")
            elif key == "lfsFile":
                if value["oid"] not in repo.objects:
                    raise Refused(400, f"{path}: LFS object was not uploaded")
                files[path] = File(repo.objects[value["oid"]], lfs=True)
            elif key == "deletedFile":
                files.pop(path)
            elif key == "deletedFolder":
                files = {p: f for p, f in files.items() if not p.startswith(path.rstrip("/") + "/")}
        commit = repo.add(branch, files, title)
        return {"commitOid": commit.id,
                "commitUrl": f"{self.hub.endpoint}/{repo.address}/commit/{commit.id}"}

    @route("GET HEAD", PAGE + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self) -> bytes:
        path, self.out = self.parts["path"], {"X-Repo-Commit": self.commit.id}
        if self.repo.gated and not self.owns(self.parts["name"]):
            raise Refused(403, "Access to this model is restricted", "GatedRepo")
        if path not in self.commit.files:
            raise Refused(404, "Entry not found", "EntryNotFound", **self.out)
        file = self.commit.files[path]
        if not file.lfs:
            return self.content(file, path)
        ticket, self.status = secrets.token_hex(8), 302
        self.hub.tickets[ticket] = (file, path)
        self.out |= {"X-Linked-Size": str(len(file.data)), "X-Linked-Etag": f'"{file.sha256}"',
                     "Location": f"{self.hub.storage}/cdn/{ticket}"}
        return b""

    @route("GET HEAD", r"/cdn/(?P<ticket>\w+)")
    def cdn(self) -> bytes:
        return self.content(*self.hub.tickets[self.parts["ticket"]])

    def content(self, file: File, path: str) -> bytes:
        """A file, or the rest of it that was asked for."""
        data = file.data
        self.out |= {"ETag": f'"{file.sha256 if file.lfs else file.oid}"', "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            data, self.status = data[int(asked[1]):], 206
            self.out["Content-Range"] = f"bytes {asked[1]}-{len(file.data) - 1}/{len(file.data)}"
        if self.command == "GET" and path in self.hub.corrupted:
            self.hub.corrupted.discard(path)
            data = bytearray(data)
            data[len(data) // 2] ^= 0xFF
        return bytes(data)

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    def serve(self) -> None:
        """Log, read, answer, send; break off when the test wants that."""
        hub, url, size = self.hub, urlsplit(self.path), int(self.headers["Content-Length"] or 0)
        self.query, self.status, self.out = parse_qs(url.query), 200, {}
        with hub.lock:
            hub.sockets.add(self.connection)
            hub.requests.append(Request(self.command, self.path, "Authorization" in self.headers))
        cut = hub.cut(self.path, size) if self.command in ("PUT", "POST") else None
        self.body = self.rfile.read(size if cut is None else cut)
        if cut is not None:
            return self.hang_up()
        try:
            with hub.lock:
                body = self.answer(url.path)
        except Refused as refused:
            self.status, self.out, body = refused.status, refused.headers, refused.body
        except Exception:  # a fault of this file: 501 is an error that no client retries
            self.status, body = 501, {"error": traceback.format_exc()}
        sent = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        cut = hub.cut(self.path, len(sent)) if self.command == "GET" else None
        self.send_response(self.status)
        for key, value in (self.out | {"Content-Length": str(len(sent))}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else sent[:cut])
        if cut is not None:
            self.hang_up()

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""

    do_GET = do_HEAD = do_PUT = do_POST = serve
