"""The package in a browser: its parts from PyPI and npm, and the JupyterLite site made of them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib

ROOT = Path(__file__).parents[1]
LITE = ROOT / "lite"
BUILD = ROOT / "build" / "lite"
PINS = LITE / "requirements.txt"
# What Pyodide 314 takes: pure Python, and wheels made for it (PEP 783).
DOWNLOAD = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version=3.14"]
DOWNLOAD += ["--implementation=cp", "--abi=cp314", "--abi=none"]
DOWNLOAD += ["--platform=pyemscripten_2026_0_wasm32", "--platform=any"]


def wheels() -> Path:
    """The pinned wheels, downloaded once."""
    folder = BUILD / "wheels"
    mark = folder / "requirements.txt"
    if not mark.exists() or mark.read_bytes() != PINS.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        pip(*DOWNLOAD, "--dest", str(folder), "--requirement", str(PINS))
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


# -- the site ---------------------------------------------------------------------------------------------

# The kernel brings a stand-in for this one.
_NOT_SERVED = ("widgetsnbextension-",)
# Further notebooks that need nothing but what the page has. They get the quickstart's first cell.
NOTEBOOKS = [ROOT / "notebooks" / name for name in ("set_session.ipynb",)]
# What the kernel installs packages with.
INSTALLER = ("micropip", "packaging")
EXTENSIONS = ("@jupyterlite/pyodide-kernel-extension", "@jupyter-widgets/jupyterlab-manager", "anywidget")


def site(target: Path, *, own_pyodide: bool = False) -> Path:
    """Build the static site.

    Args:
        target: Where to; what is there is replaced.
        own_pyodide: For tests: serve npm's Pyodide with it, and load nothing from elsewhere.
    """
    stage = BUILD / f"stage-{target.name}"
    shutil.rmtree(stage, ignore_errors=True)
    (stage / "pypi").mkdir(parents=True)
    for wheel in wheels().glob("*.whl"):
        if not wheel.name.startswith(_NOT_SERVED):
            shutil.copy(wheel, stage / "pypi")
    build = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(stage / "pypi"), str(ROOT)]
    subprocess.run([sys.executable, "-m", *build], check=True)
    settings = json.loads((LITE / "jupyter-lite.json").read_text("utf-8"))
    if own_pyodide:
        _add_pyodide(stage)
        kernel = {"pyodideUrl": "./static/pyodide/pyodide.mjs", "disablePyPIFallback": True}
        plugins = {"@jupyterlite/pyodide-kernel-extension:kernel": kernel}
        settings["jupyter-config-data"] |= {"litePluginSettings": plugins, "exposeAppInBrowser": True}
    (stage / "jupyter-lite.json").write_text(json.dumps(settings), "utf-8")
    _add_notebooks(stage / "contents")
    shutil.rmtree(target, ignore_errors=True)
    extensions = Path(sys.prefix) / "share" / "jupyter" / "labextensions"
    options = [f"--LiteBuildConfig.federated_extensions={extensions / name}" for name in EXTENSIONS]
    options += ["--apps=lab", "--no-sourcemaps", "--no-unused-shared-packages", "--no-libarchive"]
    options += ["--ignore-sys-prefix", "--contents=contents", f"--output-dir={target.resolve()}"]
    command = [sys.executable, "-m", "jupyter", "lite", "build", f"--lite-dir={stage}", *options]
    built = subprocess.run(command, cwd=stage, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if built.returncode:
        raise SystemExit(f"JupyterLite could not build the site:\n{built.stdout}")
    shutil.copy(LITE / "index.html", target)
    return target


def _add_pyodide(stage: Path) -> None:
    """Pyodide, and a lock that names what it needs to install wheels with."""
    folder = stage / "static" / "pyodide"
    folder.mkdir(parents=True)
    for name in ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "package.json"):
        shutil.copy(pyodide() / name, folder)
    lock = json.loads((pyodide() / "pyodide-lock.json").read_text("utf-8"))
    needed = BUILD / "installer"
    if not needed.exists():
        versions = [f"{name}=={lock['packages'][name]['version']}" for name in INSTALLER]
        pip(*DOWNLOAD, "--dest", str(needed), *versions)
    named = {}
    for wheel in [*needed.glob("*.whl"), *wheels().glob("pydantic_core-*.whl")]:
        shutil.copy(wheel, folder)
        name, version = wheel.name.split("-")[:2]
        named[name.replace("_", "-")] = {
            "name": name.replace("_", "-"),
            "version": version,
            "file_name": wheel.name,
            "install_dir": "site",
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
            "package_type": "package",
            "imports": [name],
            "depends": ["packaging"] if name == "micropip" else [],
        }
    lock["packages"] = named
    (folder / "pyodide-lock.json").write_text(json.dumps(lock), "utf-8")


def _add_notebooks(folder: Path) -> None:
    folder.mkdir()
    quickstart = json.loads((LITE / "quickstart.ipynb").read_text("utf-8"))
    install = next(cell for cell in quickstart["cells"] if cell["id"] == "install")
    (folder / "quickstart.ipynb").write_text(json.dumps(quickstart), "utf-8")
    for path in filter(Path.exists, NOTEBOOKS):
        notebook = json.loads(path.read_text("utf-8"))
        notebook["cells"].insert(0, install)
        notebook["metadata"] = quickstart["metadata"]
        (folder / path.name).write_text(json.dumps(notebook), "utf-8")


def pin() -> None:
    """Write `lite/requirements.txt` anew: the newest versions of what the package needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    chosen = [line for line in [*extras["data"], *extras["demo"]] if re.match("postgrest|starlette", line)]
    # uv does not know this platform's wheels yet: of pydantic-core it reads the source's metadata instead.
    command = ["uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header", "--only-binary=:all:"]
    command += [
        "--no-binary=pydantic-core",
        "--python-platform=wasm32-pyodide2025",
        "--python-version=3.14",
        "-",
    ]
    wanted = "\n".join([*project["dependencies"], *chosen, "ecdsa"])
    found = subprocess.run(
        [sys.executable, "-m", *command], input=wanted, stdout=subprocess.PIPE, text=True, check=True
    )
    first = PINS.read_text("utf-8").partition("\n")[0]
    PINS.write_text(f"{first}\n{found.stdout}", "utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "pin":
        pin()
    else:
        print(site(Path(sys.argv[1])))
