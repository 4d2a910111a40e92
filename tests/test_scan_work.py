"""`supabase-nb scan` takes linear time: twice the text is twice the work, counted in steps and calls."""

import re
import sys

import pytest

from supabase_nb._scan import decoded_text, detection, notebooks, removal_check
from supabase_nb._scan.detection import find
from supabase_nb._secrets import token_formats, token_search
from supabase_nb._secrets.tokens import Secret
from tests.regex_work import Work
from tests.test_scan import ACCESS, V1

PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": pattern
    for module in (detection, token_search, decoded_text, removal_check, notebooks)
    for name, pattern in vars(module).items()
    # These two are only matched directly behind a token.
    if isinstance(pattern, re.Pattern) and name not in ("_BESIDE", "_REST_OF_COOKIE")
} | {f"token_formats.{name}": getattr(token_formats, name) for name in ("KEY", "SESSION_IN_BASE64")}
HOSTILE = {
    "spaces": " " * 40,
    "lines of eyJ": "eyJ\n",
    "eyJ and dots": "eyJ.",
    "eyJ": "eyJ",
    "access tokens": f"{ACCESS}\n",
    "access tokens and names": f"{ACCESS} rt ",
    "pairs": f'"{ACCESS}", "{V1}"\n',
    "names": "refresh_token",
    "names and spaces": "refresh_token" + " " * 30,
    "cookies": "sb-",
    "cookies' names": 'sb-a-auth-token",',
    "cookies' values": "eyJhY2Nlc3NfdG9rZW4",
    "backslashes": "\\",
    "per cents": "%25",
    "ampersands": "&amp;",
    "half an ampersand": "amp;",
    "tags": "<",
    "tags with names": "<a ",
    "colours": "\x1b[0;",
    "zeros": "\0",
    "UTF-16": "a\0",
    "UTF-32": "a\0\0\0",
    "base64": "QUJD",
    "base64-": "base64-",
    "words": "A" * 60 + " ",
    "quotes": '"',
    "quotes and spaces": '" ' + " " * 20,
    "JSON": '[{"a":',
    "calls": "set_session(",
    "dashes": "-",
}
# With something at the start that a match of all that follows might begin with.
ENDLESS = {
    f"{start} and {name}": (start, HOSTILE[name])
    for start, name in (
        ("<a", "spaces"),
        ("&", "half an ampersand"),
        ("eyJ", "base64"),
        ('"', "backslashes"),
        (f"{ACCESS} rt", "spaces"),
    )
}
ALL = {name: ("", unit) for name, unit in HOSTILE.items()} | ENDLESS


def text_of(name, length):
    start, unit = ALL[name]
    return start + unit * (length // len(unit) + 1)


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name):
    for hostile in ALL:
        # Bounded repeats look at 500 characters at most: only with more does it show what grows.
        once, twice = text_of(hostile, 700), text_of(hostile, 1400)
        work = Work(PATTERNS[name], once)
        assert work.spans == [match.span() for match in PATTERNS[name].finditer(once)], hostile
        Work(PATTERNS[name], twice, limit=2.2 * work.steps + 3000)


@pytest.mark.parametrize("hostile", ALL)
def test_calls(hostile):
    def calls(text):
        count = 0

        def profile(frame, event, argument):
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            find(text)
            removal_check.holds_any(text, {Secret(ACCESS), Secret(V1)})
        finally:
            sys.setprofile(None)
        return count

    once, twice = (calls(text_of(hostile, length)) for length in (5_000, 10_000))
    assert twice <= 2.2 * once + 200


def test_a_large_image_in_a_notebook(tmp_path):
    """One word of millions of characters. Code that copies it at each character would not finish."""
    from supabase_nb._scan.scanner import fix

    path = tmp_path / "a.ipynb"
    image = "iVBORw0KGgo+" * 400_000
    path.write_text(f'{{"cells": [{{"source": "at = \'{ACCESS}\'", "outputs": ["{image}"]}}]}}')
    fix(path, tmp_path / "backups")
    assert (
        path.read_text()
        == f'{{"cells": [{{"source": "at = \'removed-access-token\'", "outputs": ["{image}"]}}]}}'
    )


def test_deep_json(tmp_path):
    from supabase_nb._scan.scanner import fix, scan_file

    for text in (
        "[" * 100_000,
        '{"cells": ' * 50_000 + "1" + "}" * 50_000,
        '{"cells": [' + "[" * 700 + "]" * 701 + "}",
    ):
        path = tmp_path / "a.ipynb"
        path.write_text(text)
        assert scan_file(path).hits == []
        fix(path, tmp_path / "backups")
        assert path.read_text() == text


def test_a_deep_output_goes_as_a_whole(tmp_path):
    from supabase_nb._scan.scanner import fix

    for depth in (300, 700):
        path = tmp_path / "a.ipynb"
        deep = "[" * depth + f'"{ACCESS}"' + "]" * depth
        path.write_text(f'{{"cells": [{{"source": "", "outputs": [{deep}, 1]}}]}}')
        fix(path, tmp_path / "backups")
        assert path.read_text() == '{"cells": [{"source": "", "outputs": [1]}]}'
