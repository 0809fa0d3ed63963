"""Every byte of every tile counts, whatever GDAL makes of it; places of tiles are those that rasterio tells."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from maskbeam.pipeline.storage import open_storage
from maskbeam.pipeline.verify import sound_tiles
from maskbeam.pipeline.verify.sound_tiles import check_tiles

SIDE = 1100


@pytest.fixture(scope="module")
def cog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cog") / "a.tif"
    pixels = np.random.default_rng(0).integers(0, 3, (1, SIDE, SIDE)).astype(np.uint8)
    said = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5600000)}
    size = {"height": SIDE, "width": SIDE, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="COG", compress="deflate", blocksize=512, **size, **said) as file:
        file.write(pixels)
    return path


def places(path: Path) -> list[tuple[int, int]]:
    found = []
    for options in ({}, {"overview_level": 0}, {"overview_level": 1}):
        with rasterio.open(path, **options) as file:
            for row, column in np.ndindex(-(-file.height // 512), -(-file.width // 512)):
                name = f"{column}_{row}"
                start, size = (file.get_tag_item(f"BLOCK_{each}_{name}", "TIFF", 1) for each in ("OFFSET", "SIZE"))
                found.append((int(start), int(size)))
    return found


def test_a_whole_file_is_sound_in_one_piece_or_many(cog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_tiles(open_storage(str(cog)), str(cog))
    monkeypatch.setattr(sound_tiles, "_PIECE", 1)
    check_tiles(open_storage(str(cog)), str(cog))


def test_a_flipped_bit_in_any_tile_is_found(cog: Path, tmp_path: Path) -> None:
    tiles = places(cog)
    assert len(tiles) == 9 + 4 + 1
    for start, size in tiles:
        for place in (start + 2, start + size // 2, start + size - 1):
            data = bytearray(cog.read_bytes())
            data[place] ^= 1
            altered = tmp_path / "b.tif"
            altered.write_bytes(data)
            with pytest.raises(ValueError, match="damaged"):
                check_tiles(open_storage(str(altered)), str(altered))


@pytest.mark.parametrize("data", [b"", b"no TIFF", b"II*\0"])
def test_what_is_no_tiff_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(ValueError, match=r"TIFF|cut off"):
        check_tiles(open_storage(str(tmp_path / "a.tif")), str(tmp_path / "a.tif"))
