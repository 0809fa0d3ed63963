"""A small Google Cloud Storage in this process, for the real client: its JSON API as far as we use it, with faults.

    with FakeGcs() as fake:
        os.environ["STORAGE_EMULATOR_HOST"] = fake.url

`python -m tests.fake_gcs --port 4443 --bucket data [--rate 0.2]` serves other processes, until it is killed.
"""
# ruff: noqa: N815 - the names that `http.server` asks for.

import argparse
import json
import socket
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.fake_faults import TRANSIENT, Faults
from tests.fake_gcs_service import RefusalError, Service, Stored, crc32c_of


class FakeGcs(ThreadingHTTPServer):
    """The service behind HTTP.

    Attributes:
        service: The buckets.
        faults: What goes wrong.
        calls: How often was asked for what: bucket, list, metadata, download, upload, delete.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *, port: int = 0, faults: Faults | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.service = Service()
        self.faults = faults or Faults()
        self.calls: Counter[str] = Counter()
        self.sessions: dict[str, tuple[str, dict[str, Any], dict[str, str], bytes]] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "FakeGcs":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def count(self, kind: str) -> None:
        with self.service.lock:
            self.calls[kind] += 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the game."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeGcs
    fault = ""

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        body = self._body()
        fault = self.fault = self.server.faults.draw(f"{self.command} {self.path.partition('upload_id=')[0]}")
        if fault == "stall":
            self._wait_for_hang_up()
        elif fault == "reset":
            self._reset()
        elif fault.isdecimal():
            self._answer_error(int(fault), "injected")
        else:
            self._carry_out(body)

    def _carry_out(self, body: bytes) -> None:
        try:
            status, headers, answer = self._route(body)
        except RefusalError as refusal:
            return self._answer_error(refusal.status, str(refusal))
        if self.fault == "lost":
            return self._reset()
        self._answer(status, headers, answer, sent=len(answer) // 2 if self.fault == "truncated" else None)
        return None

    def _route(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        kind, _, path = parts.path.partition("/storage/v1/b")
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

    def _download(self, stored: Stored) -> tuple[int, dict[str, str], bytes]:
        size = str(len(stored.data))
        headers = {"X-Goog-Hash": f"crc32c={crc32c_of(stored.data)}", "X-Goog-Generation": str(stored.generation)}
        headers |= {"X-Goog-Stored-Content-Length": size, "Content-Type": stored.content_type}
        if not self.headers["Range"]:
            return 200, headers, self._altered(stored.data)
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        if int(first) >= len(stored.data):
            raise RefusalError(416, "The requested range cannot be satisfied.")
        data = stored.data[int(first) : int(last or size) + 1]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(data) - 1}/{size}"
        return 206, headers, self._altered(data)

    def _upload(self, bucket: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        service, sessions = self.server.service, self.server.sessions
        self.server.count("upload")
        if self.command == "PUT":
            return self._upload_piece(query["upload_id"], self._altered(body))
        if query["uploadType"] == "multipart":
            resource, data = _parts(body, self.headers["Content-Type"].partition("boundary=")[2].strip('"'))
            return _json(service.put(bucket, resource, self._altered(data), query))
        service.objects(bucket)
        session = f"session-{len(sessions)}-{next(service.generations)}"
        sessions[session] = (bucket, json.loads(body), query, b"")
        return 200, {"Location": f"{self.server.url}/upload/storage/v1/b/{bucket}/o?upload_id={session}"}, b""

    def _upload_piece(self, session: str, piece: bytes) -> tuple[int, dict[str, str], bytes]:
        bucket, resource, query, held = self.server.sessions.pop(session)
        held += piece
        if not self.headers["Content-Range"].endswith(f"/{len(held)}"):
            self.server.sessions[session] = (bucket, resource, query, held)
            return 308, {"Range": f"bytes=0-{len(held) - 1}"}, b""
        return _json(self.server.service.put(bucket, resource, held, query))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"] or 0))

    def _altered(self, data: bytes) -> bytes:
        middle = len(data) // 2
        if self.fault != "altered" or not data:
            return data
        return data[:middle] + bytes([data[middle] ^ 0x20]) + data[middle + 1 :]

    def _answer_error(self, status: int, text: str) -> None:
        error = {"error": {"code": status, "message": text, "errors": [{"message": text, "reason": "fake"}]}}
        self._answer(status, {}, json.dumps(error).encode())

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, sent: int | None = None) -> None:
        self.send_response(status)
        sent_along = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for key, value in (sent_along | headers).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = self.close_connection or sent is not None

    def _wait_for_hang_up(self) -> None:
        self.close_connection = True
        self.connection.settimeout(120)
        self.connection.recv(1)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _json(value: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps(value).encode()


def _parts(body: bytes, boundary: str) -> tuple[dict[str, Any], bytes]:
    line = b"--" + boundary.encode()
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
