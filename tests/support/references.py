"""An output that references are found for: its class table and its masks, without a run."""

from collections.abc import Mapping
from pathlib import Path

from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.storage import open_storage
from maskbeam.transforms.codecs.encode import encode_mask
from maskbeam.transforms.elements import Array, Source


def bare_output(root: Path, classes: Mapping[str, int], masks: Mapping[str, Array] | None = None) -> FinishedOutput:
    """An output of these class ids by name, and of these masks by id."""
    settings = {
        "classes": [[n, i, name, [n, n, n + 1]] for n, (name, i) in enumerate(classes.items())],
        "--ignore_label": 255,
        "head": {"kind": "softmax"},
    }
    for image_id, pixels in (masks or {}).items():
        path = root / "masks" / f"{image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_mask(pixels))
    return FinishedOutput(str(root), open_storage(str(root)), settings, "")


def rows(*ids: str, where: str = "/in/{}.jpg") -> list[FinishedImage]:
    """Rows of an output's report."""
    return [FinishedImage(i, Source(where.format(i), ""), {}) for i in ids]
