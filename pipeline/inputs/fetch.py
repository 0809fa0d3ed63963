"""Fetches the bytes of an image, as they were listed."""

from dataclasses import replace

from maskbeam.pipeline.inputs.anonymous import Names
from maskbeam.pipeline.storage import LOST, SourceChanged, find_file, is_gcs, open_input
from maskbeam.transforms.codecs.decode import check_one_file
from maskbeam.transforms.elements import EncodedImage
from maskbeam.transforms.errors import Code, ImageError


def fetch_content(image: EncodedImage, names: Names) -> EncodedImage:
    """The image with its bytes, and their digest in its source."""
    fetched = fetch(image)
    content = names.digest(fetched.data or b"", of="content")
    return fetched.of(fetched.image_id, replace(fetched.source, content=content))


def is_far(image: EncodedImage) -> bool:
    """True if `fetch_content` waits for storage far away; a manifest here may list images there."""
    return image.data is None and is_gcs(image.source.where)


MAX_FILE_BYTES = 1 << 30


def fetch(image: EncodedImage) -> EncodedImage:
    """The image with its bytes, fetched unless it has them, and with the version that they are.

    Raises:
        ImageError: `SOURCE_MISSING`; `SOURCE_CHANGED`, when the file keeps changing; `TOO_LARGE`; and what
            `check_one_file` raises.
    """
    if image.data is not None:
        return image
    check_one_file(image)
    where = image.source.where
    try:
        data = open_input(where).read(where, version=image.source.version, limit=_most(image.file_size))
        return replace(image, data=data)
    except LOST:
        raise source_missing() from None
    except SourceChanged:
        return _fetch_again(image)


def _fetch_again(image: EncodedImage) -> EncodedImage:
    # A file that was replaced after it was listed is read as it is now; one that keeps changing is not.
    where = image.source.where
    storage, listed = open_input(where), find_file(where)
    if listed is None:
        raise source_missing()
    check_size(listed.size)
    try:
        data = storage.read(where, version=listed.version, limit=_most(listed.size))
    except LOST:
        raise source_missing() from None
    except SourceChanged:
        raise ImageError(Code.SOURCE_CHANGED, "the file was altered again and again while it was read") from None
    return replace(image.of(image.image_id, replace(image.source, version=listed.version)), data=data)


def _most(size: int) -> int | None:
    """The number of bytes to ask for of a file that was listed with so many; one more tells a file without an end."""
    return size + 1 if size else None


def check_size(size: int) -> None:
    """Raises ImageError (`TOO_LARGE`) for a file that is not read whole."""
    if size > MAX_FILE_BYTES:
        raise ImageError(Code.TOO_LARGE, f"the file has {size >> 20} MiB, over {MAX_FILE_BYTES >> 20}")


def source_missing() -> ImageError:
    """The error of a file that cannot be had."""
    return ImageError(Code.SOURCE_MISSING, "the file is not there any more, or cannot be read")
