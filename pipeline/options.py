"""The options of a run, parsed once: everything after this takes plain values."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Part:
    """The `index`-th of `count` parts, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def file_name(self) -> str:
        """`1-of-4`: names this part's own files in the output."""
        return f"{self.index}-of-{self.count}"

    def holds(self, image_id: str) -> bool:
        """Whether an image belongs to this part: by a hash of its id, so all that claim one id meet in one part."""
        digest = hashlib.blake2b(image_id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"part").digest()
        return int.from_bytes(digest) % self.count == self.index - 1


PRODUCTS = ("color", "binary", "overlay", "confidence")

# As they are kept in settings; the first three are older than the rule that a name tells its library.
RESIZE_FILTERS = (
    "tf", "pillow", "nearest", "tf-nearest", "tf-bicubic", "tf-area", "tf-lanczos3", "pillow-bicubic",
    "pillow-lanczos", "pillow-box", "opencv-nearest", "opencv-linear", "opencv-cubic", "opencv-area",
    "opencv-lanczos4",
)  # fmt: skip
SAME_FILTERS = {"tf-bilinear": "tf", "pillow-bilinear": "pillow", "pillow-nearest": "nearest"}

# Types of raw tensors, with the bytes of a value.
RAW_TYPES = {
    "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float16": 2, "uint32": 4, "int32": 4, "float32": 4, "float64": 8,
}  # fmt: skip


@dataclass(frozen=True)
class ReadOptions:
    """How inputs are found and named."""

    patterns: tuple[str, ...] = ()
    image_key: str = "image/encoded"
    name_key: str = "image/filename"
    height_key: str = "image/height"
    width_key: str = "image/width"
    channels_key: str = "image/channels"
    raw_type: str | None = None  # RAW_TYPES
    id_root: str | None = None
    keep_extension: bool = False
    allow_empty: bool = False
    limit: int | None = None
    seed: int = 0
    part: Part | None = None


@dataclass(frozen=True)
class DecodeOptions:
    """How bytes become pixels on a scale of 0..255."""

    input_range: tuple[float, float] | None = None
    background: tuple[int, int, int] | None = None
    orientation: str = "stored"  # stored, upright
    max_pixels: int = 150_000_000
    fast_decode: bool = False
    isolate: bool = False


@dataclass(frozen=True)
class ModelOptions:
    """Which model, how it is fed, and how its head is to be read; None means: found out by probing."""

    path: str = ""
    engine: str = "auto"  # auto, tensorflow, openvino
    mixed_precision: bool = False
    trust: bool = False
    custom_objects: tuple[str, ...] = ()
    sha256: str | None = None
    normalize: str | None = None  # 0..1, -1..1, imagenet, caffe, none, or "mean,mean,mean/std,std,std"
    channel_order: str = "rgb"  # rgb, bgr
    resize: str | None = None  # stretch, letterbox, native
    resize_filter: str = "tf"  # RESIZE_FILTERS
    head: str | None = None  # logits, probabilities, ids, sigmoid, sigmoid_logits, multilabel, multilabel_logits
    layout: str | None = None  # channels_last, channels_first, flat, flat_first
    output_name: str | None = None


@dataclass(frozen=True)
class LabelOptions:
    """How logits become labels."""

    classes: str | None = None
    upsample: str = "logits"  # logits, labels, none
    threshold: float = 0.5
    ignore_label: int | None = None
    confidence: str = "probability"  # probability, entropy, margin
    min_confidence: float = 0.0
    multilabel: str = "planes"  # planes, argmax
    nonfinite: str = "fail"  # fail, ignore


@dataclass(frozen=True)
class OutputOptions:
    """What is written, where, and what counts as success."""

    path: str = ""
    products: frozenset[str] = frozenset()
    binary_classes: tuple[str, ...] = ()
    overlay_opacity: float = 0.5
    overwrite: bool = False
    retry_failed: bool = False
    max_failures: str = "0.1%"
    stop_after_failures: int = 500
    fail_on_degenerate: bool = False
    anonymous_ids: bool = False
    parquet: bool = False


@dataclass(frozen=True)
class RunOptions:
    """All options of `maskbeam run`; `beam` holds the flags that are Beam's own, untouched."""

    read: ReadOptions = field(default_factory=ReadOptions)
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    label: LabelOptions = field(default_factory=LabelOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    beam: tuple[str, ...] = ()
    dry_run: bool = False
