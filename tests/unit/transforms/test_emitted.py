from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.job.job import make_job
from maskbeam.transforms.argmax import Labeling, label_map
from maskbeam.transforms.classes.class_table import ClassInfo, ClassTable
from maskbeam.transforms.classes.palettes import generate_colors
from maskbeam.transforms.elements import Array
from maskbeam.transforms.emitted import assumed_note, emits_ids, lookup, two_meanings
from maskbeam.transforms.errors import ImageError
from maskbeam.transforms.head import Head
from tests.support.numpy_engine import command, numpy_probe
from tests.support.scored import batch, whole


def mask_of(emitted: Sequence[int], labeling: Labeling) -> Array:
    ids = np.array([emitted], np.int32)
    found = label_map(batch(ids, whole(ids.shape, ids.shape)), labeling)
    return found.pixels


@pytest.mark.parametrize(
    ("table", "emitted", "mask"),
    [
        ((0, 255), (0, 255, 0), (0, 255, 0)),
        ((0, 255), (0, 1, 0), (0, 255, 0)),
        ((10, 20, 30), (0, 1, 2), (10, 20, 30)),
        ((10, 20, 30), (30, 10, 20), (30, 10, 20)),
        ((0, 1, 2), (2, 1, 0), (2, 1, 0)),
        ((1, 2, 3), (0, 1, 2), (1, 2, 3)),
    ],
)
def test_what_a_model_emits_are_channels_or_ids_of_the_table(
    table: tuple[int, ...], emitted: Sequence[int], mask: Sequence[int]
) -> None:
    assert mask_of(emitted, Labeling("ids", table))[0].tolist() == list(mask)


def test_a_probe_that_gave_what_is_no_channel_shows_that_ids_are_emitted() -> None:
    table = (1, 2, 7)
    assert two_meanings(table) == [1, 2]
    assert emits_ids(table, (1, 7))
    assert mask_of((1, 2, 7), Labeling("ids", table, emits_ids=True))[0].tolist() == [1, 2, 7]
    for seen in ((), (0, 1), (1, 2), (1, 9), (0, 7)):
        assert not emits_ids(table, seen)
    assert not emits_ids((0, 255), (0, 255))


def test_a_person_is_told_where_values_have_two_meanings() -> None:
    assert "where it gives 1, masks hold 2" in (assumed_note((1, 2, 7), (1, 2)) or "")
    for table, seen in (((1, 2, 7), (0, 1)), ((1, 2, 7), (1, 7)), ((0, 255), (0,)), ((0, 1, 2), (0, 1))):
        assert assumed_note(table, seen) is None


@pytest.mark.parametrize(
    ("table", "are_ids", "wrong"),
    [((0, 255), False, 7), ((0, 255), False, 256), ((1, 2, 7), False, 7), ((1, 2, 7), True, 0), ((0, 1), False, -1)],
)
def test_what_is_neither_is_an_error_of_the_image(table: tuple[int, ...], are_ids: bool, wrong: int) -> None:
    with pytest.raises(ImageError, match=f"emitted class {wrong}, which its class table does not have"):
        mask_of((table[0] if are_ids else 0, wrong), Labeling("ids", table, emits_ids=are_ids))


@pytest.mark.parametrize(
    ("seen", "ids", "noted"),
    [((1, 7), True, False), ((1, 2), False, True), ((0, 1), False, False), ((), False, True)],
)
def test_what_the_probe_gave_decides_for_the_whole_output(seen: tuple[int, ...], *, ids: bool, noted: bool) -> None:
    options = run_options(command("in", "out"))
    probe = replace(numpy_probe(options.model, SimpleNamespace(digest="")), head=Head("ids"), seen_ids=seen)  # type: ignore[arg-type]
    colors = generate_colors(3)
    table = ClassTable(tuple(ClassInfo(c, i, f"c{c}", colors[c]) for c, i in enumerate((1, 2, 7))), "a table")
    job = make_job(options, "run", probe, table)
    assert job.labeling.emits_ids == ids
    assert ("model emits" in job.settings) == ids
    assert [note for note in job.table.notes if "taken for channels" in note] == list(job.table.notes)
    assert len(job.table.notes) == noted
    assert make_job(options, "run", probe, job.table).table == job.table


def test_lookup_of_large_ids() -> None:
    assert lookup((65535,), are_ids=False)[[0, 65535]].tolist() == [65535, 65535]
