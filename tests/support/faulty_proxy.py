"""A proxy in front of any storage service that speaks HTTP, where requests meet faults on their way."""

import http.client
from urllib.parse import urlsplit

from tests.support.fake_faults import Faults
from tests.support.faulty_http import Answer, FaultyHandler, FaultyServer

# What belongs to one connection, or is written anew.
_OF_A_CONNECTION = {"host", "connection", "keep-alive", "content-length", "transfer-encoding", "date", "server"}


class FaultyProxy(FaultyServer):
    """Passes requests on to the service at the URL `upstream`."""

    def __init__(self, upstream: str, *, faults: Faults | None = None) -> None:
        super().__init__(_Handler, faults=faults)
        self.upstream = upstream


class _Handler(FaultyHandler):
    server: FaultyProxy

    def carry_out(self, body: bytes) -> Answer:
        upstream = http.client.HTTPConnection(urlsplit(self.server.upstream).netloc, timeout=60)
        try:
            upstream.request(self.command, self.path, body, _passed_on(self.headers.items()))
            answer = upstream.getresponse()
            headers = _passed_on(answer.getheaders())
            if "Location" in headers:
                # Where the pieces of a large upload go: through here, too.
                headers["Location"] = headers["Location"].replace(self.server.upstream, self.server.url)
            return answer.status, headers, answer.read()
        finally:
            upstream.close()


def _passed_on(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _OF_A_CONNECTION}
