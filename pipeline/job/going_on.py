"""A job as it goes on in an output whose masks were made as it makes them."""

from dataclasses import replace
from typing import Any

from maskbeam.pipeline.job.job import Job, make_job
from maskbeam.pipeline.job.settings import drawn_before, of_images
from maskbeam.pipeline.options import OutputOptions
from maskbeam.pipeline.output.finished import stored_fingerprint
from maskbeam.transforms.classes.class_table import ClassTable


def going_on(job: Job, stored: dict[str, Any]) -> tuple[Job, tuple[str, ...]]:
    """The job as it goes on in an output whose masks were made as it makes them, and what to say of that.

    All products that the output has are kept up, so that none is left of an older version of its image.
    """
    output, held = job.options.output, stored["settings"]
    kept = frozenset(held["--products"])
    classes = _binary_classes(output, kept, _names_now(held, job.table))
    asked, output = output.products, replace(output, products=output.products | kept, binary_classes=classes)
    if output != job.options.output:
        job = make_job(replace(job.options, output=output), job.run, job.probe, job.table, job.aoi)
    before = drawn_before(stored)
    job = replace(job, fingerprint=stored_fingerprint(stored), drawn_before=tuple(before.items()))
    # The products of scenes are made with their masks, but for overlays.
    by_model = frozenset({"confidence"} if not job.is_geotiff else job.rendering.products - {"overlay"})
    return job, (*_notes(asked, kept, by_model), *_notes_of_images(job, held))


def _names_now(held: dict[str, Any], table: ClassTable) -> tuple[str, ...]:
    """Today's names of the classes that binary masks were chosen of."""
    ids, names = {row[2]: row[1] for row in held["classes"]}, {c.id: c.name for c in table.classes}
    return tuple(names[ids[name]] for name in held["--binary_classes"])


def _binary_classes(output: OutputOptions, kept: frozenset[str], held: tuple[str, ...]) -> tuple[str, ...]:
    if "binary" not in kept or "binary" not in output.products:
        return held if "binary" in kept else output.binary_classes
    # None named means all.
    return tuple(dict.fromkeys([*held, *output.binary_classes])) if held and output.binary_classes else ()


def _notes(asked: frozenset[str], kept: frozenset[str], by_model: frozenset[str]) -> tuple[str, ...]:
    new, more, again = sorted(asked - kept - by_model), sorted(kept - asked), sorted((asked - kept) & by_model)
    notes = [f"{', '.join(new)}: drawn from the masks that are there, without the model"] if new else []
    if again:
        notes.append(f"{', '.join(again)}: not in the masks that are there, so the model does these images again")
    if more:
        notes.append(f"{', '.join(more)}: asked for before; stays, and is kept up")
    return tuple(notes)


def _notes_of_images(job: Job, held: dict[str, Any]) -> list[str]:
    before, now = of_images(held), of_images(job.settings)
    then = (
        "is done again"
        if job.options.output.overwrite
        else "fails as OTHER_OPTIONS; with --overwrite it is done again"
    )
    return [
        f"{flag} was {before[flag]}, now {now[flag]}: an image that it matters to, and that is done, {then}"
        for flag in now
        if before[flag] != now[flag]
    ]
