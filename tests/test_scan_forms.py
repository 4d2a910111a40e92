"""`supabase-nb scan --fix`: tokens in every form that files contain, and nothing else changes."""

import base64
import html
import json
import sqlite3
import urllib.parse
from contextlib import closing

import pytest

from tests.test_scan import ACCESS, SECRET_KEY, V1, V2, scan, signed  # noqa: F401

LETTERS = "bqtfkzxwmnhd"  # every twelfth version 1 token has no digit
SESSION = {"access_token": ACCESS, "refresh_token": "RT", "token_type": "bearer", "expires_in": 3600}


def session(refresh):
    return json.dumps({**SESSION, "refresh_token": refresh}, separators=(",", ":"))


def encoded(refresh):
    return base64.urlsafe_b64encode(session(refresh).encode()).decode().rstrip("=")


def highlighted(code):
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return highlight(code, PythonLexer(), HtmlFormatter())


def cookie_parts(refresh, cut):
    value = f"base64-{encoded(refresh)}"
    return value[:cut], value[cut:]


FORMS = {
    "HTML entities": lambda rt: html.escape(f'{{"access_token": "{ACCESS}", "refresh_token": "{rt}"}}'),
    "numeric entities": lambda rt: f"at = &#34;{ACCESS}&#34;\nrt = &#x22;{rt}&#x22;",
    "highlighted strings": lambda rt: highlighted(f'at = "{ACCESS}"\nrt = "{rt}"'),
    "highlighted call": lambda rt: highlighted(f'supabase.auth.set_session("{ACCESS}", "{rt}")'),
    "highlighted words": lambda rt: highlighted(f"%supabase_set_session {ACCESS} {rt}"),
    "table": lambda rt: f"<tr><td>access</td><td>{ACCESS}</td></tr><tr><td>rt:</td><td>{rt}</td></tr>",
    "URL-encoded": lambda rt: "session=" + urllib.parse.quote(session(rt)),
    "URL-encoded twice": lambda rt: "u=" + urllib.parse.quote(urllib.parse.quote(session(rt))),
    "URL-encoded in HTML in JSON": lambda rt: json.dumps(html.escape(urllib.parse.quote(session(rt)))),
    "address": lambda rt: f"https://app.example.com/#access_token={ACCESS}&refresh_token={rt}&type=x",
    "address in HTML": lambda rt: f'<a href="https://a/#access_token={ACCESS}&amp;refresh_token={rt}">',
    "YAML": lambda rt: f"supabase:\n  at: {ACCESS}\n  rt: {rt}\n  other: transactions\n",
    "arguments": lambda rt: f"papermill in.ipynb out.ipynb -p at {ACCESS} -p rt {rt}",
    "long options": lambda rt: f"run --access-token {ACCESS} --refresh-token {rt}",
    "comment": lambda rt: f"# at {ACCESS} rt {rt}\nx = 1\n",
    "environment": lambda rt: f"SB_ACCESS_TOKEN={ACCESS}\nSB_REFRESH_TOKEN={rt}\n",
    "labels": lambda rt: f"Access token: {ACCESS}\nRefresh token: {rt}\n",
    "labels in Markdown": lambda rt: f"Access token: `{ACCESS}`\n\nRefresh token: `{rt}`\n",
    "labels, the other first": lambda rt: f"refresh token: {rt}\naccess token: {ACCESS}",
    "assignment of two": lambda rt: f'at, rt = "{ACCESS}", "{rt}"\n',
    "bytes": lambda rt: f'pair = (b"{ACCESS}", b"{rt}")',
    "two lines": lambda rt: f'set_session(\n    "{ACCESS}",\n    "{rt}",\n)',
    "magic in a history": lambda rt: f"get_ipython().run_line_magic('supabase_set_session', '{ACCESS} {rt}')",
    "JSON in JSON in JSON": lambda rt: json.dumps({"a": json.dumps({"b": json.dumps({"c": session(rt)})})}),
    "JSON with \\u0022": lambda rt: json.dumps(session(rt)).replace('\\"', "\\u0022"),
    "coloured": lambda rt: f'\x1b[0;32mat\x1b[0m = \x1b[34m"{ACCESS}"\x1b[0m, \x1b[34m"{rt}"\x1b[0m',
    "cookie": lambda rt: f"sb-abcd-auth-token=base64-{encoded(rt)}; path=/",
    "cookie, old": lambda rt: f"Cookie: sb-abcd-auth-token={urllib.parse.quote(session(rt))}",
    "cookie in two parts": lambda rt: "; ".join(
        f"sb-abcd-auth-token.{n}={part}" for n, part in enumerate(cookie_parts(rt, 400))
    ),
    "cookie's parts as a table": lambda rt: "\n".join(
        f"sb-abcd-auth-token.{n}\t{part}\t.abcd.co\t/" for n, part in enumerate(cookie_parts(rt, 300))
    ),
    "cookie's parts as exported": lambda rt: json.dumps(
        [
            {"name": f"sb-abcd-auth-token.{n}", "path": "/", "secure": True, "value": part}
            for n, part in enumerate(cookie_parts(rt, 500))
        ]
    ),
    "cookie's parts, no names": lambda rt: " ".join(cookie_parts(rt, 301)),
    "base64": lambda rt: "data:text/plain;base64," + base64.b64encode(session(rt).encode()).decode(),
}


@pytest.mark.parametrize("refresh", [V1, LETTERS, V2], ids=["v1", "v1-letters", "v2"])
@pytest.mark.parametrize("form", FORMS)
def test_forms(scan, tmp_path, form, refresh):  # noqa: F811
    path = tmp_path / "a.txt"
    path.write_text(f"before transactions\n{FORMS[form](refresh)}\nafter subscription\n")
    assert scan("--fix", path)[0] == 1
    fixed = path.read_text()
    for secret in (ACCESS, refresh, encoded(refresh)[:100], encoded(refresh)[-40:]):
        assert secret not in fixed, fixed
    assert fixed.startswith("before transactions\n")
    assert fixed.endswith("\nafter subscription\n")
    assert scan(path) == (0, "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings(scan, tmp_path, encoding, newline):  # noqa: F811
    path = tmp_path / "out.txt"
    for refresh in (V1, LETTERS):
        text = "cafés\n\nat: {}\nrt: {}\nand transactions é".replace("\n", newline)
        path.write_bytes(text.format(ACCESS, refresh).encode(encoding))
        code, said = scan("--fix", path)
        assert code == 1
        assert f"{path}: line 3: access token" in said
        assert f"{path}: line 4: refresh token" in said
        expected = text.format("removed-access-token", "removed-refresh-token")
        assert path.read_bytes() == expected.encode(encoding)
        assert scan(path) == (0, "")


def test_utf_16_of_other_scripts(scan, tmp_path):  # noqa: F811
    path = tmp_path / "out.txt"
    before = "令牌上下\n上 refresh_token: '{}' 令牌\n" + "English as well, and more of it. " * 4
    path.write_bytes(b"\xff\xfe" + before.format(V1).encode("utf-16-le"))
    assert "line 2: refresh token" in scan("--fix", path)[1]
    assert path.read_bytes()[2:].decode("utf-16-le") == before.format("removed-refresh-token")


def test_utf_32(scan, tmp_path):  # noqa: F811
    path = tmp_path / "out.txt"
    before = "at: {}\nrt: {}\nand transactions é"
    path.write_text(before.format(ACCESS, V1), encoding="utf-32")
    assert "access token" in scan("--fix", path)[1]
    assert path.read_text(encoding="utf-32") == before.format("removed-access-token", "removed-refresh-token")


@pytest.mark.parametrize("encoding", ["utf-32", "utf-32-le", "utf-32-be"])
def test_four_bytes_per_character(scan, tmp_path, encoding):  # noqa: F811
    """numpy saves strings like this."""
    path = tmp_path / "tokens.npy"
    path.write_bytes(b"\x93NUMPY\x01\0 \n" + f"{ACCESS}\0\0{V2}\0\0é".encode(encoding))
    before = path.read_bytes()
    code, said = scan("--fix", path)
    assert code == 1
    assert "access token" in said
    assert "refresh token" in said
    assert "not fixed: a binary file" in said
    assert path.read_bytes() == before


def test_a_page_of_nbconvert(scan, tmp_path):  # noqa: F811
    import nbformat
    from nbconvert import HTMLExporter

    cells = [
        nbformat.v4.new_code_cell(f'at = "{ACCESS}"\nrt = "{V1}"'),
        nbformat.v4.new_code_cell(f"%supabase_set_session {ACCESS} {LETTERS}"),
        nbformat.v4.new_markdown_cell(f"```json\n{session(V2)}\n```"),
    ]
    page = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=cells))[0]
    path = tmp_path / "a.html"
    path.write_text(page)
    assert scan("--fix", path)[0] == 1
    fixed = path.read_text()
    for secret in (ACCESS.rpartition(".")[2], V1, LETTERS, V2):
        assert secret not in fixed
    assert fixed.count("\n") == page.count("\n")
    assert fixed.count("<span") - fixed.count("</span") == page.count("<span") - page.count("</span")
    assert scan(path) == (0, "")


def notebook(*sources):
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": s,
        }
        for n, s in enumerate(sources)
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.mark.parametrize("refresh", [V1, V2])
def test_two_cells_of_a_notebook(scan, tmp_path, refresh):  # noqa: F811
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook(f'a = "{ACCESS}"', f'b = "{refresh}"'), indent=1))
    code, said = scan("--fix", path)
    assert code == 1
    assert "cell 1, source: access token" in said
    assert "cell 2, source: refresh token" in said
    assert scan(path) == (0, "")


@pytest.mark.parametrize("refresh", [V1, V2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    ("first", "second"), [("outputs", "outputs"), ("source", "outputs"), ("outputs", "source")]
)
def test_the_tokens_in_different_parts_of_a_notebook(scan, tmp_path, refresh, first, second):  # noqa: F811
    def cell(part, text):
        shown = [{"output_type": "stream", "name": "stdout", "text": [text]}]
        source, outputs = (["x"], shown) if part == "outputs" else ([text], [])
        return {"cell_type": "code", "id": "a1b2c3d4", "metadata": {}, "source": source, "outputs": outputs}

    path = tmp_path / "a.ipynb"
    cells = [cell(first, f"'{ACCESS}'"), cell(second, f"'{refresh}'"), cell("source", "y = 'transactions'")]
    path.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1)
    )
    said = scan("--fix", path)[1]
    assert "cell 1, " in said
    assert "cell 2, " in said
    assert "refresh token" in said
    text = path.read_text()
    assert ACCESS not in text
    assert refresh not in text
    assert json.loads(text)["cells"][2] == cells[2]


def test_json_in_a_string_in_a_notebook(scan, tmp_path):  # noqa: F811
    path = tmp_path / "a.ipynb"
    path.write_text(
        json.dumps(notebook([f"s = {json.dumps(session(LETTERS))}\n", "json.loads(s)"]), indent=1)
    )
    assert scan("--fix", path)[0] == 1
    source = json.loads(path.read_text())["cells"][0]["source"]
    expected = session("removed-refresh-token").replace(ACCESS, "removed-access-token")
    assert source == [f"s = {json.dumps(expected)}\n", "json.loads(s)"]


@pytest.mark.parametrize("indent", [None, 1, 2, "\t"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_notebook_changes_at_its_secrets_only(scan, tmp_path, indent, newline, end, ascii_only):  # noqa: F811
    planted = notebook(["# é ” \U0001f600 \\u00e9\n", f'k = "{SECRET_KEY}"'], "transactions / 1.0")
    planted["cells"][0]["metadata"] = {"b": 1, "a": {"big": 1e400, "same": 1.10}}
    planted = {"nbformat_minor": 5, **planted, "metadata": {"z": SECRET_KEY, "a": "/"}}
    data = json.dumps(planted, indent=indent, ensure_ascii=ascii_only).encode().replace(b"\n", newline) + end
    data = b"\xef\xbb\xbf" * (not ascii_only) + data.replace(b'"/"', rb'"\/"')
    path = tmp_path / "a.ipynb"
    path.write_bytes(data)
    assert scan("--fix", path)[0] == 1
    assert path.read_bytes() == data.replace(SECRET_KEY.encode(), b"removed-secret-key")


def output(text):
    return {"name": "stdout", "output_type": "stream", "text": [text]}


@pytest.mark.parametrize("bad", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
def test_outputs_go_as_a_whole_and_the_others_stay_as_they_are(scan, tmp_path, bad):  # noqa: F811
    planted, expected = notebook("x", "y"), notebook("x", "y")
    planted["cells"][1]["outputs"] = [output(f"{n} {ACCESS if n in bad else ''}") for n in range(3)]
    expected["cells"][1]["outputs"] = [output(f"{n} ") for n in range(3) if n not in bad]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(planted, indent=1))
    assert scan("--fix", path)[0] == 1
    assert path.read_text() == json.dumps(expected, indent=1)


@pytest.mark.parametrize("journal", ["delete", "truncate", "persist", "wal"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_a_history_with_the_tokens_in_two_lines(scan, tmp_path, journal, encoding):  # noqa: F811
    path = tmp_path / "history.sqlite"
    with closing(sqlite3.connect(path)) as kernel:
        kernel.execute(f"PRAGMA encoding = '{encoding}'")
        kernel.execute(f"PRAGMA journal_mode = {journal}")
        columns = "session integer, line integer, source text, source_raw text, PRIMARY KEY (session, line)"
        kernel.execute(f"CREATE TABLE history ({columns})")
        lines = ["import os  # é", f'a = "{ACCESS}"', f'b = "{V1}"', *["x = 1"] * 2000, f"print('{V1}')"]
        for n, line in enumerate(lines):
            kernel.execute("INSERT INTO history VALUES (1, ?, ?, ?)", (n, line, line))
        kernel.commit()
        code, said = scan("--fix", path)
        assert code == 1
        assert "not fixed" not in said
        assert "session 1, line 2 (source): refresh token" in said
        assert "session 1, line 2003 (source): refresh token" in said
        assert scan(path) == (0, "")
        rows = [row for (row,) in kernel.execute("SELECT source FROM history ORDER BY line")]
        expected = [
            line.replace(ACCESS, "removed-access-token").replace(V1, "removed-refresh-token")
            for line in lines
        ]
        assert rows == expected
        for file in tmp_path.glob("history.sqlite*"):
            for form in (ACCESS, V1):
                assert form.encode() not in file.read_bytes()
                assert form.encode("utf-16-le") not in file.read_bytes()


def test_cookies_in_a_database(scan, tmp_path):  # noqa: F811
    path = tmp_path / "cookies.sqlite"
    with closing(sqlite3.connect(path)) as browser:
        browser.execute(
            'CREATE TABLE cookies (rowid text, "é" text, value text, n, PRIMARY KEY (rowid, n)) WITHOUT ROWID'
        )
        browser.execute("CREATE TABLE named (rowid text, name text, value text)")
        for n, part in enumerate(cookie_parts(LETTERS, 300)):
            browser.execute("INSERT INTO cookies VALUES ('same', ?, ?, ?)", (f"sb-x-auth-token.{n}", part, n))
            browser.execute("INSERT INTO named VALUES ('same', ?, ?)", (f"sb-x-auth-token.{n}", part))
        browser.commit()
    assert scan("--fix", path)[0] == 1
    assert scan(path) == (0, "")
    with closing(sqlite3.connect(path)) as browser:
        for table in ("cookies", "named"):
            rows = browser.execute(f"SELECT value FROM {table} ORDER BY value").fetchall()
            assert rows == [("base64-removed-session-cookie",), ("removed-session-cookie",)]


def test_a_token_that_is_known_from_elsewhere(scan, tmp_path):  # noqa: F811
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.py").write_text(f"the one is {V1}, and x{V1[:-1]} is another\n")
    (tmp_path / "in" / "b.py").write_text(f'set_session("{ACCESS}", "{V1}")\n' + "#\n" * 1000 + f"'{V1}'\n")
    assert scan("--fix", tmp_path / "in")[0] == 1
    assert (tmp_path / "in" / "a.py").read_text() == (
        f"the one is removed-refresh-token, and x{V1[:-1]} is another\n"
    )
    assert V1 not in (tmp_path / "in" / "b.py").read_text()


@pytest.mark.parametrize(
    "rest",
    [
        f"x{V1}y",
        base64.b64encode(b"ab" + V1.encode()).decode(),
        V1.encode().hex(),
        f"{{{ACCESS[-20:]}}}",
        ACCESS.replace(".", "\n."),
    ],
)
def test_a_file_with_a_remaining_secret_is_not_called_fixed(scan, tmp_path, rest):  # noqa: F811
    path = tmp_path / "a.txt"
    path.write_text(f'set_session("{ACCESS}", "{V1}")\n' + "#\n" * 500 + rest)
    code, said = scan("--fix", path)
    assert code == 1
    assert "not fixed: a secret remains in a.txt" in said
    assert "Fixed" not in said


@pytest.mark.parametrize("rows_before", range(4))
def test_a_long_history_is_read_in_parts(scan, tmp_path, monkeypatch, rows_before):  # noqa: F811
    from supabase_nb._scan import sqlite

    monkeypatch.setattr(sqlite, "_BATCH", 600)
    path = tmp_path / "history.sqlite"
    with closing(sqlite3.connect(path)) as kernel:
        kernel.execute("CREATE TABLE history (session integer, line integer, source text)")
        lines = [*["x" * 200] * rows_before, f'a = "{ACCESS}"', f'b = "{V1}"', *["x" * 200] * 5]
        kernel.executemany("INSERT INTO history VALUES (1, ?, ?)", enumerate(lines))
        kernel.commit()
    assert scan(path)[1].count("(source): ") == 2
    assert scan("--fix", path)[0] == 1
    assert scan(path) == (0, "")


@pytest.mark.parametrize("shift", range(0, 1000, 83))
def test_a_refresh_token_in_the_next_block(tmp_path, monkeypatch, shift):
    from supabase_nb._scan import scanner

    monkeypatch.setattr(scanner, "_BLOCK", 1000)
    monkeypatch.setattr(scanner, "LONGEST", 700)
    path = tmp_path / "log.txt"
    path.write_text(f"{'-' * shift}\n{ACCESS}\n{'-' * 500}\n{V1}\n{'-' * 3000}\n")
    assert [hit.place for hit in scanner.scan(path)] == ["line 2", "line 4"]


INNOCENT = [
    f'{{"access_token": "{ACCESS}", "transactions": 1}}',
    'refresh_token_table = "transactions"',
    "the refresh_token subscription of transactions",
    f'headers = {{"access_token": "{ACCESS}", "expires_in": 3600, "token_type": "bearer"}}',
    f'client.get("{ACCESS}", "transactions2_and_more", timeout=30)',
    f'x = "{ACCESS}"\ntable = "transactions"\nschema = "publications"',
    f"{ACCESS}\ntransactions\n",
    f"the token {ACCESS} transactions, subscription",
    f"{ACCESS} and transactions\nrefresh transactions; rt = transactional",
    f"{ACCESS} commit 5f3c9e0a1b77 at /data/abcdefg23456/x, ids 123456789012 and 0f8fad5b-d9cb-469f-a165-70867728950e",
    f"{ACCESS} dataframe234 = load2columns(x.normalized22)",
    "grant_type=refresh_token&x=1",
    f"token: {ACCESS}\ntransactions\nrefresh tokens: transactions\n",
    "sb-abcd-auth-token.0 something",
    'localStorage.getItem("sb-abcd-auth-token")',
    "%7B%22a%22%3A1%7D &quot;transactions&quot; \\u0022 C:\\new\\table <span>eyJ</span>",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_stays(scan, tmp_path, text):  # noqa: F811
    path = tmp_path / "a.txt"
    path.write_text(text)
    scan("--fix", path)
    assert path.read_text() == text.replace(ACCESS, "removed-access-token")


def test_a_name_far_from_an_access_token_names_nothing(scan, tmp_path):  # noqa: F811
    path = tmp_path / "a.txt"
    text = f"rt: transactions\n{'-' * 700}\n{ACCESS}\n{'-' * 700}\nrt: transactions\n"
    path.write_text(text)
    scan("--fix", path)
    assert path.read_text() == text.replace(ACCESS, "removed-access-token")
