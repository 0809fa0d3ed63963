import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from maskbeam.pipeline.models.files.model_file import check_digest, recognise
from maskbeam.pipeline.models.loading.loaded_model import open_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.pipeline.storage.gcs_client import client, forget_client
from maskbeam.transforms.errors import RunError
from tests.support.fake_gcs import FakeGcs
from tests.support.models import save, unet

CONFIG = {"class_name": "Sequential", "config": {"name": "s", "layers": []}}
SAVED = [
    (keras, "model.keras", "keras", "keras", keras.__version__),
    (keras, "model.h5", "h5", "keras", keras.__version__),
    (keras, "folder", "saved_model", "saved_model", ""),
    (tf_keras, "model.keras", "keras", "tf_keras", tf_keras.__version__),
    (tf_keras, "model.h5", "h5", "tf_keras", tf_keras.__version__),
    (tf_keras, "folder", "saved_model", "saved_model", ""),
]


def write_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def write_hdf5(path: Path, **attributes: str) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
    return path


@pytest.mark.parametrize(("K", "name", "kind", "framework", "version"), SAVED)
def test_every_way_of_saving_is_recognised_whatever_the_file_is_called(
    K: object, name: str, kind: str, framework: str, version: str, tmp_path: Path
) -> None:
    path = save(unet(K), tmp_path / name)
    renamed = path.rename(tmp_path / "renamed.bin")
    file = recognise(str(renamed))
    assert (file.kind, file.framework, file.keras_version) == (kind, framework, version)
    assert file.path == renamed
    assert file.size > 1000


def test_digest_of_a_file_is_its_sha256_and_of_a_folder_tells_names_and_contents(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "m.h5", model_config=json.dumps(CONFIG), keras_version="2.15.0")
    assert recognise(str(path)).digest == hashlib.sha256(path.read_bytes()).hexdigest()

    def folder(name: str, **files: bytes) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"")
        for file, data in files.items():
            (tmp_path / name / file).write_bytes(data)
        return recognise(str(tmp_path / name)).digest

    first = folder("one", a=b"x", b=b"y")
    assert first == folder("two", b=b"y", a=b"x")
    assert len({first, folder("three", a=b"y", b=b"x"), folder("four", a=b"x", c=b"y"), folder("five", a=b"x")}) == 4


def test_a_folder_whose_digest_would_not_cover_what_is_loaded_is_refused(tmp_path: Path) -> None:
    for folder in ("model", "elsewhere", "model/..data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model/saved_model.pb").write_bytes(b"")
    (tmp_path / "model/.hidden").symlink_to(tmp_path / "elsewhere")
    assert recognise(str(tmp_path / "model")).kind == "saved_model"
    (tmp_path / "model/variables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"variables in it is a link to a folder.*cp -rL"):
        recognise(str(tmp_path / "model"))
    shutil.copytree(tmp_path / "model", tmp_path / "copied")
    assert recognise(str(tmp_path / "copied")).kind == "saved_model"


def test_keras_version_is_told_from_the_modules_where_the_metadata_is_missing(tmp_path: Path) -> None:
    old = CONFIG | {"module": "keras.src.engine.functional"}
    new = CONFIG | {"module": "keras.src.models.functional"}
    assert (
        recognise(str(write_zip(tmp_path / "a", {"config.json": json.dumps(old).encode()}))).framework == "tf_keras"
    )
    assert recognise(str(write_zip(tmp_path / "b", {"config.json": json.dumps(new).encode()}))).framework == "keras"
    assert recognise(str(write_hdf5(tmp_path / "c", model_config=json.dumps(CONFIG)))).framework == "tf_keras"


def test_pinned_digest(tmp_path: Path) -> None:
    file = recognise(str(write_hdf5(tmp_path / "m.h5", model_config=json.dumps(CONFIG))))
    check_digest(file, None)
    check_digest(file, file.digest.upper())
    with pytest.raises(RunError) as caught:
        check_digest(file, "0" * 64)
    assert "0" * 64 in str(caught.value)
    assert file.digest in str(caught.value)


def test_weights_only_files_are_named_as_such(tmp_path: Path) -> None:
    model = unet(keras)
    model.save_weights(tmp_path / "m.weights.h5")
    (tmp_path / "ckpt").mkdir()
    (tmp_path / "ckpt/checkpoint").write_text("model_checkpoint_path: 'x'")
    (tmp_path / "m.index").write_bytes(b"anything")
    write_zip(tmp_path / "m.zip", {"model.weights.h5": b"x"})
    for name in ("m.weights.h5", "ckpt", "m.index", "m.zip"):
        with pytest.raises(RunError, match=r"weights only.*model\.save"):
            recognise(str(tmp_path / name))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>", "not a model's"),
        (b"\x20\x00\x00\x00TFL3....", "TensorFlow Lite"),
        (b'{"class_name": "Sequential"}', "without their weights"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "damaged"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
    ],
)
def test_what_is_no_model_is_said_plainly(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(RunError, match=says) as caught:
        recognise(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.keras", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", r"Git LFS.*git lfs pull"),
        ("m.onnx", b"\x08\x07\x12\x07pytorch", r"ONNX.*onnx2tf"),
        ("frozen_graph.pb", b"\n\x15\n\x05image", r"frozen graph.*simple_save"),
        ("exported/saved_model.pb", b"\x08\x01\x12\x01", r"give its folder, .*exported/\."),
    ],
)
def test_other_kinds_are_named_with_the_way_out(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=says):
        recognise(str(tmp_path / name))


def test_other_archives_folders_and_missing_paths(tmp_path: Path) -> None:
    write_zip(tmp_path / "torch.pt", {"archive/data.pkl": b"x"})
    write_zip(tmp_path / "words.docx", {"word/document.xml": b"x"})
    write_zip(tmp_path / "broken.keras", {"config.json": b"{"})
    write_zip(tmp_path / "deep.keras", {"config.json": b"[" * 100_000})
    write_zip(tmp_path / "list.keras", {"config.json": b"[]"})
    (tmp_path / "pictures").mkdir()
    expected = {
        "torch.pt": "PyTorch",
        "words.docx": "without a model's config.json",
        "broken.keras": "damaged",
        "deep.keras": "damaged",
        "list.keras": "not one of a Keras model",
        "pictures": "no model",
        "nowhere.keras": "no such file",
    }
    for name, says in expected.items():
        with pytest.raises(RunError, match=says):
            recognise(str(tmp_path / name))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_damaged_not_crashes(cut: float, tmp_path: Path) -> None:
    for name in ("m.keras", "m.h5"):
        model = unet(keras if name == "m.keras" else tf_keras)
        whole = save(model, tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: int(len(whole) * cut)])
        with pytest.raises(RunError):
            recognise(str(tmp_path / name))


def test_flipped_bytes_in_the_weights_of_a_keras_archive_are_noticed(tmp_path: Path) -> None:
    path = save(unet(keras), tmp_path / "m.keras")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(255 - value for value in data[middle : middle + 8])
    path.write_bytes(data)
    with pytest.raises(RunError, match="damaged"):
        recognise(str(path))


def test_opening_imports_neither_tensorflow_nor_keras(tmp_path: Path) -> None:
    paths = [str(save(unet(keras), tmp_path / name)) for name in ("m.keras", "folder")]
    code = (
        "import sys\n"
        "from maskbeam.pipeline.models.loading.loaded_model import open_model\n"
        "from maskbeam.pipeline.options import ModelOptions\n"
        "for path in sys.argv[1:]: open_model(ModelOptions(path=path))\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'apache_beam'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGcs]:
    with FakeGcs() as fake:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)
        fake.service.buckets["bucket"] = {}
        yield fake
        client().close()
        forget_client()


def test_remote_models_are_copied_once_for_each_version(bucket: FakeGcs, tmp_path: Path) -> None:
    path = save(unet(keras), tmp_path / "m.keras")
    bucket.service.store("bucket", "models/m.keras", path.read_bytes())
    file = recognise("gs://bucket/models/m.keras")
    assert (file.uri, file.digest) == ("gs://bucket/models/m.keras", recognise(str(path)).digest)
    downloads = bucket.calls["download"]
    assert recognise("gs://bucket/models/m.keras") == file
    assert bucket.calls["download"] == downloads

    bucket.service.store("bucket", "models/m.keras", save(unet(keras, seed=1), path).read_bytes())
    changed = recognise("gs://bucket/models/m.keras")
    assert changed.digest == recognise(str(path)).digest != file.digest


def test_remote_folders_have_the_digest_of_local_ones(bucket: FakeGcs, tmp_path: Path) -> None:
    folder = save(unet(keras), tmp_path / "exported")
    for file in (file for file in folder.rglob("*") if file.is_file()):
        bucket.service.store("bucket", f"m/{file.relative_to(folder).as_posix()}", file.read_bytes())
    assert recognise("gs://bucket/m/").digest == recognise(str(folder)).digest


def test_remote_models_that_are_not_there(bucket: FakeGcs) -> None:
    with pytest.raises(RunError, match=r"gs://bucket/none\.keras"):
        recognise("gs://bucket/none.keras")
    with pytest.raises(RunError, match=r"s3://bucket/m\.keras"):
        recognise("s3://bucket/m.keras")


def test_custom_objects_ask_for_trust() -> None:
    with pytest.raises(RunError, match="--trust_model"):
        open_model(ModelOptions(path="any.keras", custom_objects=("mine",)))


def test_weights_stay_as_they_are_in_memory() -> None:
    """The builders are seeded: the same call gives the same weights."""
    first, second = unet(keras).get_weights(), unet(keras).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
