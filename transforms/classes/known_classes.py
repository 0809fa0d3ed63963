"""Class tables that are known by name: the public definitions' names, ids and colours, and nothing else of them."""

from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.classes.palettes import Color

# "red-green-blue in hex, name", by channel. Pascal VOC 2012; 255 is void there, as it is the ignore label here.
_VOC = """\
000000 background, 800000 aeroplane, 008000 bicycle, 808000 bird, 000080 boat, 800080 bottle, 008080 bus,
808080 car, 400000 cat, c00000 chair, 408000 cow, c08000 diningtable, 400080 dog, c00080 horse,
408080 motorbike, c08080 person, 004000 pottedplant, 804000 sheep, 00c000 sofa, 80c000 train, 004080 tvmonitor
"""

# Cityscapes, by label id 0..33; a star marks the 19 classes that models are trained on, in the channels' order.
_CITYSCAPES = """\
000000 unlabeled, 000000 ego vehicle, 000000 rectification border, 000000 out of roi, 000000 static,
6f4a00 dynamic, 510051 ground, 804080 road*, f423e8 sidewalk*, faaaa0 parking, e6968c rail track,
464646 building*, 66669c wall*, be9999 fence*, b4a5b4 guard rail, 966464 bridge, 96785a tunnel, 999999 pole*,
999999 polegroup, faaa1e traffic light*, dcdc00 traffic sign*, 6b8e23 vegetation*, 98fb98 terrain*, 4682b4 sky*,
dc143c person*, ff0000 rider*, 00008e car*, 000046 truck*, 003c64 bus*, 00005a caravan, 00006e trailer,
005064 train*, 0000e6 motorcycle*, 770b20 bicycle*
"""

# ADE20K's scene parsing benchmark, by channel; its annotation files hold channel + 1, and 0 for anything else.
_ADE20K = """\
787878 wall, b47878 building, 06e6e6 sky, 503232 floor, 04c803 tree, 787850 ceiling, 8c8c8c road, cc05ff bed,
e6e6e6 windowpane, 04fa07 grass, e005ff cabinet, ebff07 sidewalk, 96053d person, 787846 earth, 08ff33 door,
ff0652 table, 8fff8c mountain, ccff04 plant, ff3307 curtain, cc4603 chair, 0066c8 car, 3de6fa water,
ff0633 painting, 0b66ff sofa, ff0747 shelf, ff09e0 house, 0907e6 sea, dcdcdc mirror, ff095c rug, 7009ff field,
08ffd6 armchair, 07ffe0 seat, ffb806 fence, 0aff47 desk, ff290a rock, 07ffff wardrobe, e0ff08 lamp,
6608ff bathtub, ff3d06 railing, ffc207 cushion, ff7a08 base, 00ff14 box, ff0829 column, ff0599 signboard,
0633ff chest of drawers, eb0cff counter, a09614 sand, 00a3ff sink, 8c8c8c skyscraper, fa0a0f fireplace,
14ff00 refrigerator, 1fff00 grandstand, ff1f00 path, ffe000 stairs, 99ff00 runway, 0000ff case,
ff4700 pool table, 00ebff pillow, 00adff screen door, 1f00ff stairway, 0bc8c8 river, ff5200 bridge,
00fff5 bookcase, 003dff blind, 00ff70 coffee table, 00ff85 toilet, ff0000 flower, ffa300 book, ff6600 hill,
c2ff00 bench, 008fff countertop, 33ff00 stove, 0052ff palm, 00ff29 kitchen island, 00ffad computer,
0a00ff swivel chair, adff00 boat, 00ff99 bar, ff5c00 arcade machine, ff00ff hovel, ff00f5 bus, ff0066 towel,
ffad00 light, ff0014 truck, ffb8b8 tower, 001fff chandelier, 00ff3d awning, 0047ff streetlight, ff00cc booth,
00ffc2 television receiver, 00ff52 airplane, 000aff dirt track, 0070ff apparel, 3300ff pole, 00c2ff land,
007aff bannister, 00ffa3 escalator, ff9900 ottoman, 00ff0a bottle, ff7000 buffet, 8fff00 poster, 5200ff stage,
a3ff00 van, ffeb00 ship, 08b8aa fountain, 8500ff conveyer belt, 00ff5c canopy, b800ff washer, ff001f plaything,
00b8ff swimming pool, 00d6ff stool, ff0070 barrel, 5cff00 basket, 00e0ff waterfall, 70e0ff tent, 46b8a0 bag,
a300ff minibike, 9900ff cradle, 47ff00 oven, ff00a3 ball, ffcc00 food, ff008f step, 00ffeb tank,
85ff00 trade name, ff00eb microwave, f500ff pot, ff007a animal, fff500 bicycle, 0abed4 lake, d6ff00 dishwasher,
00ccff screen, 1400ff blanket, ffff00 sculpture, 0099ff hood, 0029ff sconce, 00ffcc vase, 2900ff traffic light,
29ff00 tray, ad00ff ashcan, 00f5ff fan, 4700ff pier, 7a00ff crt screen, 00ffb8 plate, 005cff monitor,
b8ff00 bulletin board, 0085ff shower, ffd600 radiator, 19c2c2 glass, 66ff00 clock, 5c00ff flag
"""


def known_table(name: str, channels: int | None = None) -> ClassTable | None:
    """The class table of a data set, or None when the name is not known.

    `voc`: 21 classes, background first. `cityscapes`: 19 classes with train ids 0..18. `cityscapes_ids`: the same 19
    channels with the label ids that the evaluation server asks for; all 34 ids for a model of 34 channels.
    `ade20k`: 150 classes with ids 0..149. `ade20k_ids`: with the ids 1..150 of the annotation files, and `other`
    as 0 for a model of 151 channels.

    Args:
        name: One of `KNOWN_TABLES`.
        channels: The model's number of classes, where a data set has tables of several sizes.
    """
    maker = KNOWN_TABLES.get(name)
    return None if maker is None else ClassTable(maker(channels), source=name, shared_colors=True)


def _voc(channels: int | None) -> tuple[ClassInfo, ...]:
    return _numbered(_parse(_VOC))


def _cityscapes(channels: int | None) -> tuple[ClassInfo, ...]:
    trained = [(name[:-1], color) for name, color in _parse(_CITYSCAPES) if name.endswith("*")]
    return _numbered(trained)


def _cityscapes_ids(channels: int | None) -> tuple[ClassInfo, ...]:
    labels = _parse(_CITYSCAPES)
    if channels == len(labels):
        return _numbered([(name.removesuffix("*"), color) for name, color in labels])
    trained = [i for i, (name, _) in enumerate(labels) if name.endswith("*")]
    return tuple(ClassInfo(c, i, labels[i][0][:-1], labels[i][1]) for c, i in enumerate(trained))


def _ade20k(channels: int | None) -> tuple[ClassInfo, ...]:
    return _numbered(_parse(_ADE20K))


def _ade20k_ids(channels: int | None) -> tuple[ClassInfo, ...]:
    labels = _parse(_ADE20K)
    if channels == len(labels) + 1:
        return _numbered([("other", (0, 0, 0)), *labels])
    return _numbered(labels, first_id=1)


KNOWN_TABLES = {
    "ade20k": _ade20k,
    "ade20k_ids": _ade20k_ids,
    "cityscapes": _cityscapes,
    "cityscapes_ids": _cityscapes_ids,
    "voc": _voc,
}


def _numbered(labels: list[tuple[str, Color]], *, first_id: int = 0) -> tuple[ClassInfo, ...]:
    return tuple(ClassInfo(c, first_id + c, name, color) for c, (name, color) in enumerate(labels))


def _parse(facts: str) -> list[tuple[str, Color]]:
    items = [item.strip().split(" ", 1) for item in facts.replace("\n", " ").strip().split(",")]
    return [(name, (int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16))) for h, name in items]
