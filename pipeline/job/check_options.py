"""Checks of a command before anything is read: options that do not fit each other."""

import os
from pathlib import Path

from maskbeam.pipeline.inputs.anonymous import KEY_VARIABLE, naming
from maskbeam.pipeline.inputs.braces import expanded
from maskbeam.pipeline.models.engines.registry import AUTO, REFERENCE, engine_kind
from maskbeam.pipeline.options import ModelOptions, RunOptions, TileOptions
from maskbeam.pipeline.output.ours import check_layout, image_folders
from maskbeam.pipeline.storage import is_gcs
from maskbeam.pipeline.storage.patterns import split
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.products.registry import products_of


def check_options(options: RunOptions) -> None:
    """Compares options with each other.

    Args:
        options: With absolute paths.

    Raises:
        RunError: Two of them contradict each other, or one lacks what it needs or is for what was not asked for.
    """
    output, label, model = options.output, options.label, options.model
    drawn_on = [product.name for product in products_of(output.products) if product.needs_image]
    _refuse(
        bool(drawn_on) and label.upsample == "none",
        f"--products {','.join(drawn_on)} draws on the image, but --upsample none leaves labels at the model's size",
    )
    _refuse(
        bool(output.binary_classes) and "binary" not in output.products and label.multilabel != "planes",
        "--binary_classes chooses among binary masks; add binary to --products",
    )
    _refuse(
        bool(model.custom_objects) and not model.trust,
        "--custom_objects runs code of yours for a model file; say that you trust it with --trust_model",
    )
    _check_precision(model)
    _refuse(
        options.decode.fast_decode and model.resize in ("native", "tile"),
        f"--fast_decode decodes near the model's size, but --resize {model.resize} keeps the image's own",
    )
    _refuse(
        is_gcs(output.path) and output.path.removeprefix("gs://").count("/") < 1,
        f"--output {output.path} is a whole bucket; name a folder in it",
    )
    _refuse(output.path in ("", "/"), "--output is the root of the file system; name a folder in it")
    key_file = naming(anonymous=output.anonymous_ids).key_file
    _refuse(
        key_file.startswith(f"{output.path}/"),
        f"{KEY_VARIABLE} names a file in --output, which may be handed on; have the key elsewhere",
    )
    for pattern in options.read.patterns:
        for each in (pattern, *expanded(pattern)):
            _check_apart(each, output.path)
    _check_folder(output.path)
    check_layout(output.path)


def _check_precision(model: ModelOptions) -> None:
    if model.mixed_precision and model.engine not in (AUTO, REFERENCE):
        elsewhere = f"--engine {model.engine} computes on {engine_kind(model.engine).device}"
        raise RunError(f"--mixed_precision is TensorFlow's on GPUs, and {elsewhere}; leave out one")


def check_windows(options: RunOptions) -> None:
    """Compares the options of windows with others, once it is decided how images reach the model.

    Raises:
        RunError: As `check_options` does.
    """
    model, tile, usual = options.model, options.tile, TileOptions()
    if model.resize == "tile":
        _refuse(
            options.label.upsample != "logits",
            f"--upsample {options.label.upsample} cannot go with --resize tile, which adds up the scores of windows "
            "that overlap, at the image's size: leave it out",
        )
        return
    for flag, said in (
        ("--tile_size", model.tile_size is not None),
        ("--tile_overlap", tile.overlap != usual.overlap),
        ("--tile_blend", tile.blend != usual.blend),
    ):
        _refuse(said, f"{flag} is for windows: say --resize tile, or leave it out")


def _check_apart(pattern: str, output: str) -> None:
    glob = split(pattern, os.path.lexists)
    for folder in (f"{output}/{name}" for name in (*image_folders(), "reports")):
        below = folder.removeprefix(glob.fixed + "/").split("/")
        _refuse(
            folder.startswith(glob.fixed + "/") and glob.may_hold(below),
            f"--output {output} lies inside the input {pattern}, whose next run would take masks for images; choose "
            "a folder outside it",
        )
        _refuse(
            glob.fixed == folder or glob.fixed.startswith(folder + "/"),
            f"--input {pattern} is what this run writes into; choose another --output",
        )


def _check_folder(output: str) -> None:
    if is_gcs(output):
        return
    try:
        os.stat(output)
    except (FileNotFoundError, NotADirectoryError):
        _refuse(os.path.islink(output), f"--output {output} is a link to nothing; make what it leads to")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", "") or error
        raise RunError(f"--output {output[:100]} cannot be used: {why}; choose another") from None
    path = Path(output)
    while not path.exists() and path != path.parent:
        path = path.parent
    _refuse(path is not None and not path.is_dir(), f"--output {output}: {path} is no folder; choose another")


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise RunError(message)
