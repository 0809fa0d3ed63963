"""Keys of --anonymous_ids: what is hashed with them, where they may be, and what never holds them."""

import bz2
import hashlib
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from maskbeam.pipeline.cli.parser import run_options
from maskbeam.pipeline.digests import content_digest, digest
from maskbeam.pipeline.inputs.anonymous import PLAIN, Anonymous, naming
from maskbeam.pipeline.inputs.containers.example import make_example
from maskbeam.pipeline.inputs.ids import encode_id
from maskbeam.pipeline.runners.registry import check_runner
from maskbeam.pipeline.verify.verify import verify
from maskbeam.transforms.elements import Source
from maskbeam.transforms.errors import RunError
from tests.support.elements import encoded_image
from tests.support.numpy_engine import command, run_numpy
from tests.support.shard_files import write_shard
from tests.support.small_runs import planned
from tests.support.trees import differing, draw, draw_folder, tree_of

CANARY, SECRET = "XCANARYX", "a secret that nobody may read"
SOURCE = Source("/in/Jane Doe.png", "123-456")


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that holds the key, named by the environment."""
    path = tmp_path / "key"
    path.write_text(f"{SECRET}\n")
    monkeypatch.setenv("MASKBEAM_ID_KEY", f"@{path}")
    return path


def test_all_digests_are_keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for secret in ("one", "another", "one"):
        monkeypatch.setenv("MASKBEAM_ID_KEY", secret)
        names = naming(anonymous=True)
        image = names.named(encoded_image("Jane Doe", SOURCE))
        digests = [names.digest(b"x", of=what) for what in ("version", "content", "inputs")]
        seen.append([image.image_id, image.source.place, *names.told(image.source), *digests])
    assert seen[0] == seen[2]
    assert not {*seen[0]} & {*seen[1]}
    assert len({*seen[0]}) == len(seen[0]) - 1  # the place is there twice
    assert not {*seen[0]} & {SOURCE.place, SOURCE.version, digest(SOURCE.version), content_digest(b"x")}
    # BLAKE2b with the digest of the secret for its key, as ids have always been.
    keyed = hashlib.blake2b(b"Jane Doe", digest_size=16, key=hashlib.blake2b(b"one").digest()).hexdigest()
    assert seen[0][0] == keyed


def test_without_it_names_and_digests_are_as_ever() -> None:
    image = encoded_image("a", SOURCE)
    assert naming(anonymous=False) is PLAIN
    assert PLAIN.named(image) is image
    assert PLAIN.told(SOURCE) == (SOURCE.where, SOURCE.version)
    assert PLAIN.digest(b"x", of="content") == content_digest(b"x")


def test_a_key_in_a_file_is_that_key(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file = naming(anonymous=True)
    monkeypatch.setenv("MASKBEAM_ID_KEY", SECRET)
    here = naming(anonymous=True)
    assert isinstance(in_file, Anonymous)
    assert isinstance(here, Anonymous)
    assert in_file.image_id("a") == here.image_id("a")
    assert (in_file.key_file, here.key_file) == (str(key), "")
    for names in (in_file, here):
        assert SECRET.encode() not in pickle.dumps(names)
        assert SECRET not in repr(names)


def test_a_key_that_could_be_found_by_trying_is_warned_of(key: Path, tmp_path: Path) -> None:
    inputs = draw_folder(tmp_path / "in", 1)
    assert "Warning" not in planned(inputs, tmp_path / "out", "--anonymous_ids").describe()
    key.write_text("0123456789abcde\n")
    told = planned(inputs, tmp_path / "out", "--anonymous_ids").describe()
    assert "Warning  the key of --anonymous_ids (MASKBEAM_ID_KEY) has under 16 bytes" in told
    assert "0123456789abcde" not in told


@pytest.mark.parametrize(
    ("value", "content", "words"),
    [
        ("", None, "@/path/of/key"),
        (" \n", None, "@/path/of/key"),
        ("@key", None, "absolute path"),
        ("@{}/key", None, "names {}/key as the file that holds the key"),
        ("@{}/key", b"\n", "is empty"),
        ("@{}/key", b" \t\n", "is empty"),
        ("@{}/out/key", b"1", "in --output"),
    ],
)
def test_a_key_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, content: bytes | None, words: str
) -> None:
    path = Path(value.format(tmp_path)[1:])
    if content is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    monkeypatch.setenv("MASKBEAM_ID_KEY", value.format(tmp_path))
    inputs = draw_folder(tmp_path / "in", 1)
    with pytest.raises(RunError, match=words.format(tmp_path)):
        run_numpy(command(str(inputs), str(tmp_path / "out"), "--anonymous_ids"))


def test_whoever_fetches_another_key_says_so(key: Path) -> None:
    names = naming(anonymous=True)
    key.write_text("another")
    with pytest.raises(RunError, match="is another one here"):
        names.digest(b"", of="content")


@pytest.mark.parametrize(
    "flags",
    [
        ["--runner=DataflowRunner"],
        ["--runner=FlinkRunner", "--flink_master=nowhere:1"],
        ["--runner=PortableRunner", "--job_endpoint=nowhere:1", "--environment_type=EXTERNAL"],
    ],
)
def test_workers_elsewhere_need_a_key_that_they_can_fetch(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKBEAM_ID_KEY", SECRET)
    options = run_options(command("gs://b/in", "gs://b/out", "--anonymous_ids", *flags))
    with pytest.raises(RunError, match="MASKBEAM_ID_KEY=@gs://bucket/file") as refused:
        check_runner(options)
    assert SECRET not in str(refused.value)
    for here in (["--runner=DirectRunner"], ["--runner=PrismRunner"], []):
        check_runner(run_options(command("gs://b/in", "gs://b/out", "--anonymous_ids", *here)))


def test_workers_in_containers_do_not_see_a_key_on_this_machine(key: Path) -> None:
    flags = ("--runner=PortableRunner", "--job_endpoint=nowhere:1", "--anonymous_ids")
    options = run_options(["--input", "gs://b/in", "--output", "gs://b/out", "--model", "gs://b/m.keras", *flags])
    with pytest.raises(RunError, match=f"MASKBEAM_ID_KEY {key} is on a disk of this machine"):
        check_runner(options)


def test_nothing_that_a_run_leaves_or_sends_can_tell_names(
    key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    folder = inputs / f"{CANARY}-folder"
    images = [draw(folder / f"{CANARY}-{n}.png", n) for n in range(2)]
    (folder / f"{CANARY}-bad.png").write_bytes(b"<html>")
    (folder / f"a.{CANARY}").write_bytes(b"left out")
    (folder / f"b.\x1b[31m{CANARY}\nmaskbeam: forged").write_bytes(b"left out")
    records = [b"no example", make_example({f"{CANARY} key": b"x"}), make_example({"image/filename": CANARY})]
    shard = write_shard(folder / f"{CANARY}.tfrecord", records)
    sent: list[bytes] = []
    for module in (bz2, zlib):
        # What Beam stages it compresses first.
        compress = module.compress
        monkeypatch.setattr(module, "compress", _recording(compress, sent))
    flags = ("--anonymous_ids", "--products", "all", "--max_failures", "100%")
    assert run_numpy(command(str(inputs), str(out), *flags)) == 0
    said = "".join(capfd.readouterr())
    assert not set(said) & {"\x1b", "\r"}
    left = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    staged = [data for data in sent if b"maskbeam.pipeline.job.job" in data]
    assert staged
    everything = [said.encode(), *map(str.encode, left), *left.values(), *staged]
    listed = [Source(str(path), f"{path.stat().st_size}-{path.stat().st_mtime_ns}") for path in folder.iterdir()]
    unkeyed = {digest(json.dumps([str(inputs)]))} | {content_digest(path.read_bytes()) for path in images}
    for source in [*listed, Source(f"{shard}#0", "0")]:
        unkeyed |= {source.place, source.version, digest(source.version)} - {"0"}
    for word in (CANARY, CANARY.lower(), SECRET, "forged", *unkeyed):
        assert [word for data in everything if word.encode() in data] == []
    failed = [json.loads(line) for line in (out / "reports/failures.jsonl").read_text().splitlines()]
    assert sorted(each["code"] for each in failed) == ["BAD_EXAMPLE", "MISSING_KEY", "MISSING_KEY", "UNREADABLE"]
    assert verify(str(out)) == 0
    before = tree_of(out)
    assert run_numpy(command(str(inputs), str(out), *flags)) == 0
    assert differing(before, tree_of(out)) == []


def _recording(compress: Any, sent: list[bytes]) -> Any:
    def recorded(data: bytes, *args: Any, **kwargs: Any) -> Any:
        sent.append(bytes(data))
        return compress(data, *args, **kwargs)

    return recorded


def test_an_output_of_digests_without_a_key_is_refused_in_words(key: Path, tmp_path: Path) -> None:
    inputs, out = draw_folder(tmp_path / "in", 1), tmp_path / "out"
    (inputs / "bad.png").write_bytes(b"<html>")
    argv = command(str(inputs), str(out), "--anonymous_ids", "--max_failures", "1")
    assert run_numpy(argv) == 0
    record = json.loads((out / ".job.json").read_text())
    record["settings"]["--anonymous_ids"] = "0123456789abcdef" * 2
    (out / ".job.json").write_text(json.dumps(record))
    note = {"claim": dict.fromkeys(("place", "version", "content", "fingerprint", "inputs"), "0"), "code": "X"}
    (out / "failed/0.json").write_text(json.dumps({**note, "reason": "x"}))
    with pytest.raises(RunError, match=r"made digests of names without the key.*another --output.*--overwrite"):
        run_numpy(argv)
    assert run_numpy([*argv, "--overwrite"]) == 0
    assert not (out / "failed/0.json").exists()
    assert len(list((out / "failed").iterdir())) == 1
    key.write_text("another")
    with pytest.raises(RunError, match="the key, MASKBEAM_ID_KEY, was another one"):
        run_numpy(argv)


def test_a_mask_that_is_handed_on_tells_no_name(tmp_path: Path) -> None:
    name = f"{CANARY} folder/{CANARY} a"
    draw(tmp_path / f"in/{name}.png", 1)
    out = tmp_path / "out"
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--products", "all")) == 0
    for folder in ("masks", "color", "binary", "confidence", "overlay"):
        files = [path for path in (out / folder).rglob("*") if path.is_file()]
        assert files
        assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
    assert (out / f"masks/{encode_id(name)}.png").is_file()
    assert verify(str(out)) == 0
    (out / f"color/{encode_id(name)}.png").write_bytes(b"cut")
    assert verify(str(out)) == 1
    assert run_numpy(command(str(tmp_path / "in"), str(out), "--products", "all")) == 0
    assert verify(str(out)) == 0
    assert os.path.getsize(out / f"color/{encode_id(name)}.png") > 3
