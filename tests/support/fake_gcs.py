"""A small Google Cloud Storage in this process, for the real client: its JSON API as far as we use it, with faults.

    with FakeGcs() as fake:
        os.environ["STORAGE_EMULATOR_HOST"] = fake.url

`python -m tests.support.fake_gcs --port 4443 --bucket data [--rate 0.2]` serves other processes, until it is killed.
"""

import argparse
import json
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.fake_faults import TRANSIENT, Faults
from tests.support.fake_gcs_service import RefusalError, Service, Stored, crc32c_of
from tests.support.faulty_http import Answer, FaultyHandler, FaultyServer, boundary_of, error_answer


class FakeGcs(FaultyServer):
    """The service behind HTTP.

    Attributes:
        service: The buckets.
        calls: How often was asked for what: bucket, list, metadata, download, upload, delete.
    """

    def __init__(self, *, port: int = 0, faults: Faults | None = None) -> None:
        super().__init__(_Handler, port=port, faults=faults)
        self.service = Service()
        self.calls: Counter[str] = Counter()
        self.sessions: dict[str, tuple[str, dict[str, Any], dict[str, str], bytes]] = {}
        self.ended: dict[str, dict[str, Any]] = {}

    def count(self, kind: str) -> None:
        with self.lock:
            self.calls[kind] += 1


class _Handler(FaultyHandler):
    server: FakeGcs

    def carry_out(self, body: bytes) -> Answer:
        try:
            return self._route(body)
        except RefusalError as refusal:
            return error_answer(refusal.status, str(refusal))

    def _route(self, body: bytes) -> Answer:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        kind, found, path = parts.path.partition("/storage/v1/b")
        if not found:
            return self._download_by_xml(unquote(parts.path), query)
        bucket, objects, name = (unquote(piece) for piece in path.lstrip("/").partition("/o"))
        name = name.removeprefix("/")
        service = self.server.service
        if kind == "/upload":
            return self._upload(bucket, query, body)
        if self.command == "POST":
            service.buckets.setdefault(json.loads(body)["name"], {})
            return _json(json.loads(body))
        if self.command == "DELETE":
            self.server.count("delete")
            service.delete(bucket, name, query)
            return 204, {}, b""
        if not objects:
            self.server.count("bucket")
            service.objects(bucket)
            return _json({"name": bucket})
        if not name:
            self.server.count("list")
            return _json(service.list(bucket, query))
        if kind == "/download" or query.get("alt") == "media":
            self.server.count("download")
            return self._download(service.get(bucket, name, query))
        self.server.count("metadata")
        return _json(service.get(bucket, name, query).resource(bucket, name))

    def _download_by_xml(self, path: str, query: dict[str, str]) -> Answer:
        """A part of an object by the XML API, which GDAL uses."""
        bucket, _, name = path.lstrip("/").partition("/")
        self.server.count("download by XML" if name else "list by XML")
        if not name:
            raise RefusalError(403, "Nobody may list this bucket.")
        return self._download(self.server.service.get(bucket, name, query))

    def _download(self, stored: Stored) -> Answer:
        size = str(len(stored.data))
        headers = {"X-Goog-Hash": f"crc32c={crc32c_of(stored.data)}", "X-Goog-Generation": str(stored.generation)}
        headers |= {"X-Goog-Stored-Content-Length": size, "Content-Type": stored.content_type}
        if not self.headers["Range"]:
            return 200, headers, stored.data
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        if int(first) >= len(stored.data):
            raise RefusalError(416, "The requested range cannot be satisfied.")
        data = stored.data[int(first) : int(last or size) + 1]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(data) - 1}/{size}"
        return 206, headers, data

    def _upload(self, bucket: str, query: dict[str, str], body: bytes) -> Answer:
        service, sessions = self.server.service, self.server.sessions
        self.server.count("upload")
        if self.command == "PUT":
            return self._upload_piece(query["upload_id"], body)
        if query["uploadType"] == "multipart":
            resource, data = _parts(body, boundary_of(self.headers["Content-Type"]))
            return _json(service.put(bucket, resource, data, query))
        service.objects(bucket)
        session = f"session-{len(sessions)}-{next(service.generations)}"
        sessions[session] = (bucket, json.loads(body), query, b"")
        return 200, {"Location": f"{self.server.url}/upload/storage/v1/b/{bucket}/o?upload_id={session}"}, b""

    def _upload_piece(self, session: str, piece: bytes) -> Answer:
        span, _, size = self.headers["Content-Range"].removeprefix("bytes ").partition("/")
        first = int(span.partition("-")[0])
        if session in self.server.ended:
            return _json(self.server.ended[session])
        if session not in self.server.sessions:
            raise RefusalError(404, "There is no such upload session.")
        bucket, resource, query, held = self.server.sessions.pop(session)
        if first > len(held):
            raise RefusalError(503, "A piece must begin where the one before ended, or in front of that.")
        held += piece[len(held) - first :]
        if len(held) < int(size):
            self.server.sessions[session] = (bucket, resource, query, held)
            return 308, {"Range": f"bytes=0-{len(held) - 1}"}, b""
        self.server.ended[session] = self.server.service.put(bucket, resource, held, query)
        return _json(self.server.ended[session])


def _json(value: dict[str, Any]) -> Answer:
    return 200, {}, json.dumps(value).encode()


def _parts(body: bytes, boundary: bytes) -> tuple[dict[str, Any], bytes]:
    line = b"--" + boundary
    _, first, rest = body.split(line + b"\r\n", 2)
    resource = json.loads(first.partition(b"\r\n\r\n")[2])
    return resource, rest.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n" + line + b"--")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=4443)
    parser.add_argument("--bucket", nargs="*", default=["data"])
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--kinds", nargs="*", default=TRANSIENT)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    server = FakeGcs(port=args.port, faults=Faults(rate=args.rate, kinds=tuple(args.kinds), seed=args.seed))
    server.service.buckets.update((bucket, {}) for bucket in args.bucket)
    server.serve_forever()


if __name__ == "__main__":
    main()
