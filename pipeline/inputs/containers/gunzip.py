"""Gzip streams read in bounded pieces, with everything before a damaged place kept."""

import zlib
from contextlib import suppress

from maskbeam.pipeline.inputs.containers.tfrecord import Readable

_MAGIC = b"\x1f\x8b\x08"
_INPUT_BYTES = 1 << 16


def is_gzip(head: bytes) -> bool:
    """True if a file that begins so is compressed with gzip."""
    return head.startswith(_MAGIC)


class Gunzip:
    """Decompresses a gzip stream, of several members too; zeros behind the last are padding.

    Attributes:
        damaged: Whether the stream broke off: everything up to there was given out, nothing after it can be.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._input = b""
        self._started = False
        self._ended = False
        self.damaged = False

    def read(self, size: int, /) -> bytes:
        """At most `size` decompressed bytes, `b""` only at the end, however much the stream would expand to."""
        data = b""
        while not data and not self._ended:
            if self._member.eof:
                self._next_member()
            elif self._input or self._refill():
                data = self._decompress(size)
            else:
                data = self._member.decompress(b"", size)
                if not data:
                    self._end(damaged=self._started)
        return data

    def _refill(self) -> bool:
        self._input = self._stream.read(_INPUT_BYTES)
        return bool(self._input)

    def _next_member(self) -> None:
        self._input = self._member.unused_data.lstrip(b"\0")
        while not self._input and self._refill():
            self._input = self._input.lstrip(b"\0")
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._started = bool(self._input)

    def _end(self, *, damaged: bool) -> None:
        self._ended = True
        self.damaged = damaged

    def _decompress(self, size: int) -> bytes:
        self._started = True
        before = self._member.copy()
        try:
            data = self._member.decompress(self._input, size)
        except zlib.error:
            self._end(damaged=True)
            return _up_to_the_damage(before, self._input)
        self._input = self._member.unconsumed_tail
        return data


def _up_to_the_damage(member: "zlib._Decompress", data: bytes) -> bytes:
    # A failing call gives nothing out, so its input is fed again byte by byte.
    kept = []
    with suppress(zlib.error):
        for i in range(len(data)):
            kept.append(member.decompress(data[i : i + 1]))
    return b"".join(kept)
