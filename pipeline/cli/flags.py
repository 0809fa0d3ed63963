"""The flags of `maskbeam run`, in the order in which a person needs them. Nothing here imports a heavy library."""

from dataclasses import dataclass
from typing import Any

from maskbeam.pipeline.cli.values import (
    allowance,
    color,
    count,
    filled,
    fraction,
    label_id,
    names,
    number_pair,
    part,
    product_names,
    resize_filter,
    whole,
)
from maskbeam.pipeline.options import (
    RAW_TYPES,
    DecodeOptions,
    LabelOptions,
    ModelOptions,
    OutputOptions,
    ReadOptions,
    RunOptions,
)

SECTIONS = {
    "read": ReadOptions,
    "decode": DecodeOptions,
    "model": ModelOptions,
    "label": LabelOptions,
    "output": OutputOptions,
    "run": RunOptions,
}


@dataclass(frozen=True)
class Flag:
    """One flag: the field that it sets, as `section.field`, and what a person and argparse must know.

    Attributes:
        name: Without its dashes.
        target: The field of the options, as `section.field`.
        help: One line; the default is added to it, unless it ends in one in brackets.
        metavar: What stands for its value in the help.
        parse: Turns the word into a value, or raises argparse's error.
        choices: All values there are.
        many: Whether it takes several words, and may be repeated.
    """

    name: str
    target: str
    help: str
    metavar: str = ""
    parse: Any = filled
    choices: tuple[str, ...] | None = None
    many: bool = False

    @property
    def default(self) -> Any:
        """The field's own default."""
        section, name = self.target.split(".")
        return getattr(SECTIONS[section](), name)

    @property
    def has_value(self) -> bool:
        """Whether a word follows it."""
        return self.default is not False


F = Flag
HEADS = ("logits", "probabilities", "ids", "sigmoid", "sigmoid_logits", "multilabel", "multilabel_logits")
FLAGS: dict[str, list[Flag]] = {
    "needed": [
        F(
            "input",
            "read.patterns",
            "folders, globs, TFRecord shards or manifests; local or gs://",
            "PATTERN",
            many=True,
        ),
        F("model", "model.path", ".keras or .h5 file or SavedModel folder; local or gs://", "PATH"),
        F("output", "output.path", "folder for masks and reports; local or gs://", "DIR"),
    ],
    "to try first": [
        F("dry_run", "run.dry_run", "say what would be done, and do nothing"),
        F("limit", "read.limit", "do only a sample of N images", "N", count),
        F("seed", "read.seed", "which sample", "N", whole),
    ],
    "input": [
        F("id_root", "read.id_root", "folder below which image ids start [what all matches share]", "DIR"),
        F("keep_extension", "read.keep_extension", "a.jpg gives a.jpg.png instead of a.png"),
        F("image_key", "read.image_key", "key of the image, encoded or raw, in a tf.train.Example", "KEY"),
        F("name_key", "read.name_key", "key of the image's name", "KEY"),
        F("height_key", "read.height_key", "key of a raw tensor's height", "KEY"),
        F("width_key", "read.width_key", "key of a raw tensor's width", "KEY"),
        F("channels_key", "read.channels_key", "key of a raw tensor's channels", "KEY"),
        F(
            "raw_type",
            "read.raw_type",
            "type of a raw tensor's values, little-endian [uint8 where they have one byte]",
            "TYPE",
            choices=tuple(RAW_TYPES),
        ),
        F(
            "input_range",
            "decode.input_range",
            "values that mean 0 and 255 in images that are not 8-bit, as in 0,4095 [16-bit: 0,65535; float: none]",
            "LO,HI",
            number_pair,
        ),
        F(
            "background",
            "decode.background",
            "lay transparent pixels over this colour [transparency is dropped]",
            "R,G,B",
            color,
        ),
        F(
            "orientation",
            "decode.orientation",
            "pixels as they are stored, or turned upright as their EXIF orientation says",
            "WORD",
            choices=("stored", "upright"),
        ),
        F("max_pixels", "decode.max_pixels", "images of more pixels fail, before they fill the memory", "N", count),
        F("fast_decode", "decode.fast_decode", "decode large JPEGs at a reduced scale; the model sees other pixels"),
        F("isolate_decoding", "decode.isolate", "decode in child processes: a decoder that crashes costs one image"),
        F("allow_empty", "read.allow_empty", "no input at all is a success of 0 images"),
    ],
    "model": [
        F(
            "normalize",
            "model.normalize",
            "scaling of pixels, when the model has none of its own: 0..1, -1..1, imagenet, caffe, none, or mean and "
            "std as m,m,m/s,s,s",
            "HOW",
        ),
        F("channel_order", "model.channel_order", "colours as in training", "WORD", choices=("rgb", "bgr")),
        F(
            "resize",
            "model.resize",
            "how images reach the model's size [native if its size is free, else stretch]",
            "WORD",
            choices=("stretch", "letterbox", "native"),
        ),
        F(
            "resize_filter",
            "model.resize_filter",
            "the filter of the training, by its library: tf, tf-nearest, tf-bicubic, tf-area, tf-lanczos3; "
            "pillow-bilinear, -bicubic, -lanczos, -box, -nearest; opencv-linear, -cubic, -area, -lanczos4, -nearest",
            "WORD",
            resize_filter,
        ),
        F("head", "model.head", "what the output means [found by probing]", "WORD", choices=HEADS),
        F(
            "layout",
            "model.layout",
            "where the output's channels are [found by probing]",
            "WORD",
            choices=("channels_last", "channels_first", "flat", "flat_first"),
        ),
        F("output_name", "model.output_name", "which of a model's several outputs", "NAME"),
        F("engine", "model.engine", "what runs the model", "WORD", choices=("auto", "tensorflow", "openvino")),
        F("mixed_precision", "model.mixed_precision", "compute in float16 on GPUs; a few labels may differ"),
        F("trust_model", "model.trust", "run code that the model file holds; only if you would run it as a program"),
        F(
            "custom_objects",
            "model.custom_objects",
            "your module that registers custom layers; needs --trust_model",
            "PKG.MODULE",
            names,
        ),
        F("model_sha256", "model.sha256", "refuse any other model file", "HEX"),
    ],
    "labels": [
        F(
            "classes",
            "label.classes",
            "class table: CSV, list of names, CVAT, COCO, YAML, Hugging Face, Keras, nnU-Net or pbtxt file, or voc, "
            "cityscapes, cityscapes_ids, ade20k, ade20k_ids [generated]",
            "FILE",
        ),
        F(
            "upsample",
            "label.upsample",
            "bring to the image's size what is smooth, what is fast, or nothing",
            "WORD",
            choices=("logits", "labels", "none"),
        ),
        F("threshold", "label.threshold", "probability from which a sigmoid counts", "P", fraction),
        F(
            "ignore_label",
            "label.ignore_label",
            "id of pixels that belong to no class [255; 65535 above 255 classes]",
            "ID",
            label_id,
        ),
        F(
            "confidence",
            "label.confidence",
            "how confidence is measured",
            "WORD",
            choices=("probability", "entropy", "margin"),
        ),
        F("min_confidence", "label.min_confidence", "pixels below this get the ignore label", "P", fraction),
        F(
            "multilabel",
            "label.multilabel",
            "of independent classes make a binary mask each, or take the likeliest",
            "WORD",
            choices=("planes", "argmax"),
        ),
        F(
            "nonfinite",
            "label.nonfinite",
            "whether NaN among logits fails the image, or gives its pixel the ignore label",
            "WORD",
            choices=("fail", "ignore"),
        ),
    ],
    "output": [
        F(
            "products",
            "output.products",
            "beside masks: color,binary,overlay,confidence or all [none]",
            "LIST",
            product_names,
        ),
        F("binary_classes", "output.binary_classes", "classes that get binary masks [all]", "LIST", names),
        F("overlay_opacity", "output.overlay_opacity", "how much of the image the colours hide", "P", fraction),
        F("anonymous_ids", "output.anonymous_ids", "files and reports carry hashes instead of ids"),
        F(
            "part",
            "read.part",
            "do the I-th of N parts of the images; after the last one: maskbeam merge DIR",
            "I/N",
            part,
        ),
        F("parquet", "output.parquet", "write images.parquet beside images.csv (needs pyarrow)"),
    ],
    "when a run is repeated or goes wrong": [
        F("overwrite", "output.overwrite", "replace what another model, other options or other input left"),
        F("retry_failed", "output.retry_failed", "try images again that failed before"),
        F(
            "max_failures",
            "output.max_failures",
            "more failed images than this, a count or a share, is exit code 3",
            "N|P%",
            allowance,
        ),
        F(
            "stop_after_failures",
            "output.stop_after_failures",
            "stop when so many of a worker's first 1,000 images failed",
            "N",
            count,
        ),
        F("fail_on_degenerate", "output.fail_on_degenerate", "a model that looks dead is exit code 3, not a warning"),
    ],
}
