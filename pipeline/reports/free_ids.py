"""Frees ids from masks whose sources are no inputs any more, so that the next run gives them to those that are."""

import json
import logging
from dataclasses import replace

from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.job.job import Job
from maskbeam.pipeline.output.geotiff.files import paths_of
from maskbeam.pipeline.output.orphans import is_behind_link
from maskbeam.pipeline.output.ours import report_files
from maskbeam.transforms.errors import Code
from maskbeam.transforms.products.registry import product_names, products_of

_log = logging.getLogger(__name__)


def free_ids(job: Job) -> None:
    """Removes all files under the ids that the failures report lists as `ID_FREED`.

    Only a run that has seen all inputs may do so: a sample, or one that could not read a shard to its end, cannot
    know that a source is gone.
    """
    storage = job.tree.storage
    for uri in list(report_files(storage, job.tree.root, "failures.jsonl")):
        for line in storage.read(uri).splitlines():
            failure = json.loads(line)
            if failure["code"] == Code.ID_FREED:
                _free(job, failure["id"])


def _free(job: Job, image_id: str) -> None:
    tree, name = job.tree, encode_id(image_id)
    record = tree.record.format(name)
    drawn = {path.format(name) for path in (_of_scenes(job) if job.is_geotiff else _of_pictures(job))}
    # The record last: as long as it is there, all of this is done again.
    paths = (*sorted(drawn - {record}), record)
    if any(is_behind_link(tree.root, path) for path in paths):
        _log.warning("files of an id that was freed lie behind a link, and stay there; remove them, and run again")
        return
    for path in paths:
        tree.storage.delete(tree.uri(path))


def _of_pictures(job: Job) -> list[str]:
    return [
        path
        for each in products_of(product_names())
        for planes in {False, each.of_planes}
        for path in each.paths(job.rendering, planes=planes)
    ]


def _of_scenes(job: Job) -> list[str]:
    rendering = replace(job.rendering, products=frozenset(product_names()))
    if not job.labeling.has_planes:
        return paths_of(rendering, job.labeling)
    return paths_of(replace(rendering, products=rendering.products - {"color"}), job.labeling)
