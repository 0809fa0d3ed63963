"""The command line: flags in, typed options out. Nothing here imports numpy, Beam or TensorFlow."""

import argparse
import difflib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pipeline.flag_types import allowance, color, count, fraction, names, number_pair, product_names
from pipeline.options import (
    DecodeOptions,
    LabelOptions,
    ModelOptions,
    OutputOptions,
    ReadOptions,
    RunOptions,
)
from transforms.errors import RunError

SECTIONS = {
    "read": ReadOptions,
    "decode": DecodeOptions,
    "model": ModelOptions,
    "label": LabelOptions,
    "output": OutputOptions,
}

EXAMPLE = """example:
  maskbeam run --input 'scenes/*.tfrecord' --model unet.keras --classes labels.csv \\
               --products color,overlay --output out
"""


@dataclass(frozen=True)
class Flag:
    """One flag: the field that it sets, as `section.field`, and what argparse must know."""

    name: str
    target: str
    help: str
    parse: Any = str
    choices: tuple[str, ...] | None = None
    many: bool = False
    metavar: str | None = None

    @property
    def default(self) -> Any:
        """The field's own default."""
        section, name = self.target.split(".")
        return getattr(SECTIONS[section](), name)


F = Flag
FLAGS: dict[str, list[Flag]] = {
    "input": [
        F("input", "read.patterns", "folders, globs, TFRecord shards or manifests, local or gs://", many=True),
        F("id_root", "read.id_root", "folder that image ids start below [the part of the pattern before a wildcard]"),
        F("keep_extension", "read.keep_extension", "a.jpg gives a.jpg.png instead of a.png"),
        F("image_key", "read.image_key", "key of the encoded image in a tf.train.Example"),
        F("name_key", "read.name_key", "key of the image's name"),
        F("height_key", "read.height_key", "key of a raw tensor's height"),
        F("width_key", "read.width_key", "key of a raw tensor's width"),
        F("channels_key", "read.channels_key", "key of a raw tensor's channels"),
        F(
            "input_range",
            "decode.input_range",
            "values that mean 0 and 255 in images that are not 8-bit, as in 0,4095 "
            "[0,65535 for 16-bit; float images have no default]",
            number_pair,
            metavar="LO,HI",
        ),
        F("background", "decode.background", "colour behind transparent pixels", color, metavar="R,G,B"),
        F(
            "max_pixels",
            "decode.max_pixels",
            "images with more pixels than this fail instead of filling the memory",
            count,
        ),
        F("fast_decode", "decode.fast_decode", "decode large JPEGs at a reduced scale; changes what the model sees"),
        F("allow_empty", "read.allow_empty", "no input at all is a success of 0 images"),
        F("limit", "read.limit", "do only a sample of N images", count, metavar="N"),
        F("seed", "read.seed", "which sample", int, metavar="N"),
    ],
    "model": [
        F("model", "model.path", ".keras or .h5 file or SavedModel folder, local or gs://"),
        F("engine", "model.engine", "what runs the model", choices=("auto", "tensorflow", "openvino")),
        F(
            "normalize",
            "model.normalize",
            "scaling of pixels when the model has none of its own: 0..1, -1..1, imagenet, "
            "caffe, none, or mean and std as m,m,m/s,s,s",
            metavar="HOW",
        ),
        F(
            "channel_order",
            "model.channel_order",
            "order of colours that the model was trained with",
            choices=("rgb", "bgr"),
        ),
        F(
            "resize",
            "model.resize",
            "how images reach the model's size [native if its size is free, else stretch]",
            choices=("stretch", "letterbox", "native"),
        ),
        F(
            "resize_filter",
            "model.resize_filter",
            "the filter of the training: tf.image.resize, Pillow's, or nearest",
            choices=("tf", "pillow", "nearest"),
        ),
        F(
            "head",
            "model.head",
            "what the output means [found by probing]",
            choices=(
                "logits",
                "probabilities",
                "ids",
                "sigmoid",
                "sigmoid_logits",
                "multilabel",
                "multilabel_logits",
            ),
        ),
        F(
            "layout",
            "model.layout",
            "where the output's channels are [found by probing]",
            choices=("channels_last", "channels_first", "flat"),
        ),
        F("output_name", "model.output_name", "which of a model's several outputs", metavar="NAME"),
        F(
            "trust_model",
            "model.trust",
            "run code that the model file holds; only for files you would run as a program",
        ),
        F(
            "custom_objects",
            "model.custom_objects",
            "your module that registers custom layers; needs --trust_model",
            names,
            metavar="PKG.MODULE",
        ),
        F("model_sha256", "model.sha256", "refuse any other model file", metavar="HEX"),
    ],
    "labels": [
        F(
            "classes",
            "label.classes",
            "class table: CSV, list of names, CVAT, Hugging Face, Keras, nnU-Net or pbtxt file, or "
            "voc, cityscapes, cityscapes_ids, ade20k [generated]",
            metavar="FILE",
        ),
        F(
            "upsample",
            "label.upsample",
            "bring results to the image's size: smooth (logits), fast (labels), or not at all",
            choices=("logits", "labels", "none"),
        ),
        F("threshold", "label.threshold", "probability from which a sigmoid counts", fraction, metavar="P"),
        F(
            "ignore_label",
            "label.ignore_label",
            "id of pixels that belong to no class [255; 65535 above 255 classes]",
            int,
        ),
        F(
            "confidence",
            "label.confidence",
            "how confidence is measured",
            choices=("probability", "entropy", "margin"),
        ),
        F("min_confidence", "label.min_confidence", "pixels below this get the ignore label", fraction, metavar="P"),
        F(
            "multilabel",
            "label.multilabel",
            "independent classes: one binary mask each, or the likeliest class",
            choices=("planes", "argmax"),
        ),
        F(
            "nonfinite",
            "label.nonfinite",
            "images whose logits hold NaN fail, or those pixels get the ignore label",
            choices=("fail", "ignore"),
        ),
    ],
    "output": [
        F("output", "output.path", "folder for masks and reports, local or gs://", metavar="DIR"),
        F(
            "products",
            "output.products",
            "beside masks: color,binary,overlay,confidence or all [none]",
            product_names,
            metavar="LIST",
        ),
        F("binary_classes", "output.binary_classes", "classes that get binary masks [all]", names, metavar="LIST"),
        F(
            "overlay_opacity",
            "output.overlay_opacity",
            "how much of the image the colours hide",
            fraction,
            metavar="P",
        ),
        F("overwrite", "output.overwrite", "do again what another model or other options did before"),
        F("retry_failed", "output.retry_failed", "try images again that failed before"),
        F(
            "max_failures",
            "output.max_failures",
            "more failed images than this, a count or a share, is exit code 3",
            allowance,
            metavar="N|P%",
        ),
        F(
            "stop_after_failures",
            "output.stop_after_failures",
            "stop when so many of a worker's first 1,000 images failed",
            count,
            metavar="N",
        ),
        F("fail_on_degenerate", "output.fail_on_degenerate", "a model that looks dead is exit code 3, not a warning"),
        F("anonymous_ids", "output.anonymous_ids", "files and reports carry keyed hashes instead of ids"),
        F("parquet", "output.parquet", "write images.parquet beside images.csv (needs maskbeam[parquet])"),
    ],
}


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line that ends in what to do."""

    def error(self, message: str) -> NoReturn:
        raise RunError(f"{message} (see {self.prog} --help)")

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        return shlex.split(arg_line, comments=True)


def add_flags(parser: argparse.ArgumentParser, *, groups: Sequence[str] = tuple(FLAGS)) -> None:
    """Gives a parser the flags of some groups."""
    for title in groups:
        group = parser.add_argument_group(title)
        for flag in FLAGS[title]:
            group.add_argument(f"--{flag.name}", dest=flag.target, **_argparse(flag))


def _argparse(flag: Flag) -> dict[str, Any]:
    default = flag.default
    if default is False:
        return {"action": "store_true", "default": False, "help": flag.help}
    shown = "" if default in (None, "", (), frozenset()) else f" [{_shown(default)}]"
    known: dict[str, Any] = {"default": default, "help": (flag.help + shown).replace("%", "%%")}
    if flag.many:
        return {**known, "nargs": "+", "metavar": "PATTERN"}
    if flag.choices:
        return {**known, "choices": flag.choices}
    return {**known, "type": flag.parse, "metavar": flag.metavar or flag.target.split(".")[1].upper()}


def _shown(default: object) -> str:
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def to_options(values: argparse.Namespace, beam: Sequence[str]) -> RunOptions:
    """The typed options of parsed flags."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for target, value in vars(values).items():
        if "." in target:
            section, name = target.split(".")
            sections[section][name] = tuple(value) if isinstance(value, list) else value
    made = {section: kind(**sections[section]) for section, kind in SECTIONS.items()}
    return RunOptions(**made, beam=tuple(beam), dry_run=getattr(values, "dry_run", False))


def check_beam_flags(flags: Sequence[str]) -> None:
    """Refuses a flag that neither maskbeam nor Beam knows, naming the nearest that exists.

    Beam itself only warns of flags that it throws away.
    """
    if not flags:
        return
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = Parser(prog="maskbeam run", allow_abbrev=False, add_help=False, conflict_handler="resolve")
    for kind in _all_subclasses(PipelineOptions):
        kind._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(flags))
    for flag in unknown:
        known = [option for action in parser._actions for option in action.option_strings]
        known += [f"--{ours.name}" for group in FLAGS.values() for ours in group]
        raise RunError(f"unknown flag {flag}{did_you_mean(flag.split('=')[0], known)} (see maskbeam run --help)")


def _all_subclasses(kind: Any) -> list[Any]:
    return [deeper for child in kind.__subclasses__() for deeper in (child, *_all_subclasses(child))]


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """`; did you mean X?`, or nothing."""
    nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""
