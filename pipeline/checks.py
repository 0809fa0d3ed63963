"""What can be wrong with a command before anything is read: options that do not fit each other."""

from pipeline.options import RunOptions
from pipeline.storage import is_gcs
from transforms.errors import RunError


def check_options(options: RunOptions) -> None:
    """Compares options with each other.

    Args:
        options: With absolute paths.

    Raises:
        RunError: Two of them contradict each other, or one is for something that was not asked for.
    """
    output, label, model = options.output, options.label, options.model
    _refuse(
        "overlay" in output.products and label.upsample == "none",
        "--products overlay draws on the image, but --upsample none leaves labels at the model's size",
    )
    _refuse(
        bool(output.binary_classes) and "binary" not in output.products and label.multilabel != "planes",
        "--binary_classes chooses among binary masks; add binary to --products",
    )
    _refuse(
        bool(model.custom_objects) and not model.trust,
        "--custom_objects runs code of yours for a model file; say that you trust it with --trust_model",
    )
    _refuse(
        options.decode.fast_decode and model.resize == "native",
        "--fast_decode decodes near the model's size, but --resize native keeps the image's own",
    )
    _refuse(
        is_gcs(output.path) and output.path.removeprefix("gs://").count("/") < 1,
        f"--output {output.path} is a whole bucket; name a folder in it",
    )
    for pattern in options.read.patterns:
        _check_apart(pattern, output.path)


def _check_apart(pattern: str, output: str) -> None:
    folder = pattern.rstrip("/") + "/"
    _refuse(
        (output + "/").startswith(folder),
        f"--output {output} lies inside the input {pattern}, whose next run would take masks for images; choose "
        "a folder outside it",
    )


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise RunError(message)
