"""`maskbeam inspect`: what a model is, how it reads images fed in different ways, and the command that fits it."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from maskbeam.pipeline.classes.class_files import load_class_table, read_class_table, read_file
from maskbeam.pipeline.cli.command_text import run_command
from maskbeam.pipeline.commands.inspect.contact_sheet import draw_contact_sheet, largest
from maskbeam.pipeline.commands.inspect.samples import Sample, samples
from maskbeam.pipeline.commands.inspect.told import Say, Told, say_at_terminal
from maskbeam.pipeline.commands.inspect.variants import Finding, Variant, Variants, compare_variants, worth_drawing
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.job.check_rasters import check_scaling
from maskbeam.pipeline.job.mask_format import with_found_format
from maskbeam.pipeline.models.engines.loader import loaded_model
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.loading.loaded_model import LoadedModel, open_model
from maskbeam.pipeline.models.probing.find_input import scales_itself
from maskbeam.pipeline.models.probing.probe import Probe, probe_model
from maskbeam.pipeline.options import ModelOptions, RunOptions
from maskbeam.pipeline.storage import is_gcs
from maskbeam.pipeline.text.wording import percent, plural
from maskbeam.transforms.argmax import Labeling
from maskbeam.transforms.classes.class_table import ClassTable, generated_table
from maskbeam.transforms.elements import Array
from maskbeam.transforms.emitted import emits_ids
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import BINARY
from maskbeam.transforms.normalize import NAMED

# Ids that a model without a class table may give; a table is made for all of them.
ASSUMED_IDS = 256
SHEET = "inspect.png"
MOST_SHOWN = 20


def inspect(options: RunOptions, *, format: str = "text", say: Say = say_at_terminal) -> int:
    """Looks at a model and, where there are images, at how it wants them.

    Args:
        options: Of which `model` is needed; of `read` and `label` what there is. The contact sheet goes to `output`.
        format: `text`, or `json` for one document in the place of lines.
        say: Takes what there is to tell.

    Returns:
        The command's exit code.

    Raises:
        RunError: The model, the input or the class table cannot be used.
    """
    if is_gcs(options.output.path):
        raise RunError("maskbeam inspect writes one picture: --output must be a folder on this machine.")
    told = Told(say if format == "text" else lambda _: None)
    _inspect(options, told)
    if format == "json":
        print(json.dumps({**told.facts, "command": told.facts.get("command")}, indent=1))  # noqa: T201
    return ExitCode.DONE


def _inspect(given: RunOptions, say: Told) -> None:
    options = _as_read(given)
    file = open_model(options.model)
    say(_describe(file))
    say.facts["model"] = {
        "path": file.uri,
        "keras_version": file.keras_version or None,
        "bytes": file.size,
        "loaded_by": file.framework,
        "sha256": file.digest,
    }
    loaded = loaded_model(options.model, file.digest)
    scalings = _open_scalings(options, loaded)
    assumed = replace(options.model, normalize=scalings[0]) if scalings else options.model
    probe = probe_model(loaded, assumed, digest=file.digest)
    say.facts["evidence"] = list(_evidence(probe, loaded, open_scaling=bool(scalings)))
    for line in say.facts["evidence"]:
        say(f"  {line}")
    table = _class_table(options, probe)
    say.facts["classes"] = [{"channel": info.channel, "id": info.id, "name": info.name} for info in table.classes]
    if not options.read.patterns:
        _say_without_images(given, probe, table, open_scaling=bool(scalings), say=say)
        return
    best = _compare(options, loaded, probe, table, samples(options, probe, say), say, scalings=scalings)
    _say_how_to_go_on(given, probe, best, open_scaling=bool(scalings), say=say)


def _as_read(options: RunOptions) -> RunOptions:
    """The options as a run would read images with: whether rasters are read as such is told by the first of them."""
    if not options.read.patterns:
        return options
    options = with_found_format(options)
    check_scaling(options)
    return options


def _open_scalings(options: RunOptions, loaded: LoadedModel) -> tuple[str, ...]:
    """The scalings that the model may want; none where it, or the user, says which."""
    if options.model.normalize is not None or scales_itself(loaded):
        return ()
    # Values in the file's units are on no scale that has a name.
    return ("none",) if options.decode.input_range == "raw" else tuple(NAMED)


def _describe(file: ModelFile) -> str:
    saved = f"saved by Keras {file.keras_version}" if file.keras_version else "a SavedModel folder"
    return f"{file.uri}: {saved}, {file.size / 1e6:.1f} MB, loaded by {file.framework}, sha256 {file.digest}"


def _evidence(probe: Probe, loaded: LoadedModel, *, open_scaling: bool) -> Iterator[str]:
    own = "the model's own shows no training on 0..255" if loaded.scales_input else "the model has none of its own"
    for line in probe.evidence:
        is_assumed = open_scaling and line.startswith("scaling")
        yield f"scaling: {own}, so --normalize must be given" if is_assumed else line


def _class_table(options: RunOptions, probe: Probe) -> ClassTable:
    spec, classes = options.label.classes, probe.head.classes
    if classes is not None:
        return load_class_table(spec, channels=classes, read=read_file, sigmoid=probe.head.kind in BINARY)
    return read_class_table(spec, read=read_file) if spec else generated_table(ASSUMED_IDS)


def _say_without_images(
    options: RunOptions, probe: Probe, table: ClassTable, *, open_scaling: bool, say: Told
) -> None:
    say("Classes: " + ", ".join(f"{info.channel} {info.name}" for info in table.classes[:MOST_SHOWN]))
    if open_scaling:
        say("With --input and a few images, this command shows which scaling fits.")
    else:
        _say_command(options, probe, options.model, say)


def _compare(
    options: RunOptions,
    loaded: LoadedModel,
    probe: Probe,
    table: ClassTable,
    images: Sequence[Sample],
    say: Told,
    *,
    scalings: Sequence[str],
) -> Finding | None:
    """Says what each way to feed the images gives; the best of them, or None where nothing tells which that is."""
    labeling = Labeling(
        probe.head.kind,
        table.ids,
        upsample="none",
        threshold=options.label.threshold,
        multilabel="argmax",
        nonfinite="ignore",
        emits_ids=emits_ids(table.ids, probe.seen_ids),
    )
    variants = Variants(loaded, probe, labeling=labeling, images=images)
    base = Variant(
        options.model.normalize or (scalings[0] if scalings else "none"),
        options.model.channel_order,
        options.model.resize_filter,
    )
    findings, best = compare_variants(variants, base=base, scalings=scalings, colored=probe.spec.channels == 3)
    told = best if not scalings or best.mismatch is not None else None
    windows = variants.images(base.resize_filter)
    pictures = [image.picture(window) for image, window in zip(images, windows, strict=True)]
    say(f"{plural(len(images), 'image')}, fed in {plural(len(findings), 'way')}:")
    for line in _table_lines(findings, told, table):
        say(f"  {line}")
    say.facts |= _facts(images, findings, told, table)
    _say_channels(best, table, say)
    _write_sheet(options, pictures, worth_drawing(findings, best), told, table, say)
    return told


def _facts(
    images: Sequence[Sample], findings: Sequence[Finding], best: Finding | None, table: ClassTable
) -> dict[str, Any]:
    ways = [
        {
            **asdict(finding.variant),
            "mismatch": _finite(finding.mismatch),
            "confidence": _finite(finding.confidence),
            "shares": {info.name: float(finding.shares[info.channel]) for info in table.classes},
        }
        for finding in findings
    ]
    return {"images": len(images), "ways": ways, "best": asdict(best.variant) if best else None}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _table_lines(findings: Sequence[Finding], marked: Finding | None, table: ClassTable) -> Iterator[str]:
    yield f"  {'scaling':<10} {'order':<5} {'filter':<15} {'mismatch':<8} {'confidence':<10} largest classes"
    for finding in findings:
        variant, mark = finding.variant, "*" if finding is marked else " "
        shares = ", ".join(f"{table.names[i]} {percent(finding.shares[i])}" for i in largest(finding.shares))
        ways = f"{variant.normalize:<10} {variant.channel_order:<5} {variant.resize_filter:<15}"
        yield f"{mark} {ways} {_number(finding.mismatch):<8} {_number(finding.confidence):<10} {shares}"
    if any(finding.mismatch is not None for finding in findings):
        yield "mismatch: how far the images are from what the model's batch normalisation remembers; lowest is right"
    else:
        yield "the model keeps no statistics of its training to compare with: look at the pictures"
    yield "confidence: mean probability of the winning class; wrong scaling can raise it"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _say_channels(finding: Finding, table: ClassTable, say: Told) -> None:
    say(f"Predicted share of each channel, fed as {finding.variant}:")
    shown = [info for info in table.classes if finding.shares[info.channel] > 0 or len(table) <= MOST_SHOWN]
    for info in shown:
        say(f"  {info.channel:>3} {info.name:<24} {percent(finding.shares[info.channel])}")
    if len(shown) < len(table):
        say(f"  and {len(table) - len(shown)} that were never predicted")


def _write_sheet(
    options: RunOptions,
    pictures: Sequence[Array],
    findings: Sequence[Finding],
    marked: Finding | None,
    table: ClassTable,
    say: Told,
) -> None:
    path = Path(options.output.path or ".") / SHEET
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_contact_sheet(pictures, findings, table, marked=marked).save(path)
    say.facts["picture"] = str(path)
    say(f"Look at {path}: a row for each image, a column for each way, or for those that tell most.")


def _say_how_to_go_on(
    options: RunOptions, probe: Probe, best: Finding | None, *, open_scaling: bool, say: Told
) -> None:
    if best is None:
        say(
            "Nothing in the model tells which way is right. Choose the scaling and the order whose masks are right, "
            "and add them to this command, as in --normalize none --channel_order bgr: it shows the filters then, "
            "and ends with the command to run it."
        )
        return
    variant = best.variant
    model = replace(
        options.model,
        normalize=variant.normalize if open_scaling else options.model.normalize,
        channel_order=variant.channel_order,
        resize_filter=variant.resize_filter,
    )
    _say_command(options, probe, model, say)


def _say_command(options: RunOptions, probe: Probe, model: ModelOptions, say: Told) -> None:
    label = options.label
    if probe.head.classes is None and label.classes is None:
        label = replace(label, classes="CLASSES")
        say(
            "The model gives class ids, which do not tell how many classes there are: write a table with a row for "
            f"each and name it in place of CLASSES. Ids seen so far: "
            f"{', '.join(map(str, probe.seen_ids[:MOST_SHOWN]))}."
        )
    read = replace(options.read, patterns=options.read.patterns or ("INPUT",), limit=None)
    output = replace(options.output, path="OUTPUT")
    command = run_command(replace(options, read=read, model=model, label=label, output=output))
    say.facts["command"] = command
    say(f"To run it: {command}")
