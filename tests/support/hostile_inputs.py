"""Everything that people ever put among their images, and what must become of it."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.transforms.elements import Array
from tests.support import numpy_engine
from tests.support.shard_files import write_shard
from tests.support.trees import draw, pixels, save

# Part of every name here, so that a name that leaks is found whatever else is in the text.
MARK = "patient"
GOOD = 12


def encoded(image: Array, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(image).save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def declared_png(width: int, height: int, data: bytes) -> bytes:
    """A grey PNG of one bit that says it is this large."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def poisoned(first: tuple[int, int, int]) -> Array:
    """An image that the numpy engine behaves badly on."""
    image = pixels(first)
    image[0, 0] = first
    return image


def archive(kind: str) -> bytes:
    """An archive whose entries lead out of any folder."""
    stream = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(stream, "w") as zipped:
            zipped.writestr("../../escaped.png", b"out")
    else:
        with tarfile.open(fileobj=stream, mode="w") as tar:
            entry = tarfile.TarInfo("../../escaped.png")
            entry.size = 3
            tar.addfile(entry, io.BytesIO(b"out"))
    return stream.getvalue()


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Content and expected code of files that fail, by name; the numbers are those of the cases."""
    png, jpeg = encoded(pixels("png")), encoded(pixels("jpeg", (64, 64)), "JPEG", quality=90)
    floats = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    return {
        "01-empty.png": (b"", "UNREADABLE"),
        "01-garbage.png": (bytes(range(256)) * 4, "UNREADABLE"),
        "01-html.jpg": (b"<!DOCTYPE html><html>404</html>", "UNREADABLE"),
        **{f"02-cut{share}.png": (png[: len(png) * share // 100], "UNREADABLE") for share in range(5, 100, 5)},
        **{f"02-cut{share}.jpg": (jpeg[: len(jpeg) * share // 100], "UNREADABLE") for share in range(5, 100, 5)},
        "03-flip.png": (flipped(png, len(png) // 2), "UNREADABLE"),
        "05-bomb.png": (declared_png(14000, 14000, zlib.compress(bytes(14000 * 1751), 9)), "TOO_LARGE"),
        "06-eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "UNSUPPORTED_FORMAT"),
        "06-psd.png": (b"8BPS\0\1" + bytes(40), "UNSUPPORTED_FORMAT"),
        "08-float.tif": (encoded(floats, "TIFF"), "BAD_VALUE_RANGE"),
        "15-zero.png": (declared_png(0, 16, zlib.compress(b"")), "UNREADABLE"),
        "27-zip.png": (archive("zip"), "UNREADABLE"),
        "27-tar.png": (archive("tar"), "UNREADABLE"),
        "42-nan.png": (encoded(poisoned(numpy_engine.NAN)), "NONFINITE"),
        "45-memory.png": (encoded(poisoned(numpy_engine.NO_ROOM)), "OUT_OF_MEMORY"),
        "46-poison.png": (encoded(poisoned(numpy_engine.RAISES)), "MODEL_FAILED"),
    }


def odd_files() -> dict[str, bytes]:
    """Content of files that look wrong and are not, by name."""
    colour = pixels("odd")
    image = Pillow.fromarray(colour)
    exif = Pillow.Exif()
    exif[0x0112] = 6

    def saved(made: Pillow.Image, kind: str, **options: Any) -> bytes:
        stream = io.BytesIO()
        made.save(stream, kind, **options)
        return stream.getvalue()

    return {
        "07-sixteen.png": encoded((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)),
        "09-cmyk.jpg": saved(image.convert("CMYK"), "JPEG"),
        "10-rgba.png": encoded(np.dstack([colour, np.arange(256, dtype=np.uint8).reshape(16, 16)])),
        "11-palette.png": saved(image.quantize(16), "PNG"),
        "11-bilevel.png": saved(image.convert("1"), "PNG"),
        "12-turned.jpg": saved(image, "JPEG", exif=exif),
        "13-moving.gif": saved(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "15-one.png": encoded(pixels("one", (1, 1))),
        "15-long.png": encoded(pixels("long", (1, 30000))),
        "43-infinite.png": encoded(poisoned(numpy_engine.INFINITE)),
        "45-takes-two.png": encoded(poisoned(numpy_engine.TAKES_TWO)),
    }


# Names of records, none of which may lead anywhere but below the output.
NAMES = (
    "../../etc/{}-30", "/abs/{}-30", "C:\\{}-30", "C:/{}-30", "..", ".", "a/{}-31", "a_{}-31", "a//{}-31",
    "{}-33 nul\0", "{}-33 line\nbreak", "{}-33" + "x" * 300, "{}-33 space ", "{}-33\\back", "{}-34\u00fc",
    "{}-34u\u0308", "{}-34 Case", "{}-34 case", "{}-35[ab]*?", "=HYPERLINK(\"{}-64\")", "<script>{}-64</script>",
    "-{}", "a/../{}-30",
)  # fmt: skip


def write_records(folder: Path) -> tuple[dict[str, int], set[str]]:
    """Writes shards with all that can be wrong in them.

    Returns:
        How often each code is expected, and the ids of the records that are intact.
    """
    raw = {"image/height": 2, "image/width": 2, "image/channels": 5}
    bad = [
        make_example({"other": b"x", "image/filename": f"{MARK}-24"}),
        make_example({"image/encoded": [1, 2], "image/filename": f"{MARK}-24b"}),
        b"\xff\xff no example",
        make_example({"image/encoded": bytes(20), "image/filename": f"{MARK}-14", **raw}),
    ]
    write_shard(folder / f"{MARK}-wrong.tfrecord", bad)
    write_shard(folder / f"{MARK}-names.tfrecord", [example(name.format(MARK), name) for name in NAMES])
    write_shard(folder / f"{MARK}-22.tfrecord", [])
    _write_gzips(folder)
    intact = {name.format(MARK) for name in NAMES} | {
        f"{MARK}/{kind}{i}" for kind in ("gz", "plain") for i in range(6)
    }
    for name, lost, harm in DAMAGES:
        whole = write_shard(folder / f"{MARK}-{name}.tfrecord", [example(f"{MARK}/{name}{i}", i) for i in range(6)])
        data = whole.read_bytes()
        whole.write_bytes(harm(data, len(data) // 6))
        intact |= {f"{MARK}/{name}{i}" for i in range(6) if i != lost}
    return {"MISSING_KEY": 2, "BAD_EXAMPLE": 1, "BAD_CHANNELS": 1, "DAMAGED_RECORD": len(DAMAGES)}, intact


# Name, the record that is lost, and what is done to a shard of six records of one size.
DAMAGES: tuple[tuple[str, int, Callable[[bytes, int], bytes]], ...] = (
    ("19-payload", 2, lambda data, size: flipped(data, 2 * size + size // 2)),
    ("20-length", 3, lambda data, size: flipped(data, 3 * size + 1)),
    ("21-tail", 5, lambda data, size: data[:-20]),
    ("26-huge", 4, lambda data, size: data[: 4 * size] + struct.pack("<Q", 2**62) + data[4 * size + 8 :]),
)


def _write_gzips(folder: Path) -> None:
    plain = write_shard(folder / f"{MARK}-23.tfrecord", [example(f"{MARK}/gz{i}", i) for i in range(6)])
    plain.write_bytes(gzip.compress(plain.read_bytes()))
    write_shard(folder / f"{MARK}-23.tfrecord.gz", [example(f"{MARK}/plain{i}", i) for i in range(6)])


def example(name: str, seed: object) -> bytes:
    return make_example({"image/encoded": encoded(pixels(seed)), "image/filename": name})


def write_hostile(folder: Path) -> tuple[dict[str, str], dict[str, int], set[str]]:
    """Writes all of it, good images in between.

    Returns:
        The code of each file that fails, how often each code is expected of records, and the ids of all that is done.
    """
    bad, odd = bad_files(), odd_files()
    for number in range(GOOD):
        draw(folder / f"{MARK}-good{number:02}.png", number)
    for name, data in (odd | {name: data for name, (data, _) in bad.items()}).items():
        (folder / f"{MARK}-{name}").write_bytes(data)
    save(folder / "twice" / f"{MARK}-16.png", pixels("twice"))
    save(folder / "again" / f"{MARK}-16.png", pixels("twice"))
    codes, intact = write_records(folder)
    done = {f"{MARK}-good{number:02}" for number in range(GOOD)} | {
        f"{MARK}-{name.rpartition('.')[0]}" for name in odd
    }
    done |= {f"twice/{MARK}-16", f"again/{MARK}-16"} | intact
    return {f"{MARK}-{name.rpartition('.')[0]}": code for name, (_, code) in bad.items()}, codes, done
