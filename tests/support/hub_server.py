"""A small Hugging Face hub on the loopback address: what its library asks for, kept in memory."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
NAME = r"(?P<name>[\w.-]+/[\w.-]+)"


@dataclass
class Repository:
    """A model repository: the files of each commit, and where branches are."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, branch: str, files: dict[str, bytes], message: str = "") -> str:
        """Make a commit with these files alone."""
        told = json.dumps([len(self.commits), branch, sorted(files)])
        sha = hashlib.sha1(told.encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        self.messages.append(message)
        return sha

    def files(self, branch: str = "main") -> dict[str, bytes]:
        """Give the files of a branch."""
        return self.commits[self.branches[branch]]


@dataclass
class Hub:
    """The hub: its address, its repositories, and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lfs: dict[str, bytes] = field(default_factory=dict)
    broken: bool = False
    """Whether it answers everything with an error of its own."""

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> str:
        """Add a repository, or a commit on its main branch; give the commit."""
        repository = self.repositories.setdefault(name, Repository(private))
        return repository.commit("main", files)


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub inside."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Refused(Exception):
    """An answer that is an error: status and the hub's code for it."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{method} {path}")
        try:
            if self.hub.broken:
                raise Refused(500, "")
            for pattern, allowed, answer in _ROUTES:
                if method in allowed and (found := re.fullmatch(pattern, path)):
                    status, content, headers = answer(self, **found.groupdict())
                    break
            else:
                raise Refused(404, "")
        except Refused as refusal:
            status, code = refusal.args
            content, headers = b"{}", {"X-Error-Code": code} if code else {}
        self.send_response(status)
        for header, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(header, value)
        self.end_headers()
        if method != "HEAD":
            self.wfile.write(content)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def logged_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, name: str) -> Repository:
        found = self.hub.repositories.get(name)
        if found is None or (found.private and not self.logged_in):
            raise Refused(401, "RepoNotFound")
        return found

    def at(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repository = self.repository(name)
        sha = repository.branches.get(revision, revision)
        if sha not in repository.commits:
            raise Refused(404, "RevisionNotFound")
        return sha, repository.commits[sha]

    def create(self) -> Any:
        if not self.logged_in:
            raise Refused(403, "")
        asked = self.json()
        name = f"{asked['organization']}/{asked['name']}"
        there = name in self.hub.repositories
        if not there:
            repository = Repository(asked.get("visibility") == "private")
            repository.commit("main", {".gitattributes": b""})
            self.hub.repositories[name] = repository
        return _json({"url": f"{self.hub.url}/{name}"}, 409 if there else 200)

    def branch(self, name: str, revision: str) -> Any:
        repository = self.repository(name)
        there = revision in repository.branches
        repository.branches.setdefault(revision, repository.branches["main"])
        return _json({}, 409 if there else 200)

    def info(self, name: str, revision: str | None) -> Any:
        sha, files = self.at(name, revision or "main")
        siblings = [{"rfilename": path, "size": len(data)} for path, data in files.items()]
        private = self.repository(name).private
        return _json({"id": name, "sha": sha, "siblings": siblings, "private": private})

    def tree(self, name: str, revision: str) -> Any:
        _, files = self.at(name, revision)
        rows = [
            {"type": "file", "path": path, "size": len(data), "oid": _sum(data)}
            for path, data in files.items()
        ]
        return _json(rows)

    def preupload(self, name: str, revision: str) -> Any:
        self.at(name, revision)
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in self.json()["files"]
        ]
        return _json({"files": modes})

    def batch(self, name: str) -> Any:
        self.repository(name)
        rows = [
            {**it, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{it['oid']}"}}}
            for it in self.json()["objects"]
        ]
        return _json({"transfer": "basic", "objects": rows})

    def upload(self, oid: str) -> Any:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.lfs[oid] = self.body
        return _json({})

    def commit(self, name: str, revision: str) -> Any:
        if not self.logged_in:
            raise Refused(403, "")
        _, before = self.at(name, revision)
        files, message = dict(before), ""
        for line in self.body.splitlines():
            row = json.loads(line)
            value = row["value"]
            match row["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.lfs[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        sha = self.repository(name).commit(revision, files, message)
        url = f"{self.hub.url}/{name}/commit/{sha}"
        return _json({"commitUrl": url, "commitOid": sha, "commitMessage": message})

    def resolve(self, name: str, revision: str, file: str) -> Any:
        sha, files = self.at(name, revision)
        if file not in files:
            raise Refused(404, "EntryNotFound")
        data = files[file]
        return 200, data, {"ETag": f'"{_sum(data)}"', "X-Repo-Commit": sha}


def _json(value: Any, status: int = 200) -> tuple[int, bytes, dict[str, str]]:
    return status, json.dumps(value).encode(), {"Content-Type": "application/json"}


def _sum(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


_ROUTES: list[tuple[str, tuple[str, ...], Any]] = [
    (r"/api/repos/create", ("POST",), _Handler.create),
    (r"/api/validate-yaml", ("POST",), lambda self: _json({"errors": [], "warnings": []})),
    (rf"/api/models/{NAME}/branch/(?P<revision>.+)", ("POST",), _Handler.branch),
    (rf"/api/models/{NAME}/preupload/(?P<revision>.+)", ("POST",), _Handler.preupload),
    (rf"/api/models/{NAME}/commit/(?P<revision>.+)", ("POST",), _Handler.commit),
    (rf"/api/models/{NAME}/tree/(?P<revision>[^/]+)", ("GET",), _Handler.tree),
    (rf"/api/models/{NAME}(/revision/(?P<revision>.+))?", ("GET",), _Handler.info),
    (rf"/{NAME}\.git/info/lfs/objects/batch", ("POST",), _Handler.batch),
    (r"/lfs/(?P<oid>\w+)", ("PUT",), _Handler.upload),
    (
        rf"/{NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)",
        ("GET", "HEAD"),
        _Handler.resolve,
    ),
]
"""What is asked for: path, methods, and who answers."""
