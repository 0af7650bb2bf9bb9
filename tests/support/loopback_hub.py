"""A Hugging Face Hub on this machine, for tests: what huggingface_hub's own client asks, answered.

State is in memory. There is no Xet, which a client takes unasked: set HF_HUB_DISABLE_XET=1. Large
files are at addresses with a ticket instead of a token, of another origin, as on the real Hub.
"""

import base64
import json
import re
import secrets
import threading
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5, sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from huggingface_hub import DatasetCard, ModelCard

LARGE = 10 * 2**20  # larger files are LFS, and those with these names
LFS = (".bin", ".ckpt", ".gz", ".h5", ".npy", ".npz", ".onnx", ".parquet", ".pt", ".safetensors")
LICENSES = re.compile(  # most of https://huggingface.co/docs/hub/repositories-licenses
    r"mit|apache-2\.0|(bigscience-|creativeml-|bigcode-)?openrail(-m)?|bsd(-[23]-clause)?|isc|cc|"
    r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[234]\.0|cdla-(sharing-1|permissive-[12])\.0|odc-by|odbl|pddl|"
    r"a?gpl-3\.0|gpl(-2\.0)?|lgpl(-2\.1|-3\.0)?|mpl-2\.0|eupl-1\.[12]|unlicense|zlib|unknown|other")
Request = namedtuple("Request", "method path authorized")  # path with its query
Commit = namedtuple("Commit", "id title files")  # files: dict[str, File]


class Refused(Exception):
    """Status, message and the code, if any, by which the client chooses its exception."""


class File:
    """Content at a path. `said` is what the API tells about it."""

    def __init__(self, data: bytes, lfs: bool = False):
        self.data, self.lfs, self.sha256, size = data, lfs, sha256(data).hexdigest(), len(data)
        blob = f"oid sha256:{self.sha256}\nsize {size}\n".encode() if lfs else data  # git's
        oid = sha1(b"blob %d\0" % len(blob) + blob).hexdigest()
        self.etag = self.sha256 if lfs else oid
        pointer = {"oid": self.sha256, "sha256": self.sha256, "size": size, "pointerSize": 134}
        self.said = {"size": size, "oid": oid, "blobId": oid, "lfs": pointer if lfs else None}


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
        commit = (self.commits | self.tags | self.branches).get(revision)
        if not commit:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def add(self, branch: str, files: dict[str, File], title: str) -> Commit:
        """A new commit on a branch, whose whole content is `files`."""
        id = secrets.token_hex(20)
        self.branches[branch] = self.commits[id] = Commit(id, title, files)
        return self.commits[id]


def check_card(text: str, kind: str = "model") -> list[str]:
    """What is wrong with the metadata of a README.md: YAML, model-index and license only."""
    try:
        names = (ModelCard if kind == "model" else DatasetCard)(text).data.get("license", [])
    except Exception as error:
        return [f"metadata cannot be read: {error}"]
    bad = {str(name) for name in (names if isinstance(names, list) else [names])
           if not LICENSES.fullmatch(str(name))}
    return [f'"license": not known to the Hub: {bad}'] if bad else []


class LoopbackHub:
    """The hub; a context manager. `tokens` maps a token to its user, who owns that namespace."""

    def __init__(self, tokens: dict[str, str] | None = None):
        self.tokens = tokens or {"hf_test_write": "tester", "hf_test_read": "tester"}
        self.read_only, self.orgs = {"hf_test_read"}, {"lab"}  # every user may write to `orgs`
        self.repos: dict[tuple[str, str], Repo] = {}  # by kind ("model", "dataset") and name
        self.requests: list[Request] = []
        self.unknown: list[str] = []  # paths that are not implemented here
        self.refusal = "Invalid credentials in Authorization header"  # of a token it does not know
        self.full = 0  # status (507, 413) that uploads are refused with
        self.part_size = 0  # larger LFS files are asked for in parts of so many bytes
        self.tickets: dict[str, tuple] = {}  # one for each large upload and download
        self.cuts, self.lock = list[tuple[str, int]](), threading.RLock()
        self.corrupted: set[str] = set()
        self.corrupt = self.corrupted.add  # (path): flip a byte in the next download of this file

    def __enter__(self) -> "LoopbackHub":
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.hub = self
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.storage = self.endpoint.replace("127.0.0.1", "localhost")
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fail(self, after_bytes: int = 0, on: str = "/storage/", times: int = 1) -> None:
        """Break the next `times` uploads, or downloads (on="/cdn/"), of more than these bytes."""
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
    return lambda call: ROUTES.append((methods, re.compile(pattern), write, call)) or call


class Handler(BaseHTTPRequestHandler):
    """One request: `parts` of its path, `user`, `repo`, `commit`, `body`; and its reply."""

    def answer(self, path: str) -> object:
        """Find the route; look up user, repository and revision, and their rights; call it."""
        hub, found = self.hub, [(*rest, match) for methods, pattern, *rest in ROUTES
                                if self.command in methods and (match := pattern.fullmatch(path))]
        if not found:
            hub.unknown += [] if path == "/api/agent-harnesses" else [path]  # that is telemetry
            raise Refused(501, "not implemented by the loopback hub")
        write, function, match = found[0]
        self.parts = {key: unquote(text) for key, text in match.groupdict().items() if text}
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ")
        if token and token not in hub.tokens:
            raise Refused(401, hub.refusal)
        self.user, name = hub.tokens.get(token), self.parts.get("name")
        self.role = "read" if token in hub.read_only else "write"
        self.repo = hub.repos.get((self.parts.get("kind", "model").removesuffix("s/"), name))
        if name and (not self.repo or (self.repo.private and not self.owns(name))):
            raise Refused(404, "Repository not found", "RepoNotFound")
        if (write or "whoami" in path) and not self.user:
            raise Refused(401, "Invalid username or password.")
        if write and (self.role == "read" or not self.owns(name or self.user)):
            raise Refused(403, "you must use a write token, of a user who may write here")
        if hub.full and re.search("^/storage/|/commit/", path):
            raise Refused(hub.full, "No space left")
        self.commit = self.repo.find(self.parts["revision"]) if "revision" in self.parts else None
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
        kind, namespace = self.json.get("type", "model"), self.json.get("organization") or self.user
        name = f"{namespace}/{self.json['name']}"
        if not self.owns(name):
            raise Refused(403, f"You have no right to create {name}")
        repo = Repo(f"datasets/{name}" if kind == "dataset" else name,
                    private=self.json.get("visibility") == "private")
        attributes = "".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LFS)
        repo.add("main", {".gitattributes": File(attributes.encode())}, "initial commit")
        self.status = 409 if (kind, name) in self.hub.repos else 200
        self.hub.repos.setdefault((kind, name), repo)
        return {"url": f"{self.hub.endpoint}/{repo.address}"}

    @route("GET", API + "(/revision/(?P<revision>[^/]+))?")
    def info(self) -> dict:
        commit = self.commit or self.repo.find("main")
        siblings = [{"rfilename": path} | (file.said if "blobs" in self.query else {})
                    for path, file in sorted(commit.files.items())]
        return {"id": self.parts["name"], "sha": commit.id, "private": self.repo.private,
                "gated": self.repo.gated, "siblings": siblings}

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
            raise Refused(404, "Entry not found", "EntryNotFound")
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
            oid = self.commit.files[path].etag if path in self.commit.files else None
            said += [{"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}]
        return {"files": said}

    @route("POST", PAGE + r"\.git/info/lfs/objects/batch", write=True)
    def batch(self) -> dict:
        """Where to send each object: nowhere, when it is there already."""
        step, said = self.hub.part_size, self.json["objects"]
        for wanted in (asked for asked in said if asked["oid"] not in self.repo.objects):
            ticket, n_parts = secrets.token_hex(8), -(-wanted["size"] // (step or wanted["size"]))
            self.hub.tickets[ticket] = (self.repo, wanted["oid"], wanted["size"], {})
            href = f"{self.hub.storage}/storage/{ticket}"
            parts = {"chunk_size": step} | {str(n + 1): f"{href}/{n}" for n in range(n_parts)}
            wanted["actions"] = {"upload": {"href": href, "header": parts if n_parts > 1 else {}}}
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
            path = value.get("path", "").rstrip("/")
            if key == "header":
                title = value["summary"]
                if not self.commit.id.startswith(value.get("parentCommit", "")):
                    raise Refused(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[path] = File(base64.b64decode(value["content"]))
            elif key == "lfsFile":
                files[path] = File(repo.objects[value["oid"]], lfs=True)
            else:  # deletedFile, deletedFolder
                files = {p: f for p, f in files.items() if not f"{p}/".startswith(f"{path}/")}
        id = repo.add(branch, files, title).id
        return {"commitOid": id, "commitUrl": f"{self.hub.endpoint}/{repo.address}/commit/{id}"}

    @route("GET HEAD", PAGE + "/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self) -> bytes:
        path, self.out["X-Repo-Commit"] = self.parts["path"], self.commit.id
        if self.repo.gated and not self.owns(self.parts["name"]):
            raise Refused(403, "Access to this model is restricted", "GatedRepo")
        if path not in self.commit.files:
            raise Refused(404, "Entry not found", "EntryNotFound")
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
        self.out |= {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            data, self.status = data[int(asked[1]):], 206
            self.out["Content-Range"] = f"bytes {asked[1]}-{len(file.data) - 1}/{len(file.data)}"
        if self.command == "GET" and path in self.hub.corrupted:
            self.hub.corrupted.discard(path)
            data = bytearray(data)
            data[len(data) // 2] ^= 0xFF
        return bytes(data)

    def serve(self) -> None:
        """Log, read, answer, send; break off when the test wants that."""
        hub, url, size = self.server.hub, urlsplit(self.path), self.headers["Content-Length"] or 0
        self.hub, self.query, self.status, self.out = hub, parse_qs(url.query), 200, {}
        hub.requests.append(Request(self.command, self.path, "Authorization" in self.headers))
        cut = hub.cut(self.path, int(size)) if self.command in ("PUT", "POST") else None
        self.body = self.rfile.read(int(size) if cut is None else cut)
        if cut is not None:
            return
        try:
            if re.search("[/+]json", self.headers["Content-Type"] or ""):
                self.json = json.loads(self.body)
            with hub.lock:
                body = self.answer(url.path)
        except Refused as refused:
            self.status, body, *code = refused.args
            self.out |= {"X-Error-Message": body, "X-Error-Code": "".join(code)}
        except Exception as error:  # a fault of this file: 501 is an error that no client retries
            self.status, body = 501, f"loopback hub: {error!r}"
        body = {"error": body} if isinstance(body, str) else body or {}
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        cut = hub.cut(self.path, len(sent)) if self.command == "GET" else None
        self.send_response(self.status)
        for key, value in (self.out | {"Content-Length": str(len(sent))}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else sent[:cut])

    def log_message(self, *_: object) -> None:
        """Not on the terminal."""

    do_GET = do_HEAD = do_PUT = do_POST = serve
