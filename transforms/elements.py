"""The elements that flow through the graph, in flow order.

Elements that hold arrays compare by identity (`eq=False`) and are never pickled on the way: from reading to
writing is one fused stage. Beam still sizes sampled elements by encoding them, so `SizedCoder` answers from the
arrays' own sizes; it also keeps the result right where a runner breaks the fusion.
"""

import hashlib
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from apache_beam import coders
from apache_beam.coders.typecoders import registry
from numpy.typing import NDArray

Array = NDArray[Any]
# What stands between the parts of a band's name: folders, words and an extension.
_BETWEEN = "[_/.]"


@dataclass(frozen=True)
class Entry:
    """One file as a listing shows it, or one image that lies in several.

    Attributes:
        uri: Where it lies; of several files the pattern that means these alone, with its braces.
        size: In bytes; of several files their sum.
        version: Its generation, or its size and mtime; of several files a digest of all of theirs. Empty: not known.
        image_id: The image's id; of a shard the beginning of those of its records.
        bands: The files where they are several, in the order of the braces. One that is missing has no version, and
            where one name has two files the image is refused.
    """

    uri: str
    size: int
    version: str
    image_id: str = ""
    bands: "tuple[Companion, ...]" = ()

    @property
    def first_file(self) -> str:
        """Where it lies, or of several files the first."""
        return self.bands[0].where if self.bands else self.uri


@dataclass(frozen=True)
class Found:
    """Numbers of what there was to find; to be summed over all chunks.

    Attributes:
        inputs: Images and records that were read.
        files: Images that are files, one or several, and shards that were listed.
        left_out: Number of other files that were listed, by kind.
    """

    inputs: int = 0
    files: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def sum(cls, parts: "Iterable[Found]") -> "Found":
        """The sum of any number of them."""
        inputs = files = 0
        left_out: dict[str, int] = {}
        for part in parts:
            inputs, files = inputs + part.inputs, files + part.files
            for kind, number in part.left_out.items():
                left_out[kind] = left_out.get(kind, 0) + number
        return cls(inputs, files, dict(sorted(left_out.items())))


@dataclass(frozen=True)
class Chunk:
    """A piece of the input's list, the only thing that is shuffled on the way in.

    Either images of up to about 1,000 files (`files`), each one or several, or a part of one shard: its byte range
    `[start, end)`, or all of it (`end` is None) when it is compressed. `offsets` narrows a shard to the records that
    start there; `ids` are the ids of some of these, by offset, where they are not their own.
    The last piece of a list holds nothing and says with `listed` how much was listed.
    """

    files: tuple[Entry, ...] = ()
    shard: Entry | None = None
    start: int = 0
    end: int | None = None
    offsets: frozenset[int] | None = None
    ids: Mapping[int, str] = field(default_factory=dict)
    listed: Found | None = None


@dataclass(frozen=True)
class Source:
    """The place that an image comes from and its version: together its identity.

    `where` is a URI, `shard-uri#offset` for a record, or for several files the pattern that means these alone, with
    its braces. `version` is the file's generation, its size and mtime, the record's checksum, or a digest of the
    versions of several files. `content` is a digest of the bytes once they have been read: it tells two copies of
    one image from two images of one name. `alias`, a keyed hash, stands for `where` in what is handed on.
    """

    where: str
    version: str
    content: str = ""
    alias: str = ""

    @property
    def place(self) -> str:
        """`alias`, or a digest of `where` (32 hex digits): masks carry it and no path, for they are handed on."""
        return self.alias or hashlib.blake2b(self.where.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Companion(Source):
    """One of several files of an image.

    Attributes:
        name: The user's word for it: its alternative in the braces, such as `B04` or `R10m/*_B04_10m`, or the
            manifest's; empty where there is none.
        size: In bytes.
    """

    name: str = ""
    size: int = 0

    def is_called(self, word: str) -> bool:
        """True if `word` is its name, or parts of that between `_`; without a name the file's own counts."""
        name = self.name or self.where.rpartition("/")[2]
        return bool(word) and bool(re.search(rf"(?:^|{_BETWEEN}){re.escape(word)}(?:{_BETWEEN}|$)", name))


@dataclass(frozen=True)
class Grid:
    """The place of pixels on the earth.

    Attributes:
        crs: The coordinate reference system, as WKT.
        transform: `a` to `f` of `x = a column + b row + c` and `y = d column + e row + f`, in units of the crs.
    """

    crs: str
    transform: tuple[float, float, float, float, float, float]


class GroundPoint(NamedTuple):
    """A pixel whose place is known: `row` and `column` from the top left corner, and `x`, `y`, `z` on the ground."""

    row: float
    column: float
    x: float
    y: float
    z: float = 0.0


@dataclass(frozen=True)
class GroundPoints:
    """The place of an image that is told by single pixels in place of a transform; `crs` is WKT, or empty."""

    crs: str
    points: tuple[GroundPoint, ...]


@dataclass(frozen=True)
class Origin:
    """The image that an element is, or is a part of: the one thing that is handed on whole from reading to writing.

    Attributes:
        image_id: Its id, which names its outputs.
        source: Where it comes from, and which version of it.
        size: Its height and width in pixels; zeros until it is decoded.
        grid: Where its pixels lie on the earth; None for plain pictures.
        companions: Its files where they are several, the first one too, each with its version: bands, masks, slices.
        facts: What was found when it was decoded, by name: `orientation`, that of the file where it is not 1;
            `transparency` (`dropped` or `on background`) where a pixel is not opaque; `samples`, their type where it
            is not uint8; and those of `maskbeam.transforms.measures.rasters`.
        turn: Its number among the images of a bundle that are cut into windows: a bundle may hold the same one twice.
    """

    image_id: str
    source: Source
    size: tuple[int, int] = (0, 0)
    grid: Grid | GroundPoints | None = None
    companions: tuple[Companion, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    turn: int = 0


@dataclass(frozen=True)
class Region:
    """A part of an image, in pixels: all of it, a model's window, a block; or of the slice of a volume, from 0."""

    top: int
    left: int
    height: int
    width: int
    slice: int = 0

    @classmethod
    def whole(cls, size: tuple[int, int]) -> "Region":
        """All of an image of this height and width."""
        return cls(0, 0, *size)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def common(self, other: "Region") -> "Region":
        """The pixels that lie in both; a region without rows or columns where there are none."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.height, other.top + other.height)
        right = min(self.left + self.width, other.left + other.width)
        return Region(top, left, max(0, bottom - top), max(0, right - left), self.slice)


class Named(Protocol):
    """Something that is found under one name and handed on under another: an image, or the failure of one."""

    @property
    def image_id(self) -> str:
        """The image's id."""
        ...

    @property
    def source(self) -> Source:
        """The image's source."""
        ...

    def of(self, image_id: str, source: Source) -> Self:
        """The same under another id, or with what more is known of its source."""
        ...


@dataclass(frozen=True, eq=False)
class OfImage:
    """An element that belongs to one image."""

    origin: Origin

    @property
    def image_id(self) -> str:
        """The image's id."""
        return self.origin.image_id

    @property
    def source(self) -> Source:
        """The image's source."""
        return self.origin.source


@dataclass(frozen=True, eq=False)
class EncodedImage(OfImage):
    """An image before decoding; `data` is None while it still lies in the file `source.where`.

    `raw_shape` and `raw_dtype` are set for records that hold a raw tensor `[H, W, C]` instead of a file's bytes.
    `file_size` is the file's in bytes, as it was listed, or the sum of several files'; 0 with `data`. The first ones
    of a listing, which lie alone in their chunks, are `is_first`.
    """

    data: bytes | None = None
    raw_shape: tuple[int, int, int] | None = None
    raw_dtype: str = "uint8"
    file_size: int = 0
    is_first: bool = False

    def of(self, image_id: str, source: Source) -> Self:
        """The same under another id, or with what more is known of its source."""
        return replace(self, origin=replace(self.origin, image_id=image_id, source=source))


@dataclass(frozen=True, eq=False)
class Image(OfImage):
    """The pixels `[H, W, C]` of a region of an image, uint8 (0..255) or float32 on the same 0..255 scale.

    They are fewer than the region has where they were decoded at a reduced scale. `valid`, bool `[H, W]`, is False
    where there is no data; None: there is data everywhere.
    """

    region: Region
    pixels: Array
    valid: Array | None = None

    @property
    def is_reduced(self) -> bool:
        """True if the pixels were decoded at a reduced scale."""
        return self.pixels.shape[:2] != self.region.size


@dataclass(frozen=True)
class Placement:
    """The place of an image in the model's input plane, so that results find the way back.

    The image of `height` x `width` pixels was resized to fill `[top, top + box_height) x [left, left +
    box_width)` of an input plane of `input_height` x `input_width` pixels; the rest of the plane is padding.
    """

    height: int
    width: int
    input_height: int
    input_width: int
    top: int
    left: int
    box_height: int
    box_width: int


@dataclass(frozen=True)
class Window:
    """The place of a model's window in the work on its image.

    Attributes:
        span: The first and the last block that it is computed for.
        number: Its number among the span's windows, from 0.
        count: How many the span has.
        is_alone: True where its span is to be finished before anything else is begun: its windows wait for no others.
    """

    span: tuple[int, int]
    number: int
    count: int
    is_alone: bool = False

    @property
    def is_last(self) -> bool:
        """True of the last window of its span."""
        return self.number == self.count - 1


@dataclass(frozen=True, eq=False)
class ModelInput(OfImage):
    """A region of an image as the model takes it: `plane` `[h, w, C]`, values still 0..255.

    `image` is the decoded region, kept only when a product draws on it, else None. Of an image that is cut into
    windows `window` says which one it is, and the last one keeps all of the image. `valid` as of `Image`.
    """

    region: Region
    placement: Placement
    plane: Array
    image: Array | None = None
    window: Window | None = None
    valid: Array | None = None

    def without_plane(self) -> "ModelInput":
        """The same once the model has seen it; frees the input plane."""
        return replace(self, plane=np.empty(0, np.uint8))


@dataclass(frozen=True, eq=False)
class LogitsBatch:
    """The model's output for N images.

    Attributes:
        images: The N inputs, their planes already freed.
        logits: Float `[N, h, w, C]`, what the head emits; or, when the argmax is part of the model's own graph,
            class channels as integers `[N, h, w]`.
        confidence: Int64 `[N]`: the sum over the image's model pixels of the winning probability, in units of
            1/65535.
        nonfinite: Int64 `[N]`: how many pixels had a NaN among their logits.
    """

    images: tuple[ModelInput, ...]
    logits: Array
    confidence: Array
    nonfinite: Array

    def split(self) -> Iterator["LogitsBatch"]:
        """The same as N batches of one; views, no copies."""
        for i, image in enumerate(self.images):
            yield LogitsBatch((image,), self.logits[i : i + 1], self.confidence[i : i + 1], self.nonfinite[i : i + 1])


@dataclass(frozen=True, eq=False)
class Labels(OfImage):
    """The decision for each pixel of a region, at the size of its output.

    Attributes:
        region: The part of the image.
        pixels: A label map `[H, W]` of class ids, uint8 with ignore label 255, or uint16 with 65535 when the table
            has ids above 254; or planes `[C, H, W]` bool of classes that are independent of each other.
        confidence: Optional uint16, in units of 1/65535; of the same shape.
        confidence_sum: Sum of the winning probability over the `confidence_pixels` pixels it was measured on, in
            units of 1/65535; integers, so that any split of a data set sums to the same.
        nonfinite: Number of model pixels with a NaN logit.
        image: The decoded region `[H, W, C]` for overlays, or None.
    """

    region: Region
    pixels: Array
    confidence: Array | None = None
    confidence_sum: int = 0
    confidence_pixels: int = 0
    nonfinite: int = 0
    image: Array | None = None

    @property
    def are_planes(self) -> bool:
        """True if classes are independent, with a plane each."""
        return self.pixels.ndim == 3


@dataclass(frozen=True, eq=False)
class Rendered(OfImage):
    """Labels, and the files that were drawn of them, by path below the output, `{}` for the image's encoded id."""

    labels: Labels
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Failure:
    """One input that could not be done; `image_id` is empty where it never got one.

    `code` is one of `errors.Code`, or of another version's; `reason` as in `ImageError`.
    """

    image_id: str
    source: Source
    code: str
    reason: str

    def of(self, image_id: str, source: Source) -> Self:
        """The same under another id, or with what more is known of its source."""
        return replace(self, image_id=image_id, source=source)


@dataclass(frozen=True, eq=False)
class EmptyWindow(OfImage):
    """A window without a pixel that has data: the model does not see it. `image` as of `ModelInput`."""

    region: Region
    window: Window
    image: Array | None = None


@dataclass(frozen=True, eq=False)
class FailedWindow(OfImage):
    """A window that the model failed on; with it its image has failed. `code` and `reason` as in `Failure`."""

    region: Region
    window: Window
    code: str
    reason: str


@dataclass(frozen=True, eq=False)
class FailedImage(OfImage):
    """An image that failed when some of it was done already; `code` and `reason` as in `Failure`."""

    code: str
    reason: str

    @property
    def failure(self) -> Failure:
        """The end of this image."""
        return Failure(self.image_id, self.source, self.code, self.reason)


class SizedCoder(coders.Coder):
    """Pickles, and sizes an element from its arrays and bytes in O(1) instead of pickling it."""

    def encode(self, value: object) -> bytes:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)

    def decode(self, encoded: bytes) -> Any:
        return pickle.loads(encoded)  # noqa: S301 - written by encode() above, within one pipeline

    def estimate_size(self, value: object) -> int:
        return size_of(value)

    def is_deterministic(self) -> bool:
        return False


def size_of(element: object) -> int:
    """Roughly how many bytes an element holds: its arrays and byte strings, without looking into them."""
    if isinstance(element, list | tuple):
        return sum(map(size_of, element))
    held = getattr(element, "__dict__", {"": element}).values()
    return 64 + sum(getattr(value, "nbytes", 0) or (len(value) if isinstance(value, bytes) else 0) for value in held)


for _element in (
    EncodedImage, Image, ModelInput, LogitsBatch, EmptyWindow, FailedWindow, FailedImage, Labels, Rendered,
):  # fmt: skip
    registry.register_coder(_element, SizedCoder)
