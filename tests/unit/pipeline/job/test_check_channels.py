from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.job.check_channels import check_channels
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.probing.probe import Probe
from maskbeam.pipeline.options import ModelOptions, ReadOptions
from maskbeam.pipeline.run import run
from maskbeam.transforms.errors import RunError
from tests.support.numpy_engine import command, numpy_loader, numpy_probe
from tests.support.shard_files import write_shard
from tests.support.trees import save


def probe_of_four(options: ModelOptions, model: ModelFile) -> Probe:
    probe = numpy_probe(options, model)
    return replace(probe, spec=replace(probe.spec, channels=4))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.png", "b.tif"):
        save(tmp_path / "in" / name, np.zeros((4, 4, 4), np.uint8))
    (tmp_path / "in/notes.txt").write_text("about them")
    return tmp_path / "in"


def test_a_model_of_four_channels_stops_over_files_before_anything_is_written(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(RunError, match=r"takes 4 channels.*give 1 or 3.*raw tensors in TFRecord shards"):
        run(run_options(command(str(images), str(out))), find_probe=probe_of_four, make_loader=numpy_loader)
    assert [path for path in out.rglob("*") if path.is_file()] == []


def takes(channels: int, options: ReadOptions) -> bool:
    try:
        check_channels(channels, options)
    except RunError:
        return False
    return True


def test_only_models_of_one_or_three_take_all_files(images: Path) -> None:
    read = ReadOptions(patterns=(str(images),))
    assert [channels for channels in range(1, 6) if takes(channels, read)] == [1, 3]


def test_shards_may_hold_tensors_of_any_channels(images: Path) -> None:
    write_shard(images / "z.tfrecord", [make_example({"image/encoded": b"1"})])
    assert takes(4, ReadOptions(patterns=(str(images),)))
    assert takes(4, ReadOptions(patterns=(f"{images}/*.png", f"{images}/z*")))
    assert not takes(4, ReadOptions(patterns=(f"{images}/*.png", f"{images}/*.tif")))


def test_images_of_several_files_may_have_any_channels(images: Path) -> None:
    for name in ("T_B04.tif", "T_B03.tif"):
        save(images / name, np.zeros((4, 4), np.uint8))
    assert takes(4, ReadOptions(patterns=(f"{images}/*_{{B04,B03}}.tif",)))


def test_it_is_said_what_to_do_where_a_shell_has_taken_the_braces(images: Path) -> None:
    with pytest.raises(RunError, match=r"if bands are files of their own.* pattern in quotes: '\*_\{B04,B03\}.tif'"):
        check_channels(4, ReadOptions(patterns=(f"{images}/a.png", f"{images}/b.tif")))


def test_no_input_at_all_is_not_the_models_fault(tmp_path: Path, images: Path) -> None:
    assert takes(4, ReadOptions(patterns=(f"{tmp_path}/none*",), allow_empty=True))
    assert not takes(4, ReadOptions(patterns=(str(images),), allow_empty=True))
