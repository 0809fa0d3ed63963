"""A user's own layers, as `--custom_objects tests.support.custom_layers` names them."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tests")
class Double(keras.layers.Layer):  # type: ignore[misc]
    """Registered under `tests>Double`."""

    def call(self, x: Any) -> Any:
        return x * 2


class Halve(keras.layers.Layer):  # type: ignore[misc]
    """Registered nowhere: found by its name alone."""

    def call(self, x: Any) -> Any:
        return x / 2


@keras.saving.register_keras_serializable(package="tests")
class Segmenter(keras.Model):  # type: ignore[misc]
    """A sub-classed model, which keeps no graph of its layers."""

    def __init__(self, classes: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self.inner = keras.layers.Conv2D(classes, 3, padding="same")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.inner(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}
