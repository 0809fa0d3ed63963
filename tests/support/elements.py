"""Elements for tests, made of an id and a source."""

from typing import Any

from maskbeam.transforms.elements import (
    Array,
    EncodedImage,
    Image,
    Labels,
    ModelInput,
    Origin,
    Placement,
    Region,
    Source,
)


def encoded_image(image_id: str, source: Source, *data: Any, **more: Any) -> EncodedImage:
    return EncodedImage(Origin(image_id, source), *data, **more)


def decoded_image(image_id: str, source: Source, pixels: Array, **facts: str) -> Image:
    size = pixels.shape[:2]
    return Image(Origin(image_id, source, size, facts=facts), Region.whole(size), pixels)


def made_input(
    image_id: str, source: Source, placement: Placement, plane: Array, image: Array | None = None
) -> ModelInput:
    size = placement.height, placement.width
    return ModelInput(Origin(image_id, source, size), Region.whole(size), placement, plane, image)


def made_labels(image_id: str, source: Source, pixels: Array, confidence: Array | None = None, **more: Any) -> Labels:
    size = more.pop("size", pixels.shape[-2:])
    facts = more.pop("facts", {})
    return Labels(Origin(image_id, source, size, facts=facts), Region.whole(size), pixels, confidence, **more)
