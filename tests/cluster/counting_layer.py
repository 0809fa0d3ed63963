"""A layer that keeps a record of when it is loaded, as `--custom_objects tests.cluster.counting_layer` names it."""

from pathlib import Path
from typing import Any, Self

import keras

from maskbeam.pipeline.output.outcome import worker_name


@keras.saving.register_keras_serializable(package="tests")
class Counting(keras.layers.Layer):  # type: ignore[misc]
    """Changes nothing; each time that it is read from a file, the process's name is added to `log`."""

    def __init__(self, log: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.log = log

    def call(self, x: Any) -> Any:
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "log": self.log}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        with Path(config["log"]).open("a") as file:
            file.write(f"{worker_name()}\n")
        return cls(**config)
