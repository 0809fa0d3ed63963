"""Models that cannot be loaded: the cause in a line, and no weights left at random."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import pytest

from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.models.loading.loaded_model import load_failure
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from tests.support.models import save
from tests.unit.pipeline.models.loading.test_loaded_model import loaded_from, rewritten, small

FILE = ModelFile("m.h5", Path("m.h5"), "h5", "2.2.5", "a" * 64, 1)
LOADED = ModelOptions(path="m.h5", trust=True)
QUOTED = (
    "Error when deserializing class 'Conv2D' using config={'name': '" + "x" * 400 + "'}.\n\nException encountered: "
)


@pytest.mark.parametrize(
    ("error", "options", "says"),
    [
        (ValueError(QUOTED + "Unknown initializer: 'init1'. Please ensure"), LOADED, "needs 'init1'.*docs/faults.md"),
        (ValueError("Unknown layer: 'Swin'."), LOADED, "needs 'Swin'"),
        (TypeError("Could not locate class 'Mine'. Make sure"), LOADED, "needs 'Mine'"),
        (TypeError("Cannot deserialize object of type `My`. If"), LOADED, "needs 'My'"),
        (ValueError("Unknown activation function 'gelu9' cannot"), LOADED, "needs 'gelu9'"),
        (EOFError("EOF read where object expected"), LOADED, "another version of Python.*SavedModel"),
        (ValueError("bad marshal data (unknown type code)"), LOADED, "another version of Python"),
        (ValueError(QUOTED + "the real reason"), LOADED, "ValueError: the real reason$"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_load_tells_the_cause(error: Exception, options: ModelOptions, says: str) -> None:
    with pytest.raises(RunError, match=says):
        raise RunError(load_failure(FILE, error, options))


@pytest.mark.parametrize(
    ("part", "other", "says"),
    [
        (
            '"kernel_size": [1, 1]',
            '"kernel_size": [3, 3]',
            r"Conv2D 'own': wants \(3, 3, 3, 2\), and the file has \(1, ",
        ),
        ('"use_bias": false', '"use_bias": true', r"Conv2D 'own': Layer 'own' expected 2 variables, but received 1 "),
    ],
)
def test_weights_of_other_layers_are_told_in_a_line(part: str, other: str, says: str, tmp_path: Path) -> None:
    path = save(small(keras, keras.layers.Conv2D(2, 1, name="own", use_bias=False)), tmp_path / "m.keras")
    with pytest.raises(RunError, match=rf"weights that do not fit 1 of its layers\. {says}") as caught:
        loaded_from(rewritten(path, lambda text: text.replace(part, other)))
    said = str(caught.value).replace(str(path), "m.keras")
    assert len(said) < 280
    assert said.endswith("Save the whole model again with model.save.")


def test_layers_whose_weights_are_not_in_the_file_are_no_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Grid(keras.layers.Layer):  # type: ignore[misc]
        """As the nodes of a U-Net++ are kept."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.nodes = [[keras.layers.Conv2D(2, 1)]]

        def build(self, shape: Any) -> None:
            self.nodes[0][0].build(shape)

        def call(self, images: Any) -> Any:
            return self.nodes[0][0](images)

    path = save(small(keras, Grid(name="grid")), tmp_path / "m.keras")
    monkeypatch.setattr(
        "maskbeam.pipeline.models.loading.keras_loader.import_custom_objects", lambda _: {"Grid": Grid}
    )
    loaded_from(path, trust=True)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "w.h5").write_bytes(entries["model.weights.h5"])
    with h5py.File(tmp_path / "w.h5", "a") as weights:
        del weights["layers/grid/nodes/container"]
    entries["model.weights.h5"] = (tmp_path / "w.h5").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    with pytest.raises(RunError, match=r"no weights for the layers at '.*nodes/container', so they would be random"):
        loaded_from(path, trust=True)


def test_flags_that_were_given_are_not_asked_for_again() -> None:
    options = ModelOptions(path="m.h5", trust=True, custom_objects=("mine",))
    said = load_failure(FILE, ValueError("Unknown layer: 'Swin'."), options)
    assert "--trust_model" not in said
    assert "--custom_objects (mine) do not give it" in said
