"""Opens the files of a raster, finds the bands that are asked for, and holds their grids against each other."""

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext

from maskbeam.pipeline.inputs.readers.bands import Band, fed_bands, find_band
from maskbeam.pipeline.inputs.readers.gdal import check_geo
from maskbeam.pipeline.inputs.readers.ground import repeats
from maskbeam.pipeline.inputs.readers.handles import Handles, RasterFile, Watch
from maskbeam.pipeline.inputs.readers.layout import Layout, layout_of
from maskbeam.pipeline.inputs.readers.mask_beside import check_mask_beside
from maskbeam.pipeline.inputs.readers.part import Part, masks_of
from maskbeam.pipeline.inputs.readers.raster import Fed, Raster
from maskbeam.pipeline.inputs.readers.rules import RasterRules
from maskbeam.pipeline.storage import is_gcs
from maskbeam.transforms.errors import Code, ImageError

_WINDOW = 512
_COLOURS = ("red", "green", "blue")


def open_raster(
    files: Sequence[RasterFile], rules: RasterRules, *, window: int = _WINDOW, watch: Watch = nullcontext
) -> Raster:
    """Opens an image; its headers are read, and no pixel.

    Args:
        files: Its files, one or more. The first one that is fed has the image's grid.
        rules: How its values are taken.
        window: Height in pixels of the regions that will be read.
        watch: Looks after each call of GDAL.

    Raises:
        ImageError: SOURCE_MISSING, SOURCE_CHANGED, UNREADABLE, UNSUPPORTED_FORMAT, TOO_LARGE for strips or tiles that
            are, BAD_CHANNELS for bands that are not there, GRID_MISMATCH, BAD_VALUE_RANGE for a type without a range.
        RunError: rasterio or pyproj are missing; storage refuses or fails.
    """
    check_geo()
    with ExitStack() as undo:
        handles = []
        for file in files:
            handles.append(_open(file, watch))
            undo.callback(handles[-1].close)
        layouts = [_layout(each) for each in handles]
        raster = _assembled(handles, layouts, rules, window)
        undo.pop_all()
        return raster


def _open(file: RasterFile, watch: Watch) -> Handles:
    if not is_gcs(file.uri):
        check_mask_beside(file)
    return Handles(file, watch)


def _layout(handles: Handles) -> Layout:
    with handles.taken() as handle:
        return layout_of(handle)


def _assembled(handles: Sequence[Handles], layouts: Sequence[Layout], rules: RasterRules, window: int) -> Raster:
    bands = list_bands([each.file for each in handles], layouts)
    mark = None if rules.invalid is None else find_band(bands, rules.invalid.band)
    chosen = fed_bands(bands, rules.bands, mark)
    order = list(dict.fromkeys(band.file for band in chosen))
    parts = [
        _part(handles, layouts, [band for band in chosen if band.file == file], order[0], rules) for file in order
    ]
    marks = None if mark is None else _marks(handles, layouts, mark, order[0], rules)
    return Raster(handles, parts, _fed(chosen, order, layouts, rules), marks, rules, window)


def list_bands(files: Sequence[RasterFile], layouts: Sequence[Layout]) -> list[Band]:
    """All bands of files of these layouts; one that is alone in a file that has a name has its file's."""
    found: list[Band] = []
    for number, (file, layout) in enumerate(zip(files, layouts, strict=True)):
        alone = len(layout.names) == 1
        for index, own in enumerate(layout.names, 1):
            dtype, colour = layout.dtypes[index - 1], layout.colours[index - 1]
            name = (alone and file.name) or own
            where = file.uri if alone and len(files) > 1 else ""
            found.append(Band(number, index, len(found) + 1, name, colour, dtype, where))
    return found


def _part(
    handles: Sequence[Handles], layouts: Sequence[Layout], bands: Sequence[Band], first: int, rules: RasterRules
) -> Part:
    file = bands[0].file
    layout, indexes = layouts[file], tuple(band.index for band in bands)
    factor = (1, 1) if file == first else repeats(layouts[first].ground, layout.ground, bands[0].label)
    masks = masks_of(handles[file], layout, indexes, rules)
    own = tuple(None if any(masks) else layout.nodata[index - 1] for index in indexes)
    nodata = own if rules.nodata == "file" else (rules.nodata,) * len(indexes)
    coloured = layout.palette is not None and len(handles) == 1 and not rules.bands
    return Part(handles[file], layout, indexes, factor, nodata, masks, layout.palette if coloured else None)


def _marks(handles: Sequence[Handles], layouts: Sequence[Layout], mark: Band, first: int, rules: RasterRules) -> Part:
    if rules.invalid is not None and rules.invalid.bits and not mark.dtype.lstrip("u").startswith("int"):
        raise ImageError(
            Code.BAD_CHANNELS,
            f"the values of {mark.label} are {mark.dtype}, which have no bits for --invalid to name",
        )
    factor = repeats(layouts[first].ground, layouts[mark.file].ground, mark.label)
    return Part(handles[mark.file], layouts[mark.file], (mark.index,), factor)


def _fed(chosen: Sequence[Band], order: Sequence[int], layouts: Sequence[Layout], rules: RasterRules) -> list[Fed]:
    first = layouts[chosen[0].file]
    if first.palette is not None and len(layouts) == 1 and not rules.bands:
        return [Fed(f"band {colour}", "uint8", 0, plane, 1) for plane, colour in enumerate(_COLOURS)]
    found: list[Fed] = []
    for band in chosen:
        part, layout = order.index(band.file), layouts[band.file]
        plane = sum(fed.part == part for fed in found)
        units = (layout.scales[band.index - 1], layout.offsets[band.index - 1]) if rules.apply_scale else (1.0, 0.0)
        found.append(Fed(band.label, band.dtype, part, plane, band.number, *units))
    return found
