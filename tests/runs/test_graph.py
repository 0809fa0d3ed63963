"""The graph as a runner has it: its portable form, fused as the local runner fuses it."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import common_urns
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.typehints import typehints

from maskbeam.pipeline.build import SegmentImages, segment
from maskbeam.pipeline.classes.class_files import load_class_table
from maskbeam.pipeline.job.job import Job, make_job
from maskbeam.pipeline.models.files.model_file import recognise
from maskbeam.pipeline.options import ModelOptions, OutputOptions, ReadOptions, RunOptions
from maskbeam.pipeline.reports.report_writer import ReportWriter
from maskbeam.transforms import elements
from tests.support.numpy_engine import MODEL, NumpyLoader, numpy_probe

# What holds pixels, logits or maps of them.
HEAVY = (elements.Image, elements.ModelInput, elements.LogitsBatch, elements.Labels)
PREDICT = "Segment images/Predict/"
SHUFFLES = (beam.GroupByKey, beam.Reshuffle)


def graph_parts() -> tuple[Job, NumpyLoader]:
    model = ModelOptions(path=MODEL)
    output = OutputOptions(path="/out", products=frozenset({"color", "overlay"}))
    options = RunOptions(ReadOptions(patterns=("/in/*",)), model=model, output=output)
    probe = numpy_probe(model, recognise(MODEL))
    job = make_job(options, "run", probe, load_class_table(None, channels=3, read=lambda _: b""))
    return job, NumpyLoader("logits")


@cache
def graph() -> beam.Pipeline:
    job, loader = graph_parts()
    root = beam.Pipeline(options=PipelineOptions())
    segment(root, job=job, loader=loader, writer=ReportWriter(job, 0.0))
    return root


def proto() -> Any:
    return graph().to_runner_api(default_environment=beam.transforms.environments.EmbeddedPythonEnvironment.default())


def holds(kind: Any, heavy: tuple[type, ...]) -> bool:
    """Whether values of a type may hold one of the heavy ones; a type that says nothing may."""
    if kind is typehints.Any:
        return True
    inner = getattr(kind, "_inner_types", None)
    parts = list(inner()) if inner else []
    return any(holds(part, heavy) for part in parts) if parts else isinstance(kind, type) and issubclass(kind, heavy)


def shuffled() -> Iterator[tuple[str, Any]]:
    """The name of each shuffle, and the type of what it carries."""

    def visit(part: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(part.transform, SHUFFLES):
            for collection in part.inputs:
                yield part.full_label, collection.element_type
        for inner in part.parts:
            yield from visit(inner)

    yield from visit(graph()._root_transform())


@cache
def fused_stages() -> list[Any]:
    """The stages that a runner would run, each a set of transforms."""
    pipeline = proto()
    phases = [
        translations.annotate_downstream_side_inputs,
        translations.fix_side_input_pcoll_coders,
        translations.pack_combiners,
        translations.lift_combiners,
        translations.expand_sdf,
        translations.expand_gbk,
        translations.sink_flattens,
        translations.greedily_fuse,
    ]
    known = frozenset(
        [
            common_urns.primitives.FLATTEN.urn,
            common_urns.primitives.GROUP_BY_KEY.urn,
            common_urns.primitives.IMPULSE.urn,
        ]
    )
    _, stages = translations.create_and_optimize_stages(pipeline, phases, known_runner_urns=known)
    return list(stages)


def names(stage: Any) -> list[str]:
    return [transform.unique_name for transform in stage.transforms]


def test_no_shuffle_carries_pixels_or_logits() -> None:
    carried = dict(shuffled())
    assert len(carried) >= 3
    # Sums of a report are of no declared type; what is summed there are counts.
    assert [name for name, kind in carried.items() if holds(kind, HEAVY) and "/CombinePerKey/" not in name] == []


def test_a_shuffle_of_pixels_would_be_seen() -> None:
    assert holds(typehints.Tuple[int, elements.ModelInput], HEAVY)
    assert not holds(typehints.Tuple[int, str], HEAVY)
    assert holds(typehints.Any, HEAVY)


@pytest.mark.parametrize("step", ["Read/", "Skip done/", "Segment images/Decode/", PREDICT, "Segment images/Write/"])
def test_everything_from_read_to_write_is_one_fused_stage(step: str) -> None:
    stages = {name: number for number, stage in enumerate(fused_stages()) for name in names(stage)}
    (whole,) = {number for name, number in stages.items() if name.startswith(PREDICT)}
    assert {number for name, number in stages.items() if name.startswith(step)} == {whole}


def test_resource_hints_of_the_one_step_reach_all_that_needs_them() -> None:
    job, loader = graph_parts()
    root = beam.Pipeline(options=PipelineOptions())
    images = root | beam.Create([]).with_output_types(elements.EncodedImage)
    images | "Segment images" >> SegmentImages(job, loader).with_resource_hints(min_ram="7GB")
    found = root.to_runner_api(default_environment=beam.transforms.environments.EmbeddedPythonEnvironment.default())
    hinted = {
        name
        for name, environment in found.components.environments.items()
        if b"7000000000" in environment.resource_hints.values()
    }
    engines = [each for each in found.components.transforms.values() if each.unique_name.endswith("Run engine")]
    ahead = [each for each in found.components.transforms.values() if "Run ahead/ParDo" in each.unique_name]
    assert hinted
    assert engines
    assert all(each.environment_id in hinted for each in engines + ahead)
