import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from maskbeam.pipeline.main import main
from tests.support.models import save, unet
from tests.support.numpy_engine import MODEL

# Runs commands one after the other in a process of its own, and says what each printed, its exit code, and what
# heavy modules were imported at the end.
CHILD = """
import contextlib, io, json, sys
from maskbeam.pipeline.main import main
ended = []
for argv in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(argv)
    ended.append([code, said.getvalue()])
print(json.dumps([ended, [name for name in ("tensorflow", "keras", "tf_keras") if name in sys.modules]]))
"""


def in_child(commands: list[list[str]]) -> tuple[list[tuple[int, str]], list[str]]:
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(commands)], capture_output=True, text=True, check=False
    )
    assert not ran.stderr, ran.stderr
    ended, heavy = json.loads(ran.stdout.splitlines()[-1])
    return [(code, said) for code, said in ended], heavy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    folder = tmp_path_factory.mktemp("main")
    (folder / "in").mkdir()
    Image.new("RGB", (32, 32), (200, 30, 60)).save(folder / "in" / "a.png")
    save(unet(keras), folder / "unscaled.keras")
    unet(keras).save_weights(folder / "only.weights.h5")
    image = keras.layers.Input((32, 32, 3))
    scaled = keras.layers.Lambda(lambda x: x / 255)(image)
    save(keras.Model(image, keras.layers.Conv2D(3, 1)(scaled)), folder / "lambda.keras")
    (folder / "bad.csv").write_text("channel,id,name\n0,0,a\n1,0,b\n")
    (folder / "empty").mkdir()
    (folder / "theirs" / "masks").mkdir(parents=True)
    (folder / "theirs" / "masks" / "a.png").write_text("the truth")
    (folder / "file").touch()
    return folder


WRONG: list[tuple[dict[str, str], str]] = [
    ({"--model": "none.keras"}, "there is no such file"),
    ({"--model": "only.weights.h5"}, "weights only"),
    ({"--model": "lambda.keras"}, "--trust_model"),
    ({"--model": "unscaled.keras"}, "--normalize"),
    ({"--model": "in/a.png"}, "--model"),
    ({"--input": "none"}, "matches no image"),
    ({"--input": "empty"}, "matches no image"),
    ({"--classes": "none.csv"}, "there is no such file"),
    ({"--classes": "bad.csv"}, "bad.csv"),
    ({"--products": "colour"}, "'colour' is no product"),
    ({"--model_sha256": "00ff"}, "is not the digest"),
    ({"--outptu": "x"}, "did you mean --output?"),
    ({"--output": "in/out"}, "lies inside the input"),
    ({"--output": "file"}, "is no folder"),
    ({"--output": "/proc/here"}, "/proc/here"),
]


def test_a_wrong_command_ends_before_tensorflow_is_imported(folder: Path) -> None:
    def command(changed: dict[str, str]) -> list[str]:
        flags = {"--input": "in", "--output": "out", "--model": MODEL, **changed}
        paths = {"--input", "--output", "--classes"} | ({"--model"} if "--model" in changed else set())
        return ["run", *(w for f, v in flags.items() for w in (f, str(folder / v) if f in paths else v))]

    ended, heavy = in_child([command(changed) for changed, _ in WRONG])
    for (code, said), (changed, expected) in zip(ended, WRONG, strict=True):
        assert code == 2, (changed, said)
        assert expected in said
        assert said.startswith("maskbeam: ")
        assert said.count("\n") == 1
    assert heavy == []
    assert not (folder / "out").exists()


def run(folder: Path, output: str, *flags: str) -> int:
    argv = ["--input", str(folder / "in"), "--model", str(Path(MODEL)), "--output", str(folder / output)]
    return main(["run", *argv, *flags])


def test_masks_that_are_not_ours_are_not_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "theirs") == 2
    assert "nothing there tells that maskbeam made them" in capsys.readouterr().err
    assert (folder / "theirs" / "masks" / "a.png").read_text() == "the truth"
    assert not (folder / "theirs" / ".job.json").exists()


def test_a_dry_run_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "dry", "--dry_run") == 0
    said: Any = capsys.readouterr()
    for line in ("Input ", "Model ", "Classes ", "Output ", "Found ", "1 image file;", "Size ", "Nothing was done"):
        assert line in said.err
    assert not (folder / "dry").exists()


def test_a_run_and_its_rerun(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder, "done") == 0
    said: Any = capsys.readouterr()
    assert "1 of 1 input done" in said.out
    assert said.out.endswith("Done.\n")
    assert (folder / "done" / "_SUCCESS").is_file()
    argv = ["run", "--input", str(folder / "in"), "--model", MODEL, "--output", str(folder / "done")]
    [(code, again)], heavy = in_child([argv])
    assert code == 0
    assert "1 of 1 input done, all of them before" in again
    assert heavy == []
    assert sorted(path.name for path in (folder / "done").iterdir()) == [
        *(".job.json", "_SUCCESS", "masks", "reports", "runs"),
    ]


def test_an_empty_night_is_a_success(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["run", "--input", str(folder / "empty"), "--model", MODEL, "--output", str(folder / "night")]
    assert main([*argv, "--allow_empty"]) == 0
    assert "Done: there was nothing to do." in capsys.readouterr().out
    assert (folder / "night" / "_SUCCESS").is_file()
