"""`supabase-nb scan`: the files that it reads, what it reports about others, and its backups."""

import ctypes
import os
import stat
import struct
import sys
from pathlib import Path

import pytest

from tests.test_scan import SECRET_KEY, scan  # noqa: F401


@pytest.fixture
def denied(monkeypatch):
    """A folder that cannot be listed, also for root."""
    real, names = os.scandir, set()

    def scandir(path="."):
        if Path(os.fspath(path)).name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return names


@pytest.mark.parametrize("outright", [True, False])
def test_a_folder_that_cannot_be_read(scan, tmp_path, denied, outright):  # noqa: F811
    (tmp_path / "in" / "closed").mkdir(parents=True)
    (tmp_path / "in" / "open.py").write_text("x = 1\n")
    denied.add("closed")
    code, said = scan(tmp_path / "in" / "closed" if outright else tmp_path / "in")
    assert code == 2
    assert f"{tmp_path}/in/closed: could not be read or written: Permission denied" in said


@pytest.fixture
def like_anybody():
    """Modes count in this thread also for root, who gives up the two capabilities that pass over them."""
    if not hasattr(os, "geteuid"):
        pytest.skip("files have no modes here")
    if os.geteuid() != 0:
        yield
        return
    if sys.platform != "linux":
        pytest.skip("root may read everything")
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", 0x20080522, 0)  # version 3, this thread
    before = ctypes.create_string_buffer(24)  # effective, permitted and inheritable, twice 32 bits
    assert libc.capget(header, before) == 0
    words = list(struct.unpack("6I", before.raw))
    words[0] &= ~(1 << 1 | 1 << 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, struct.pack("6I", *words)) == 0
    yield
    assert libc.capset(header, before) == 0


@pytest.mark.parametrize("mode", ["file", "folder", "parent"])
def test_unreadable_files(scan, tmp_path, like_anybody, mode):  # noqa: F811
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.py").write_text(SECRET_KEY)
    closed = folder / "a.py" if mode == "file" else folder
    closed.chmod(0)
    try:
        code, said = scan(folder / "a.py" if mode == "parent" else tmp_path)
        assert code == 2
        assert "Permission denied" in said
    finally:
        closed.chmod(0o700)


def test_a_file_that_cannot_be_opened_does_not_hide_the_others(scan, tmp_path, monkeypatch):  # noqa: F811
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text(f"k = '{SECRET_KEY}'")
    real = Path.open

    def broken(self, *args, **options):
        if self.name == "b.py":
            raise OSError(5, "Input/output error", str(self))
        return real(self, *args, **options)

    monkeypatch.setattr(Path, "open", broken)
    code, said = scan(tmp_path)
    assert code == 2
    assert "b.py: could not be read or written: Input/output error" in said
    assert said.count("secret key") == 2


def test_names_that_are_no_files(scan, tmp_path):  # noqa: F811
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("pipe", "loop", "missing"):
        code, said = scan(tmp_path / name)
        assert code == 2
        assert f"{tmp_path}/{name}: could not be read" in said


def backups(tmp_path):
    return sorted((tmp_path / "backups").iterdir())


@pytest.mark.parametrize(
    "names",
    [
        ["a%b/c.py", "a/b%c.py"],
        [f"{'x' * 120}/{'y' * 120}/{n}/{'z' * 195}.py" for n in range(3)],
        [f"{n}/{'é' * 120}.py" for n in range(2)],
    ],
)
def test_backups_do_not_overwrite_one_another(scan, tmp_path, names):  # noqa: F811
    texts = {f"k{n} = '{SECRET_KEY}'\n" for n in range(len(names))}
    for name, text in zip(names, sorted(texts), strict=True):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    code, said = scan("--fix", tmp_path / "in")
    assert code == 1
    assert f"Fixed: {len(names)} files." in said
    assert {backup.read_text() for backup in backups(tmp_path)} == texts


def test_a_second_run_keeps_the_first_backup(scan, tmp_path):  # noqa: F811
    for n in range(3):
        (tmp_path / "a.py").write_text(f"k{n} = '{SECRET_KEY}'")
        assert scan("--fix", tmp_path / "a.py")[0] == 1
    assert {backup.read_text()[:2] for backup in backups(tmp_path)} == {"k0", "k1", "k2"}


@pytest.mark.parametrize("planted", ["link", "dangling", "file"])
def test_backups_follow_no_planted_link(scan, tmp_path, planted):  # noqa: F811
    victim = tmp_path / "victim"
    if planted != "dangling":
        victim.write_text("mine")
    path = tmp_path / "a.py"
    path.write_text(f"k = '{SECRET_KEY}'")
    (tmp_path / "backups").mkdir()
    place = tmp_path / "backups" / "%".join(path.resolve().parts[1:])
    if planted == "file":
        place.write_text("mine")
    else:
        place.symlink_to(victim)
    assert "Fixed: 1 file." in scan("--fix", path)[1]
    assert not victim.exists() if planted == "dangling" else victim.read_text() == "mine"
    assert planted != "file" or place.read_text() == "mine"
    [backup] = [file for file in backups(tmp_path) if file != place]
    assert not backup.is_symlink()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert SECRET_KEY in backup.read_text()


def test_the_folder_of_backups_is_no_link(scan, tmp_path):  # noqa: F811
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "backups").symlink_to("elsewhere")
    (tmp_path / "a.py").write_text(SECRET_KEY)
    code, said = scan("--fix", tmp_path / "a.py")
    assert code == 1
    assert "not fixed: " in said
    assert "is a link" in said
    assert (tmp_path / "a.py").read_text() == SECRET_KEY
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_reasons_steer_no_terminal(scan, tmp_path):  # noqa: F811
    path = tmp_path / "\x1b[31m.txt"
    path.write_text(f"{SECRET_KEY}\n{SECRET_KEY.encode().hex()}\n")
    said = scan("--fix", path)[1]
    assert "not fixed: a secret remains in ?[31m.txt" in said
    assert "\x1b" not in said


def test_no_backup_of_an_unchanged_file(scan, tmp_path):  # noqa: F811
    (tmp_path / ".env").write_text(f"SUPABASE_KEY={SECRET_KEY}")
    (tmp_path / "a.bin").write_bytes(b"\0\1\2" + SECRET_KEY.encode())
    assert scan("--fix", tmp_path)[1].count("not fixed") == 2
    assert not (tmp_path / "backups").exists()


def test_a_fixed_file_keeps_its_mode_and_was_never_open_to_more(scan, tmp_path):  # noqa: F811
    path = tmp_path / "a.py"
    for mode in (0o600, 0o644, 0o755, 0o400):
        path.write_text(SECRET_KEY)
        path.chmod(mode)
        scan("--fix", path)
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.read_text() == "removed-secret-key"
        path.chmod(0o600)


def test_a_file_with_several_names_is_fixed_under_all_of_them(scan, tmp_path):  # noqa: F811
    (tmp_path / "project").mkdir()
    names = [tmp_path / "project" / "a.py", tmp_path / "project" / "b.py", tmp_path / "copy.py"]
    names[0].write_text(f"'{SECRET_KEY}'\n" + "x = 1\n" * 3)
    for name in names[1:]:
        name.hardlink_to(names[0])
    assert scan("--fix", tmp_path / "project")[0] == 1
    assert {name.read_text() for name in names} == {"'removed-secret-key'\n" + "x = 1\n" * 3}
    assert {name.stat().st_nlink for name in names} == {3}
    [backup] = backups(tmp_path)
    assert SECRET_KEY in backup.read_text()


@pytest.mark.parametrize("name", ["--fix", "--strict", "-h"])
def test_the_hook_never_mistakes_a_file_for_an_option(tmp_path, monkeypatch, name):
    import yaml

    from supabase_nb.cli import main

    monkeypatch.chdir(tmp_path)
    Path(name).write_text(f"k = '{SECRET_KEY}'")
    [hook] = yaml.safe_load((Path(__file__).parent.parent / ".pre-commit-hooks.yaml").read_text())
    command, *words = hook["entry"].split()
    assert command == "supabase-nb"
    # As pre-commit runs it: the entry, the arguments, the names of files.
    assert main([*words, *hook.get("args", []), name]) == 1
    assert SECRET_KEY in Path(name).read_text()


@pytest.mark.parametrize("arguments", [[""], ["a.txt", "--backup-dir", ""]], ids=["path", "backups"])
def test_an_empty_path_is_not_the_current_folder(scan, tmp_path, monkeypatch, capsys, arguments):  # noqa: F811
    """As from an unset shell variable: ``supabase-nb scan --fix "$FOLDER"``."""
    file = tmp_path / "a.txt"
    file.write_text(f"key = '{SECRET_KEY}'")
    before = file.read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        scan("--fix", *arguments)
    assert ended.value.code == 2
    assert "Pass . for the current folder" in capsys.readouterr().err
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
