"""The kind of a model's file or folder, told from its content and without importing TensorFlow or Keras."""

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from maskbeam.pipeline.models.files.model_archive import (
    check_hdf5,
    check_weights,
    open_zip,
    parse_json,
    read_entry,
    read_json,
)
from maskbeam.pipeline.models.files.model_fetch import fetch_model
from maskbeam.pipeline.models.files.saved_model import read_keras_config
from maskbeam.transforms.errors import RunError

Kind = Literal["keras", "h5", "keras_folder", "saved_model"]

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_WEIGHTS_ONLY = (
    "holds weights only, not the layers that they belong to. Build the model in Python, load these weights into it, "
    "and save the whole with model.save('model.keras')."
)
_WANTED = "Wanted: a .keras or .h5 file written by model.save, or a SavedModel folder."


@dataclass(frozen=True)
class ModelFile:
    """A model as it lies on local disk, before anything of it is loaded.

    Attributes:
        uri: Where the user said it is.
        path: The local file or folder; a copy where `uri` is remote.
        kind: `keras` (zip), `h5` (HDF5), `keras_folder` (the zip's content unpacked, or a KerasHub preset) or
            `saved_model` (folder).
        keras_version: The Keras that saved it, such as `2.15.0`; empty for a SavedModel folder.
        digest: SHA-256 as 64 hex digits, of the file, or of a folder's relative names and contents.
        size: Bytes on disk.
        config: The model's configuration as Keras wrote it; may be empty for a SavedModel folder.
        weights: Bytes of the arrays that it holds, unpacked; 0 where they are not counted.
    """

    uri: str
    path: Path
    kind: Kind
    keras_version: str
    digest: str
    size: int
    config: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    weights: int = 0

    @property
    def framework(self) -> Literal["keras", "tf_keras", "saved_model"]:
        """The library that loads it: Keras 3, the Keras 2 that lives on as tf_keras, or TensorFlow itself."""
        if self.kind == "saved_model":
            return "saved_model"
        return "tf_keras" if self.keras_version.startswith(("1.", "2.")) else "keras"


def recognise(uri: str) -> ModelFile:
    """Tells what kind of model lies at `uri`, a local path or a `gs://` URI that is copied here first.

    Raises:
        RunError: Nothing is there, it is damaged, hostile, or not a whole Keras model.
    """
    path = fetch_model(uri) if "://" in uri else Path(uri)
    if not path.exists():
        raise RunError(
            f"--model {uri}: there is no such file or folder on this machine. "
            "Workers on other machines see gs:// paths and what is on their own disks only."
        )
    try:
        return _recognise_folder(uri, path) if path.is_dir() else _recognise_file(uri, path)
    except OSError as error:
        raise RunError(f"--model {uri}: it cannot be read ({error.strerror or error}).") from error


def check_digest(file: ModelFile, sha256: str | None) -> None:
    """Holds a model against the digest that the user pinned with `--model_sha256`; None pins nothing.

    Raises:
        RunError: They differ; names both.
    """
    if sha256 is not None and sha256.strip().lower() != file.digest:
        raise RunError(
            f"--model_sha256 {sha256} is not the digest of --model {file.uri}, which is {file.digest}. "
            "Either the model was changed, or the digest is another model's."
        )


def _check_plain(uri: str, path: Path) -> None:
    """Refuses what has no end, or none that its size tells, before it is read to the end."""
    if not path.is_file():
        raise RunError(f"--model {uri}: this is a pipe or a device; save the model to a file first.")
    with path.open("rb") as opened:
        opened.seek(path.stat().st_size)
        if opened.read(1):
            raise RunError(f"--model {uri}: it gives more bytes than it is said to have, as files below /proc do.")


def _recognise_file(uri: str, path: Path) -> ModelFile:
    _check_plain(uri, path)
    with path.open("rb") as opened:
        head = opened.read(8)
    if not head:
        raise RunError(f"--model {uri}: the file is empty.")
    if head == _HDF5_MAGIC:
        return _hdf5(uri, path)
    if head.startswith(b"PK") or zipfile.is_zipfile(path):
        return _keras_zip(uri, path)
    raise RunError(f"--model {uri}: {_what_else(path, head)} {_WANTED}")


def _what_else(path: Path, head: bytes) -> str:
    if head[4:] == b"TFL3":
        return "this is a TensorFlow Lite model; use the model that it was converted from."
    if head == b"version ":
        return "this is a Git LFS pointer, not the model itself; fetch it with `git lfs pull`."
    if path.name == "saved_model.pb":
        return f"this is one file of a SavedModel; give its folder, {path.parent}/."
    if path.suffix == ".onnx":
        return (
            "this is an ONNX model; use the Keras model that it was made of, or convert it (onnx2tf) to a SavedModel."
        )
    if path.suffix == ".pb":
        return (
            "this is a frozen graph of TensorFlow 1; load it there and write it with "
            "tf.compat.v1.saved_model.simple_save as a SavedModel folder."
        )
    if path.suffix == ".index" or ".data-" in path.name:
        return f"this checkpoint {_WEIGHTS_ONLY}"
    if head.lstrip()[:1] == b"{":
        return "this is JSON, at best a model's layers without their weights."
    return f"the content is not a model's (it begins with {head!r})."


def _keras_zip(uri: str, path: Path) -> ModelFile:
    with open_zip(path, uri) as archive:
        names = set(archive.namelist())
        if "config.json" not in names:
            raise RunError(f"--model {uri}: {_what_other_zip(names)} {_WANTED}")
        config = _config(read_entry(archive, "config.json", uri), uri)
        metadata = _json(read_entry(archive, "metadata.json", uri), uri) if "metadata.json" in names else {}
        weights = check_weights(archive, uri)
    return _describe(uri, path, "keras", _version(metadata, config), [path], config, weights)


def _what_other_zip(names: Iterable[str]) -> str:
    if any(name.endswith("data.pkl") for name in names):
        return "this is a PyTorch file, whose loading runs code."
    if any(name.endswith((".h5", ".npz", ".npy")) for name in names):
        return f"this file {_WEIGHTS_ONLY}"
    return "this is a zip archive without a model's config.json."


def _version(metadata: dict[str, Any], config: dict[str, Any]) -> str:
    if isinstance(version := metadata.get("keras_version"), str):
        return version
    # Keras 2 kept its models in `engine`, which Keras 3 does not have.
    return "2.0" if "engine" in str(config.get("module")).split(".") else "3.0"


def _hdf5(uri: str, path: Path) -> ModelFile:
    import h5py

    weights = check_hdf5(path, uri, size=path.stat().st_size)
    try:
        with h5py.File(path, "r") as file:
            stored, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "2.0")
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise RunError(f"--model {uri}: the HDF5 file is damaged ({error}); copy the file again.") from error
    if stored is None:
        raise RunError(f"--model {uri}: this file {_WEIGHTS_ONLY}")
    return _describe(uri, path, "h5", _text(version), [path], _config(_text(stored), uri), weights)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _check_links(uri: str, path: Path) -> None:
    """Refuses links to folders: what loads the model goes through them, and neither its digest nor its size does."""
    # Names that begin with a dot are no part of a model; Kubernetes mounts folders as such links.
    for linked in (inner for inner in sorted(path.rglob("*")) if inner.is_symlink() and inner.is_dir()):
        name = linked.relative_to(path).as_posix()
        if not name.startswith("."):
            raise RunError(
                f"--model {uri}: {name} in it is a link to a folder, and could change without being noticed; put the "
                "folder itself there (cp -rL copies a model with all that it links to)."
            )


def _recognise_folder(uri: str, path: Path) -> ModelFile:
    _check_links(uri, path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        _check_plain(uri, file)
    names = {file.relative_to(path).as_posix() for file in files}
    if "saved_model.pb" in names:
        return _describe(uri, path, "saved_model", "", files, read_keras_config(path, uri))
    config_name = "task.json" if "task.json" in names else "config.json"
    if {config_name, "model.weights.h5"} <= names:
        weights = sum(check_hdf5(file, uri, size=file.stat().st_size) for file in path.glob("*.h5"))
        config = _model_config(read_json(path / config_name, uri), uri)
        return _describe(uri, path, "keras_folder", "3.0", files, config, weights)
    if "checkpoint" in names or any(name.endswith((".index", ".weights.h5")) for name in names):
        raise RunError(f"--model {uri}: this folder {_WEIGHTS_ONLY}")
    raise RunError(f"--model {uri}: a folder without saved_model.pb is no model. {_WANTED}")


def _describe(
    uri: str, path: Path, kind: Kind, version: str, files: list[Path], config: dict[str, Any], weights: int = 0
) -> ModelFile:
    size = sum(file.stat().st_size for file in files)
    digest = _sha256(path) if files == [path] else _folder_digest(path, files)
    return ModelFile(uri, path, kind, version, digest, size, config, weights)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folder_digest(root: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        digest.update(f"{_sha256(file)}  {name}\n".encode())
    return digest.hexdigest()


def _config(text: str | bytes, uri: str) -> dict[str, Any]:
    return _model_config(_json(text, uri), uri)


def _model_config(parsed: Any, uri: str) -> dict[str, Any]:
    inner = parsed.get("config") if isinstance(parsed, dict) else None
    if isinstance(inner, list) and parsed.get("class_name") == "Sequential":
        # Keras 2 before 2.2.3 wrote the layers of such a model and nothing else.
        return {**parsed, "config": {"layers": inner}}
    if not isinstance(inner, dict):
        raise RunError(f"--model {uri}: its configuration is not one of a Keras model. {_WANTED}")
    return dict(parsed)


def _json(text: str | bytes, uri: str) -> dict[str, Any]:
    parsed: Any = parse_json(text, uri, "configuration")
    if not isinstance(parsed, dict):
        raise RunError(f"--model {uri}: its configuration is not one of a Keras model. {_WANTED}")
    return dict(parsed)
