import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.models.keras_model import load, open_model
from pipeline.models.model_file import recognise
from pipeline.models.model_safety import find_code
from pipeline.models.saved_model import forbidden_ops, read_saved_model
from pipeline.options import ModelOptions
from tests.models import save, tf_scaling, tutorial_unet, two_outputs, unet
from transforms.errors import RunError

SAFE: dict[str, Callable[[], Any]] = {
    "scaled": lambda: unet(keras, prepare=keras.layers.Rescaling(1 / 255)),
    "ids": lambda: unet(keras, head="ids"),
    "two outputs": lambda: two_outputs(keras),
    "tutorial": lambda: tutorial_unet(keras),
    "mobilenet of Keras 2": lambda: unet(tf_keras, prepare=tf_keras.applications.mobilenet_v2.preprocess_input),
    "ids of Keras 2": lambda: unet(tf_keras, head="ids"),
    "tutorial of Keras 2": lambda: tutorial_unet(tf_keras, prepare=tf_scaling),
}


def layer(class_name: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    """A layer as `.keras` files describe it."""
    described = {"class_name": class_name, "config": {"name": "x", **config}, "registered_name": None, "name": "x"}
    return described | {"module": module}


def model(*layers: Any) -> dict[str, Any]:
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": list(layers)}}


def function(name: object, module: object = "builtins") -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


UNSAFE = {
    "lambda of Keras 3": layer("Lambda", function={"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}),
    "lambda of Keras 2": {"class_name": "Lambda", "config": {"name": "x", "function": ["4wEAAA==", None, None]}},
    "lambda as an activation": layer("Dense", activation={"class_name": "__lambda__", "config": {"value": "4w=="}}),
    "lambda by a registered name": layer("Dense") | {"registered_name": "keras>Lambda"},
    "foreign module": layer("Popen", "subprocess"),
    "foreign module that starts like Keras": layer("Layer", "keras_evil.layers"),
    "import inside Keras": layer("os.system", "tf_keras.src.saving.saving_lib"),
    "dotted class": layer("layers.Dense", "keras"),
    "lower-case attribute of a module": layer("system", "keras.layers"),
    "module outside the layers": layer("Sequence", "keras.utils"),
    "registered class": layer("Mine", None) | {"registered_name": "my>Mine"},
    "registered class of HDF5 files": {"class_name": "my>Mine", "config": {"name": "x"}},
    "class without a module": layer("Mine", None),
    "module of another type": layer("Dense") | {"module": ["keras.layers"]},
    "PyTorch": layer("TorchModuleWrapper", module_bytes="gAJ9"),
    "JAX": layer("JaxLayer"),
    "another SavedModel": layer("TFSMLayer", filepath="/tmp/other"),
    "raw operation": layer("TensorFlowOpLayer", node_def="op: 'WriteFile'"),
    "class method": layer("ClassMethod", cls_symbol="io.gfile.GFile", method_name="write"),
    "private attribute": layer("InstanceProperty", attr_name="__class__"),
    "Python builtin as an activation": layer("Dense", activation=function("exec")),
    "function of a foreign module": layer("Dense", activation=function("system", "os")),
    "function without a name": layer("Dense", activation=function(["exec"])),
    "function of Keras that loads": layer("Dense", activation=function("load_model", "keras.models")),
    "vocabulary file": layer("StringLookup", vocabulary="/etc/passwd"),
    "tokenizer file": layer("BytePairTokenizer", "keras_hub.tokenizers", merges="/etc/passwd"),
    "foreign type": {"class_name": "__typespec__", "spec_name": "Popen", "module": "subprocess", "config": []},
} | {
    f"tf.{name}": layer("TFOpLambda", "tf_keras.src.layers.core.tf_op_layer", function=name)
    for name in (
        "io.read_file", "io.write_file", "io.gfile.rmtree", "py_function", "numpy_function", "load_op_library",
        "load_library", "saved_model.load", "keras.models.load_model", "keras.utils.get_file", "print",
        "compat.v1.py_func", "raw_ops.WriteFile", "data.TextLineDataset", "io.matching_files", "summary.write",
        "compat.v1.math.io.write_file", "function", "autograph.to_graph",
    )
}  # fmt: skip
NESTINGS: dict[str, Callable[[Any], Any]] = {
    "in a model": lambda inner: model(layer("InputLayer"), inner),
    "in a model in a model": lambda inner: model(model(model(inner))),
    "wrapped": lambda inner: model(layer("TimeDistributed", layer=inner)),
    "as an argument of a call": lambda inner: model(layer("Add") | {"inbound_nodes": [{"args": [[inner]]}]}),
    "in a compiled part": lambda inner: model(model() | {"compile_config": {"loss": inner}}),
}


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("name", UNSAFE)
def test_code_is_found_at_any_depth(name: str, nesting: str) -> None:
    assert list(find_code(NESTINGS[nesting](UNSAFE[name])))


@pytest.mark.parametrize("name", SAFE)
def test_models_made_of_layers_and_tensor_operations_are_safe(name: str, tmp_path: Path) -> None:
    built = SAFE[name]()
    for extension in (".keras", ".h5"):
        file = open_model(ModelOptions(path=str(save(built, tmp_path / f"m{extension}"))))
        assert list(find_code(file.config)) == []


def test_channels_reversed_by_slicing_are_safe(tmp_path: Path) -> None:
    """As caffe's preprocessing does; Keras 2 itself cannot save it as `.keras`."""
    built = unet(tf_keras, prepare=tf_keras.applications.vgg16.preprocess_input)
    file = open_model(ModelOptions(path=str(save(built, tmp_path / "m.h5"))))
    assert "SlicingOpLambda" in str(file.config)
    assert list(find_code(file.config)) == []


def test_losses_of_the_users_own_do_not_matter(tmp_path: Path) -> None:
    config = model(layer("Dense")) | {"compile_config": {"loss": function("dice_loss", "train")}}
    path = write_keras(tmp_path / "m.keras", config)
    assert open_model(ModelOptions(path=str(path))).config == config


def write_keras(path: Path, config: Any) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
        archive.writestr("config.json", json.dumps(config))
    return path


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
@pytest.mark.parametrize("K", [keras, tf_keras], ids=lambda K: str(K.__name__))
def test_lambdas_never_run_and_the_message_says_what_to_do(
    K: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # Keras runs the layer once while the model is built
    image = K.layers.Input((8, 8, 3))
    code = "lambda x: __import__('pathlib').Path('touched').write_text('x') and x"
    evil = K.Model(image, K.layers.Lambda(eval(code), output_shape=(8, 8, 3), name="evil")(image))
    path = save(evil, tmp_path / name)
    (tmp_path / "touched").unlink(missing_ok=True)
    options = ModelOptions(path=str(path))
    with pytest.raises(RunError, match=r"'evil'.*'Lambda'.*--trust_model"):
        open_model(options)
    with pytest.raises(RunError, match="--trust_model"):
        load(recognise(str(path)), options)
    assert not (tmp_path / "touched").exists()


@given(st.recursive(st.none() | st.booleans() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
@settings(max_examples=50, deadline=None)
def test_configurations_of_any_shape_are_searched_without_a_crash(inner: Any) -> None:
    described = {"class_name": inner, "config": inner, "module": inner, "registered_name": inner, "name": inner}
    list(find_code(model(described, inner)))


# SavedModels


class Touching(tf.Module):  # type: ignore[misc]
    """Signatures that do more than compute."""

    def __init__(self, act: Callable[[Any], Any]) -> None:
        super().__init__()
        self.serve = tf.function(act, input_signature=[tf.TensorSpec((None, 8, 8, 3))])


def _write(x: Any) -> Any:
    tf.io.write_file("/tmp/never", "x")
    return {"y": x}


def _python(x: Any) -> Any:
    return {"y": tf.py_function(lambda y: y, [x], tf.float32)}


def _hidden(x: Any) -> Any:
    branch = tf.function(lambda: tf.strings.length(tf.io.read_file("/etc/passwd")))
    return {"y": tf.cond(tf.reduce_sum(x) > 0, branch, lambda: tf.constant(0))}


def _print(x: Any) -> Any:
    tf.print("x", output_stream="file:///tmp/never")
    return {"y": x}


def _save(x: Any) -> Any:
    tf.raw_ops.SaveV2(prefix="/tmp/never", tensor_names=["x"], shape_and_slices=[""], tensors=[x])
    return {"y": x}


def _restore(x: Any) -> Any:
    return {
        "y": x + tf.raw_ops.RestoreV2(prefix="/x", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])[0]
    }


ACTS = {
    "WriteFile": _write, "EagerPyFunc": _python, "ReadFile": _hidden, "PrintV2": _print, "SaveV2": _save,
    "RestoreV2": _restore,
}  # fmt: skip


@pytest.mark.parametrize("op", ACTS)
def test_saved_models_that_touch_more_than_tensors_are_refused(op: str, tmp_path: Path) -> None:
    touching = Touching(ACTS[op])
    tf.saved_model.save(touching, str(tmp_path / "m"), signatures={"serving_default": touching.serve})
    with pytest.raises(RunError, match=rf"{op}.*--trust_model"):
        open_model(ModelOptions(path=str(tmp_path / "m")))
    assert open_model(ModelOptions(path=str(tmp_path / "m"), trust=True)).kind == "saved_model"


def test_functions_that_loading_would_run_are_searched_too(tmp_path: Path) -> None:
    """An object's function needs no signature: TensorFlow calls some of them by name while it loads."""
    touching = Touching(_write)
    tf.saved_model.save(touching, str(tmp_path / "m"))
    assert forbidden_ops(read_saved_model(tmp_path / "m", "m")) == ["WriteFile"]


@pytest.mark.parametrize("K", [keras, tf_keras], ids=lambda K: str(K.__name__))
def test_what_keras_exports_is_safe_though_it_can_save_itself(K: Any, tmp_path: Path) -> None:
    path = save(unet(K, prepare=K.layers.Rescaling(1 / 255)), tmp_path / "m")
    assert b"SaveV2" in (path / "saved_model.pb").read_bytes()
    assert forbidden_ops(read_saved_model(path, "m")) == []


def test_saved_models_of_tensorflow_1_are_judged_by_what_they_serve(tmp_path: Path) -> None:
    for name, touch in (("good", False), ("bad", True)):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, (None, 8, 8, 3))
            weight = tf.compat.v1.get_variable("w", (3,), use_resource=False)
            with tf.control_dependencies([tf.io.write_file("/tmp/never", "x")] if touch else []):
                y = x * weight
            session.run(tf.compat.v1.global_variables_initializer())
            tf.compat.v1.saved_model.simple_save(session, str(tmp_path / name), {"x": x}, {"y": y})
    assert forbidden_ops(read_saved_model(tmp_path / "good", "good")) == []
    assert forbidden_ops(read_saved_model(tmp_path / "bad", "bad")) == ["WriteFile"]


def test_damaged_graphs(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(RunError, match="damaged"):
        read_saved_model(tmp_path, "m")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(RunError, match="no graph"):
        read_saved_model(tmp_path, "m")


def test_every_stateful_operation_of_this_tensorflow_is_refused_or_known_to_be_harmless() -> None:
    """Stateful operations are those that TensorFlow itself marks as doing more than computing."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    from pipeline.models.saved_model import _FORBIDDEN

    ops = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    harmless = re.compile(
        # Variables, tables, queues, barriers and stages live in memory; random numbers, control flow, training steps.
        r"Variable|Var|Resource|Table|Queue|Stack|TensorArray|Barrier|Mutex|Stage|Unstage|^(Ordered)?Map|Accumulator"
        r"|Random|Rng|Seed|Sampl|Uniform|Normal|Multinomial|Poisson|Distort|Skipgram|NegTrain|BoostedTrees|Gamma"
        r"|^(If|While|Case|StatefulPartitionedCall|Assert|CheckNumerics|GuaranteeConst|Empty|DeepCopy|Timestamp)"
        r"|^_?(Xla|If|While|Arg|Retval|Nccl|ParallelConcat|ScopedAllocator|Device)|Ensemble|SparseFromTensorsMap"
        r"|SparseToTensorsMap|Sparse.*Map|Cudnn|MemoryCache|Minibatch|Dedup|COO|Coo|Sleep|AllToAll|CrossReplica|Infeed"
        r"|Outfeed|DevicePlacement|DeviceIndex|GraphDefVersion|RequiresOlder|GlobalIterId|Dtype|Sync|TestAttr"
        r"|DisableCopyOnRead|IsTensorFloat32Enabled|ComputeDedup|DTensorSet|UpdateTaskId|^State|StatsAggregatorHandle|DummyIteration"
        r"|ThreadPoolHandle|NonDeterministicInts|RiscWhile"
    )
    stateful = {op.name for op in ops.op if op.is_stateful}
    left = sorted(name for name in stateful if not _FORBIDDEN.search(name) and not harmless.search(name))
    assert left == []
    files = {
        "ReadFile",
        "WriteFile",
        "MatchingFiles",
        "PyFunc",
        "PyFuncStateless",
        "EagerPyFunc",
        "SaveV2",
        "RestoreV2",
        "MergeV2Checkpoints",
        "PrintV2",
        "TFRecordDataset",
        "WholeFileReaderV2",
        "CreateSummaryFileWriter",
        "DebugIdentityV2",
        "InitializeTableFromTextFileV2",
        "DecodeProtoV2",
        "DumpTensor",
        "ImportEvent",
    }
    assert files <= {op.name for op in ops.op}
    assert all(_FORBIDDEN.search(name) for name in files)


# Containers


def refused(path: Path, says: str) -> None:
    with pytest.raises(RunError, match=says):
        open_model(ModelOptions(path=str(path), trust=True))


@pytest.mark.parametrize("name", ["/etc/x", "../x", "assets/../../x", "..\\x", "C:/x"])
def test_archive_entries_that_lead_out_are_refused_even_if_trusted(name: str, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "m.keras", model())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "x")
    refused(path, "leads out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubled_linked_and_encrypted_entries_are_refused(tmp_path: Path) -> None:
    doubled = write_keras(tmp_path / "doubled.keras", model())
    with zipfile.ZipFile(doubled, "a") as archive:
        archive.writestr("config.json", "{}")
    refused(doubled, "2 times")

    linked = write_keras(tmp_path / "linked.keras", model())
    with zipfile.ZipFile(linked, "a") as archive:
        entry = zipfile.ZipInfo("assets/x")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    refused(linked, "symbolic link")

    encrypted = write_keras(tmp_path / "encrypted.keras", model())
    data = bytearray(encrypted.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    encrypted.write_bytes(data)
    refused(encrypted, "encrypted")


def test_zip_bombs_are_refused_unopened(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(model()))
        with archive.open("model.weights.h5", "w") as file:
            for _ in range(80):
                file.write(bytes(1 << 20))
    refused(bomb, "expand")

    lying = write_keras(tmp_path / "lying.keras", model())
    data = bytearray(lying.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 20, 1 << 30)
    lying.write_bytes(data)
    refused(lying, "declare")


def hdf5(path: Path, fill: Callable[[Any], None]) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model())
        fill(file.create_group("model_weights"))
    return path


def _external_link(group: Any) -> None:
    group["x"] = h5py.ExternalLink("/etc/passwd", "/")


def _soft_link(group: Any) -> None:
    group["x"] = h5py.SoftLink("/elsewhere")


def _external_data(group: Any) -> None:
    group.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def _virtual_data(group: Any) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    group.create_virtual_dataset("x", layout)


def _shape_bomb(group: Any) -> None:
    group.create_dataset("x", (1 << 40,), "f4", chunks=(1 << 10,), compression="gzip")


HOSTILE = [
    (_external_link, "a link"),
    (_soft_link, "a link"),
    (_external_data, "another file"),
    (_virtual_data, "another file"),
    (_shape_bomb, "declare"),
]


@pytest.mark.parametrize(("fill", "says"), HOSTILE)
def test_hdf5_that_leads_out_or_claims_too_much_is_refused_even_if_trusted(
    fill: Callable[[Any], None], says: str, tmp_path: Path
) -> None:
    path = hdf5(tmp_path / "m.h5", fill)
    refused(path, says)
    packed = write_keras(tmp_path / "m.keras", model())
    with zipfile.ZipFile(packed, "a") as archive:
        archive.write(path, "model.weights.h5")
    refused(packed, says)


def test_hdf5_with_a_loop_of_hard_links_ends(tmp_path: Path) -> None:
    def loop(group: Any) -> None:
        group["again"] = group
        group["weights"] = np.zeros(4)
        group["same"] = group["weights"]

    assert open_model(ModelOptions(path=str(hdf5(tmp_path / "m.h5", loop)))).kind == "h5"
