"""The model's confidence in each pixel, as a grey image: 255 is certain."""

from collections.abc import Mapping
from typing import Any

from maskbeam.transforms.codecs.encode import encode_confidence
from maskbeam.transforms.elements import Labels
from maskbeam.transforms.products.product import Product, kept
from maskbeam.transforms.products.rendering import Rendering


class _Confidence(Product):
    def draw(self, labels: Labels, rendering: Rendering, *, text: Mapping[str, str]) -> dict[str, bytes]:
        confidence = kept(labels.confidence, self)
        if not labels.are_planes:
            return {self.path(): encode_confidence(confidence, text=text)}
        return {
            self.path(folder): encode_confidence(confidence[channel], text=text)
            for channel, _, folder in rendering.folders
        }

    def depends_on(self, settings: Mapping[str, Any]) -> Any:
        return settings["--confidence"]


PRODUCT = _Confidence("confidence", of_planes=True, needs_confidence=True)
