"""One vocabulary for all commands: the table in docs/developing.md is held against the registry."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from maskbeam.pipeline.cli.commands import COMMANDS, Command
from maskbeam.pipeline.cli.flags import ALL
from maskbeam.pipeline.cli.flags_file import KNOWN, SHORT
from maskbeam.pipeline.cli.help_pages import overview
from maskbeam.pipeline.cli.parser import parse
from maskbeam.pipeline.exit_codes import ExitCode
from maskbeam.pipeline.main import main
from maskbeam.pipeline.options.flag import Flag
from tests.support.documents import FORMATS, README, ROOT, section

TABLE = section(ROOT / "docs" / "developing.md", "## One vocabulary")


def told() -> dict[str, set[str]]:
    """Commands by word, from the table."""
    rows = re.findall(r"^\| (`.*?) \|.*\| (.*?) \|$", TABLE, re.MULTILINE)
    return {word: set(commands.split(", ")) for words, commands in rows for word in re.findall(r"`([^`]+)`", words)}


def test_the_table_is_the_registry_s() -> None:
    held: dict[str, set[str]] = {"OUT": {c.name for c in COMMANDS.values() if c.out}, "@FILE": {"all"}}
    for name, flag in KNOWN.items():
        commands = {c.name for c in COMMANDS.values() if name in {each.name for each in c.flags}}
        # What only a run takes the help says.
        if commands != {"run"}:
            held[f"--{name}"] = commands
            held |= {f"-{flag.short}": commands} if flag.short else {}
    assert told() == held


def test_a_flag_means_the_same_wherever_it_occurs() -> None:
    for command in COMMANDS.values():
        for flag in command.flags:
            known = KNOWN[flag.name]
            if command.name == "demo":
                # It has a place of its own for all that it makes.
                known = replace(known, default=flag.default, help=flag.help)
            assert flag == known
        assert len({flag.name for flag in command.flags}) == len(command.flags)
    assert SHORT == {"-i": "--input", "-m": "--model", "-o": "--output"}


def test_every_command_that_a_field_names_is_there() -> None:
    assert {name for flag in ALL for name in flag.also} < set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_a_command_s_function_is_there(command: Command) -> None:
    assert callable(command.load())


def test_another_command_is_an_entry(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    to = Flag("where it goes", metavar="DIR", name="to", default="")
    toy = Command("toy", "play", "Play with an output.", f"{__name__}:played", out=True, words=(to,))
    monkeypatch.setitem(COMMANDS, "toy", toy)
    assert main(["toy", "out", "--to", "there"]) == 7
    assert capsys.readouterr().out == "out there\n"
    assert "  toy       play\n" in overview()
    assert main(["toy", "--help"]) == 0
    assert "--to DIR" in capsys.readouterr().out
    assert main(["toy"]) == 2
    assert "OUT" in capsys.readouterr().err


def played(output: str, to: str) -> int:
    sys.stdout.write(f"{output} {to}\n")
    return 7


def test_exit_codes_are_documented_from_their_enum() -> None:
    rows = "".join(f"| {code} | {code.meaning} |\n" for code in ExitCode)
    assert f"| exit code | |\n|---|---|\n{rows}\n" in README.read_text()
    assert f"| code | meaning |\n|---|---|\n{rows}\n" in FORMATS.read_text()
    for code in ExitCode:
        assert re.search(rf"^  {code} +{re.escape(code.meaning.split(';')[0].replace('`', ''))}$", overview(), re.M)


@pytest.mark.parametrize(
    ("words", "output", "dry_run"), [(["out"], "out", False), (["--dry-run", "out", "--yes"], "out", True)]
)
def test_clean_takes_dry_run_by_the_same_word(words: list[str], output: str, dry_run: bool) -> None:
    given = parse(COMMANDS["clean"], words)
    assert (given["output"], given["dry_run"], given["all_inputs"]) == (output, dry_run, False)


def test_help_and_wrong_words_import_nothing_heavy() -> None:
    code = """
import sys
from maskbeam.pipeline.main import main
for words in ("--help", "run --help all", "verify", "inspect --products all", "run --limit 0", "clean --help"):
    main(words.split())
print(sorted({"numpy", "apache_beam", "tensorflow", "keras", "PIL"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
