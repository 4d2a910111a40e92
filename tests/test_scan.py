import argparse
import base64
import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supabase_nb._scan import add_parser, find
from supabase_nb._scan import scanner as scan_files
from supabase_nb._scan.detection import replace

V2 = "ACJlgyS7J0mni-J7DfPrK9wCjujWOYq62DhrzODmVxXaEzooyQ4"  # tests/wire/rotation-v2-refresh-tokens.json
V1 = "vt2ehksbqlrt"
SECRET_KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"
MINE = {"iss": "https://abcd.supabase.co/auth/v1", "sub": "11111111-1111-4111-8111-111111111111"}


def signed(**claims):
    return jwt.encode(claims, "0" * 32, algorithm="HS256")


ACCESS = signed(
    **MINE, role="authenticated", session_id="22222222-2222-4222-8222-222222222222", exp=1700000000
)
SERVICE = signed(iss="supabase", ref="abcd", role="service_role", exp=2**32)
ANON = signed(iss="supabase", ref="abcd", role="anon", exp=2**32)
OTHER = signed(iss="https://accounts.example.com", sub="1", aud="x")
COOKIE = (
    base64.urlsafe_b64encode(json.dumps({"access_token": ACCESS, "refresh_token": V1}).encode())
    .decode()
    .rstrip("=")
)
ALL = (ACCESS, SERVICE, SECRET_KEY, V1, V2)


def kinds(text, **options):
    return [finding.kind for finding in find(text, **options)]


@pytest.fixture
def scan(capsys, tmp_path):
    """Run `supabase-nb scan` with these arguments: the exit code and the output."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())

    def run(*arguments):
        options = ["--backup-dir", str(tmp_path / "backups")] if "--fix" in arguments else []
        args = parser.parse_args(["scan", *options, *map(str, arguments)])
        code = args.run(args)
        out, err = capsys.readouterr()
        for secret in (*ALL, ANON, OTHER, COOKIE):
            assert secret not in out + err
        return code, out + err

    return run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ACCESS, ["access token"]),
        (f'at = "{ACCESS}"', ["access token"]),
        (f"Authorization: Bearer {SERVICE}", ["service_role key"]),
        (signed(**MINE, role="postgres"), ["access token"]),
        (signed(role="postgres"), ["postgres key"]),
        (signed(role="\x1b[31m" + "x" * 99), ["??31m" + "x" * 35 + " key"]),
        (f"SUPABASE_KEY={SECRET_KEY}", ["secret key"]),
        ("sbp_" + "0123456789" * 4, ["personal access token"]),
        (f"base64-{COOKIE}", ["session cookie"]),
        (f'{{"access_token": "{ACCESS}", "refresh_token": "{V1}"}}', ["access token", "refresh token"]),
        (json.dumps(json.dumps({"refresh_token": V1})), ["refresh token"]),
        (f"/#access_token={ACCESS}&refresh_token={V1}&type=magiclink", ["access token", "refresh token"]),
        (f"refresh_token={V1}", ["refresh token"]),
        (f"refreshToken: '{V2}'", ["refresh token"]),
        ("refresh_token = 'abcdefghijkl'", ["refresh token"]),
        ("REFRESH_TOKEN=h9wIY6p3dZ0QkX2mVtRb4A", ["refresh token"]),
        (f'set_session("{ACCESS}", "abcdefghijkl")', ["access token", "refresh token"]),
        (f"%supabase_set_session {ACCESS} {V1}", ["access token", "refresh token"]),
        (f'at = "{ACCESS}"\nrt = "{V1}"', ["access token", "refresh token"]),
        (f'rt = "{V2}"\nat = "{ACCESS}"', ["refresh token", "access token"]),
        ('"provider_token": "ya29.a0AfH6SMBx"', ["provider token"]),
        ("SUPABASE_JWT_SECRET=" + "a1B2c3D4" * 5, ["JWT secret"]),
    ],
)  # fmt: skip
def test_kinds_of_secrets(text, expected):
    assert kinds(text) == expected
    assert not find(replace(text)), "a placeholder is no secret"


@pytest.mark.parametrize(
    "text",
    [
        ANON,
        OTHER,
        "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH",
        "eyJ",
        "eyJhbGciOiJIUzI1NiJ9.bm90anNvbm5vdGpzb24.c2lnbmF0dXJlc2lnbmF0dXJl",
        'set_session(access_token, refresh_token="your-refresh-token-here")',
        "refresh_token=refresh_token_of_the_user",
        "refresh_token = session.refresh_token",
        "refresh_token: str | None = None",
        "def refresh_tokens(self): ...",
        'refresh_token = "…"',
        'refresh_token = "xxxxxxxxxxxx"',
        f'word = "{V1}"',
        "The token eyJ… is a secret",
        # A line of a certificate: it would be a session's id and a counter, but the checksum is wrong.
        "zx3c\nAMgfpnnP6ExcmUNR87xHpfzIzjuRlnwYXCucDb1DKOXwx5SDLMEcw4ZCsT1WJJzY\nhQ1/",
    ],
)
def test_other_text_is_not_reported(text):
    assert kinds(text) == []


def test_public_keys_and_other_jwts_count_when_asked_for():
    assert kinds(f"{ANON} {OTHER} sb_publishable_ACJWlzQHlZjBrEguHvfOxg", strict=True) == [
        "anon key", "JWT", "publishable key"
    ]  # fmt: skip


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_read(text):
    for finding in find(text, strict=True):
        assert 0 <= finding.start < finding.end <= len(text)
    replace(f"{text}{ACCESS}{text}")


def test_a_finding_has_the_project_and_expiry():
    assert [finding.detail for finding in find(f"{ACCESS} {SERVICE}")] == [
        "project abcd, expired 2023-11-14",
        "project abcd, valid until 2106-02-07",
    ]


def notebook(**changes):
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Notes\n", "nothing here"]},
        {
            "cell_type": "code", "id": "b", "metadata": {"tags": ["one", "two"]}, "execution_count": 1,
            "source": ["import os\n", "print(1)"],
            "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n"]}],
        },
    ]  # fmt: skip
    return {
        "cells": cells,
        "metadata": {"kernelspec": {"name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
        **changes,
    }


def in_source(nb):
    nb["cells"][1]["source"] = [f'%supabase_set_session "{ACCESS}" \\\n', f'  "{V1}"\n', "print(1)"]


def in_source_text(nb):
    nb["cells"][0]["source"] = f"the key is {SECRET_KEY}."


def in_stream(nb):
    # Jupyter saves a long line in one piece, but a stream arrives in pieces.
    nb["cells"][1]["outputs"].insert(
        0, {"output_type": "stream", "name": "stdout", "text": [ACCESS[:50], ACCESS[50:]]}
    )


def in_result(nb):
    data = {"text/plain": ["Session(\n", f" refresh_token='{V1}')"]}
    nb["cells"][1]["outputs"] = [
        {"output_type": "execute_result", "execution_count": 1, "metadata": {}, "data": data}
    ]


def in_error(nb):
    nb["cells"][1]["outputs"] = [{"output_type": "error", "ename": "E", "evalue": SERVICE, "traceback": []}]


def in_attachment(nb):
    nb["cells"][0]["attachments"] = {
        "a.txt": {"text/plain": base64.b64encode(f"key: {SERVICE}".encode()).decode()}
    }


def in_cell_metadata(nb):
    nb["cells"][1]["metadata"]["app"] = {"refresh_token": V1, "n": 1}


def in_metadata(nb):
    nb["metadata"]["refresh_token"] = V1


def in_metadata_key(nb):
    nb["metadata"][SECRET_KEY] = 1


WIDGETS = "application/vnd.jupyter.widget-state+json"


def widget_state(nb, model):
    other = {"model_name": "IntSliderModel", "state": {"value": 3}}
    nb["metadata"]["widgets"] = {WIDGETS: {"version_major": 2, "state": {"aaaa": model, "bbbb": other}}}


def in_widget(nb):
    widget_state(nb, {"model_name": "TextModel", "state": {"access_token": ACCESS, "refresh_token": V1}})


def in_widget_buffer(nb):
    data = base64.b64encode(f'{{"refresh_token":"{V1}"}}'.encode()).decode()
    widget_state(nb, {"state": {}, "buffers": [{"data": data, "encoding": "base64", "path": ["x"]}]})


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (in_source, "cell 2, source: refresh token (next to an access token)"),
        (in_source_text, "cell 1, source: secret key"),
        (in_stream, "cell 2, output 1: access token (project abcd, expired 2023-11-14)"),
        (in_result, "cell 2, output 1: refresh token"),
        (in_error, "cell 2, output 1: service_role key (project abcd, valid until 2106-02-07)"),
        (in_attachment, "cell 1, attachment: service_role key"),
        (in_cell_metadata, "cell 2, metadata: refresh token"),
        (in_metadata, "notebook, refresh_token: refresh token"),
        (in_metadata_key, "notebook, •••: secret key"),
        (in_widget, "widget state, model aaaa: refresh token"),
        (in_widget_buffer, "widget state, model aaaa: refresh token"),
    ],
)
def test_notebooks(scan, tmp_path, plant, place):
    clean, planted = notebook(), notebook()
    plant(planted)
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(planted, indent=1))
    path.chmod(0o640)
    code, said = scan(path)
    assert code == 1
    assert f"{path}: {place}" in said

    code, said = scan("--fix", path)
    assert code == 1
    assert "Fixed: 1 file." in said
    assert scan(path) == (0, "")
    fixed = json.loads(path.read_text())
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(fixed["cells"]) == len(clean["cells"])
    if plant is in_source:
        assert fixed["cells"][1]["source"][2] == "print(1)"
    if plant is in_stream:
        assert fixed == clean
    if plant is in_cell_metadata:
        assert fixed["cells"][1]["metadata"] == {
            "tags": ["one", "two"],
            "app": {"refresh_token": "removed-refresh-token", "n": 1},
        }
    if plant in (in_widget, in_widget_buffer):
        assert list(fixed["metadata"]["widgets"][WIDGETS]["state"]) == ["bbbb"]
    [backup] = (tmp_path / "backups").iterdir()
    assert json.loads(backup.read_text()) == planted
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700


def test_other_bytes_do_not_change(scan, tmp_path):
    planted = notebook()
    planted["cells"][1]["source"] = [f"k = '{SECRET_KEY}'  # ä\n"]
    path = tmp_path / "a.ipynb"
    before = json.dumps(planted, indent=1, ensure_ascii=False) + "\n"
    path.write_text(before, encoding="utf-8")
    scan("--fix", path)
    assert path.read_text(encoding="utf-8") == before.replace(SECRET_KEY, "removed-secret-key")


def test_a_notebook_of_version_3(scan, tmp_path):
    cell = {"cell_type": "code", "input": [f"k = '{SECRET_KEY}'"], "outputs": []}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"worksheets": [{"cells": [cell]}], "nbformat": 3, "metadata": {}}))
    assert "cell 1, source: secret key" in scan("--fix", path)[1]
    assert scan(path)[0] == 0


@pytest.mark.parametrize(
    "content", ["not JSON: ", "[1, ", '["', '{"cells": {"0": 3}, "metadata": [], "x": "', '{"cells": ["']
)
def test_a_notebook_that_is_none_is_read_as_text_or_json(scan, tmp_path, content):
    path = tmp_path / "a.ipynb"
    path.write_text(content + SECRET_KEY)
    assert scan(path)[0] == 1
    assert scan("--fix", path)[0] == 1
    assert scan(path) == (0, "")


@pytest.mark.parametrize(
    "content",
    [
        '{"cells": "@"}',
        '{"cells": ["@"]}',
        '{"cells": {"0": "@"}}',
        '{"cells": [["@"]]}',
        '{"cells": null, "metadata": "@"}',
        '{"cells": [], "metadata": ["@"]}',
        '{"cells": [], "metadata": {"widgets": {"state": "@"}}}',
        '{"cells": [], "metadata": {"widgets": "@"}}',
        '{"worksheets": "@"}',
        '{"worksheets": ["@"]}',
        '{"worksheets": [{"cells": ["@"]}]}',
        '{"worksheets": [{"cells": "@"}]}',
        '{"worksheets": [{"metadata": "@"}]}',
        '{"worksheets": [{"metadata": {"name": "@"}, "cells": []}]}',
    ],
)
def test_a_secret_in_the_place_of_cells_or_metadata_is_found(scan, tmp_path, content):
    path = tmp_path / "a.ipynb"
    path.write_text(content.replace("@", ACCESS))
    status, output = scan(path)
    assert (status, "access token" in output) == (1, True)
    scan("--fix", path)
    assert scan(path) == (0, "")
    json.loads(path.read_text())


def test_texts_keep_their_bytes_and_line_ends(scan, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"caf\xe9\r\n\r\nkey: " + SECRET_KEY.encode() + b"\r\n\xff\n")
    code, said = scan("--fix", path)
    assert code == 1
    assert f"{path}: line 3: secret key\n" in said
    assert path.read_bytes() == b"caf\xe9\r\n\r\nkey: removed-secret-key\r\n\xff\n"


def test_utf_16_as_powershell_writes_it(scan, tmp_path):
    path = tmp_path / "out.txt"
    path.write_text(f"\n{ACCESS}\n", encoding="utf-16")
    assert "line 2: access token" in scan("--fix", path)[1]
    assert scan(path) == (0, "")
    assert path.read_text(encoding="utf-16") == "\nremoved-access-token\n"


@pytest.mark.parametrize("shift", range(0, 6000, 379))
def test_secrets_across_blocks_are_found_once(monkeypatch, tmp_path, shift):
    monkeypatch.setattr(scan_files, "_BLOCK", 1000)
    monkeypatch.setattr(scan_files, "LONGEST", 2000)
    path = tmp_path / "log.txt"
    line = "x" * 99 + "\n"
    path.write_text("y" * shift + "\n" + 30 * line + f'"{ACCESS}", "{V1}"\n' + 30 * line + SECRET_KEY + "\n")
    assert [(hit.place, hit.finding.kind) for hit in scan_files.scan(path)] == [
        ("line 32", "access token"),
        ("line 32", "refresh token"),
        ("line 63", "secret key"),
    ]


def test_binary_files_are_read_and_never_rewritten(scan, tmp_path):
    path = tmp_path / "session.pkl"
    before = b"\x80\x04\x95\0\0" + ACCESS.encode() + b"\0"
    path.write_bytes(before)
    code, said = scan("--fix", path)
    assert code == 1
    assert "session.pkl: byte 5: access token" in said
    assert "not fixed: a binary file" in said
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [".env", ".env.local", "sb-abcd-auth-token.json"])
def test_files_meant_for_secrets_are_reported_and_kept(scan, tmp_path, name):
    path = tmp_path / name
    path.write_text(f"SUPABASE_KEY={SECRET_KEY}")
    code, said = scan("--fix", tmp_path)
    assert code == 1
    assert "not fixed: this file is meant to contain secrets" in said
    assert SECRET_KEY in path.read_text()


def history(path, *sources, wal=False):
    """A history as IPython writes it (without `secure_delete`)."""
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode = WAL")
    columns = "session integer, line integer, source text, source_raw text, PRIMARY KEY (session, line)"
    connection.execute(f"CREATE TABLE history ({columns})")
    connection.executemany(
        "INSERT INTO history VALUES (1, ?, ?, ?)", [(n, text, text) for n, text in enumerate(sources, 1)]
    )
    connection.commit()
    return connection


@pytest.mark.parametrize("wal", [False, True])
def test_histories(scan, tmp_path, wal):
    path = tmp_path / "history.sqlite"
    long = f"x = 1 # é\n{'#' * 9000}\n%supabase_set_session '{ACCESS}' '{V1}'"
    with closing(history(path, "import os", long, wal=wal)) as kernel:
        code, said = scan(path)
        assert code == 1
        assert f"{path}: session 1, line 2 (source_raw): refresh token (next to an access token)" in said
        scan("--fix", path)
        assert scan(path) == (0, "")
        rows = kernel.execute("SELECT source FROM history ORDER BY line").fetchall()
        assert rows == [("import os",), (replace(long),)]
        held = b"".join(side.read_bytes() for side in tmp_path.glob("history.sqlite*"))
        assert ACCESS.encode() not in held
        assert V1.encode() not in held
    [backup] = (tmp_path / "backups").iterdir()
    with closing(sqlite3.connect(backup)) as copied:
        assert copied.execute("SELECT source_raw FROM history WHERE line = 2").fetchone() == (long,)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600


def test_what_a_database_has_deleted_but_not_wiped(scan, tmp_path):
    path = tmp_path / "history.sqlite"
    with closing(history(path, *["x" * 500] * 20, SECRET_KEY)) as kernel:
        kernel.execute("PRAGMA secure_delete = OFF")
        kernel.execute("DELETE FROM history")
        kernel.commit()
    code, said = scan("--fix", path)
    assert code == 1
    assert "in no row: secret key" in said
    assert scan(path) == (0, "")


def test_blobs_and_odd_tables(scan, tmp_path):
    path = tmp_path / "any.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('CREATE TABLE "a ""é" (b blob)')
        connection.execute('INSERT INTO "a ""é" VALUES (?)', (b"\xff" + SECRET_KEY.encode(),))
        connection.execute("CREATE TABLE bare (k text PRIMARY KEY) WITHOUT ROWID")
        connection.commit()
    assert scan("--fix", path)[0] == 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute('SELECT b FROM "a ""é"').fetchone() == (b"\xffremoved-secret-key",)


def test_a_damaged_database_is_read_and_left(scan, tmp_path):
    path = tmp_path / "history.sqlite"
    before = b"SQLite format 3\0" + b"?" * 600 + SECRET_KEY.encode()
    path.write_bytes(before)
    code, said = scan("--fix", path)
    assert code != 0
    assert "secret key" in said
    assert path.read_bytes() == before


def test_folders(scan, tmp_path):
    (tmp_path / "in" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "in" / ".git").mkdir()
    for name in ("a.py", ".ipynb_checkpoints/a-checkpoint.ipynb", ".git/config"):
        (tmp_path / "in" / name).write_text(f"k = '{SECRET_KEY}'")
    (tmp_path / "in" / "link").symlink_to("a.py")
    os.mkfifo(tmp_path / "in" / "pipe")
    code, said = scan(tmp_path / "in", tmp_path / "in" / "a.py")
    assert code == 1
    named = [line.split(": ")[0] for line in said.splitlines() if "secret key" in line]
    assert named == [f"{tmp_path}/in/a.py", f"{tmp_path}/in/.ipynb_checkpoints/a-checkpoint.ipynb"]


def test_a_link_named_outright_stays_a_link(scan, tmp_path):
    (tmp_path / "a.py").write_text(SECRET_KEY)
    (tmp_path / "b.py").symlink_to("a.py")
    scan("--fix", tmp_path / "b.py")
    assert (tmp_path / "b.py").is_symlink()
    assert (tmp_path / "a.py").read_text() == "removed-secret-key"


def test_unreadable_files_are_reported_with_exit_code_2(scan, tmp_path):
    code, said = scan(tmp_path / "none")
    assert code == 2
    assert "could not be read or written: No such file" in said


def test_names_of_files_show_no_secret_and_steer_no_terminal(scan, tmp_path):
    path = tmp_path / f"\x1b[31m{SECRET_KEY}.txt"
    path.write_text(SECRET_KEY)
    code, said = scan(tmp_path)
    assert code == 1
    assert "?[31m•••" in said
    assert "\x1b" not in said


def test_the_same_find_twice_is_one_line(scan, tmp_path):
    (tmp_path / "a.txt").write_text(f"{SECRET_KEY} {SECRET_KEY}")
    assert "line 1: secret key, 2 times" in scan(tmp_path)[1]


def test_importing_it_loads_nothing_heavy():
    heavy = {"httpx", "IPython", "anywidget", "traitlets", "platformdirs"}
    code = f"import sys, supabase_nb._scan; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_hook_that_pre_commit_offers():
    from pre_commit.clientlib import load_manifest

    [hook] = load_manifest(Path(__file__).parent.parent / ".pre-commit-hooks.yaml")
    assert hook["id"] == "supabase-nb-scan"
    command, *arguments = hook["entry"].split()
    parser = argparse.ArgumentParser(command)
    add_parser(parser.add_subparsers())
    assert parser.parse_args([*arguments, *hook["args"], "a.ipynb"]).paths == [Path("a.ipynb")]


def test_the_command_line_repeats_no_token_in_its_errors(capsys):
    from supabase_nb.cli import main

    for words in (["scan", "a", "--key", ACCESS], ["scan", f"--{SECRET_KEY}"], [SERVICE]):
        with pytest.raises(SystemExit):
            main(words)
        said = capsys.readouterr().err
        assert "error:" in said
        assert not any(secret in said for secret in ALL)
