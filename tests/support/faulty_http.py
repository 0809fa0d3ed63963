"""A web server of tests whose requests meet faults: what a client sees of a service and of a network that fail."""
# ruff: noqa: N815 - the names that `http.server` asks for.

import json
import re
import socket
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.support.fake_faults import Faults

Answer = tuple[int, dict[str, str], bytes]

# Generations, names of runs and of uploads: the rest of a request is the same in every run, and so are its faults.
_BY_CHANCE = re.compile(r"\d{13,}|\d{8}-\d{6}-[0-9a-f]{6}|upload_id=.*")


class FaultyServer(ThreadingHTTPServer):
    """Serves from a thread while its context lasts.

    Attributes:
        faults: What goes wrong.
        happened: How often a client met it. `altered up` and `altered down` count objects that had a byte changed on
            their way to the server and from it, `lost` answers that never arrived after something was committed.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type["FaultyHandler"], *, port: int = 0, faults: Faults | None = None) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.faults = faults or Faults()
        self.happened: Counter[str] = Counter()
        self.lock = threading.RLock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the game."""


class FaultyHandler(BaseHTTPRequestHandler):
    """Has a request carried out and answers it, as far as the fault allows that it meets.

    A number: this status, and nothing is done. `reset`: the connection breaks, and nothing is done. `stall`: silence,
    and nothing is done. `lost`: it is carried out, then the connection breaks. `truncated`: half of the answer
    arrives. `altered`: of an object that is written or read, one byte changes on its way.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyServer
    fault = ""

    def carry_out(self, body: bytes) -> Answer:
        """Status, headers and body of the answer."""
        raise NotImplementedError

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        fault = self.fault = self.server.faults.draw(f"{self.command} {_BY_CHANCE.sub('', self.path)}")
        if fault == "stall":
            self._stall()
        elif fault == "reset":
            self._reset(fault)
        elif fault.isdecimal():
            self._happened(fault)
            self.answer(*error_answer(int(fault), "injected"))
        else:
            self._serve(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _serve(self, body: bytes) -> None:
        status, headers, answer = self.carry_out(self._altered_upload(body))
        if self.fault == "lost":
            self._reset("lost" if self.command != "GET" and status < 300 else "reset")
        elif self.fault == "truncated" and answer:
            self._happened("truncated")
            self.answer(status, headers, answer, sent=len(answer) // 2)
        else:
            media = any(name.lower() == "x-goog-hash" for name in headers)
            self.answer(status, headers, self._altered(answer, "down", 0, len(answer)) if media else answer)

    def _altered_upload(self, body: bytes) -> bytes:
        if not self.path.startswith("/upload/"):
            return body
        if self.command == "PUT":
            return self._altered(body, "up", 0, len(body))
        if "uploadType=multipart" not in self.path:
            return body
        line = b"\r\n--" + boundary_of(self.headers["Content-Type"])
        start, end = body.find(b"\r\n\r\n", body.find(line)) + 4, body.rfind(line)
        return self._altered(body, "up", start, end)

    def _altered(self, data: bytes, way: str, start: int, end: int) -> bytes:
        """`data` with the middle byte of its part `[start, end)` changed, if that is the fault."""
        if self.fault != "altered" or start >= end:
            return data
        self._happened(f"altered {way}")
        middle = (start + end) // 2
        return data[:middle] + bytes([data[middle] ^ 0x20]) + data[middle + 1 :]

    def answer(self, status: int, headers: dict[str, str], body: bytes, *, sent: int | None = None) -> None:
        """Sends an answer, or only the first `sent` bytes of its body."""
        self.send_response(status)
        sent_along = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for key, value in (sent_along | headers).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body[:sent])
        self.close_connection = self.close_connection or sent is not None

    def _stall(self) -> None:
        self._happened("stall")
        self.close_connection = True
        self.connection.settimeout(120)
        self.connection.recv(1)

    def _reset(self, kind: str) -> None:
        self._happened(kind)
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _happened(self, kind: str) -> None:
        with self.server.lock:
            self.server.happened[kind] += 1


def error_answer(status: int, text: str) -> Answer:
    """An error as Google's JSON API words it."""
    error = {"error": {"code": status, "message": text, "errors": [{"message": text, "reason": "fake"}]}}
    return status, {}, json.dumps(error).encode()


def boundary_of(content_type: str) -> bytes:
    """The line that parts of a body are separated by; empty for a body that is whole."""
    return content_type.partition("boundary=")[2].strip('"').encode()
