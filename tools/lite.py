"""The package in a browser: its parts from PyPI and npm, and the JupyterLite site made of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LITE = ROOT / "lite"
BUILD = ROOT / "build" / "lite"
PINS = LITE / "requirements.txt"
# What Pyodide 314 takes (PEP 783), besides pure Python.
PLATFORM = ["--python-version=3.14", "--implementation=cp", "--abi=cp314", "--abi=none"]
PLATFORM += ["--platform=pyemscripten_2026_0_wasm32", "--platform=any"]


def wheels() -> Path:
    """The pinned wheels, downloaded once."""
    folder = BUILD / "wheels"
    mark = folder / "requirements.txt"
    if not mark.exists() or mark.read_bytes() != PINS.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        download = ["download", "--quiet", "--no-deps", "--only-binary=:all:", *PLATFORM]
        pip(*download, "--dest", str(folder), "--requirement", str(PINS))
        shutil.copy(PINS, mark)
    return folder


def packages() -> Path:
    """The pinned wheels, unpacked: a folder for `sys.path`."""
    source, folder = wheels(), BUILD / "packages"
    mark = folder / "requirements.txt"
    if not mark.exists() or mark.read_bytes() != PINS.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        for wheel in source.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        shutil.copy(PINS, mark)
    return folder


def pyodide() -> Path:
    """Pyodide from npm, of the version that `lite/package.json` names."""
    folder = BUILD / "node_modules" / "pyodide"
    wanted = json.loads((LITE / "package.json").read_text("utf-8"))["dependencies"]["pyodide"]
    installed = folder / "package.json"
    if not installed.exists() or json.loads(installed.read_text("utf-8"))["version"] != wanted:
        BUILD.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", ".npmrc"):
            shutil.copy(LITE / name, BUILD)
        subprocess.run(["npm", "install", "--silent"], cwd=BUILD, check=True, timeout=300)
    return folder


def pip(*arguments: str) -> None:
    """Run pip of this environment."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)
