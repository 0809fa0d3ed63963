"""What the first raster of an input tells before a model is loaded."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.job.check_rasters import check_rasters
from maskbeam.pipeline.job.mask_format import with_mask_format
from maskbeam.pipeline.run import run
from maskbeam.pipeline.storage.gcs_client import forget_client
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.numpy_engine import MODEL, command, numpy_loader, numpy_probe
from tests.support.rasters import planes, write_raster
from tests.support.trees import save

NAMES = ("B04", "B03", "B02", "B08")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_raster(tmp_path / "in/a.tif", planes(4, dtype="uint16"), descriptions=NAMES)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()


def check(path: Path, *flags: str, channels: int | None = 4) -> None:
    check_rasters(run_options(command(str(path), f"{path.parent.parent}/out", *flags)), channels)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--bands", "9,1,2,3"), r"band 9 is asked for, and it has 4 bands: B04, B03, B02, B08"),
        (("--bands", "B8A,B03,B02,B04"), r"band B8A is asked for, and it has 4 bands: B04, B03, B02, B08"),
        (("--bands", "B04,B03,B02"), r"3 bands \(B04, B03, B02\), the model takes 4"),
        (("--input_range", "0,1/2,3/4,5"), r"has 3 ranges for 4 bands"),
        (("--invalid", "SCL=3,8"), r"band SCL is asked for, and it has 4 bands"),
    ],
)
def test_what_does_not_fit_the_first_raster_is_told_with_what_there_is(
    scene: Path, flags: Sequence[str], said: str
) -> None:
    with pytest.raises(RunError, match=said):
        check(scene, *flags)


@pytest.mark.parametrize("dtype", ["int16", "float32", "complex64"])
def test_a_type_without_a_range_is_told_at_once(tmp_path: Path, dtype: str) -> None:
    path = write_raster(tmp_path / "in/a.tif", planes(4, dtype=dtype))
    with pytest.raises(RunError, match=f"the values of band 1 are {dtype}"):
        check(path)
    if dtype != "complex64":
        check(path, "--input_range", "0,200")
        check(path, "--input_range", "raw")


def test_what_fits_is_let_by_and_a_band_that_marks_clouds_is_not_counted(scene: Path) -> None:
    check(scene)
    check(scene, "--bands", "2,2,1,B08", "--input_range", "0,1/2,3/4,5/6,7")
    check(scene, "--invalid", "B08=3", channels=3)
    check(scene, "--bands", "1", channels=None)


@pytest.mark.parametrize("damage", ["cut off", "of another grid", "missing"])
def test_what_is_wrong_with_one_file_costs_that_image_and_not_the_run(tmp_path: Path, damage: str) -> None:
    values = planes(1)
    for name in ("r", "g", "b"):
        write_raster(tmp_path / f"in/a_{name}.tif", values)
    path = tmp_path / "in/a_g.tif"
    if damage == "cut off":
        path.write_bytes(path.read_bytes()[:64])
    elif damage == "missing":
        path.unlink()
    else:
        write_raster(path, values, transform=Affine(10, 0, 0, 0, -10, 0))
    check(tmp_path / "in" / "a_{r,g,b}.tif", channels=3)


def test_pictures_before_the_first_raster_are_passed_over(scene: Path) -> None:
    save(scene.parent / "0.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(RunError, match="band 9 is asked for"):
        check(scene.parent, "--bands", "9")
    scene.unlink()
    check(scene.parent, "--bands", "9")


@pytest.mark.parametrize("scaling", ["0..1", "-1..1", "imagenet", "caffe"])
def test_raw_values_are_not_scaled_as_those_of_0_to_255(scene: Path, scaling: str) -> None:
    with pytest.raises(RunError, match=rf"--normalize {scaling} scales values of 0..255.*--input_range raw"):
        check(scene, "--input_range", "raw", f"--normalize={scaling}")
    check(scene, "--input_range", "raw", "--normalize", "1,2,3,4/5,6,7,8")
    check(scene, "--input_range", "raw", "--normalize", "none")
    check(scene, f"--normalize={scaling}")


def test_the_command_ends_with_2_before_tensorflow_is_loaded_and_nothing_is_written(
    scene: Path, tmp_path: Path
) -> None:
    argv = command(str(scene), str(tmp_path / "out"), "--bands", "9")
    script = (
        "import sys\n"
        "from maskbeam.pipeline.main import main\n"
        f"code = main(['run', *{argv!r}])\n"
        "print(code, 'tensorflow' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=120)
    assert ended.stdout.split() == ["2", "False"]
    assert "band 9 is asked for, and it has 4 bands" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("hidden", ["rasterio", "pyproj"])
def test_without_the_packages_the_command_to_install_them_is_told(
    scene: Path, tmp_path: Path, hidden: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, hidden, None)
    options = run_options(command(str(scene), str(tmp_path / "out")))
    with pytest.raises(RunError, match=r"pip install 'maskbeam\[geo\]'.*--mask_format png"):
        with_mask_format(options)
    assert with_mask_format(run_options(command(str(scene), "out", "--mask_format", "png"))).model.resize is None


def plan(inputs: Path, out: Path, capfd: pytest.CaptureFixture[str], *flags: str) -> str:
    argv = command(str(inputs), str(out), "--normalize", "none", *flags)
    assert run(run_options(argv), find_probe=numpy_probe, make_loader=numpy_loader) == 0
    said: str = capfd.readouterr().err
    return said


def test_the_plan_says_what_a_plain_picture_gets_in_a_run_of_geotiffs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "in/a.png", np.full((4, 4, 3), 7, np.uint8))
    said = plan(tmp_path / "in", tmp_path / "out", capfd, "--mask_format", "geotiff")
    assert "plain pictures get masks without a place on the earth" in said
    assert [path.name for path in (tmp_path / "out/masks").iterdir() if path.suffix == ".tif"] == ["a.tif"]
    assert "without a place" not in plan(tmp_path / "in", tmp_path / "png", capfd)


def facts(path: str = MODEL) -> Any:
    from maskbeam.pipeline.models.files.model_facts import file_facts
    from maskbeam.pipeline.models.loading.loaded_model import open_model
    from maskbeam.pipeline.options import ModelOptions

    return file_facts(open_model(ModelOptions(path=path)))


def test_a_model_file_tells_its_channels() -> None:
    from maskbeam.pipeline.models.files.model_facts import ModelFacts, TensorSpec
    from maskbeam.pipeline.models.probing.find_input import known_channels

    assert known_channels(facts()) == 3
    assert known_channels(ModelFacts()) is None
    for shape, order, channels in (
        ((None, 13, 64, 64), "channels_first", 13),
        ((None, 64, 64, 13), "channels_last", 13),
        ((None, 4, 64, 64), None, 4),
        ((None, None, None, None), None, None),
        ((None, 64), None, None),
    ):
        assert known_channels(ModelFacts((TensorSpec("x", shape, "float32"),), data_format=order)) == channels


def test_a_head_that_came_altered_is_looked_at_again(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["b"] = {}
        fake.service.store("b", "a.tif", scene.read_bytes())
        # Its listing passes, the first part of it does not.
        fake.faults.plan("altered", only="/download/storage/v1/b/b/o/a.tif")
        options = run_options(command("gs://b/a.tif", "out"))
        assert with_mask_format(options).output.mask_format == "geotiff"
        assert fake.happened == {"altered down": 1}
    forget_client()
