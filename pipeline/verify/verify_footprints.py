"""`reports/scenes.geojson` held against what the images themselves say: by sums of digests, in any order."""

import io
from collections.abc import Iterator

from maskbeam.pipeline.output.finished import FinishedOutput
from maskbeam.pipeline.output.finished_rows import FinishedImage
from maskbeam.pipeline.output.orphans import digest_of
from maskbeam.pipeline.output.ours import report_files
from maskbeam.pipeline.reports.report_files import ImageRow
from maskbeam.pipeline.reports.scenes_file import feature, features_of
from maskbeam.pipeline.verify.checked import Checked

_WORD = 1 << 64


def feature_digest(made: FinishedOutput, row: FinishedImage, checked: Checked) -> int:
    """A digest of what the report is to say of an image; 0 where it says nothing."""
    if not made.is_geotiff or checked.counted is None:
        return 0
    return digest_of(
        feature(ImageRow(row.image_id, row.source, *checked.size, checked.counted, checked.grid), made.classes)
    )


def compare_footprints(made: FinishedOutput, expected: int) -> Iterator[str]:
    """The difference between the report and the images, whose digests have this sum."""
    if not made.is_geotiff:
        return
    told = 0
    for uri in report_files(made.storage, made.root, "scenes.geojson"):
        with io.TextIOWrapper(made.storage.open(uri), encoding="utf-8", errors="replace") as lines:
            told += sum(map(digest_of, features_of(lines)))
    if told % _WORD != expected % _WORD:
        yield "reports/scenes.geojson differs from what the masks say of their images"
