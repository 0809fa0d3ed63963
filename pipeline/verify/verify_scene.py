"""Checks one image of an output of GeoTIFFs: its mask against its record, its other files against its mask."""

from collections.abc import Iterator
from functools import reduce
from operator import add

import numpy as np

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.inputs.readers.raster import small_size
from maskbeam.pipeline.output.claim import TEXT_KEY, Record, claim_text, parse_claim, parse_record
from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.geotiff.overlay import LONGEST
from maskbeam.pipeline.output.geotiff.written_raster import WrittenRaster, opened, regions
from maskbeam.pipeline.output.grids import grid_of
from maskbeam.pipeline.output.look_up import whole_text
from maskbeam.pipeline.output.ours import NAMES_EXTENSION
from maskbeam.pipeline.storage import LOST, NotFound, is_gcs, join
from maskbeam.pipeline.verify.checked import Checked, lost, said_of
from maskbeam.pipeline.verify.sound_tiles import check_tiles
from maskbeam.transforms.codecs.aux_xml import Shown, encode_aux
from maskbeam.transforms.codecs.encode import decode_written
from maskbeam.transforms.elements import Array, Labels, Origin, Region, Source
from maskbeam.transforms.measures.counted import Counted, count, with_held
from maskbeam.transforms.measures.pixels import PIXELS
from maskbeam.transforms.products.product import Held
from maskbeam.transforms.products.registry import product

# No checksum is kept of parts of an object, which may come altered over a network.
_LOOKS = 4


def check_scene(output: FinishedOutput, image_id: str, place: str) -> Checked:
    """Checks all files of an image; see `verify_image.check_image`. What differs far away is looked at again."""
    found = _looked_at(output, image_id, place)
    for _ in range(_LOOKS - 1 if is_gcs(output.root) else 0):
        if not found.differences:
            break
        found = _looked_at(output, image_id, place)
    return found


def _looked_at(output: FinishedOutput, image_id: str, place: str) -> Checked:
    path = output.path(image_id)
    uri = join(output.root, path)
    try:
        text = whole_text(output.storage, uri).get(TEXT_KEY, "")
        record = parse_record(text)
        if record is None:
            return Checked(None, (0, 0), [f"{path} is damaged, or carries no record"])
        check_tiles(output.storage, uri)
        with opened(uri) as mask:
            counted, wrong = _of_mask(mask, record, output)
            found = [f"{path} {said}" for said in (*wrong, *said_of(record, output, place))]
            others = _others(output, record, encode_id(image_id), mask)
            return Checked(counted, (record.height, record.width), [*found, *others], text, record.grid)
    except LOST as error:
        return Checked(None, (0, 0), [f"{path} {lost(error)}"])
    except ValueError as error:
        return Checked(None, (0, 0), [f"{path} is damaged: {error}"])


def _of_mask(mask: WrittenRaster, record: Record, output: FinishedOutput) -> tuple[Counted, list[str]]:
    """The counts of its pixels, and what is wrong about it; ValueError where it cannot be read."""
    held, size = Counted.from_json(record.statistics), (record.height, record.width)
    if mask.size != size:
        return held, [f"has {mask.size} pixels, its record says {size}"]
    place = _wrong_place(mask, record)
    counted = held if output.planes else _counted(mask, record, output, held)
    is_other = _has_other_class(mask, held, output) if output.planes else counted.to_json() != record.statistics
    return counted, [*place, *(["carries a record that its pixels contradict"] if is_other else [])]


def _wrong_place(file: WrittenRaster, record: Record) -> list[str]:
    differs = file.differs_in_place(record.grid)
    return [f"has another {differs} than its image's record says"] if differs else []


def _counted(mask: WrittenRaster, record: Record, output: FinishedOutput, held: Counted) -> Counted:
    origin = Origin("", Source("", ""), mask.size, grid_of(record.grid))
    labels = (Labels(origin, region, mask.pixels(region)) for region in mask.regions())
    return with_held(reduce(add, (count(each, output.classes.ids) for each in labels)), held)


def _has_other_class(mask: WrittenRaster, held: Counted, output: FinishedOutput) -> bool:
    """Of classes that are independent, the first one's mask carries the record."""
    pixels, first = held[PIXELS], next(iter(output.binary.values()))
    found = sum(int(np.count_nonzero(mask.pixels(region))) for region in mask.regions())
    return found != pixels.by_class.get(first, 0) or mask.size[0] * mask.size[1] != pixels.total


def _others(output: FinishedOutput, record: Record, name: str, mask: WrittenRaster) -> Iterator[str]:
    missing = output.products - {path.partition("/")[0] for path in record.products}
    yield from (f"the record of an image lists no file in {folder}/" for folder in sorted(missing))
    if not output.planes and not any(path.endswith(NAMES_EXTENSION) for path in record.products):
        yield "the record of an image lists no file with the names of classes"
    for path, size in record.files(name).items():
        try:
            yield from (f"{path} {said}" for said in _of_other(output, record, path, size, mask))
        except LOST as error:
            yield f"{path} {lost(error)}"
        except ValueError:
            yield f"{path} is damaged"


def _of_other(output: FinishedOutput, record: Record, path: str, size: int, mask: WrittenRaster) -> Iterator[str]:
    """The faults of a file beside the mask; ValueError where it cannot be read."""
    uri = join(output.root, path)
    listed = output.storage.stat(uri)
    if listed is None:
        raise NotFound(uri)
    if listed.size != size:
        yield f"has {listed.size} bytes, its image's record says {size}"
    elif parse_claim(whole_text(output.storage, uri).get(TEXT_KEY)) != record.claim:
        yield "belongs to another image or another run, or is damaged"
    elif path.endswith(NAMES_EXTENSION):
        if output.storage.read(uri) != _names(output, record):
            yield "tells other classes than the output's own record"
    elif path.endswith(".tif"):
        check_tiles(output.storage, uri)
        with opened(uri) as file:
            yield from _of_product(output, record, path, file, mask)
    elif decode_written(output.storage.read(uri)).shape[:2] != small_size(mask.size, LONGEST):
        yield "has another size than an overlay of its mask"


def _names(output: FinishedOutput, record: Record) -> bytes:
    return encode_aux((Shown(c.id, c.name, c.color) for c in output.classes.classes), text=claim_text(record.claim))


def _of_product(
    output: FinishedOutput, record: Record, path: str, file: WrittenRaster, mask: WrittenRaster
) -> Iterator[str]:
    if file.size != mask.size:
        yield f"has {file.size} pixels, its mask has {mask.size}"
        return
    yield from _wrong_place(file, record)
    kind, _, below = path.partition("/")
    class_id = output.binary.get(below.partition("/")[0])
    if not all(_agrees(output, kind, class_id, file, mask, region) for region in regions(file.size)):
        yield "differs from its mask"
    elif output.planes and kind == "binary":
        found = sum(int(np.count_nonzero(file.pixels(region))) for region in file.regions())
        if found != Counted.from_json(record.statistics)[PIXELS].by_class.get(class_id or 0, 0):
            yield "differs from its image's record"


def _agrees(
    output: FinishedOutput, kind: str, class_id: int | None, file: WrittenRaster, mask: WrittenRaster, region: Region
) -> bool:
    pixels = file.pixels(region)
    if output.planes:
        return True
    labels = mask.pixels(region)
    if kind == "confidence" and not _seen(labels, file, mask, region):
        return False
    return product(kind).agrees(pixels, Held(labels, class_id, 0))


def _seen(labels: Array, file: WrittenRaster, mask: WrittenRaster, region: Region) -> bool:
    """True if confidence has data wherever the mask has a class."""
    return bool(file.valid(region)[mask.valid(region)].all())
