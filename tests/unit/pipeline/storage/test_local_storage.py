import errno
import glob
import os
import random
import re
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskbeam.pipeline.storage import (
    Conflict,
    Denied,
    NotFound,
    SourceChanged,
    Unavailable,
    Unreadable,
    local_errors,
    local_storage,
    open_input,
    open_storage,
)
from maskbeam.pipeline.storage.local_storage import LocalStorage
from maskbeam.transforms.errors import ImageError, RunError

STORAGE = LocalStorage()


def names(root: Path, pattern: str = "") -> list[str]:
    return [found.uri.removeprefix(f"{root}/") for found in STORAGE.list(f"{root}{pattern}")]


def failing(number: int) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, os.strerror(number), args[0] if args and isinstance(args[0], str) else None)

    return fail


PARTS = st.sampled_from(["a", "b", "ab", "a.png", "b.png", ".h", "[a]", "*"])
GLOBS = st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "*.png", "**", "a*", "nothing"])


@given(
    st.sets(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=12),
    st.lists(GLOBS, min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_globs_mean_what_they_mean_to_python(paths: set[str], pattern: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        for path in sorted(paths):
            if not any(other.startswith(path + "/") for other in paths):
                Path(root, path).parent.mkdir(parents=True, exist_ok=True)
                Path(root, path).touch()
        wanted = {path for path in glob.glob(f"{root}/{'/'.join(pattern)}", recursive=True) if os.path.isfile(path)}
        found = [item.uri for item in STORAGE.list(f"{root}/{'/'.join(pattern)}")]
        folder = all(part in ("a", "b") for part in pattern)  # to us a plain folder means all that is in it
        assert found == sorted(wanted) or folder


def test_the_order_is_that_of_whole_names(tmp_path: Path) -> None:
    created = ["a/b", "a-b", "a.b", "a0", "a/b-c/d", "a/b.c", "ü", "Z", "😀", "\uffee"]
    for name in created:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
        assert names(tmp_path)
    (tmp_path / "a" / "b").unlink()
    assert names(tmp_path) == sorted(set(created) - {"a/b"}, key=str.encode)


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "real" / "deep" / "a.png").write_bytes(b"1")
    (tmp_path / "real" / "deep" / "up").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "top").symlink_to(tmp_path)
    (tmp_path / "x1").symlink_to(tmp_path / "real")
    (tmp_path / "x2").symlink_to(tmp_path / "real")
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "deep" / "a.png")
    assert names(tmp_path) == ["link.png", "real/deep/a.png", "x1/deep/a.png"]


def test_links_that_are_not_followed_are_counted_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"1")
    for number in range(3):
        (tmp_path / "real" / f"{number}").symlink_to(tmp_path / "real")
    assert names(tmp_path / "real") == ["a.png"]
    assert caplog.messages == ["left out 3 links to folders: what is there was listed already"]
    caplog.clear()
    assert names(tmp_path / "real", "/[0]/**") == []
    assert caplog.messages == ["left out a link to a folder: what is there was listed already"]


def test_a_ladder_of_links_does_not_double_with_every_rung(tmp_path: Path) -> None:
    for rung in range(30):
        (tmp_path / "hidden" / f"{rung}").mkdir(parents=True)
        for side in "ab":
            (tmp_path / "hidden" / f"{rung}" / side).symlink_to(tmp_path / "hidden" / f"{rung + 1}")
    (tmp_path / "hidden" / "30").mkdir()
    (tmp_path / "hidden" / "30" / "x.png").write_bytes(b"1")
    assert len(names(tmp_path / "hidden" / "0")) == 1


def test_broken_links_are_listed_and_then_not_found(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.png").symlink_to("self.png")
    found = list(STORAGE.list(str(tmp_path)))
    assert [os.path.basename(item.uri) for item in found] == ["gone.png", "self.png"]
    for item in found:
        with pytest.raises(NotFound):
            STORAGE.read(item.uri, version=item.version)


def test_pipes_neither_hang_nor_are_listed_but_are_counted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert names(tmp_path) == []
    met: list[str] = []
    for pattern in ("", "/", "/*.png", "/**", "/*.jpg"):
        assert list(STORAGE.list(f"{tmp_path}{pattern}", special=partial(met.append, pattern))) == []
    assert met == ["", "/", "/*.png", "/**"]
    assert STORAGE.stat(f"{tmp_path}/pipe.png") is None
    for call in (STORAGE.read, STORAGE.open):
        with pytest.raises(NotFound):
            call(f"{tmp_path}/pipe.png")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert STORAGE.stat(str(tmp_path)) is None
    with pytest.raises(NotFound):
        STORAGE.read(str(tmp_path))


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("a\0b", "x" * 300, "y/" * 3000):
        assert STORAGE.stat(f"{tmp_path}/{name}") is None
        with pytest.raises(NotFound):
            STORAGE.read(f"{tmp_path}/{name}")
    with pytest.raises(ImageError, match="BAD_ID"):
        STORAGE.write(f"{tmp_path}/{'x' * 300}", b"", expected=None)


def test_a_million_names_do_not_need_a_million_stats_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(50):
        (tmp_path / f"{i:02d}.png").write_bytes(b"")
    listing = STORAGE.list(str(tmp_path))
    assert next(iter(listing)).uri.endswith("00.png")
    (tmp_path / "01.png").unlink()
    assert next(iter(listing)).uri.endswith("02.png")


def test_a_file_altered_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(b"o" * (3 << 20))
    with STORAGE.open(str(path)) as stream:
        assert stream.read(1) == b"o"
        path.write_bytes(b"n" * (4 << 20))
        with pytest.raises(SourceChanged):
            stream.read()


def test_writing_never_shows_a_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, target = LocalStorage(str(tmp_path / ".tmp")), tmp_path / "masks" / "a.png"
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        assert not target.exists()
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", sync)
    storage.write(str(target), b"12345", expected=None)
    assert synced == [5]
    assert target.read_bytes() == b"12345"
    assert stat.S_IMODE(target.stat().st_mode) & 0o600 == 0o600
    assert target.stat().st_nlink == 1
    assert os.listdir(tmp_path / ".tmp") == []


def test_versions_differ_even_when_the_clock_stands_still(tmp_path: Path) -> None:
    path = f"{tmp_path}/a.png"
    STORAGE.write(path, b"1", expected=None)
    os.utime(path, (4_000_000_000, 4_000_000_000))  # in 2096: later than whatever is written now
    found = STORAGE.stat(path)
    assert found is not None
    assert STORAGE.write(path, b"2", expected=found.version) == "1-4000000000000000001"
    with pytest.raises(Conflict):
        STORAGE.write(path, b"3", expected=found.version)


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fcntl.flock", failing(errno.ENOLCK))
    version = STORAGE.write(f"{tmp_path}/a.png", b"1", expected=None)
    assert (
        STORAGE.write(f"{tmp_path}/a.png", b"2", expected=version) == STORAGE.read_versioned(f"{tmp_path}/a.png")[1]
    )


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_file_systems_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "link", failing(number))
    path = str(tmp_path / "new" / "a.png")
    version = STORAGE.write(path, b"1", expected=None)
    assert STORAGE.read(path, version=version) == b"1"
    with pytest.raises(Conflict):
        STORAGE.write(path, b"2", expected=None)
    assert STORAGE.read(path) == b"1"
    assert os.listdir(tmp_path / "new") == ["a.png"]


@pytest.mark.parametrize(
    ("broken", "number", "error", "text"),
    [
        ("fsync", errno.ENOSPC, RunError, "No space left"),
        ("fsync", errno.EDQUOT, RunError, "No space left"),
        ("link", errno.ENOSPC, RunError, "No space left"),
        ("link", errno.EXDEV, RunError, "another file system"),
        ("link", errno.EACCES, Denied, "No access"),
        ("open", errno.EACCES, Denied, "No access"),
        ("open", errno.EROFS, Denied, "No access"),
        ("makedirs", errno.EACCES, Denied, "No access"),
        ("fsync", errno.EIO, Unavailable, "The file system failed"),
        ("open", errno.EMFILE, Unavailable, "The file system failed"),
    ],
)
def test_what_must_stop_the_run_is_loud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, number: int, error: type[Exception], text: str
) -> None:
    folder = tmp_path / "masks"
    monkeypatch.setattr(os, broken, failing(number))
    with pytest.raises(error, match=text) as raised:
        STORAGE.write(f"{folder}/Jane Doe.png", b"1", expected=None)
    monkeypatch.undo()
    assert str(folder) in str(raised.value)
    assert "Jane" not in str(raised.value)
    assert list(folder.iterdir() if folder.exists() else ()) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EACCES, "give this user the right"),
        (errno.EPERM, "give this user the right"),
        (errno.EAGAIN, "The file system failed"),
        (errno.ESTALE, "The file system failed"),
        (errno.EUCLEAN, "The file system failed"),
    ],
)
def test_a_file_that_refuses_to_be_read_is_told_from_a_system_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, text: str
) -> None:
    (tmp_path / "Jane Doe.png").write_bytes(b"1")
    monkeypatch.setattr(local_errors, "PAUSES", (0.0,))
    for broken, calls in (
        ("open", (STORAGE.read, STORAGE.open)),
        ("read", (STORAGE.read,)),
        ("stat", (STORAGE.stat,)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, failing(number))
            for call in calls:
                with pytest.raises(Unreadable, match=text) as raised:
                    call(f"{tmp_path}/Jane Doe.png")
                assert "Jane" not in str(raised.value)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.ENOTCONN])
def test_what_all_files_would_answer_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "open", failing(number))
    with pytest.raises(Unavailable, match="The file system failed"):
        STORAGE.read(f"{tmp_path}/a.png")


def read_stream(uri: str) -> bytes:
    with STORAGE.open(uri) as stream:
        return stream.read()


def read_ends(uri: str) -> tuple[bytes, bytes]:
    return STORAGE.read_ends(uri, head=64, tail=64)


@pytest.mark.parametrize("endless", ["/proc/self/pagemap", "/proc/self/maps"])
def test_a_file_that_gives_more_than_its_size_is_not_read(tmp_path: Path, endless: str) -> None:
    (tmp_path / "a.png").symlink_to(endless)
    for call in (
        STORAGE.read,
        read_stream,
        STORAGE.read_versioned,
        lambda uri: STORAGE.read(uri, limit=64),
        read_ends,
    ):
        with pytest.raises(Unreadable, match=r"more than the 0 bytes|none that can be read to its end"):
            call(f"{tmp_path}/a.png")


def test_of_a_large_file_only_both_ends_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = random.Random(0).randbytes(3_000_000)
    (tmp_path / "a").write_bytes(data)
    opened: list[object] = []
    lengths: list[int] = []

    def noted(function: Callable[..., Any], into: Callable[[Any], None]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            result = function(*args)
            into(result)
            return result

        return call

    monkeypatch.setattr(os, "open", noted(os.open, opened.append))
    for name in ("read", "pread"):
        monkeypatch.setattr(os, name, noted(getattr(os, name), lambda result: lengths.append(len(result))))
    assert STORAGE.read_ends(f"{tmp_path}/a", head=5000, tail=70) == (data[:5000], data[-70:])
    assert (len(opened), lengths) == (1, [5000, 70])


def test_a_file_that_is_altered_between_its_ends_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"1" * 100)
    pread = os.pread

    def altering(*args: int) -> bytes:
        (tmp_path / "a").write_bytes(b"2" * 101)
        return pread(*args)

    monkeypatch.setattr(os, "pread", altering)
    with pytest.raises(SourceChanged):
        STORAGE.read_ends(f"{tmp_path}/a", head=10, tail=10)


def test_no_more_is_read_than_a_file_has_and_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"123")
    asked: list[int] = []

    def endless(_: int, size: int) -> bytes:
        asked.append(size)
        return b"x" * size

    monkeypatch.setattr(os, "read", endless)
    with pytest.raises(Unreadable):
        STORAGE.read(f"{tmp_path}/a")
    assert asked == [4]


def test_a_name_that_the_file_system_refuses_is_the_fault_of_one_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(f"{tmp_path}/.tmp/run")
    for broken in ("link", "makedirs"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, failing(errno.EINVAL))
            with pytest.raises(ImageError, match="BAD_ID"):
                storage.write(f"{tmp_path}/masks/a: b?/c.png", b"1", expected=None)
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    with pytest.raises(RunError, match="The file system failed"):
        storage.write(f"{tmp_path}/masks/c.png", b"1", expected=None)


def test_a_pattern_that_cannot_be_looked_at_is_told_from_a_file_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.setattr(os, "stat", failing(errno.EACCES))
    with pytest.raises(Denied, match=f"No access to {tmp_path}"):
        list(STORAGE.list(f"{tmp_path}/x"))


def test_an_unreadable_folder_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", failing(errno.EACCES))
    with pytest.raises(Denied):
        names(tmp_path)


def test_a_bad_sector_is_the_fault_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    monkeypatch.setattr(os, "open", failing(errno.EIO))
    with pytest.raises(NotFound):
        STORAGE.read(f"{tmp_path}/a.png")


def test_the_disk_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def to_full(path: str, flags: int, *mode: int) -> int:
        return opened("/dev/full", os.O_WRONLY) if flags & os.O_CREAT else opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", to_full)
    with pytest.raises(RunError, match="No space left"):
        STORAGE.write(f"{tmp_path}/a.png", b"x" * 100_000, expected=None)
    assert not (tmp_path / "a.png").exists()


WRITER = """
import sys
from maskbeam.pipeline.storage.local_storage import LocalStorage
storage = LocalStorage(sys.argv[1] + "/.tmp/run")
print("ready", flush=True)
for i in range(100000):
    storage.write(f"{sys.argv[1]}/masks/{i % 97}/{i}.png", bytes([i % 251]) * 300_000, expected=None)
"""


@pytest.mark.parametrize("written", [1, 5, 20])
def test_a_killed_writer_leaves_only_whole_files(tmp_path: Path, written: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        while len(names(tmp_path)) < written:
            assert writer.poll() is None
        writer.send_signal(signal.SIGKILL)
    files = [Path(item.uri) for item in STORAGE.list(str(tmp_path))]
    assert len(files) >= written
    for file in files:
        assert file.read_bytes() == bytes([int(file.stem) % 251]) * 300_000


def test_syncing_is_a_decision_that_shows_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_storage, "SYNC_FILES", False)
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    assert STORAGE.write(f"{tmp_path}/a.png", b"1", expected=None)


def test_a_file_system_that_takes_no_folders_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "mkdir", failing(errno.ENOENT))  # what /proc answers
    with pytest.raises(Denied, match=f"{tmp_path} takes no new folders, so {tmp_path}/x/.tmp cannot be made"):
        LocalStorage(f"{tmp_path}/x/.tmp").write(f"{tmp_path}/x/.lock.json", b"1", expected=None)


def test_a_folder_that_cannot_be_listed_is_told_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in/Jane Doe").mkdir(parents=True)
    scan = os.scandir

    def scandir(folder: str) -> Any:
        if "Jane" in folder:
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    for pattern in (f"{tmp_path}/in", f"{tmp_path}/in/**", f"{tmp_path}/in/*/*.png"):
        with pytest.raises(Denied) as raised:
            list(STORAGE.list(pattern))
        assert f"below {tmp_path}/in:" in str(raised.value)
        assert f"find {tmp_path}/in -type d ! -readable" in str(raised.value)
        assert "Jane" not in str(raised.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ESTALE, errno.EMFILE])
def test_messages_about_inputs_and_outputs_name_no_folder_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    uri = f"{tmp_path}/Jane Doe/a.png"
    writing = open_storage(uri, named=str(tmp_path))
    monkeypatch.setattr(os, "open", failing(number))
    for action, place in (
        (lambda: open_input(uri).read(uri), "--input"),
        (lambda: open_input(uri).open(uri), "--input"),
        (lambda: writing.read(uri), str(tmp_path)),
        (lambda: writing.write(uri, b"", expected=None), str(tmp_path)),
        (lambda: writing.delete(uri), str(tmp_path)),
    ):
        with pytest.raises(RunError, match=re.escape(place)) as raised:
            action()
        assert "Jane" not in str(raised.value)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.ENOTSUP])
@pytest.mark.parametrize("staged", [True, False])
def test_a_file_that_cannot_be_linked_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, staged: bool
) -> None:
    """Temporary files often lie on another disk."""
    link, made = os.link, tmp_path / "elsewhere"
    made.write_bytes(b"data" * 999)

    def across(source: str, target: str) -> None:
        if source == str(made):
            raise OSError(number, os.strerror(number))
        link(source, target)

    monkeypatch.setattr("maskbeam.pipeline.storage.local_storage.os.link", across)
    storage = LocalStorage(str(tmp_path / ".tmp/run") if staged else None)
    out = tmp_path / "out/a.tif"
    version = storage.write_file(str(out), str(made), expected=None)
    assert out.read_bytes() == b"data" * 999
    assert not out.samefile(made)
    assert made.exists()
    made.write_bytes(b"more")
    storage.write_file(str(out), str(made), expected=version)
    assert out.read_bytes() == b"more"
    assert names(tmp_path, "/out/") == ["out/a.tif"]


def test_a_file_on_the_same_disk_is_moved_without_a_copy(tmp_path: Path) -> None:
    made, out = tmp_path / "made", tmp_path / "out/a.tif"
    made.write_bytes(b"data")
    LocalStorage(str(tmp_path / ".tmp")).write_file(str(out), str(made), expected=None)
    assert out.samefile(made)
    made.unlink()
    assert out.read_bytes() == b"data"


def test_a_disk_that_fills_up_while_a_file_is_copied_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made").write_bytes(b"data")
    monkeypatch.setattr("maskbeam.pipeline.storage.local_storage.os.link", failing(errno.EXDEV))
    monkeypatch.setattr("maskbeam.pipeline.storage.local_storage.shutil.copyfile", failing(errno.ENOSPC))
    with pytest.raises(RunError, match="No space left"):
        STORAGE.write_file(f"{tmp_path}/out/a.tif", f"{tmp_path}/made", expected=None)
    assert names(tmp_path, "/out") == []


def test_a_guard_that_refuses_keeps_a_file_from_appearing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise RunError("taken over")

    (tmp_path / "made").write_bytes(b"data")
    with pytest.raises(RunError, match="taken over"):
        LocalStorage(guard=refuse).write_file(f"{tmp_path}/out/a.tif", f"{tmp_path}/made", expected=None)
    assert names(tmp_path) == ["made"]
