"""What refuses a rerun, option by option, and that an output of the version before goes on."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.cli.flags import ALL, SECTIONS, options_of
from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.job import settings as settings_module
from maskbeam.pipeline.job.job import Job, make_job
from maskbeam.pipeline.job.settings import decisive, differences, fingerprint, of_images
from maskbeam.pipeline.models.files.model_file import ModelFile
from maskbeam.pipeline.options import RunOptions
from maskbeam.pipeline.options.flag import Decides, Flag
from maskbeam.pipeline.output.finished import stored_fingerprint
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.classes.class_table import ClassTable, generated_table
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.geo.geojson import parse_aoi
from maskbeam.transforms.head import Head
from maskbeam.transforms.normalize import NAMED, parse_normalization
from maskbeam.transforms.resampling.prepare import InputSpec
from tests.support.numpy_engine import command, numpy_probe, run_numpy
from tests.support.option_words import BESIDE, another
from tests.support.small_runs import ends, planned, small_run
from tests.support.trees import differing, draw, draw_folder, tree_of

HERE = Path(__file__).parent
#: Settings of many commands, as the code told them when all of them were listed by hand.
FROZEN = json.loads((HERE / "frozen_settings.json").read_text())
MODEL = ModelFile("m.keras", Path("m.keras"), "keras", "3.0", "0" * 64, 1, {})
FOUND = replace(numpy_probe(RunOptions().model, MODEL), spec=InputSpec(16, 16, resize_filter="pillow"))
CLASSES = generated_table(3)
POLYGON = '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1]]]}'


def job(options: RunOptions, table: ClassTable = CLASSES, **probe: Any) -> Job:
    aoi = parse_aoi(POLYGON, "it") if options.raster.aoi else None
    return make_job(options, "run", replace(FOUND, **probe), table, aoi)


def parsed(*words: str) -> RunOptions:
    return run_options(["--input", "/in/a", "--model", "/m.keras", "--output", "/out", *words])


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKBEAM_ID_KEY", "a key that is long enough to be one")


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("held", FROZEN["sets"], ids=lambda held: " ".join([*held["words"], held["head"]]))
def test_settings_are_told_as_ever(held: dict[str, Any]) -> None:
    told = FROZEN["base"] | held["settings"]
    table = generated_table(len(told["classes"]))
    settings = job(parsed(*held["words"]), table, head=Head(**told["head"])).settings
    assert json.dumps(settings) == json.dumps(told), "the order of names counts, too"
    assert fingerprint(settings) == held["fingerprint"]


def test_every_field_says_what_depends_on_it() -> None:
    for section, options in SECTIONS.items():
        nested = {field.name for field in fields(options) if field.name in SECTIONS}
        told = {flag.target for flag in options_of(section)}
        assert told == {f"{section}.{field.name}" for field in fields(options) if field.name not in nested}
    # Beam's own flags.
    assert {flag.target for section in SECTIONS for flag in options_of(section)} - {f.target for f in ALL} == {
        "run.beam",
        "read.rasters",
    }


def as_found(options: RunOptions, kind: str) -> Job:
    """A job as if probing had found what the options say of the model; its classes by their table."""
    model, table = options.model, CLASSES
    if options.label.classes:
        table = replace(table, classes=(replace(table.classes[0], id=200), *table.classes[1:]))
    resize, named = model.resize or "letterbox", model.resize is not None
    return job(
        options,
        table,
        digest=hashlib.sha256(model.path.encode()).hexdigest(),
        versions=(("engine", model.engine),),
        normalization=parse_normalization(model.normalize or "none"),
        channel_order=model.channel_order,
        spec=InputSpec(model.tile_size or 16, 16, 3, resize, model.resize_filter, 1, named),
        head=replace(FOUND.head, kind=kind, layout=model.layout or "flat", output_name=model.output_name),
    )


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("flag", ALL, ids=lambda flag: flag.name)
def test_another_value_changes_the_fingerprint_or_the_field_says_that_it_does_not(flag: Flag) -> None:
    beside = BESIDE.get(flag.name, [])
    # These would do nothing, or be refused, with classes that exclude each other.
    kind = "multilabel" if flag.name in ("threshold", "multilabel") else "probabilities"
    first, then = parsed(*beside), parsed(*another(flag), *beside)
    usual = as_found(first, kind).settings
    other = as_found(then, then.model.head or kind).settings
    differ, older_differ = differences(other, usual), differences(other, older(usual), older=True)
    of_masks = flag.decides in (Decides.MASKS, Decides.FOUND)
    assert (fingerprint(other) != fingerprint(usual)) == bool(differ) == of_masks
    assert (of_images(other) != of_images(usual)) == (flag.decides is Decides.SOME_MASKS)
    assert bool(older_differ) == (of_masks or flag.decides is Decides.SOME_MASKS)
    assert (other != usual) == (flag.decides is not Decides.NOTHING)
    if flag.decides is Decides.MASKS:
        assert f"--{flag.name}" in [each.path for each in differ]


def test_a_newer_field_is_told_only_where_it_is_not_at_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = Flag("how much", name="much", target="output.parquet", default=False)
    monkeypatch.setattr("maskbeam.pipeline.job.settings._BY_FLAG", settings_module._BY_FLAG | {"--much": newer})
    assert list(job(RunOptions()).settings) == list(FROZEN["base"])
    assert list(job(parsed("--parquet")).settings) == [*FROZEN["base"], "--much"]
    assert fingerprint(job(parsed("--parquet")).settings) != fingerprint(job(RunOptions()).settings)


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
