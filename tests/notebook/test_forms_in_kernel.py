"""Arguments of magics and pasted text in a real kernel: they restore the right session.

The plain shell's tests say more of each; here Ada's tokens are the notebook's `at` and `rt`, and Grace's are
meant. One kernel runs all of them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from test_kernel import Kernel
from test_magics_names import HIDDEN, PATHS, SCOPES
from waiting import wait_until

from supabase_nb.demo import DemoServer

GRACE = "grace@example.com"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory, supabase_auth_server: DemoServer) -> Iterator[Kernel]:
    server = supabase_auth_server
    folder = tmp_path_factory.mktemp("forms")
    kernel = Kernel(folder)
    ada, grace = (server.sign_in(email) for email in ("ada@example.com", GRACE))
    stored = folder / "pairs.json"  # not as text in a cell: what is in a cell is another test's
    stored.write_text(json.dumps({"ada": ada, "grace": grace}))
    kernel.run(
        f"%load_ext supabase_nb\n%supabase_connect {server.url} --key '{server.anon_key}' --storage memory\n"
        "import json, os, pandas, types\n"
        f"pairs = json.load(open({str(stored)!r}))\n"
        "at, rt = (pairs['ada'][name] for name in ('access_token', 'refresh_token'))\n"
        "mine = a, r = tuple(pairs['grace'][name] for name in ('access_token', 'refresh_token'))\n"
        "tokens = dict(access_token=a, refresh_token=r)\n"
        "os.environ.update(AT_OF_TEST=a, RT_OF_TEST=r)\n"
        "response = types.SimpleNamespace(session=types.SimpleNamespace(**tokens))\n"
        "df = pandas.DataFrame({'at': [a], 'rt': [r]})\n"
        "deep = [{'x': types.SimpleNamespace(y=[0, (a, r)])}]\n"
        "keyed = {'a b': a, ('c', 1): r}\n"
        "café = types.SimpleNamespace(tokens=[a, r])"
    )
    yield kernel
    kernel.stop()


@pytest.fixture
def as_ada(kernel: Kernel) -> Kernel:
    """Ada is signed in, as whom every cell of these tests would be wrong."""
    # Each time anew: `%run` leaves a script's variables in the notebook.
    kernel.run("at, rt = (pairs['ada'][name] for name in ('access_token', 'refresh_token'))")
    kernel.run("supabase.auth.set_session(at, rt);")
    assert who(kernel) == "ada@example.com"
    kernel.said.clear()
    return kernel


def who(kernel: Kernel) -> str:
    return kernel.value("supabase.auth.user.email").strip("'")


def is_explained(reply: dict[str, Any]) -> bool:
    return reply["status"] == "error" and "\n" not in reply["evalue"].strip()


@pytest.mark.parametrize("cell", SCOPES.values(), ids=SCOPES)
def test_a_name_is_that_of_the_code_that_calls_the_magic(as_ada: Kernel, cell: str) -> None:
    reply = as_ada.run(cell)
    assert reply["status"] == "ok", reply
    assert who(as_ada) == GRACE


@pytest.mark.parametrize("cell", HIDDEN.values(), ids=HIDDEN)
def test_a_variable_that_python_did_not_pass_in_is_an_error(as_ada: Kernel, cell: str) -> None:
    as_ada.run(cell)
    # `%time` of IPython 8 shows an error, but doesn't raise it.
    assert "error" in [message["msg_type"] for message in as_ada.said]
    assert who(as_ada) == "ada@example.com"


@pytest.mark.parametrize("how", ["%run {0}.py", "import {0}"])
def test_a_script_and_a_module_have_variables_of_their_own(as_ada: Kernel, how: str) -> None:
    name = f"script_{len(how)}"
    code = (
        "import json\nfrom IPython import get_ipython\n"
        "pair = json.load(open('pairs.json'))['grace']\n"
        "at, rt = pair['access_token'], pair['refresh_token']\n"
        "get_ipython().run_line_magic('supabase_set_session', 'at rt')\n"
    )
    as_ada.run(f"open({name + '.py'!r}, 'w').write({code!r});")
    reply = as_ada.run(how.format(name))
    assert reply["status"] == "ok", reply
    assert who(as_ada) == GRACE


@pytest.mark.parametrize("words", [words for words in PATHS if not words.startswith("df.at")])
def test_two_arguments(as_ada: Kernel, words: str) -> None:
    reply = as_ada.run(f"%supabase_set_session {words}")
    assert reply["status"] == "ok", reply
    assert who(as_ada) == GRACE


WHOLE = {
    "our session": "supabase_nb.Session.from_wire(pairs['grace'])",
    "their session": "supabase_auth.types.Session.model_validate(pairs['grace'])",
    "their response": (
        "supabase_auth.types.AuthResponse(user=None, "
        "session=supabase_auth.types.Session.model_validate(pairs['grace']))"
    ),
    "dict": "tokens",
    "dict with a session": "{'session': tokens}",
    "dict of supabase-js": "{'data': {'session': tokens}, 'error': None}",
    "JSON": "json.dumps(tokens)",
    "JSON in bytes": "json.dumps(tokens).encode()",
    "tuple": "mine",
    "list of bytes": "[a.encode(), r.encode()]",
    "SecretStr": "pydantic.SecretStr(json.dumps(tokens))",
    "array": "numpy.array([a, r])",
    "row": "pandas.Series(tokens)",
    "frame": "pandas.DataFrame([tokens])",
}


@pytest.mark.parametrize("value", WHOLE.values(), ids=WHOLE)
def test_one_value_that_holds_a_session(as_ada: Kernel, value: str) -> None:
    as_ada.run(f"import numpy, pydantic, supabase_auth, supabase_nb\ns = {value}")
    reply = as_ada.run("%supabase_set_session s")
    assert reply["status"] == "ok", reply
    assert who(as_ada) == GRACE


def pasted(pair: dict[str, Any]) -> dict[str, str]:
    """What the developer tools of browsers, and other places, give for a stored session."""
    text = json.dumps(pair)
    cookie = "base64-" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    half, name = len(cookie) // 2, "sb-abcd-auth-token"
    return {
        "the value": text,
        "Chrome's row": f"{name}\t{text}",
        "a quoted string": json.dumps(text),
        "Firefox's form": f"{name}:{json.dumps(text)}",
        "a cookie": f"{name}={cookie}",
        "a cookie's value": cookie,
        "a cookie in parts": f"{name}.0={cookie[:half]}; {name}.1={cookie[half:]}",
        "its parts in another order": f"{name}.1={cookie[half:]}; {name}.0={cookie[:half]}",
        "an encoded cookie": f"{name}={quote(text, safe='')}",
        "a redirect": (
            "https://app.example.com/#access_token="
            f"{pair['access_token']}&refresh_token={pair['refresh_token']}&token_type=bearer"
        ),
        "a Python tuple": repr((pair["access_token"], pair["refresh_token"])),
        "invisible characters": f"\u200b{pair['access_token']}\u200b {pair['refresh_token']}\ufeff",
        "metadata with an address": json.dumps(
            {**pair, "user": {**pair["user"], "user_metadata": {"avatar_url": "https://lh3.example.com/a"}}}
        ),
    }


FORMS = list(pasted({"access_token": "", "refresh_token": "", "user": {}}))


@pytest.mark.parametrize("form", FORMS)
def test_pasted_text(as_ada: Kernel, form: str, tmp_path: Path) -> None:
    pair = json.loads(as_ada.value("json.dumps(pairs['grace'])").strip("'").encode().decode("unicode_escape"))
    file = tmp_path / "pasted.txt"
    file.write_text(pasted(pair)[form], encoding="utf-8")
    as_ada.run(f"text = open({str(file)!r}, encoding='utf-8').read()")
    reply = as_ada.run("%supabase_set_session text")
    assert reply["status"] == "ok", reply
    assert who(as_ada) == GRACE


def test_half_a_cookie_is_named_as_what_it_is(as_ada: Kernel) -> None:
    as_ada.run(
        "import base64\nwhole = 'base64-' + base64.urlsafe_b64encode(json.dumps(tokens).encode()).decode()\n"
        "text = 'sb-abcd-auth-token.0=' + whole[:100]"
    )
    reply = as_ada.run("%supabase_set_session text")
    assert is_explained(reply)
    assert "cookie" in reply["evalue"]
    assert who(as_ada) == "ada@example.com"


REFUSED = {
    "a key for a token": "%supabase_set_session supabase.key rt",
    "swapped": "%supabase_set_session r a",
    "another project": "%supabase_set_session other r",
    "no such variable": "%supabase_set_session no_such_name r",
    "a token for a key": "%supabase_connect https://abcd.supabase.co --key at --name another",
}


@pytest.mark.parametrize("line", REFUSED.values(), ids=REFUSED)
def test_a_mistake_is_explained_and_spends_no_token(as_ada: Kernel, line: str) -> None:
    as_ada.run(
        "import base64\nhead, body, tail = a.split('.')\n"
        "claims = json.loads(base64.urlsafe_b64decode(body + '=='))\n"
        "claims['iss'] = 'https://elsewhere.supabase.co/auth/v1'\n"
        "body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')\n"
        "other = f'{head}.{body}.{tail}'"
    )
    assert is_explained(as_ada.run(line))
    assert who(as_ada) == "ada@example.com"
    assert as_ada.run("%supabase_set_session a r")["status"] == "ok"


CONNECTING = [
    'project["url"] --key project["key"]',
    "config.url --key config.key",
    'os.environ["URL_OF_TEST"] --key $KEY_OF_TEST',
    "{project['url']} --key {project['key']}",
]


@pytest.mark.parametrize("words", CONNECTING)
def test_url_and_key_are_named_like_any_value(kernel: Kernel, words: str) -> None:
    kernel.run(
        "project = {'url': supabase.url, 'key': supabase.key}\nconfig = types.SimpleNamespace(**project)\n"
        "os.environ.update(URL_OF_TEST=supabase.url, KEY_OF_TEST=supabase.key)"
    )
    reply = kernel.run(f"%supabase_connect {words} --name second --storage memory")
    assert reply["status"] == "ok", reply
    assert kernel.value("second.url == supabase.url") == "True"


def completions(kernel: Kernel, code: str) -> list[str]:
    """What the kernel offers. Asked again while that is nothing, because jedi gives up on a busy machine."""
    matches: list[str] = []

    def ask() -> list[str]:
        matches[:] = kernel.client.complete(code, reply=True, timeout=60)["content"]["matches"]
        return matches

    wait_until(ask)
    return matches


def test_tab_offers_clients_and_public_names(kernel: Kernel) -> None:
    assert completions(kernel, "%supabase_session --name ") == ["second", "supabase"]
    for code in ("supabase.", "supabase.auth."):
        offered = completions(kernel, code)
        assert not [name for name in offered if name.rpartition(".")[2].startswith("_")]
    assert "trait_names" not in " ".join(completions(kernel, "supabase.auth."))


@pytest.mark.parametrize(
    "name", ["supabase", "%supabase_connect", "%supabase_set_session", "%supabase_sign_in"]
)
def test_help_shows_an_example(kernel: Kernel, name: str) -> None:
    reply = kernel.client.inspect(name, reply=True, timeout=60)
    assert "xample" in reply["content"]["data"]["text/plain"]


ADDRESSES = {
    "a page of the dashboard": "https://supabase.com/dashboard/project/abcdefghijklmnopqrst/settings/api",
    "the data API": "https://abcdefghijklmnopqrst.supabase.co/rest/v1",
    "the auth server": "https://abcdefghijklmnopqrst.supabase.co/auth/v1/",
    "no scheme": "abcdefghijklmnopqrst.supabase.co",
}


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_of_the_project_is_understood(kernel: Kernel, address: str) -> None:
    line = f"%supabase_connect {address} --key sb_publishable_x --name dash --storage memory"
    reply = kernel.run(line)
    assert reply["status"] == "ok", reply
    assert kernel.value("dash.url") == "'https://abcdefghijklmnopqrst.supabase.co'"


def test_plain_http_to_another_machine_has_to_be_allowed(kernel: Kernel) -> None:
    line = "%supabase_connect http://192.168.77.1:8000 --key sb_publishable_x --name lan --storage memory"
    reply = kernel.run(line)
    assert is_explained(reply)
    assert "--allow-http" in reply["evalue"]
    assert kernel.run(f"{line} --allow-http")["status"] == "ok"
    assert kernel.value("lan.url") == "'http://192.168.77.1:8000'"


def test_loading_again_leaves_the_session(as_ada: Kernel) -> None:
    as_ada.run("mine_too = supabase")
    assert as_ada.run("%reload_ext supabase_nb")["status"] == "ok"
    assert as_ada.value("mine_too is supabase") == "True"
    assert as_ada.value("supabase.auth.status") == "'active'"
    assert as_ada.run("%supabase_set_session a r")["status"] == "ok"
    assert who(as_ada) == GRACE


def test_connecting_to_another_project_keeps_a_client_in_use(as_ada: Kernel) -> None:
    as_ada.run("held = supabase\nurl, key = supabase.url, supabase.key")
    line = (
        "%supabase_connect https://abcdefghijklmnopqrst.supabase.co --key sb_publishable_x --storage memory"
    )
    assert as_ada.run(line)["status"] == "ok"
    assert as_ada.value("supabase is held") == "False"
    assert as_ada.value("held.auth.get_user().email") == "'ada@example.com'"
    as_ada.run("supabase = held")
