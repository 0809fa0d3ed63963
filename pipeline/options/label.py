"""Options of labels: logits become class ids."""

from dataclasses import dataclass

from maskbeam.pipeline.options.flag import Decides, option
from maskbeam.pipeline.options.values import fraction, label_id


@dataclass(frozen=True)
class LabelOptions:
    """Options of labels: logits become class ids."""

    classes: str | None = option(
        None,
        "class table: CSV, list of names, CVAT, COCO, YAML, Hugging Face, Keras, nnU-Net or pbtxt file, or voc, "
        "cityscapes, cityscapes_ids, ade20k, ade20k_ids [generated]",
        metavar="FILE",
        first=True,
        also=("inspect",),
        decides=Decides.FOUND,
        place=True,
    )
    upsample: str = option(
        "logits",
        "bring to the image's size what is smooth, what is fast, or nothing",
        choices=("logits", "labels", "none"),
        first=True,
    )
    threshold: float = option(
        0.5,
        "probability from which a sigmoid counts",
        metavar="P",
        parse=fraction,
        also=("inspect",),
    )
    ignore_label: int | None = option(
        None,
        "id of pixels that belong to no class [255; 65535 above 255 classes]",
        metavar="ID",
        parse=label_id,
    )
    confidence: str = option(
        "probability",
        "how confidence is measured",
        choices=("probability", "entropy", "margin"),
        decides=Decides.PRODUCTS,
    )
    min_confidence: float = option(0.0, "pixels below this get the ignore label", metavar="P", parse=fraction)
    multilabel: str = option(
        "planes",
        "of independent classes make a binary mask each, or take the likeliest",
        choices=("planes", "argmax"),
    )
    nonfinite: str = option(
        "fail",
        "whether NaN among logits fails the image, or gives its pixel the ignore label",
        choices=("fail", "ignore"),
        decides=Decides.SOME_MASKS,
    )
