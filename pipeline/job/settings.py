"""Settings of an output: all of them, for people and for `verify`, and the part that masks' pixels depend on.

A rerun is refused for that part alone. What else differs costs no mask that exists: it is done as is asked for now,
and what is drawn from masks is drawn again.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from maskbeam import __version__
from maskbeam.pipeline.cli.flags import ALL, value_of
from maskbeam.pipeline.digests import digest
from maskbeam.pipeline.inputs.anonymous import KEY_VARIABLE, is_keyed, naming, setting_of
from maskbeam.pipeline.job.area_file import area_digest
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Decides, plain
from maskbeam.pipeline.output.tree import NO_VALUE
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.classes.class_table import ClassTable
from maskbeam.transforms.geo.geojson import Aoi
from maskbeam.transforms.head import BINARY, MULTILABEL
from maskbeam.transforms.products.registry import product_names, products_of
from maskbeam.transforms.resampling.prepare import InputSpec

# Raised when the same options begin to give other pixels, so that a rerun over old masks is noticed.
PIXELS_VERSION = 3

# Told always, in this order, because outputs have them so. Nothing is added: what is newer is told only where it is
# not at its default, so that outputs that were made before there was such an option go on.
_TOLD = (
    *("model", "engine", "--mixed_precision", "input", "head", "classes", "--input_range", "--background"),
    *("--max_pixels", "--fast_decode", "--upsample", "--threshold", "--ignore_label", "--confidence"),
    *("--min_confidence", "--multilabel", "--nonfinite", "--products", "--binary_classes", "--overlay_opacity"),
    *("--keep_extension", "--anonymous_ids", "pixels version"),
)
_AOI = "--aoi"
_BY_FLAG = {f"--{flag.name}": flag for flag in ALL}
# Told though no pixel of a mask depends on it.
_FREE = tuple(name for name, flag in _BY_FLAG.items() if flag.decides is Decides.PRODUCTS)
# What matters to some images only: the record of each of their masks says how it was made.
_OF_IMAGES = tuple(name for name, flag in _BY_FLAG.items() if flag.decides is Decides.SOME_MASKS)
# Flags that say what was found out about the model otherwise.
_FLAGS = {
    "input.resize": "--resize",
    "input.resize_filter": "--resize_filter",
    "input.channel_order": "--channel_order",
    "head.kind": "--head",
    "head.layout": "--layout",
    "head.output_name": "--output_name",
}
_ADVICE = {"--keep_extension": " (with it ids change, and with them the names of all files)"}


def settings_of(
    options: RunOptions, probe: Probe, table: ClassTable, labeling: Labeling, aoi: Aoi | None = None
) -> dict[str, Any]:
    """All that decides about an image's files, by the name under which a person knows it."""
    settings = {
        "model": probe.digest,
        "engine": dict(probe.versions),
        "input": _input_of([asdict(probe.spec), asdict(probe.normalization), probe.channel_order]),
        "head": asdict(probe.head),
        "classes": [[c.channel, c.id, c.name, list(c.color)] for c in table.classes],
        "pixels version": PIXELS_VERSION,
        **options_told(options),
        "--ignore_label": labeling.ignore,
        "--binary_classes": sorted(options.output.binary_classes),
        "--anonymous_ids": setting_of(naming(anonymous=options.output.anonymous_ids)),
    }
    told = {name: settings[name] for name in (*_TOLD, *(name for name in settings if name not in _TOLD))}
    if labeling.emits_ids:
        told["model emits"] = "ids"
    if aoi is not None:
        told[_AOI] = area_digest(aoi)
    # Through JSON and back, so that settings compare equal to those that were stored.
    return dict(json.loads(json.dumps(told)))


def options_told(options: RunOptions) -> dict[str, Any]:
    """The options that decide about an image's files, by flag; newer ones where they are not at their defaults."""
    deciding = (Decides.MASKS, Decides.SOME_MASKS, Decides.PRODUCTS)
    flags = {name: flag for name, flag in _BY_FLAG.items() if flag.decides in deciding}
    values = {name: value_of(options, flag) for name, flag in flags.items()}
    return {name: plain(v) for name, v in values.items() if name in _TOLD or v != flags[name].default}


def mending_of(options: RunOptions, spec: InputSpec) -> tuple[tuple[str, str], ...]:
    """Options that no mask depends on and that may turn a failure into one: names and values, as text."""
    values = {
        "--max_pixels": options.decode.max_pixels,
        "--input_range": plain(options.decode.input_range),
        "--out_of_range": options.raster.out_of_range,
        "--background": options.decode.background,
        "--nonfinite": options.label.nonfinite,
        # An overlay may be too large for its format.
        "--products": sorted(options.output.products),
        "--resize": [spec.resize, spec.resize_named],
        "--name_key": options.read.name_key,
        "--id_root": options.read.id_root,
        "--isolate_decoding": options.decode.isolate,
        "decoder": _decoders(),
    }
    return tuple((name, value if isinstance(value, str) else json.dumps(value)) for name, value in values.items())


@cache
def _decoders() -> str:
    found = [f"maskbeam {__version__}"]
    for package in ("pillow", "simplejpeg"):
        # simplejpeg may not be there.
        with suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return ", ".join(found)


def decisive(settings: dict[str, Any], *, older: bool = False) -> dict[str, Any]:
    """The part of settings that the pixels of masks depend on, from this version's form or an older one's.

    Args:
        settings: As `settings_of` tells them.
        older: True for masks of an older version, whose records do not say what mattered to their images.
    """
    free = set(_FREE) | (set() if older else set(_OF_IMAGES))
    free -= {"--confidence"} if settings.get("--min_confidence") else set()
    free |= set() if has_planes(settings) or _kind_of(settings) in BINARY else {"--threshold"}
    free |= set() if _kind_of(settings) in MULTILABEL else {"--multilabel"}
    held = {name: value for name, value in settings.items() if name not in free}
    fed = _input_of(settings.get("input"))
    free_input = {"resize_named"} | ({"resize_filter"} if fed.get("resize") == "native" else set())
    held["input"] = {name: value for name, value in fed.items() if name not in free_input}
    rows = settings.get("classes") or []
    held["classes"] = {f"channel {row[0]}": {"id": row[1]} for row in rows}
    if has_planes(settings):
        # Binary masks are the masks here: where they lie follows from the classes' names.
        held["classes"] = {f"channel {row[0]}": {"id": row[1], "name": row[2]} for row in rows}
        held["--binary_classes"] = settings.get("--binary_classes")
    return held


def of_images(settings: dict[str, Any]) -> dict[str, str]:
    """Options that matter to some images only, by flag, as a person would type them."""
    scale = settings["--input_range"] or (0, 65535)
    background = settings["--background"]
    return {
        **{name: str(settings.get(name, _BY_FLAG[name].default)) for name in _OF_IMAGES},
        # Without one, only samples of 16 bits have a range.
        "--input_range": scale if isinstance(scale, str) else f"{scale[0]:.15g},{scale[1]:.15g}",
        "--background": NO_VALUE if background is None else ",".join(map(str, background)),
    }


def has_planes(settings: dict[str, Any]) -> bool:
    """True where classes are independent, so that there are binary masks and no label map."""
    return _kind_of(settings) in MULTILABEL and settings.get("--multilabel") == "planes"


def _kind_of(settings: dict[str, Any]) -> Any:
    head = settings.get("head")
    return head.get("kind") if isinstance(head, dict) else None


def drawing_of(settings: dict[str, Any]) -> dict[str, str]:
    """Digests, by the product's name, of all that its pixels depend on beside its mask."""
    depends = {each.name: each.depends_on(settings) for each in products_of(product_names())}
    return {name: digest(json.dumps(depends[name])) for name in sorted(depends)}


def _input_of(value: Any) -> dict[str, Any]:
    """The input of the model, a field each; older versions told it as `[spec, normalization, channel order]`."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], dict):
        spec, normalization, order = value
        return {**spec, "normalization": normalization, "channel_order": order}
    return value if isinstance(value, dict) else {}


def fingerprint(settings: dict[str, Any]) -> str:
    """A digest of what decides about pixels."""
    return _digest(decisive(settings))


def is_older(record: dict[str, Any]) -> bool:
    """True where masks of an output may be an older version's, so that their records say less."""
    return bool(drawn_before(record))


def drawn_before(record: dict[str, Any]) -> dict[str, str]:
    """The drawing of products whose masks do not say it, as older versions wrote them; else nothing."""
    return dict(record["drawn_before"]) if "drawn_before" in record else drawing_of(record["settings"])


def _digest(settings: dict[str, Any]) -> str:
    return digest(json.dumps(settings, sort_keys=True))


class Difference(NamedTuple):
    """One thing that masks depend on and that was otherwise: where it stands in settings, its value then and now."""

    path: str
    was: Any
    now: Any

    @property
    def text(self) -> str:
        """As `input.resize: stretch, now letterbox`."""
        if self.path == "model":
            return "the model was another file"
        if self.path == "--anonymous_ids":
            return self._of_names
        if self.path == _AOI:
            return self._of_area
        return f"{self.path}: {_shown(self.was)}, now {_shown(self.now)}{_ADVICE.get(self.path, '')}"

    @property
    def _of_names(self) -> str:
        if not self.was or not self.now:
            return "--anonymous_ids: not given, now yes" if self.now else "--anonymous_ids: yes, now not given"
        if is_keyed(self.was):
            return f"--anonymous_ids: the key, {KEY_VARIABLE}, was another one"
        return (
            "--anonymous_ids: an older maskbeam made digests of names without the key, so that whoever has a list of "
            "names can try them on these masks"
        )

    @property
    def _of_area(self) -> str:
        if not self.was or not self.now:
            return "--aoi: not given, now yes" if self.now else "--aoi: given, now not"
        return "--aoi: it had other polygons"

    @property
    def undone(self) -> str:
        """The words to type to have it as it was; empty where that is not a matter of one flag."""
        flag = _FLAGS.get(self.path, self.path)
        if not flag.startswith("--") or (flag in ("--anonymous_ids", _AOI) and self.was):
            return ""
        if self.was in (None, False, []):
            return f"leave out {flag}"
        return f"say {flag}" if self.was is True else f"say {flag} {_shown(self.was)}"


def differences(mine: dict[str, Any], stored: dict[str, Any], *, older: bool = False) -> list[Difference]:
    """Settings that masks depend on and two runs do not agree on; of another model nothing else matters.

    Args:
        mine: This job's.
        stored: The output's.
        older: True where an older version began the output, see `decisive`.
    """
    if mine.get("model") != stored.get("model"):
        return [Difference("model", stored.get("model"), mine.get("model"))]
    was, now = decisive(stored, older=older), decisive(mine, older=older)
    by_model = {each.name for each in products_of(product_names()) if each.needs_confidence}
    if all(by_model & set(settings.get("--products", ())) for settings in (mine, stored)):
        # What cannot be drawn from masks.
        was["--confidence"], now["--confidence"] = stored["--confidence"], mine["--confidence"]
    return list(_differing("", was, now))


def _differing(path: str, was: Any, now: Any) -> Iterator[Difference]:
    if was == now:
        return
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            yield from _differing(f"{path}.{name}" if path else name, was.get(name), now.get(name))
    else:
        yield Difference(path, was, now)


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(_shown, value))
    return value if isinstance(value, str) else json.dumps(value)
