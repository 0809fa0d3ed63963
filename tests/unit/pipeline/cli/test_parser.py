import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from maskbeam.pipeline.cli.command_text import run_command
from maskbeam.pipeline.cli.commands import COMMANDS
from maskbeam.pipeline.cli.flags import ALL, FLAGS
from maskbeam.pipeline.cli.flags_file import KNOWN, expand
from maskbeam.pipeline.cli.help_pages import TOPICS, overview
from maskbeam.pipeline.cli.near_words import did_you_mean
from maskbeam.pipeline.cli.parser import parse, run_options
from maskbeam.pipeline.cli.places import absolute_options
from maskbeam.pipeline.main import main
from maskbeam.pipeline.options import RESIZE_FILTERS, RunOptions
from maskbeam.transforms.argmax import UPSAMPLES
from maskbeam.transforms.augment import VIEWS
from maskbeam.transforms.confidence import CONFIDENCES
from maskbeam.transforms.errors import RunError
from maskbeam.transforms.head import KINDS, LAYOUTS
from maskbeam.transforms.resampling.prepare import _RESIZES
from maskbeam.transforms.resampling.resize import FILTERS
from maskbeam.transforms.tiling.weights import BLENDS

NEEDED = ("--input", "in/*.png", "--model", "m.keras", "--output", "out")


def parsed(*words: str) -> RunOptions:
    return run_options([*NEEDED, *words])


def refused(*words: str) -> str:
    with pytest.raises(RunError) as error:
        run_options(words)
    return str(error.value)


def test_defaults_are_those_of_the_options() -> None:
    options = parsed()
    assert options.read.patterns == (os.path.abspath("in/*.png"),)
    assert options.label == RunOptions().label
    assert options.decode == RunOptions().decode


def test_every_kind_of_value() -> None:
    options = parsed(
        *("--products", "color, overlay", "--input_range", "0,4095", "--background", "1,2,3", "--limit", "5"),
        *("--threshold", "0.25", "--keep_extension", "--max_failures", "2%", "--custom_objects", "a.b,c"),
        *("--ignore_label", "0", "--dry_run"),
    )
    assert options.output.products == {"color", "overlay"}
    assert options.decode.input_range == (0, 4095)
    assert options.decode.background == (1, 2, 3)
    assert (options.read.limit, options.read.keep_extension) == (5, True)
    assert (options.label.threshold, options.label.ignore_label) == (0.25, 0)
    assert options.output.max_failures == "2%"
    assert options.model.custom_objects == ("a.b", "c")
    assert options.dry_run


@pytest.mark.parametrize("words", [("--normalize", "-1..1"), ("--normalize=-1..1",)])
def test_a_value_may_begin_with_a_dash(words: tuple[str, ...]) -> None:
    assert parsed(*words).model.normalize == "-1..1"
    assert parsed("--input_range", "-.5,5").decode.input_range == (-0.5, 5)


def test_a_flag_is_no_value() -> None:
    assert "--normalize needs a value" in refused(*NEEDED, "--normalize", "--dry_run")


def test_inputs_add_up_and_other_flags_replace() -> None:
    options = parsed("--input", "b", "c", "--seed", "1", "--seed", "2")
    assert options.read.patterns == tuple(map(os.path.abspath, ("in/*.png", "b", "c")))
    assert options.read.seed == 2


def test_parsing_twice_remembers_nothing() -> None:
    assert parsed() == parsed()


def test_flags_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "nightly flags.txt"
    file.write_text(
        "# what we run each night\n--input 'a b/*.png' \"c#d/e\" gs://x/y#z  # two cameras' folders\n"
        "\n--model m.keras\n--output=out --normalize -1..1\n"
    )
    options = run_options([f"@{file}", "--input", "more", "--limit", "3"])
    here = os.path.abspath
    assert options.read.patterns == (here("a b/*.png"), here("c#d/e"), "gs://x/y#z", here("more"))
    assert (options.model.normalize, options.output.path, options.read.limit) == ("-1..1", here("out"), 3)


def test_a_letter_stands_for_what_is_needed_and_dashes_for_underscores() -> None:
    options = run_options(["-i", "a", "b", "-m=m.keras", "-o", "out", "--dry-run", "--max-failures=3%"])
    assert options == run_options(
        ["--input", "a", "b", "--model", "m.keras", "--output", "out", "--dry_run", "--max_failures", "3%"]
    )
    assert parsed("--normalize", "-1..1").model.normalize == "-1..1"
    assert parsed("--output-name", "a-b--c").model.output_name == "a-b--c"
    # Beam's own are left alone.
    assert parsed("--job_name=x-y").beam == ("--job_name=x-y",)
    assert "unknown flag --job-name" in refused(*NEEDED, "--job-name=x")


def test_lines_below_a_header_are_for_that_command(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text(
        "-m m.keras  # everybody's\n[run]  # of runs\n-i a -o out\n--products all\n[inspect]\n--limit 2\n"
        "[run]\n--part 1/2\n"
    )
    options = run_options([f"@{file}", "--seed", "3"])
    assert (options.read.limit, options.read.seed, str(options.read.part)) == (None, 3, "1/2")
    assert options.output.products
    looked = parse(COMMANDS["inspect"], [f"@{file}"])["options"]
    assert (looked.read.patterns, looked.read.limit, looked.model.path) == ((), 2, os.path.abspath("m.keras"))
    file.write_text("[verify OUT]\n--format json\n[verify]\nOUT\n[verify other]\nno\n")
    assert parse(COMMANDS["verify"], [f"@{file}"]) == {"output": "OUT", "format": "text"}
    assert parse(COMMANDS["verify"], ["OUT", f"@{file}"][:1]) == {"output": "OUT", "format": "text"}
    file.write_text("[verify OUT]\n--format json\n")
    assert parse(COMMANDS["verify"], ["OUT", f"@{file}"]) == {"output": "OUT", "format": "json"}


@pytest.mark.parametrize("line", ["[rnu]", "[]", "[ ]"])
def test_a_header_that_names_no_command_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(line)
    assert f"{line} names no command" in refused(f"@{tmp_path / 'f'}")
    (tmp_path / "f").write_text("--input '[ab]' \n'[cd]'\n")
    with pytest.raises(RunError, match="--model and --output are missing"):
        run_options([f"@{tmp_path / 'f'}"])


def test_flags_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refused(f"@{tmp_path}/none")
    (tmp_path / "open").write_text("--input 'never closed")
    assert "No closing quotation" in refused(f"@{tmp_path}/open")
    assert "over 1,000,000 characters" in refused("@/dev/zero")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--inptu", "x"), "unknown flag --inptu; did you mean --input?"),
        (("--dry-rum",), "did you mean --dry_run?"),
        (("-output", "x"), "unknown flag -output; did you mean --output?"),
        (("-ox",), "unknown flag -ox"),
        (("-x",), "unknown flag -x"),
        (("--format", "json"), "maskbeam run does not heed --format, a flag of maskbeam inspect, verify and clean"),
        (("--runer=X",), "did you mean --runner?"),
        (("--zzzzzz",), "unknown flag --zzzzzz (see"),
        (("junk", "--limit", "1"), "'junk' belongs to no flag"),
        (("--limit", "0"), "--limit: '0' is no whole number of 1 or more"),
        (("--limit", "\u00b2"), "no whole number"),
        (("--ignore_label", "65536"), "is above 65535"),
        (("--seed", "-1"), "--seed: '-1' is no whole number"),
        (("--head", "nonsense"), "--head: invalid choice: 'nonsense'"),
        (("--products", "colour"), "'colour' is no product"),
        (("--input_range", "9,1"), "first number must be below"),
        (("--input_range", "nan,1"), "first number must be below"),
        (("--background", "1,2"), "no colour"),
        (("--threshold", "2"), "'2' is no number between 0 and 1"),
        (("--threshold", "x"), "'x' is no number between 0 and 1"),
        (("--threshold", "nan"), "'nan' is no number between 0 and 1"),
        (("--tile_overlap", "x"), "--tile_overlap: 'x' is no number between 0 and 0.75"),
        (("--tile_overlap", "-0.1"), "'-0.1' is no number between 0 and 0.75"),
        (("--tile_overlap", "nan"), "'nan' is no number between 0 and 0.75"),
        (("--tile_overlap", "0.76"), "'0.76' is above 0.75, where each pixel is computed 16 times"),
        (("--tile_overlap", "2"), "'2' is above 0.75"),
        (("--max_failures", "many"), "neither a count"),
        (("--max_failures", "101%"), "neither a count"),
        (("--max_failures", "nan%"), "neither a count"),
        (("--input_range", "0,inf"), "has no end"),
        (("--input_range", "-1e308,1e308"), "has no end"),
        (("--products", ","), "its value is empty"),
        (("--input",), "--input needs a value"),
        (("--direct_num_workers", "x"), "flag of Beam"),
    ],
)
def test_wrong_words(words: tuple[str, ...], expected: str) -> None:
    message = refused(*NEEDED[2:], *words)
    assert expected in message
    assert message.endswith("--help)")


def test_what_is_missing_is_named() -> None:
    assert refused("--input", "x").startswith("--model and --output are missing")
    assert refused(*NEEDED[:4]).startswith("--output is missing")


def test_a_variable_that_is_not_set_is_no_value_of_any_flag() -> None:
    assert "--input: its value is empty" in refused("--input", "a", "", *NEEDED[2:])
    for flag in (flag for flags in FLAGS.values() for flag in flags if flag.has_value):
        for words in ([f"--{flag.name}", ""], [f"--{flag.name}="]):
            assert refused(*NEEDED, *words).startswith(f"--{flag.name}"), flag.name
    for command in (("verify", ""), ("clean", "", "--yes"), ("merge", ""), ("demo", "--output", "")):
        assert main(command) == 2


@pytest.mark.parametrize("name", ["Foo", "no.such.Runner", "os.path", "apache_beam.NoRunner"])
def test_a_runner_that_beam_does_not_have_is_refused(name: str) -> None:
    assert refused(*NEEDED, "--runner", name).startswith(f"--runner {name}: ")


def test_flags_of_beam_pass_untouched() -> None:
    words = ("--runner=FlinkRunner", "--environment_type", "EXTERNAL", "--streaming")
    assert parsed(*words).beam == words


def test_no_flag_of_ours_hides_one_of_beam() -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    ours = {flag.name for command in COMMANDS.values() if command.beam for flag in command.flags}
    # Beam has it for its own tests only.
    assert ours & set(PipelineOptions([]).get_all_options()) == {"dry_run"}


def test_every_option_has_one_flag() -> None:
    targets = [flag.target for flags in FLAGS.values() for flag in flags]
    assert sorted(targets) == sorted(flag.target for flag in ALL), "a group that is not among GROUPS"
    assert len(set(targets)) == len(targets)
    for flag in (flag for flags in FLAGS.values() for flag in flags):
        assert flag.default is False or flag.metavar
        assert flag.help[0].islower() or flag.help[0] in ".J"


def test_the_command_that_is_printed_gives_the_same_options() -> None:
    options = parsed(
        "--input", "a b", "--normalize", "-1..1", "--products", "all", "--input_range", "0,9", "--dry_run"
    )
    assert run_options(shlex.split(run_command(options))[2:]) == options


def test_every_path_is_absolute_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--input", "in/*.png", "gs://a/b", "/c/", "--model", "m/", "--output", "out//"]
    options = run_options([*words, "--classes", "l.csv", "--id_root", "."])
    assert options.read.patterns == (f"{tmp_path}/in/*.png", "gs://a/b", "/c/")
    assert (options.model.path, options.output.path) == (f"{tmp_path}/m/", f"{tmp_path}/out")
    assert (options.label.classes, options.read.id_root) == (f"{tmp_path}/l.csv", f"{tmp_path}")
    assert absolute_options(options) == options
    assert run_options([*words, "--classes", "voc"]).label.classes == "voc"
    assert run_options([*words, "--output", "/"]).output.path == "/"
    assert "s3:// is not supported" in refused(*words, "--id_root", "s3://b")
    assert {flag.target for flag in ALL if flag.metavar in ("PATTERN", "PATH", "DIR", "FILE")} == {
        flag.target for flag in ALL if flag.place
    }


def test_the_command_that_is_printed_names_paths_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--input", "in/*.png", "gs://a/b", "/c", "--model", "m.keras", "--output", "out"]
    assert run_command(run_options(words)) == shlex.join(["maskbeam", "run", *words])


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == main([]) == main(["help"]) == 0
    assert capsys.readouterr().out == overview() * 3
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("maskbeam ")
    for command in COMMANDS.values():
        assert main([command.name, "--help"]) == main([command.name, "-h"]) == 0
        shown = capsys.readouterr().out.split()
        assert {f"--{flag.name}" for flag in command.flags} <= set(shown), "each is named at least"
        of_others = {f"--{name}" for name in KNOWN} - {f"--{flag.name}" for flag in command.flags}
        # The heads of merge and clean say what other commands' flags did.
        assert not of_others & set(shown) - {"--part", "--input"}


def test_the_help_of_a_run_is_a_page_and_the_rest_by_topic(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(*words: str) -> str:
        assert main(["run", *words]) == 0
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "80")
    assert len(shown("--help").splitlines()) <= 60
    assert max(map(len, shown("--help").partition("example:")[0].splitlines())) <= 80
    assert shown("--input", "x", "--help") == shown("--help", "--input", "x") == shown("--help")
    told = [shown("--help", topic) for topic in TOPICS]
    for flag in (flag for flag in ALL if flag.group not in ("needed", "try")):
        assert sum(f"  --{flag.name}" in page for page in told) == 1
    assert shown("--help=labels") == shown("--help", "labels")
    text = " ".join(shown("--help", "all").split())
    for flag in ALL:
        assert f"--{flag.name} " in text
        assert flag.words.partition(" [")[0] in text
    assert main(["run", "--help", "tilse"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert (
        "'tilse' is no topic of the help; choose from input, model, tiles, geo, labels, output, compare, " in said.err
    )


def test_other_commands_refuse_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rnu"]) == 2
    assert "did you mean run?" in capsys.readouterr().err
    assert main(["inspect", "--modle", "x"]) == 2
    assert "did you mean --model?" in capsys.readouterr().err
    assert main(["inspect"]) == 2
    assert main(["verify"]) == 2
    assert main(["demo", "x"]) == 2
    capsys.readouterr()
    assert main(["inspect", "--model", "m", "--products", "all"]) == 2
    assert "maskbeam inspect does not heed --products, a flag of maskbeam run: leave" in capsys.readouterr().err
    assert main(["merge", "out", "--direct_num_workers=2", "--normalize", "0..1"]) == 2
    assert "maskbeam merge does not heed --normalize, a flag of maskbeam run and inspect" in capsys.readouterr().err


def test_a_mistake_of_ours_shows_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASKBEAM_DEBUG", raising=False)
    monkeypatch.setitem(sys.modules, "maskbeam.pipeline.run", None)
    assert main(["run", *NEEDED]) == 1
    said = capsys.readouterr().err
    assert "MASKBEAM_DEBUG=1" in said
    assert "Traceback" not in said


def test_words_that_are_near() -> None:
    assert did_you_mean("--ouput", ["--output", "--input"]) == "; did you mean --output?"
    assert did_you_mean("--zebra", ["--output"]) == ""
    assert list(expand(["--limit"])) == ["--limit"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("head", KINDS),
        ("layout", LAYOUTS),
        ("upsample", UPSAMPLES),
        ("confidence", CONFIDENCES),
        ("tile_blend", BLENDS),
        ("tta", VIEWS),
        ("resize", ()),
    ],
)
def test_a_flag_takes_what_the_transforms_know(name: str, known: Sequence[str]) -> None:
    # Said twice, because the help imports nothing of what computes.
    (flag,) = (flag for flag in ALL if flag.name == name)
    assert set(flag.choices or ()) == set(known or _RESIZES)


def test_filters_are_those_of_resizing() -> None:
    assert set(RESIZE_FILTERS) == set(FILTERS)
