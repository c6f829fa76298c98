"""Files are written whole or not at all, what is no file stays what it was, no source is overwritten."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import octavo
import pytest
from octavo.program import artifact, saving

NEW = b"new" * 100_000
LEFTOVER = ".model.octavo.0123456789abcdef.partial"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.octavo"
    path.write_bytes(b"old")
    return path


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("kind", [str, Path])
def test_a_new_file_has_the_mode_of_new_files(tmp_path, kind):
    saving.write(kind(tmp_path / "new"), NEW)
    assert (tmp_path / "new").read_bytes() == NEW
    assert mode(tmp_path / "new") == 0o666 & ~umask()


@pytest.mark.parametrize("bits", [0o600, 0o640, 0o644, 0o666, 0o755, 0o222])
def test_a_replaced_file_keeps_its_mode(path, bits):
    path.chmod(bits)
    saving.write(path, NEW)
    assert mode(path) == bits
    path.chmod(0o600)
    assert path.read_bytes() == NEW


def test_a_replaced_file_keeps_its_owner(path):
    group = next((group for group in os.getgroups() if group != os.getegid()), os.getegid())
    os.chown(path, -1, 4321 if os.geteuid() == 0 else group)
    before = os.stat(path)
    saving.write(path, NEW)
    assert (os.stat(path).st_uid, os.stat(path).st_gid) == (before.st_uid, before.st_gid)


def test_the_mode_is_never_wider_while_the_file_is_written(path, monkeypatch):
    path.chmod(0o600)
    seen = []
    real = os.fchown

    def watch(*arguments):
        seen.extend(mode(file) for file in path.parent.iterdir())
        real(*arguments)

    monkeypatch.setattr(os, "fchown", watch)
    saving.write(path, NEW)
    assert set(seen) == {0o600}


@pytest.mark.parametrize("write", [saving.write, lambda path, _: saving.check(path)])
def test_a_read_only_file_stays(path, write):
    path.chmod(0o444)
    with pytest.raises(PermissionError, match=r"read-only.*model\.octavo"):
        write(path, NEW)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["model.octavo"]


@pytest.mark.parametrize("write", [saving.write, lambda path, _: saving.check(path)])
def test_places_that_take_no_file(tmp_path, write):
    for place, kind in (
        (tmp_path, IsADirectoryError),
        (f"{tmp_path}/new/", FileNotFoundError),
        ("", FileNotFoundError),
        (tmp_path / "missing" / "a", FileNotFoundError),
        ("/dev/null/a", NotADirectoryError),
        (tmp_path / ("x" * 300), OSError),
    ):
        with pytest.raises(kind) as caught:
            write(place, NEW)
        assert caught.value.filename == os.fspath(place)
        assert "partial" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_takes_no_new_file(path, monkeypatch):
    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied", "/made/up")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)  # to root every folder is open
    for write in (saving.check, lambda path: saving.write(path, NEW)):
        with pytest.raises(PermissionError, match="folder") as caught:
            write(path)
        assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old"


def test_a_name_of_full_length(tmp_path):
    for name in ("x" * 255, "é" * 127):
        saving.write(tmp_path / name, NEW)
        assert (tmp_path / name).read_bytes() == NEW
    assert len(os.listdir(tmp_path)) == 2


def test_links_are_followed(path, tmp_path):
    path.chmod(0o600)
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "link").symlink_to("../model.octavo")
    chain = tmp_path / "chain"
    chain.symlink_to("far/link")
    saving.write(chain, NEW)
    assert (path.read_bytes(), mode(path)) == (NEW, 0o600)
    assert os.readlink(chain) == "far/link"
    assert os.readlink(tmp_path / "far" / "link") == "../model.octavo"
    assert sorted(os.listdir(tmp_path)) == ["chain", "far", "model.octavo"]


def test_a_link_to_no_file_makes_it(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "link"
    link.symlink_to("far/new")
    saving.write(link, NEW)
    assert link.is_symlink()
    assert (tmp_path / "far" / "new").read_bytes() == NEW
    (tmp_path / "far" / "broken").symlink_to("missing/new")
    with pytest.raises(FileNotFoundError, match="far/broken"):
        saving.write(tmp_path / "far" / "broken", NEW)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop") as caught:
        saving.write(tmp_path / "loop", NEW)
    assert caught.value.errno == errno.ELOOP


def test_another_name_of_the_file_keeps_the_old_bytes(path):
    other = path.with_name("other")
    os.link(path, other)
    saving.write(path, NEW)
    assert other.read_bytes() == b"old"


def test_a_pipe_is_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    saving.check(pipe)
    saving.write(pipe, NEW)
    reader.join()
    assert read == [NEW]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_a_device_stays_a_device():
    before = os.stat("/dev/null")
    saving.check("/dev/null")
    saving.write("/dev/null", NEW)
    assert os.path.samestat(before, os.stat("/dev/null"))
    with pytest.raises(OSError, match="/dev/full") as caught:
        saving.write("/dev/full", NEW)
    assert caught.value.errno == errno.ENOSPC


WRITE = "import sys; from octavo.program import saving; saving.write(sys.argv[1], b'new'); print('after')"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_is_written_through(tmp_path, name):
    if name == "link":
        name = tmp_path / "link"
        name.symlink_to("/dev/stdout")
    command = [sys.executable, "-c", WRITE, str(name)]
    piped = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"newafter\n"
    # a file behind it is neither replaced nor cut: what was there, and what is printed later, stays
    log = tmp_path / "log"
    log.write_bytes(b"before\n")
    with log.open("ab") as file:
        subprocess.run(command, stdout=file, check=True)
    assert log.read_bytes() == b"before\nnewafter\n"


def test_a_descriptor_that_is_not_open():
    with pytest.raises(OSError, match="/dev/fd/987"):
        saving.write("/dev/fd/987", NEW)
    assert saving.descriptor_of("/dev/fd/5") == 5
    assert saving.descriptor_of("/dev/fd/five") is None
    assert saving.descriptor_of("/dev/null") is None


@pytest.mark.parametrize("failing", ["fchown", "fchmod", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file(path, monkeypatch, failing, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(os, failing, fail)
    if failing in ("fchown", "fchmod") and isinstance(error, OSError):
        saving.write(path, NEW)  # a file system may have neither owners nor modes
        assert path.read_bytes() == NEW
    else:
        with pytest.raises(type(error)) as caught:
            saving.write(path, NEW)
        assert path.read_bytes() == b"old"
        if isinstance(error, OSError):
            assert caught.value.filename == str(path)
    assert os.listdir(path.parent) == ["model.octavo"]


def test_a_disk_that_is_full_leaves_the_old_file(path):
    code = (
        "import resource, signal, sys; from octavo.program import saving\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "saving.write(sys.argv[1], bytes(100_000))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"File too large: '{path}'" in ended.stderr
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["model.octavo"]


def test_a_killed_save_is_cleaned_up_by_the_next(path):
    code = (
        "import os, sys; from octavo.program import saving\n"
        "os.fsync = lambda _: (print('written', flush=True), sys.stdin.read())\n"
        "saving.write(sys.argv[1], b'new')\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        (partial,) = (file for file in path.parent.iterdir() if file != path)
        saving.write(path, NEW)  # while the other is at work
        assert partial.exists()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert path.read_bytes() == NEW
    assert partial.exists()
    saving.write(path.with_name("other"), NEW)  # a save of another file is none of its business
    assert partial.exists()
    saving.write(path, b"newest")
    assert path.read_bytes() == b"newest"
    assert sorted(os.listdir(path.parent)) == ["model.octavo", "other"]


def test_only_leftovers_of_this_target_are_removed(path):
    folder = path.parent
    near = [".model.octavo.partial", ".model.octavo.xyz.partial", ".model.octavo.0123.partial.txt"]
    near += [".Model.octavo.0123456789abcdef.partial", "model.octavo.0123456789abcdef.partial"]
    for name in (*near, LEFTOVER):
        (folder / name).write_bytes(b"")
    (folder / ".model.octavo.aaaa.partial").mkdir()
    (folder / ".model.octavo.bbbb.partial").symlink_to(near[0])
    saving.write(path, NEW)
    kept = ["model.octavo", ".model.octavo.aaaa.partial", ".model.octavo.bbbb.partial", *near]
    assert sorted(os.listdir(folder)) == sorted(kept)


def test_a_file_taken_for_a_leftover_is_made_again(path, monkeypatch):
    """Another save locks and removes the new file between its making and its locking."""
    real = fcntl.flock
    removed = []

    def steal(file, operation):
        if operation == fcntl.LOCK_EX and not removed:
            removed.append(file.name)
            os.unlink(file.name)
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", steal)
    saving.write(path, NEW)
    assert removed
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == ["model.octavo"]


def test_a_file_system_without_locks(path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    (path.parent / LEFTOVER).touch()
    monkeypatch.setattr(fcntl, "flock", refuse)
    saving.write(path, NEW)
    assert path.read_bytes() == NEW
    assert sorted(os.listdir(path.parent)) == sorted(["model.octavo", LEFTOVER])


def test_saves_at_once_are_whole(path):
    contents = [bytes([letter]) * 200_000 for letter in b"abcd"]
    end = time.monotonic() + 0.5
    failed = []

    def save(content):
        try:
            while time.monotonic() < end:
                saving.write(path, content)
                if path.read_bytes() not in contents:
                    failed.append(content[:1])
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert os.listdir(path.parent) == ["model.octavo"]


@pytest.mark.parametrize("way", ["name", "relative", "symlink", "hard link", "folder link", "source link"])
def test_a_source_is_not_overwritten(path, tmp_path, monkeypatch, every_encoding, way):
    source, target = path, tmp_path / "other"
    if way == "name":
        target = str(path)
    elif way == "relative":
        monkeypatch.chdir(tmp_path)
        target = Path("model.octavo")
    elif way == "symlink":
        target.symlink_to(path)
    elif way == "hard link":
        os.link(path, target)
    elif way == "folder link":
        target.symlink_to(tmp_path)
        target = target / "model.octavo"
    else:
        source = tmp_path / "source"
        source.symlink_to(path)
        target = path
    listed = sorted(os.listdir(tmp_path))
    with pytest.raises(octavo.ArtifactError, match="not overwritten"):
        artifact.save(every_encoding, target, [tmp_path / "missing", source])
    assert path.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == listed
    artifact.save(every_encoding, tmp_path / "new", [source])


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o464, 0o446, 0o644, 0o200, 0o020, 0o002, 0o222])
def test_a_file_that_anybody_may_write_is_no_kept_one(tmp_path, mode):
    """Of those that this process may write: mode 0444 says that someone wants to keep the file."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    if mode & 0o222 and os.access(path, os.W_OK):
        saving.write(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        path.chmod(0o600)
        assert path.read_bytes() == b"new"
    else:
        with pytest.raises(PermissionError, match="it is read-only"):
            saving.write(path, b"new")
        path.chmod(0o600)
        assert path.read_bytes() == b"old"


def test_the_source_that_a_file_is_is_told_from_the_others(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"1")
    (tmp_path / "link").symlink_to("b")
    gone = tmp_path / "gone"
    assert saving.source_at(tmp_path / "link", [gone, *paths]) == paths[1]
    assert saving.source_at(paths[2], [*paths[:2], gone, tmp_path / "c"]) == paths[2]
    assert saving.source_at(paths[0], [gone, *paths[1:]]) is None
    assert saving.source_at(gone, [gone, *paths]) is None
