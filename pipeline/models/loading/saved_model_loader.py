"""Brings SavedModel folders into memory, by their serving signature: what layers they came from does not matter."""

from typing import Any

from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.loading.keras_loader import Loaded, tensor_specs
from maskbeam.pipeline.models.loading.tensorflow_start import start_tensorflow
from maskbeam.transforms.errors import RunError


def load_saved_model(file: ModelFile) -> Loaded:
    """Loads the SavedModel folder `file.path`.

    Raises:
        RunError: It has no signature that can be called on images.
    """
    tf = start_tensorflow()
    restored = tf.saved_model.load(str(file.path))
    signature = _signature(restored, file)
    _, taken = signature.structured_input_signature
    inputs = tensor_specs(list(taken), list(taken.values()))
    names = sorted(signature.structured_outputs)
    outputs = tensor_specs(names, [signature.structured_outputs[name] for name in names])

    def call(batch: Any) -> tuple[Any, ...]:
        given = signature(**{inputs[0].name: tf.cast(batch, inputs[0].dtype)})
        return tuple(given[name] for name in names)

    return Loaded(restored, call, inputs, outputs)


def _signature(restored: Any, file: ModelFile) -> Any:
    signatures = dict(restored.signatures)
    if "serving_default" in signatures:
        return signatures["serving_default"]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    raise RunError(
        f"--model {file.uri}: the SavedModel has no signature serving_default (it has: "
        f"{', '.join(sorted(signatures)) or 'none'}); export it with model.export, or save it after calling it once."
    )
