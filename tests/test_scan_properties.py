"""`supabase-nb scan`: text without tokens is never changed, and text with tokens only where they are."""

import json

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from supabase_nb._scan.command import add_parser
from supabase_nb._scan.detection import find, replace
from tests.test_scan import ACCESS, SECRET_KEY, SERVICE, V1, V2

WORDS = [
    "transactions", "subscription", "authenticate", "refresh_token_table", "access_token", "session.refresh",
    "https://abcd.supabase.co/auth/v1", "0f8fad5b-d9cb-469f-a165-70867728950e", "5f3c9e0a1b", "é", "”", "\U0001f600",
    "eyJ", "eyJhbGciOiJIUzI1NiJ9", "sb-abcd-auth-token", "base64-", "sb_secret_", "sbp_", "%7B%22", "%2525", "&quot;",
    "&amp;amp;", "&#34;", "\\u0022", "\\\\\\n", "\\", "<span class='n'>", "</span>", "<br>", "\x1b[0;31m", "{", '"', "'",
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w", "iVBORw0KGgoAAAANSUhEUgAA/+8=", "1.10", "rt",
]  # fmt: skip
# Nothing that turns the previous word into a name.
innocent = st.lists(
    st.one_of(st.sampled_from(WORDS), st.text(st.characters(exclude_characters=":=,"), max_size=9)), max_size=20
).map(" ".join)  # fmt: skip
planted = st.sampled_from(
    [
        (ACCESS, "removed-access-token"),
        (f"'{SERVICE}'", "'removed-service_role-key'"),
        (SECRET_KEY, "removed-secret-key"),
        (f'"refresh_token": "{V1}"', '"refresh_token": "removed-refresh-token"'),
        (f"refresh_token={V2}", "refresh_token=removed-refresh-token"),
    ]
)


@settings(deadline=None)
@given(innocent)
def test_text_without_tokens_is_never_changed(text):
    assert find(text) == []
    assert replace(text) == text


@settings(deadline=None)
@given(st.lists(st.tuples(innocent, planted), min_size=1, max_size=5), innocent)
def test_text_with_tokens_changes_at_the_tokens_only(pieces, last):
    before = "".join(f"{text}\n{token}\n" for text, (token, _) in pieces) + last
    expected = "".join(f"{text}\n{removed}\n" for text, (_, removed) in pieces) + last
    assert replace(before) == expected


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]))
def test_bytes_around_a_token_stay(tmp_path_factory, data, encoding):
    import argparse

    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    folder = tmp_path_factory.mktemp("any")
    path = folder / "a.txt"
    key = f"\n'{SECRET_KEY}'\n"
    path.write_bytes(before := data + key.encode(encoding) + data)
    args = parser.parse_args(["scan", "--fix", "--backup-dir", str(folder / "backups"), str(path)])
    assert args.run(args) == 1
    # What is binary is left as it is.
    fixed = data + key.replace(SECRET_KEY, "removed-secret-key").encode(encoding) + data
    assert path.read_bytes() in (before, fixed)
    assert path.read_bytes() == fixed or b"\0" in before


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(SECRET_KEY),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(innocent, st.lists(innocent, max_size=3), st.just(f"k = '{SECRET_KEY}'\n")), max_size=4
    ),
    st.dictionaries(st.text(max_size=9), values, max_size=3),
    st.sampled_from([None, 1, 4, "\t"]),
    st.booleans(),
    st.sampled_from(["", "\n", "\r\n\r\n"]),
)
def test_a_notebook_changes_at_its_tokens_only(tmp_path_factory, sources, metadata, indent, ascii_only, end):
    from supabase_nb._scan.scanner import fix

    notebook = {
        "metadata": metadata,
        "cells": [{"source": source, "metadata": metadata, "outputs": []} for source in sources],
        "nbformat": 4,
    }
    folder = tmp_path_factory.mktemp("any")
    path = folder / "a.ipynb"
    text = json.dumps(notebook, indent=indent, ensure_ascii=ascii_only) + end
    assume("sb_secret_" not in text.replace(SECRET_KEY, ""))  # a random key, perhaps over two lines
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(data)
    fix(path, folder / "backups")
    assert path.read_bytes() == data.replace(SECRET_KEY.encode(), b"removed-secret-key")
