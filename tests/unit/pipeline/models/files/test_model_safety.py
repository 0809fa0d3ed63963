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
from tensorflow.core.framework import node_def_pb2, variable_pb2
from tensorflow.core.protobuf import saved_model_pb2

from maskbeam.pipeline.models.files.allowed_ops import ALLOWED_OPS
from maskbeam.pipeline.models.files.model_file import recognise
from maskbeam.pipeline.models.files.model_safety import find_code
from maskbeam.pipeline.models.files.saved_model import forbidden_ops, read_saved_model
from maskbeam.pipeline.models.loading.loaded_model import load, open_model
from maskbeam.pipeline.options import ModelOptions
from maskbeam.transforms.errors import RunError
from tests.support.models import save, tf_scaling, tutorial_unet, two_outputs, unet

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
    "cell with a function, by an unknown name": layer("NewWrapper", cell=layer("GRUCell"), wrapped_fn_type="lambda"),
    "cell with a function": {
        "class_name": "ResidualWrapper",
        "config": {"cell": layer("GRUCell"), "residual_fn": ["4wEAAA==", None, None], "residual_fn_type": "lambda"},
    },
    "function of a known layer": layer("Dense", activity_fn_type="lambda"),
    "cell with dropout by a function": {"class_name": "DropoutWrapper", "config": {"dropout_fn_type": "function"}},
    "device": layer("DeviceWrapper", "tf_keras.src.layers.rnn.cell_wrappers", device="/job:x"),
    "class of Keras that nobody has judged": layer("DenseFeatures", "tf_keras.layers"),
    "activation by an unknown name": layer("Dense", activation="mine"),
    "initializer by an unknown name": layer("Dense", kernel_initializer="my>init"),
    "module of an application": layer("imagenet_utils", "keras.src.applications.convnext"),
    "loop over a function": layer("Map", "keras.src.ops.core"),
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
    "type of another module": {"class_name": "__typespec__", "spec_name": "TensorSpec", "module": "os", "config": {}},
    "foreign type": {"class_name": "__typespec__", "spec_name": "Popen", "module": "subprocess", "config": []},
} | {
    f"tf.{name}": layer("TFOpLambda", "tf_keras.src.layers.core.tf_op_layer", function=name)
    for name in (
        "io.read_file", "io.write_file", "io.gfile.rmtree", "py_function", "numpy_function", "load_op_library",
        "load_library", "saved_model.load", "keras.models.load_model", "keras.utils.get_file", "print",
        "compat.v1.py_func", "raw_ops.WriteFile", "data.TextLineDataset", "io.matching_files", "summary.write",
        "compat.v1.math.io.write_file", "function", "autograph.to_graph", "nn.fixed_unigram_candidate_sampler",
        "nn.RNNCellResidualWrapper", "compat.v1.nn.raw_rnn",
    )
}  # fmt: skip
NESTINGS: dict[str, Callable[[Any], Any]] = {
    "in a model": lambda inner: model(layer("InputLayer"), inner),
    "in a model in a model": lambda inner: model(model(model(inner))),
    "wrapped": lambda inner: model(layer("TimeDistributed", layer=inner)),
    "as an argument of a call": lambda inner: model(layer("Add") | {"inbound_nodes": [{"args": [[inner]]}]}),
    "among arguments called like a compiled part": lambda inner: model(
        layer("Add") | {"inbound_nodes": [{"kwargs": {"compile_config": {"loss": inner}}}]}
    ),
    "in the cell of a layer": lambda inner: model(layer("RNN", cell=inner)),
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


@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_layers_of_keras_own_applications_are_safe(package: str) -> None:
    assert list(find_code(model(layer("LayerScale", f"{package}.src.applications.convnext")))) == []


def test_channels_reversed_by_slicing_are_safe(tmp_path: Path) -> None:
    """As caffe's preprocessing does; Keras 2 itself cannot save it as `.keras`."""
    built = unet(tf_keras, prepare=tf_keras.applications.vgg16.preprocess_input)
    file = open_model(ModelOptions(path=str(save(built, tmp_path / "m.h5"))))
    assert "SlicingOpLambda" in str(file.config)
    assert list(find_code(file.config)) == []


def test_losses_of_the_users_own_do_not_matter_at_any_depth(tmp_path: Path) -> None:
    compiled = {"compile_config": {"loss": function("dice_loss", "train")}}
    config = model(model(layer("Dense")) | compiled) | compiled
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


def test_allowed_operations_are_tensorflows_and_do_no_more_than_compute() -> None:
    """Stateful operations are those that TensorFlow itself marks as doing more than computing."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    ops = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())).op
    assert sorted(ALLOWED_OPS - {op.name for op in ops}) == []
    harmless = re.compile(
        # Variables, tables, stacks and arrays live in memory; random numbers; control flow and calls.
        r"Variable|Var(Handle|Is)|^Resource|Table|^Stack|^TensorArray|Random|Rng|Seed|Uniform|Normal|Multinomial|Poisson"
        r"|SampleDistorted|NonDeterministic|^(Assert|Case|CheckNumerics|DeepCopy|DestroyResource|DisableCopyOnRead"
        r"|GuaranteeConst|If|StatefulPartitionedCall|While)"
    )
    assert [op.name for op in ops if op.is_stateful and op.name in ALLOWED_OPS and not harmless.search(op.name)] == []
    # What touches files in spite of being called stateless, or takes their names as attributes.
    named = re.compile(r"file|path|dir|url|memory_region|shared_memory|host|address")
    arguments = {op.name: [a.name for a in (*op.attr, *op.input_arg)] for op in ops if op.name in ALLOWED_OPS}
    assert {name: hit for name, given in arguments.items() if (hit := list(filter(named.search, given)))} == {}


# Graphs as TensorFlow would never write them


def node(op: str, name: str, *inputs: str, call: str = "") -> Any:
    made = node_def_pb2.NodeDef(op=op, name=name, input=inputs)
    if call:
        made.attr["f"].func.name = call
    return made


def graph(*nodes: Any, **functions: list[Any]) -> Any:
    """A graph that serves `y`, with functions of the given names; each takes `file_prefix`."""
    saved = saved_model_pb2.SavedModel()
    meta = saved.meta_graphs.add()
    meta.graph_def.node.extend(nodes)
    meta.signature_def["serving_default"].outputs["y"].name = "y:0"
    for name, body in functions.items():
        made = meta.graph_def.library.function.add()
        made.signature.name = name
        made.signature.input_arg.add(name="file_prefix")
        made.node_def.extend(body)
    return saved


def found_in(saved: Any, folder: Path) -> list[str]:
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return forbidden_ops(read_saved_model(folder, "m"))


@pytest.mark.parametrize(
    "op",
    [
        "ImmutableConst", "GenerateVocabRemapping", "FixedUnigramCandidateSampler", "Abort", "XlaCallModule",
        "MlirPassthroughOp", "SymbolicGradient", "InitializeTableFromTextFileV2", "RemoteCall", "RestoreV2", "SaveV2",
        "ShardedFilename", "AnOperationOfTomorrow",
    ],
)  # fmt: skip
def test_an_operation_that_nobody_has_judged_is_refused_wherever_it_stands(op: str, tmp_path: Path) -> None:
    y = node("Identity", "y", "x")
    assert found_in(graph(node("Const", "x"), y), tmp_path) == []
    assert found_in(graph(node(op, "x"), y), tmp_path) == [op]
    assert found_in(graph(node("NoOp", "x"), y, called_by_nobody_1=[node(op, "a")]), tmp_path) == [op]
    assert found_in(graph(node("PartitionedCall", "y", call="f_1"), f_1=[node(op, "a")]), tmp_path) == [op]


def saving(*nodes: Any, **functions: list[Any]) -> Any:
    """A graph whose saver is called as TensorFlow 2 calls it."""
    saved = graph(
        node("Placeholder", "saver_filename"),
        node("StatefulPartitionedCall", "save", "saver_filename", call="traced_save"),
        node("StatefulPartitionedCall", "restore", "saver_filename", call="traced_restore"),
        *nodes,
        **{"traced_save": [node("SaveV2", "s")], "traced_restore": [node("RestoreV2", "r", "file_prefix")]}
        | functions,
    )
    saver = saved.meta_graphs[0].saver_def
    saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name = (
        "saver_filename:0",
        "save:0",
        "restore",
    )
    return saved


def test_what_saves_variables_is_for_the_saver_alone(tmp_path: Path) -> None:
    y = node("Const", "y")
    assert found_in(saving(y), tmp_path) == []
    assert found_in(saving(y, traced_save=[node("WriteFile", "w")]), tmp_path) == ["WriteFile"]
    # The image's own graph, or any other function, calls it.
    assert found_in(saving(node("PartitionedCall", "y", call="traced_save")), tmp_path) == ["SaveV2"]
    other = {"other": [node("PartitionedCall", "o", call="traced_save")]}
    assert found_in(saving(y, **other), tmp_path) == ["SaveV2"]
    # TensorFlow may put it in the place of another function.
    swapped = saving(y)
    swapped.meta_graphs[0].graph_def.library.function[0].attr["api_implements"].s = b"pick"
    assert found_in(swapped, tmp_path) == ["SaveV2"]
    served = saving(y)
    served.meta_graphs[0].object_graph_def.concrete_functions["traced_save"].SetInParent()
    assert found_in(served, tmp_path) == ["SaveV2"]


@pytest.mark.parametrize(
    "functions",
    [
        {"traced_restore": [node("RestoreV2", "r", "elsewhere"), node("Const", "elsewhere")]},
        {"traced_restore": [node("RestoreV2", "r")]},
        {
            "traced_restore": [node("PartitionedCall", "c", call="deep")],
            "deep": [node("RestoreV2", "r", "file_prefix")],
        },
        {"traced_restore": [node("RestoreV2", "r", "file_prefix:1")]},
    ],
)
def test_variables_are_restored_from_the_models_own_folder_only(
    functions: dict[str, list[Any]], tmp_path: Path
) -> None:
    assert found_in(saving(node("Const", "y"), **functions), tmp_path) == ["RestoreV2"]


@pytest.mark.parametrize(
    "restore",
    [
        # Its first input is the condition, and a name is a true one.
        node("If", "restore", "saver_filename", "elsewhere", call="traced_restore"),
        # Two inputs that are one argument.
        node("PartitionedCall", "restore", "saver_filename", "elsewhere", call="traced_restore"),
        # Another output than the one that TensorFlow replaces by the name.
        node("PartitionedCall", "restore", "saver_filename:1", call="traced_restore"),
    ],
    ids=["branch", "list", "output"],
)
def test_the_name_of_the_models_own_folder_reaches_what_restores_by_no_detour(restore: Any, tmp_path: Path) -> None:
    saved = saving(node("Const", "y"), node("Const", "elsewhere"))
    nodes = saved.meta_graphs[0].graph_def.node
    del nodes[2]
    nodes.append(restore)
    assert found_in(saved, tmp_path) == ["RestoreV2"]


@pytest.mark.parametrize("op", ["SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints"])
def test_what_saves_is_not_run_when_a_model_is_loaded(op: str, tmp_path: Path) -> None:
    y, own = node("Const", "y"), node("RestoreV2", "r", "file_prefix")
    assert found_in(saving(y, traced_save=[node(op, "s")]), tmp_path) == []
    # The saver restores by a function that saves, by one that calls such a function, or by such a node.
    assert found_in(saving(y, traced_restore=[own, node(op, "s")]), tmp_path) == [op]
    deeper = {"traced_restore": [own, node("PartitionedCall", "c", call="deep")], "deep": [node(op, "s")]}
    assert found_in(saving(y, **deeper), tmp_path) == [op]
    saved = saving(y, node(op, "s"))
    saved.meta_graphs[0].graph_def.node[2].input.append("^s")
    assert found_in(saved, tmp_path) == [op]


def test_a_function_may_not_be_called_like_an_operation(tmp_path: Path) -> None:
    assert found_in(graph(node("WriteFile", "y"), WriteFile=[node("NoOp", "n")]), tmp_path) == ["WriteFile"]
    assert found_in(graph(node("__inference_f_12", "y"), __inference_f_12=[node("NoOp", "n")]), tmp_path) == []


def test_what_initialises_variables_of_tensorflow_1_is_searched(tmp_path: Path) -> None:
    saved = graph(node("Const", "y"), node("WriteFile", "w"), node("NoOp", "start", "^w"))
    variable = variable_pb2.VariableDef(variable_name="v:0", initializer_name="start")
    saved.meta_graphs[0].collection_def["local_variables"].bytes_list.value.append(variable.SerializeToString())
    assert found_in(saved, tmp_path) == ["WriteFile"]
    saved = graph(node("Const", "y"), node("WriteFile", "w"))
    saved.meta_graphs[0].signature_def["serving_default"].outputs["z"].coo_sparse.values_tensor_name = "w:0"
    assert found_in(saved, tmp_path) == ["WriteFile"]


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
