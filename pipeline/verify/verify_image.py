"""Checks one image of a finished output: its mask against its record, its products against its mask."""

from collections.abc import Iterator

import numpy as np

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.output.claim import TEXT_KEY, Record, parse_claim, parse_record
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.storage import LOST, join
from maskbeam.pipeline.verify.checked import Checked, lost, said_of
from maskbeam.pipeline.verify.verify_scene import check_scene
from maskbeam.transforms.codecs.encode import decode_written, read_text
from maskbeam.transforms.elements import Array, Labels, Origin, Region, Source
from maskbeam.transforms.measures.counted import Counted, recount
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.products.product import Held
from maskbeam.transforms.products.registry import product


def check_image(output: FinishedOutput, image_id: str, place: str) -> Checked:
    """Checks all files of an image.

    Args:
        output: The output.
        image_id: The image's id.
        place: Digest of where its source lies, from the reports.
    """
    if output.is_geotiff:
        return check_scene(output, image_id, place)
    path, storage, root = output.path(image_id), output.storage, output.root
    try:
        data = storage.read(join(root, path))
        text = read_text(data).get(TEXT_KEY, "")
        record = parse_record(text)
        labels = decode_written(data)
    except LOST as error:
        return Checked(None, (0, 0), [f"{path} {lost(error)}"])
    except ValueError as error:
        return Checked(None, (0, 0), [f"{path} is damaged: {error}"])
    if record is None:
        return Checked(None, (0, 0), [f"{path} carries no record"])
    counted, wrong = _recount(labels, record, output)
    found = [
        *(["carries a record that its pixels contradict"] if wrong else []),
        *said_of(record, output, place),
    ]
    products = _products(output, record, encode_id(image_id), labels)
    differences = [*(f"{path} {said}" for said in found), *products]
    return Checked(counted, (record.height, record.width), differences, text)


def _recount(labels: Array, record: Record, output: FinishedOutput) -> tuple[Counted, bool]:
    held = Counted.from_json(record.statistics)
    if output.planes:
        pixels, first = held[PIXELS], next(iter(output.binary.values()))
        return held, int(np.count_nonzero(labels)) != pixels.by_class.get(first, 0) or labels.size != pixels.total
    counted = recount(
        Labels(Origin("", Source("", "")), Region.whole(labels.shape), labels), output.classes.ids, held
    )
    return counted, counted.to_json() != record.statistics


def _products(output: FinishedOutput, record: Record, name: str, labels: Array) -> Iterator[str]:
    missing = output.products - {path.partition("/")[0] for path in record.products}
    yield from (f"the record of an image lists no file in {folder}/" for folder in sorted(missing))
    for path, size in record.files(name).items():
        try:
            data = output.storage.read(join(output.root, path))
        except LOST as error:
            yield f"{path} {lost(error)}"
            continue
        if len(data) != size:
            yield f"{path} has {len(data)} bytes, its image's record says {size}"
        elif parse_claim(read_text(data).get(TEXT_KEY)) != record.claim:
            yield f"{path} belongs to another image or another run"
        elif wrong := _wrong_pixels(path, data, labels, record, output):
            yield f"{path} {wrong}"


def _wrong_pixels(path: str, data: bytes, labels: Array, record: Record, output: FinishedOutput) -> str:
    kind, _, below = path.partition("/")
    try:
        pixels = decode_written(data)
    except ValueError:
        return "is damaged"
    if pixels.shape[:2] != labels.shape:
        return f"has {pixels.shape[:2]} pixels, its mask has {labels.shape}"
    class_id = output.binary.get(below.partition("/")[0])
    counted = record.statistics["classes"].get(str(class_id), [0])[0]
    held = Held(None if output.planes else labels, class_id, counted)
    return "" if product(kind).agrees(pixels, held) else "differs from its mask"
