"""Releases: the wheel and the sdist build reproducibly, install on their own, and work."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import supabase_nb

ROOT = Path(__file__).parents[1]
UV = [sys.executable, "-m", "uv"]
#: What the times in both archives are, in Unix seconds.
EPOCH = "1700000000"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(folder: Path) -> dict[str, Path]:
    """The wheel and the sdist, by the ending of their names; built from a copy of the checkout."""
    copy = folder / "checkout"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".*cache*", ".venv", "node_modules"))
    run(*UV, "build", "--quiet", "--out-dir", folder, folder=copy, SOURCE_DATE_EPOCH=EPOCH)
    return {file.suffix: file for file in folder.iterdir() if file.suffix in (".whl", ".gz")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, built: dict[str, Path]) -> Path:
    """A new environment with nothing in it but the wheel and what it needs. The checkout is out of reach."""
    folder = tmp_path_factory.mktemp("empty") / "environment"
    run(*UV, "venv", "--quiet", "--python", sys.executable, folder, folder=ROOT)
    wheel = f"{built['.whl']}[demo]"
    python = folder / "bin" / "python"
    run(*UV, "pip", "install", "--quiet", "--python", python, wheel, folder=folder)
    return folder


def test_builds_reproducibly(built: dict[str, Path], tmp_path: Path) -> None:
    # Elsewhere, of files with other times, in another time zone.
    source = tmp_path / "source"
    shutil.copytree(built[".whl"].parent / "checkout", source, copy_function=shutil.copyfile)
    for name in ("tools", "binder"):
        for file in (source / name).iterdir():
            file.chmod((built[".whl"].parent / "checkout" / name / file.name).stat().st_mode)
    run(
        *UV,
        "build",
        "--quiet",
        "--out-dir",
        tmp_path,
        folder=source,
        SOURCE_DATE_EPOCH=EPOCH,
        TZ="Asia/Tokyo",
    )
    again = {file.suffix: file for file in tmp_path.iterdir() if file.suffix in (".whl", ".gz")}
    assert set(built) == set(again) == {".whl", ".gz"}
    for ending, file in built.items():
        assert digest(file) == digest(again[ending]), file.name


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_wheel_contains_only_the_package(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = set(wheel.namelist())
    package = {name for name in names if not name.partition("/")[0].endswith((".dist-info", ".data"))}
    files = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "supabase_nb").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert package == files
    assert any(name.endswith("static/widgets.mjs") for name in package)
    assert "supabase_nb/py.typed" in package
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_jupyterlab_finds_the_status_bar_extension(environment: Path) -> None:
    folder = environment / "share" / "jupyter" / "labextensions" / "supabase-nb"
    described = json.loads((folder / "package.json").read_text())
    assert described["version"] == supabase_nb.__version__
    assert (folder / described["jupyterlab"]["_build"]["load"]).is_file()


def test_the_sdist_builds_the_same_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.md", "CHANGELOG.md", "LICENSE", "notebooks/quickstart.ipynb", "pyproject.toml"} <= names
    run(
        *UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, built[".gz"],
        folder=tmp_path, SOURCE_DATE_EPOCH=EPOCH,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    assert digest(wheel) == digest(built[".whl"])


def test_version(built: dict[str, Path], environment: Path, tmp_path: Path) -> None:
    version = supabase_nb.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+|\.dev\d+)?", version), "semantic"
    assert f"-{version}-" in built[".whl"].name
    said = run(environment / "bin" / "supabase-nb", "--version", folder=tmp_path)
    assert said == f"supabase-nb {version}\n"
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] in ("Unreleased", version)


#: In a new environment, far from the checkout: the magics, the displays with their files, a session.
SESSION = """
import pathlib, sys
import supabase_nb
assert pathlib.Path(supabase_nb.__file__).is_relative_to(sys.prefix), supabase_nb.__file__
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "supabase_nb")
shell.run_line_magic("supabase_connect", "--demo")
server = supabase_nb.demo.find_server()
at, rt = server.copied_tokens()
shell.run_line_magic("supabase_set_session", "at rt")
client = shell.user_ns["supabase"]
assert client.auth.user.email == "ada@example.com", client.auth.status
assert len(client.panel._esm) > 5000 and "sb-badge" in client.panel._css
assert "sb-snap" in supabase_nb.notebook._displays.fallback.html(supabase_nb.notebook._displays.view.describe(client.auth))
client.close()
print("all is well")
"""


def test_works_from_an_empty_environment(environment: Path, tmp_path: Path) -> None:
    own = {
        "SUPABASE_NB_DEMO_STATE": str(tmp_path / "demo"),
        "SUPABASE_NB_SESSIONS": str(tmp_path / "sessions"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "PYTHONPATH": "",
        "PYTHONWARNINGS": "error",
    }
    try:
        said = run(environment / "bin" / "python", "-c", SESSION, folder=tmp_path, **own)
    finally:
        run(environment / "bin" / "supabase-nb", "stop", folder=tmp_path, **own)
    assert said.endswith("all is well\n")


def test_missing_extras_are_named_in_the_error(environment: Path, tmp_path: Path) -> None:
    code = (
        "import supabase_nb\n"
        "client = supabase_nb.create_client('https://abcd.supabase.co', 'sb_publishable_x')\n"
        "for use in (lambda: client.table('t'), lambda: client.storage, lambda: client.functions,\n"
        "            lambda: client.realtime, supabase_nb.KeyringStorage):\n"
        "    try: use()\n"
        "    except (ImportError, supabase_nb.AuthStorageError) as error: print(error)\n"
    )
    said = run(environment / "bin" / "python", "-c", code, folder=tmp_path).splitlines()
    assert len(said) == 5
    assert all('pip install "supabase-nb[' in line for line in said)


def test_the_test_files_for_the_lowest_versions_exist() -> None:
    named = re.findall(r"tests/[\w./]+", (ROOT / "tools/lowest").read_text())
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []
