"""What kind of model file this is, told from its content and without importing TensorFlow or Keras."""

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transforms.errors import RunError

Kind = Literal["keras", "h5", "saved_model"]


@dataclass(frozen=True)
class ModelFile:
    """A model as it lies on local disk, before anything of it is loaded.

    Attributes:
        uri: Where the user said it is.
        path: The local file or folder; a copy where `uri` is remote.
        kind: `keras` (zip), `h5` (HDF5) or `saved_model` (folder).
        keras_version: The Keras that saved it, such as `2.15.0`; empty where the file does not say.
        digest: SHA-256 as 64 hex digits, of the file, or of a folder's names and contents.
        size: Bytes on disk.
        config: The model's configuration as Keras wrote it; empty for a SavedModel folder.
    """

    uri: str
    path: Path
    kind: Kind
    keras_version: str
    digest: str
    size: int
    config: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def framework(self) -> Literal["keras", "tf_keras", "saved_model"]:
        """What loads it: Keras 3, the Keras 2 that lives on as tf_keras, or TensorFlow itself."""
        if self.kind == "saved_model":
            return "saved_model"
        return "keras" if self.keras_version.partition(".")[0] not in ("1", "2") else "tf_keras"


def recognise(uri: str) -> ModelFile:
    """Tells what kind of model lies at `uri`.

    Raises:
        RunError: Nothing is there, or it is not a whole Keras model.
    """
    path = Path(uri)
    if not path.exists():
        raise RunError(f"--model {uri}: there is no such file or folder.")
    if path.is_dir():
        return _saved_model(uri, path)
    if zipfile.is_zipfile(path):
        return _keras_zip(uri, path)
    return _hdf5(uri, path)


def _keras_zip(uri: str, path: Path) -> ModelFile:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        version = json.loads(archive.read("metadata.json"))["keras_version"]
    return ModelFile(uri, path, "keras", version, _sha256(path), path.stat().st_size, config)


def _hdf5(uri: str, path: Path) -> ModelFile:
    import h5py

    with h5py.File(path, "r") as file:
        config = json.loads(file.attrs["model_config"])
        version = str(file.attrs["keras_version"])
    return ModelFile(uri, path, "h5", version, _sha256(path), path.stat().st_size, config)


def _saved_model(uri: str, path: Path) -> ModelFile:
    if not (path / "saved_model.pb").is_file():
        raise RunError(f"--model {uri}: a folder without saved_model.pb is no model.")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path).as_posix()}\0{_sha256(file)}\n".encode())
    return ModelFile(uri, path, "saved_model", "", digest.hexdigest(), sum(f.stat().st_size for f in files))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
