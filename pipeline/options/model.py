"""Options of the model, of its input and of its head."""

from dataclasses import dataclass

from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.values import count, names, with_synonyms

# As they are kept in settings; the first three are older than the rule that a name tells its library.
RESIZE_FILTERS = (
    "tf", "pillow", "nearest", "tf-nearest", "tf-bicubic", "tf-area", "tf-lanczos3", "pillow-bicubic",
    "pillow-lanczos", "pillow-box", "opencv-nearest", "opencv-linear", "opencv-cubic", "opencv-area",
    "opencv-lanczos4",
)  # fmt: skip
SAME_FILTERS = {"tf-bilinear": "tf", "pillow-bilinear": "pillow", "pillow-nearest": "nearest"}


@dataclass(frozen=True)
class ModelOptions:
    """The model, its input and the meaning of its head; None means: found out by probing."""

    path: str = option(
        "",
        ".keras or .h5 file or SavedModel folder; local or gs://",
        name="model",
        short="m",
        metavar="PATH",
        group="needed",
        first=True,
        also=("inspect", "merge"),
        decides=Decides.FOUND,
        place=True,
    )
    normalize: str | None = option(
        None,
        "scaling of pixels, when the model has none of its own: 0..1, -1..1, imagenet, caffe, none, or mean and "
        "std as m,m,m/s,s,s",
        metavar="HOW",
        first=True,
        also=("inspect",),
        decides=Decides.FOUND,
    )
    channel_order: str = option(
        "rgb",
        "colours as in training",
        choices=("rgb", "bgr"),
        also=("inspect",),
        decides=Decides.FOUND,
    )
    resize: str | None = option(
        None,
        "how images reach the model's size [native if its size is free, else stretch]",
        choices=("stretch", "letterbox", "native", "tile"),
        first=True,
        also=("inspect",),
        decides=Decides.FOUND,
    )
    tile_size: int | None = option(
        None,
        "side of a window for a model of free size, with --resize tile [512]",
        metavar="N",
        parse=count,
        group="tiles",
        also=("inspect",),
        decides=Decides.FOUND,
    )
    resize_filter: str = option(
        "tf",
        "the filter of the training, by its library: tf, tf-nearest, tf-bicubic, tf-area, tf-lanczos3; "
        "pillow-bilinear, -bicubic, -lanczos, -box, -nearest; opencv-linear, -cubic, -area, -lanczos4, -nearest",
        metavar="WORD",
        parse=with_synonyms(RESIZE_FILTERS, SAME_FILTERS, "filter"),
        also=("inspect",),
        decides=Decides.FOUND,
    )
    head: str | None = option(
        None,
        "what the output means [found by probing]",
        choices=("logits", "probabilities", "ids", "sigmoid", "sigmoid_logits", "multilabel", "multilabel_logits"),
        also=("inspect",),
        decides=Decides.FOUND,
    )
    layout: str | None = option(
        None,
        "where the output's channels are [found by probing]",
        choices=("channels_last", "channels_first", "flat", "flat_first"),
        also=("inspect",),
        decides=Decides.FOUND,
    )
    output_name: str | None = option(
        None,
        "which of a model's several outputs",
        metavar="NAME",
        also=("inspect",),
        decides=Decides.FOUND,
    )
    engine: str = option(
        "auto",
        "what runs the model",
        decides=Decides.FOUND,
    )
    plain_model: bool = option(
        False, "compute a Keras model as it was loaded, without layers that are rewritten for a CPU"
    )
    mixed_precision: bool = option(False, "compute in float16 on GPUs; a few labels may differ")
    trust: bool = option(
        False,
        "run code that the model file holds; only if you would run it as a program",
        name="trust_model",
        also=("inspect", "merge"),
        decides=Decides.NOTHING,
        kept=False,
    )
    custom_objects: tuple[str, ...] = option(
        (),
        "your module that registers custom layers; needs --trust_model",
        metavar="PKG.MODULE",
        parse=names,
        also=("inspect", "merge"),
        kept=False,
    )
    sha256: str | None = option(
        None,
        "refuse any other model file",
        name="model_sha256",
        metavar="HEX",
        also=("inspect",),
        decides=Decides.NOTHING,
    )
