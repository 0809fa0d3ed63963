"""What refuses a rerun, option by option, and that an output of the version before goes on."""

import json
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.job.job import Job, make_job
from maskbeam.pipeline.job.settings import decisive, differences, fingerprint, of_images, stored_fingerprint
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.options import Part, RunOptions
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.classes.class_table import ClassTable, generated_table
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.normalize import NAMED
from maskbeam.transforms.resampling.prepare import InputSpec
from tests.support.numpy_engine import command, numpy_probe, run_numpy
from tests.support.small_runs import ends, planned, small_run
from tests.support.trees import differing, draw, draw_folder, tree_of

ALWAYS, NAMED_ONLY, NOTHING = "always", "where it is not at its default", "nothing"
# What was found out about the model; the class table; some images, whose masks say it.
PROBE, TABLE, IMAGE = "probe", "table", "image"

#: Of every option: whether masks depend on it, and another value than the default.
OPTIONS: dict[str, tuple[str, Any]] = {
    "read.patterns": (NOTHING, ("/in",)),
    "read.image_key": (NAMED_ONLY, "image"),
    "read.name_key": (NOTHING, "name"),
    "read.height_key": (NAMED_ONLY, "h"),
    "read.width_key": (NAMED_ONLY, "w"),
    "read.channels_key": (NAMED_ONLY, "c"),
    "read.raw_type": (NOTHING, "int16"),
    "read.id_root": (NOTHING, "/in"),
    "read.keep_extension": (ALWAYS, True),
    "read.allow_empty": (NOTHING, True),
    "read.limit": (NOTHING, 3),
    "read.seed": (NOTHING, 3),
    "read.part": (NOTHING, Part(1, 2)),
    "decode.input_range": (IMAGE, (0.0, 1.0)),
    "decode.background": (IMAGE, (1, 2, 3)),
    "decode.orientation": (IMAGE, "upright"),
    "decode.max_pixels": (NOTHING, 7),
    "decode.fast_decode": (ALWAYS, True),
    "decode.isolate": (NOTHING, True),
    "model.path": (PROBE, "m.keras"),
    "model.engine": (PROBE, "openvino"),
    "model.mixed_precision": (ALWAYS, True),
    "model.trust": (NOTHING, True),
    "model.custom_objects": (NAMED_ONLY, ("layers",)),
    "model.sha256": (NOTHING, "0" * 64),
    "model.normalize": (PROBE, "0..1"),
    "model.channel_order": (PROBE, "bgr"),
    "model.resize": (PROBE, "letterbox"),
    "model.resize_filter": (PROBE, "nearest"),
    "model.head": (PROBE, "probabilities"),
    "model.layout": (PROBE, "flat"),
    "model.output_name": (PROBE, "aux"),
    "label.classes": (TABLE, "labels.csv"),
    "label.upsample": (ALWAYS, "labels"),
    "label.threshold": (ALWAYS, 0.4),
    "label.ignore_label": (ALWAYS, 99),
    "label.confidence": (NOTHING, "entropy"),
    "label.min_confidence": (ALWAYS, 0.3),
    "label.multilabel": (ALWAYS, "argmax"),
    "label.nonfinite": (IMAGE, "ignore"),
    "output.path": (NOTHING, "/out"),
    "output.products": (NOTHING, frozenset({"color"})),
    "output.binary_classes": (NOTHING, ("class_1",)),
    "output.overlay_opacity": (NOTHING, 0.1),
    "output.overwrite": (NOTHING, True),
    "output.retry_failed": (NOTHING, True),
    "output.max_failures": (NOTHING, "7"),
    "output.stop_after_failures": (NOTHING, 7),
    "output.fail_on_degenerate": (NOTHING, True),
    "output.anonymous_ids": (ALWAYS, True),
    "output.parquet": (NOTHING, True),
    "beam": (NOTHING, ("--no_pipeline_type_check",)),
    "dry_run": (NOTHING, True),
}
MODEL = ModelFile("m.keras", Path("m.keras"), "keras", "3.0", "0" * 64, 1, {})
FOUND = replace(numpy_probe(RunOptions().model, MODEL), spec=InputSpec(16, 16, resize_filter="pillow"))
CLASSES = generated_table(3)


def job(options: RunOptions, table: ClassTable = CLASSES, **probe: Any) -> Job:
    return make_job(options, "run", replace(FOUND, **probe), table)


def option_names() -> list[str]:
    names = []
    for field in fields(RunOptions):
        group = getattr(RunOptions(), field.name)
        below = [f"{field.name}.{inner.name}" for inner in fields(group)] if is_dataclass(group) else [field.name]
        names += below
    return names


def changed(name: str, value: Any) -> RunOptions:
    group, _, inner = name.partition(".")
    options = RunOptions()
    if inner == "binary_classes":
        options = replace(options, output=replace(options.output, products=frozenset({"binary"})))
    return replace(options, **{group: replace(getattr(options, group), **{inner: value}) if inner else value})


def test_of_every_option_it_is_known_what_depends_on_it() -> None:
    assert sorted(option_names()) == sorted(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_masks_depend_on_an_option_as_it_is_stated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKBEAM_ID_KEY", "a key that is long enough to be one")
    kind, value = OPTIONS[name]
    # These would do nothing, or be refused, with classes that exclude each other.
    head = replace(FOUND.head, kind="multilabel" if name in ("label.threshold", "label.multilabel") else "logits")
    usual, other = (job(options, head=head).settings for options in (RunOptions(), changed(name, value)))
    differ, older_differ = differences(other, usual), differences(other, older(usual), older=True)
    assert (fingerprint(other) != fingerprint(usual)) == bool(differ) == (kind in (ALWAYS, NAMED_ONLY))
    assert (of_images(other) != of_images(usual)) == (kind == IMAGE)
    assert bool(older_differ) == (kind in (ALWAYS, NAMED_ONLY, IMAGE))
    flag = f"--{name.rpartition('.')[2]}"
    if kind == NAMED_ONLY:
        assert [each.path for each in differ] == [flag]


@pytest.mark.parametrize(
    ("probe", "says"),
    [
        ({"digest": "1" * 64}, "the model was another file"),
        ({"versions": (("keras", "3.1"),)}, "engine.keras: not given, now 3.1"),
        ({"channel_order": "bgr"}, "input.channel_order: rgb, now bgr"),
        ({"normalization": NAMED["-1..1"]}, "input.normalization.divisor: 1.0, now 127.5"),
        ({"spec": ("resize", "letterbox")}, "input.resize: stretch, now letterbox"),
        ({"spec": ("resize_filter", "nearest")}, "input.resize_filter: pillow, now nearest"),
        ({"head": ("kind", "probabilities")}, "head.kind: logits, now probabilities"),
        ({"head": ("layout", "flat")}, "head.layout: channels_last, now flat"),
        ({"head": ("output_name", "aux")}, "head.output_name: not given, now aux"),
    ],
)
def test_what_was_found_out_about_the_model_is_named_by_field(probe: dict[str, Any], says: str) -> None:
    usual = FOUND
    probe = {k: replace(getattr(usual, k), **{v[0]: v[1]}) if k in ("spec", "head") else v for k, v in probe.items()}
    found = differences(job(RunOptions(), **probe).settings, job(RunOptions()).settings)
    assert says in [each.text for each in found]


@pytest.mark.parametrize(
    ("flag", "value", "kind"), [("--threshold", 0.4, "logits"), ("--multilabel", "argmax", "probabilities")]
)
def test_what_has_no_effect_with_a_model_refuses_nothing(flag: str, value: Any, kind: str) -> None:
    settings = job(RunOptions(), head=replace(FOUND.head, kind=kind)).settings
    assert differences(settings, settings | {flag: value}) == []
    assert differences(settings, settings | {flag: value}, older=True) == []


def test_one_class_of_many_is_named_by_its_field() -> None:
    table = generated_table(150)
    other = replace(table, classes=(*table.classes[:77], replace(table.classes[77], id=200), *table.classes[78:]))
    head = replace(FOUND.head, channels=150, classes=150)
    mine, stored = (job(RunOptions(), each, head=head).settings for each in (other, table))
    assert [each.text for each in differences(mine, stored)] == ["classes.channel 77.id: 77, now 200"]


def test_a_default_that_is_named_refuses_nothing() -> None:
    usual, named = (job(RunOptions(), spec=replace(FOUND.spec, resize_named=n)).settings for n in (False, True))
    assert differences(named, usual) == []
    assert fingerprint(named) == fingerprint(usual)


def older(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as the version before told them."""
    fed = dict(settings["input"])
    apart = [fed.pop("normalization"), fed.pop("channel_order")]
    return settings | {"input": [fed, *apart]}


def test_settings_of_the_version_before_are_compared_in_today_s_form() -> None:
    settings = job(RunOptions()).settings
    assert decisive(older(settings)) == decisive(settings)
    assert differences(settings, older(settings)) == []
    [alpha] = differences(settings, older(settings | {"--background": [0, 0, 0]}), older=True)
    assert (alpha.text, alpha.undone) == ("--background: 0,0,0, now not given", "say --background 0,0,0")


def begin_older(run: Callable[[], object], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has an output begun as the version before did."""
    with monkeypatch.context() as before:
        before.setattr(
            "maskbeam.pipeline.job.job.fingerprint",
            lambda settings: stored_fingerprint({"settings": older(settings)}),
        )
        before.setattr("maskbeam.pipeline.job.job.drawing_of", lambda settings: {})
        run()
    record = json.loads((out / ".job.json").read_text())
    told = {"settings": older(record["settings"]), "probe": record["probe"], "model_options": record["model_options"]}
    (out / ".job.json").write_text(json.dumps(told))


def test_an_output_of_the_version_before_goes_on_with_its_own_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, out = draw_folder(tmp_path / "in", 2), tmp_path / "out"
    argv = command(str(inputs), str(out), "--products", "color")
    begin_older(lambda: run_numpy(argv), out, monkeypatch)
    before = tree_of(out)
    draw(inputs / "new.png", "new")
    assert run_numpy([*argv, "--max_pixels", "1000"]) == 0
    changed = differing(before, tree_of(out))
    assert [path for path in changed if path.startswith(("masks/", "color/"))] == [
        "color/new.png", "masks/new.png",
    ]  # fmt: skip
    assert verify(str(out)) == 0


def test_options_that_no_mask_depends_on_refuse_nothing_and_others_are_named(tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", 1), tmp_path / "out"
    small_run(inputs, out)
    assert ends(small_run(inputs, out, "--max_pixels", "1000", "--isolate_decoding")) == ["skipped"]
    for flags, says in (
        (("--image_key", "image"), "--image_key: not given, now image. To go on with them, leave out --image_key"),
        (("--keep_extension",), "--keep_extension: no, now yes (with it ids change, and with them the names of"),
        (("--upsample", "labels"), "To go on with them, say --upsample logits; or choose another --output"),
    ):
        with pytest.raises(RunError, match=re.escape(says)):
            planned(inputs, out, *flags)
        assert planned(inputs, out, *flags, "--overwrite").is_new


def test_an_output_without_masks_takes_any_options(tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", 1), tmp_path / "out"
    assert ends(small_run(inputs, out, "--max_pixels", "10")) == ["TOO_LARGE"]
    assert ends(small_run(inputs, out, "--upsample", "labels")) == ["done"]


def test_the_measure_of_confidence_matters_where_something_was_made_by_it() -> None:
    def told(measure: str, least: float = 0.0, *products: str) -> dict[str, Any]:
        label = replace(RunOptions().label, confidence=measure, min_confidence=least)
        output = replace(RunOptions().output, products=frozenset(products))
        return job(replace(RunOptions(), label=label, output=output)).settings

    assert differences(told("entropy"), told("margin")) == []
    assert differences(told("entropy", 0.0, "confidence"), told("margin", 0.0, "color")) == []
    for least, products in ((0.5, ()), (0.0, ("confidence",))):
        [found] = differences(told("entropy", least, *products), told("margin", least, *products))
        assert (found.text, found.undone) == ("--confidence: margin, now entropy", "say --confidence margin")


def test_names_and_colours_matter_where_masks_lie_by_them() -> None:
    renamed = replace(
        CLASSES, classes=(*CLASSES.classes[:2], replace(CLASSES.classes[2], name="sky", color=(1, 2, 3)))
    )
    assert differences(job(RunOptions(), renamed).settings, job(RunOptions()).settings) == []
    planes = replace(FOUND.head, kind="multilabel")
    [found] = differences(job(RunOptions(), renamed, head=planes).settings, job(RunOptions(), head=planes).settings)
    assert found.text == "classes.channel 2.name: class_2, now sky"
