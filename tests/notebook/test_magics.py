"""The magics: what they do, their arguments, and their error messages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from shells import FakeClient
from wire_tokens import make_jwt, make_refresh_token

from supabase_nb._secrets.tokens import Secret
from supabase_nb.errors import AuthApiError, AuthError
from supabase_nb.notebook._magics.magic_parser import MagicParser
from supabase_nb.notebook._usage_error import SupabaseUsageError


def test_loading_imports_nothing_heavy(tmp_path):
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S\n"
        "import sys\n"
        "before = set(S.instance() and sys.modules)\n"
        "S.instance().run_line_magic('load_ext', 'supabase_nb')\n"
        "heavy = {'httpx', 'jwt', 'cryptography', 'ipywidgets', 'anywidget'} & set(sys.modules)\n"
        "heavy |= {'asyncio', 'ssl', 'subprocess', 'webbrowser'} & (set(sys.modules) - before)\n"
        "assert 'supabase_connect' in S.instance().magics_manager.magics['line']\n"
        "print('heavy:', sorted(heavy))\n"
    )
    env = os.environ | {"IPYTHONDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "heavy: []"


def test_set_session_takes_variables_and_gives_the_response(connected):
    at, rt = make_jwt(), make_refresh_token()
    connected.ns.update({"at": at, "rt": rt})
    ran = connected.run("r = %supabase_set_session at rt")
    assert ran.ok
    assert "<panel supabase>" in ran.text
    assert connected.ns["r"].session.user.email == "ada@example.com"
    assert connected.ns["supabase"].auth.calls[-1] == ("set_session", Secret(at), Secret(rt))


def test_a_magic_on_its_own_shows_the_panel_and_no_out(connected):
    connected.ns.update({"at": make_jwt(), "rt": make_refresh_token()})
    ran = connected.run("%supabase_set_session at rt   # the pair of this morning")
    assert ran.ok
    assert ran.value is None
    assert "Out" not in ran.text
    assert ran.text.count("<panel") == 1


def test_an_expression_with_the_magic_in_it_gets_the_result(connected):
    connected.ns.update({"at": make_jwt(), "rt": make_refresh_token()})
    assert connected.run("r = get_ipython().run_line_magic('supabase_set_session', 'at rt')").ok
    assert connected.ns["r"].user.email == "ada@example.com"


@pytest.mark.parametrize(
    "words",
    ["pair", "pair['access_token'] pair['refresh_token']", "box.session", "$AT_OF_TEST ${RT_OF_TEST}"],
)
def test_forms_of_arguments_with_tokens(connected, monkeypatch, words):
    at, rt = make_jwt(), make_refresh_token()
    monkeypatch.setenv("AT_OF_TEST", at)
    monkeypatch.setenv("RT_OF_TEST", rt)
    pair = {"access_token": at, "refresh_token": rt}
    connected.ns.update({"pair": pair, "box": type("Box", (), {"session": pair})})
    assert connected.run(f"%supabase_set_session {words}").ok
    assert connected.ns["supabase"].auth.calls[-1] == ("set_session", Secret(at), Secret(rt))


def test_variables_are_not_expanded_into_the_line(connected):
    # IPython's own $at would put the token itself into the line, and so into every traceback.
    connected.ns.update({"at": make_jwt(), "rt": make_refresh_token()})
    ran = connected.run("%supabase_set_session $at $rt")
    assert not ran.ok
    assert "`at` is a variable of the notebook: write it without the $" in ran.text


TOKEN = make_jwt()
REFRESH = make_refresh_token()


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%supabase_set_session att rt", "There is no variable `att`. Did you mean `at`?"),
        (
            "%supabase_set_session at nothing_like_it",
            "There is no variable `nothing_like_it`. Assign the refresh",
        ),
        (
            f"%supabase_set_session at a{REFRESH[1:]}",
            "There is no variable with that name. Assign the refresh",
        ),
        ("%supabase_set_session at empty", "`empty` is empty. It should contain the refresh token"),
        ("%supabase_set_session at number", "`number` is of type int"),
        ("%supabase_set_session rt at", "seem to be swapped"),
        ("%supabase_set_session at", "Pass both tokens"),
        ("%supabase_set_session at rt rt", "oo many arguments"),
        ("%supabase_set_session at $NO_SUCH_VARIABLE", "There is no environment variable"),
        ("%supabase_set_session a+b rt", "This is not a variable"),
        (
            f"%supabase_set_session --frobnicate={TOKEN} rt",
            "an option is unknown. Usage: %supabase_set_session",
        ),
        pytest.param(
            f"%supabase_set_session --name {REFRESH} at rt",
            "There is no client with that name.",
            id="a token for a name",
        ),
        ("%supabase_set_session 'at", "A quotation mark is missing"),
        ("%supabase_sign_out --scope 'local", "A quotation mark is missing"),
        (f"%supabase_sign_out --scope {TOKEN}", "--scope must be one of local, global, others"),
        (f"%supabase_connect --storage {TOKEN}", "--storage must be one of file, memory, keyring"),
        (f"%supabase_debug {TOKEN}", "state must be one of on, off"),
        ("%supabase_connect --demo https://abcd.supabase.co", "--demo has its own URL and key"),
        ("%supabase_connect --name 1x", "--name must be a valid variable name"),
        ("%supabase_connect --name other", "No project URL was found"),
        ("%supabase_connect https://abcd.supabase.co --name other", "No key for the project was found"),
        ("%supabase_refresh", "There is no session"),
    ],
)
def test_errors_are_one_line_without_a_token(connected, cell, says):
    connected.ns.update({"at": TOKEN, "rt": REFRESH, "empty": " ", "number": 7})
    ran = connected.run(cell)
    assert not ran.ok
    assert says in ran.text
    line, *noticed = ran.text.strip().splitlines()
    assert says in line
    assert all(each.startswith("supabase-nb: ") for each in noticed), ran.text
    assert TOKEN not in ran.text
    assert TOKEN.split(".")[2] not in ran.text
    assert REFRESH[1:] not in ran.text


@pytest.mark.parametrize(
    "line",
    [
        TOKEN,
        f"--name {TOKEN} x",
        f"--state={TOKEN}",
        f"on {TOKEN}",
        f"--na {TOKEN} {TOKEN}",
        f"'{TOKEN}",
        f"-{TOKEN}",
    ],
)
def test_the_parser_itself_repeats_nothing(connected, line):
    parser = MagicParser("supabase_test", "For this test.")
    parser.add_argument("state", choices=("on", "off"))
    parser.add_argument("--names", type=int)
    parser.add_argument("--nature")
    with pytest.raises(SupabaseUsageError) as caught:
        parser.parse_line(line)
    assert TOKEN not in str(caught.value)
    assert caught.value.__context__ is None or TOKEN not in repr(caught.value.__context__)


def test_nothing_is_connected(shell):
    shell.run("%load_ext supabase_nb")
    for magic in ("set_session at rt", "session", "refresh", "sign_out"):
        ran = shell.run(f"%supabase_{magic}")
        assert not ran.ok
        assert ran.text.startswith("UsageError: Not connected yet. Run %supabase_connect first")


def test_a_refusal_is_short_and_debug_shows_more(connected):
    connected.ns.update({"at": TOKEN, "rt": REFRESH})
    connected.ns["supabase"].auth.fails = AuthApiError("No. Sign in again.", status=400, code="x")
    assert connected.run("%supabase_set_session at rt").text.strip() == "AuthApiError: No. Sign in again."
    assert connected.run("%supabase_debug on").ok
    long = connected.run("%supabase_set_session at rt").text
    assert "Traceback" in long
    assert TOKEN not in long
    connected.run("%supabase_debug off")
    assert "Traceback" not in connected.run("%supabase_set_session at rt").text


def test_interrupted_is_one_line_and_changes_nothing(connected):
    connected.ns.update({"at": TOKEN, "rt": REFRESH})
    connected.ns["supabase"].auth.fails = KeyboardInterrupt()
    ran = connected.run("%supabase_set_session at rt")
    assert not ran.ok
    assert ran.text.strip().startswith("Interrupted.")
    connected.ns["supabase"].auth.fails = None
    assert connected.run("%supabase_set_session at rt").ok


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal"])
def test_no_mode_of_tracebacks_shows_a_token(connected, mode):
    connected.ns.update({"at": TOKEN, "rt": REFRESH})
    connected.run(f"%xmode {mode}")
    connected.ns["supabase"].auth.fails = RuntimeError("a bug")
    text = connected.run("%supabase_set_session at rt").text
    assert text == "RuntimeError: a bug. To see where, run %supabase_debug on, then this cell again.\n"
    text += connected.run("%tb").text
    connected.run("%supabase_debug on")
    long = connected.run("%supabase_set_session at rt").text
    assert "Traceback" in long
    assert "in _set_session" in long
    assert TOKEN not in text + long
    assert REFRESH not in text + long


def test_a_demo_server_that_does_not_start_is_reported_in_one_line(shell, monkeypatch):
    from supabase_nb import demo

    def fail():
        raise demo.DemoServerError('the demo needs: pip install "supabase-nb[demo]"')

    monkeypatch.setattr(demo, "ensure_server", fail)
    shell.run("%load_ext supabase_nb")
    ran = shell.run("%supabase_connect --demo")
    assert ran.text.startswith('DemoServerError: the demo needs: pip install "supabase-nb[demo]". ')
    assert len(ran.text.splitlines()) == 1


def test_sign_out_is_local_unless_told(connected):
    auth = connected.ns["supabase"].auth
    assert connected.run("%supabase_sign_out").ok
    assert connected.run("%supabase_sign_out --scope global").ok
    assert auth.calls[-2:] == [("sign_out", "local"), ("sign_out", "global")]


def test_session_shows_and_gives_the_session(connected):
    connected.ns.update({"at": TOKEN, "rt": REFRESH})
    connected.run("%supabase_set_session at rt")
    ran = connected.run("s = %supabase_session")
    assert "<panel supabase>" in ran.text
    assert connected.ns["s"].user.email == "ada@example.com"


def test_url_and_key_from_the_environment_and_from_variables(connected, monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", "https://env.supabase.co")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "from-env")
    assert connected.run("%supabase_connect --name env").ok
    assert (connected.ns["env"].url, connected.ns["env"].key) == ("https://env.supabase.co", "from-env")
    connected.ns.update({"where": "https://var.supabase.co", "k": "from-var"})
    assert connected.run("%supabase_connect where --key k --name var --storage memory").ok
    assert (connected.ns["var"].url, connected.ns["var"].key) == ("https://var.supabase.co", "from-var")
    assert connected.ns["var"].storage == "memory"
    assert connected.run("%supabase_connect https://p.supabase.co --key sb_publishable_abc --name pub").ok
    assert connected.ns["pub"].key == "sb_publishable_abc"


@pytest.mark.parametrize(
    "url", ["http://kong.example:8000", "http://10.0.0.7:8000", "http://host.docker.internal:54321"]
)
def test_http_of_another_machine_is_refused_and_the_message_names_the_option(shell, url):
    shell.run("%load_ext supabase_nb")
    line = f"%supabase_connect {url} --key 'k' --storage memory"
    ran = shell.run(line)
    assert not ran.ok
    assert "--allow-http" in ran.text
    assert "supabase" not in shell.ns
    assert shell.run(f"{line} --allow-http").ok
    assert shell.ns["supabase"].url == url


@pytest.mark.parametrize("url", ["http://127.0.1.1:8000", "http://127.8.8.8", "http://[::1]:9"])
def test_plain_http_to_this_machine_is_allowed(shell, url):
    shell.run("%load_ext supabase_nb")
    ran = shell.run(f"%supabase_connect {url} --key 'k' --storage memory")
    assert ran.ok
    assert "not encrypted" not in ran.text


def test_a_containers_http_url_is_accepted_with_a_warning(shell):
    shell.run("%load_ext supabase_nb")
    ran = shell.run("%supabase_connect http://kong:8000 --key 'k' --storage memory")
    assert ran.ok
    assert "http://kong:8000 is not encrypted" in ran.text


def test_connecting_twice_leaves_a_client_in_use_running(shell, server):
    shell.run("%load_ext supabase_nb")
    connect = f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"
    pair = server.sign_in()
    shell.ns.update(at=pair["access_token"], rt=pair["refresh_token"])
    assert shell.run(connect).ok
    assert shell.run("%supabase_set_session at rt").ok
    first = shell.ns["first"] = shell.ns["supabase"]
    assert shell.run(f"{connect} --auth-url {server.auth_url}").ok
    assert shell.run("%reload_ext supabase_nb").ok
    assert shell.ns["supabase"] is not first
    assert first.auth.get_user().email == "ada@example.com"
    assert len(first.table("trips").select("*").execute().data) > 0
    assert shell.run("%supabase_refresh --name first").ok


def test_a_mix_up_is_reported_by_the_magic_and_sends_nothing(shell, server):
    shell.run("%load_ext supabase_nb")
    assert shell.run(f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory").ok
    pair = server.sign_in()
    other = make_jwt(iss="https://accounts.google.com")
    shell.ns.update(at=pair["access_token"], rt=pair["refresh_token"], anon=server.anon_key, other=other)
    for words, says in (
        ("anon rt", "This is a project's publishable key, not a user's access token"),
        ("at anon", "This is a project's publishable key, not a user's refresh token"),
        ("anon", "This is a project's publishable key, not a user's access token"),
        ("rt at", "seem to be swapped"),
        ("at at", "These are two access tokens"),
        ("other rt", "issued by a third party"),
    ):
        ran = shell.run(f"%supabase_set_session {words}")
        assert not ran.ok
        assert says in ran.text
        assert "supabase-nb: " not in ran.text
    ran = shell.run(f"%supabase_connect {server.url} --key at --name wrong")
    assert "This is a user's access token, not the project's key" in ran.text
    assert shell.run("%supabase_set_session at rt").ok  # unspent


def test_several_projects_by_name(connected):
    connected.ns.update({"at": TOKEN, "rt": REFRESH})
    assert connected.run("%supabase_connect https://two.supabase.co --key 'k' --name two").ok
    assert connected.run("%supabase_set_session at rt --name two").ok
    assert connected.ns["two"].auth.session is not None
    assert connected.ns["supabase"].auth.session is None
    ran = connected.run("%supabase_session --name three")
    assert "Existing clients: `supabase`, `two`." in ran.text


def test_without_the_default_name_only_a_single_client_is_used(shell, connected):
    shell.run("%unload_ext supabase_nb")
    shell.run("%load_ext supabase_nb")
    shell.run("%supabase_connect https://one.supabase.co --key 'k' --name one")
    assert shell.run("%supabase_session").ok
    shell.run("%supabase_connect https://two.supabase.co --key 'k' --name two")
    assert "Choose one: --name one or --name two" in shell.run("%supabase_session").text


def test_connecting_again_keeps_the_client_or_leaves_it_running(connected):
    first = connected.ns["supabase"]
    connected.run("%supabase_connect https://abcd.supabase.co --key 'anon'")
    assert connected.ns["supabase"] is first
    connected.run("%supabase_connect https://other.supabase.co --key 'anon'")
    assert connected.ns["supabase"] is not first
    assert first.closed == 0
    second = connected.ns["supabase"]
    connected.run("%unload_ext supabase_nb")
    assert (first.closed, second.closed) == (1, 1)


def test_connecting_again_after_closing_makes_another_client(shell):
    shell.run("%load_ext supabase_nb")
    connect = "%supabase_connect https://abcd.supabase.co --key 'k' --storage memory"
    assert shell.run(connect).ok
    first = shell.ns["supabase"]
    first.close()
    assert "supabase" not in shell.complete("%supabase_session --name ")
    for magic in ("refresh", "sign_out"):
        assert shell.run(f"%supabase_{magic}").text.startswith(
            "AuthError: This client was closed. Run %supab"
        )
    assert shell.run(connect).ok
    assert shell.ns["supabase"] is not first
    assert not shell.ns["supabase"].closed
    assert shell.run("%supabase_session").ok


def test_reloading_keeps_the_clients(connected):
    first = connected.ns["supabase"]
    connected.run("%supabase_connect https://two.supabase.co --key 'k' --name two")
    assert connected.run("%reload_ext supabase_nb").ok
    assert connected.ns["supabase"] is first
    assert first.closed == connected.ns["two"].closed == 0
    assert connected.run("%supabase_session --name two").text == "<panel two>\n"
    assert connected.run("%supabase_connect https://abcd.supabase.co --key 'anon'").ok
    assert connected.ns["supabase"] is first
    assert connected.run("%reload_ext supabase_nb").ok
    assert connected.run("%unload_ext supabase_nb").ok
    assert first.closed == 1
    assert "supabase" not in connected.ns
    assert connected.run("%load_ext supabase_nb").ok
    assert "Not connected yet" in connected.run("%supabase_session").text


def test_replacing_a_variable_is_reported(connected):
    connected.ns["mine"] = 7
    ran = connected.run("%supabase_connect https://abcd.supabase.co --key 'k' --name mine")
    assert "`mine` had another value" in ran.text
    assert isinstance(connected.ns["mine"], FakeClient)


def test_loading_twice_and_unloading_leave_nothing(shell, connected):
    client = shell.ns["supabase"]
    matchers = len(shell.ip.Completer.custom_matchers)
    shell.run("%load_ext supabase_nb")
    assert len(shell.ip.Completer.custom_matchers) == matchers
    assert shell.run("%unload_ext supabase_nb").ok
    assert client.closed == 1
    assert "supabase" not in shell.ns
    assert len(shell.ip.Completer.custom_matchers) == matchers - 1
    assert not [name for name in shell.ip.magics_manager.magics["line"] if name.startswith("supabase")]
    assert AuthError.show_traceback is False
    assert shell.run("%load_ext supabase_nb").ok
    assert "Not connected yet" in shell.run("%supabase_session").text


def test_completions(connected):
    connected.ns.update({"access": TOKEN, "number": 7})
    assert connected.complete("%supabase_connect --st") == ["--storage"]
    assert connected.complete("%supabase_connect --storage ") == ["file", "keyring", "memory"]
    assert connected.complete("%supabase_set_session acc") == ["access"]
    assert connected.complete("%supabase_debug o") == ["off", "on"]
    assert "number" not in connected.complete("%supabase_set_session ")


def test_completion_after_name_offers_clients(connected):
    connected.ns.update({"at": TOKEN, "rt": REFRESH})
    connected.run("%supabase_connect https://two.supabase.co --key 'k' --name two")
    assert connected.complete("%supabase_session --name ") == ["supabase", "two"]
    assert connected.complete("%supabase_set_session at rt --name t") == ["two"]


def test_completion_offers_public_names_only(shell):
    shell.run("%load_ext supabase_nb")
    assert shell.run("%supabase_connect https://abcd.supabase.co --key 'k' --storage memory").ok
    client, auth = (set(shell.complete(f"{path}.")) for path in ("supabase", "supabase.auth"))
    assert {"auth", "table", "panel", "set_auth", "close"} <= client
    assert {"set_session", "get_session", "user", "observe", "unobserve", "aio", "sign_out"} <= auth
    unwanted = {
        "add_traits",
        "class_traits",
        "cross_validation_lock",
        "hold_trait_notifications",
        "trait_names",
    }
    assert not unwanted & auth
    assert not [name for name in client | auth if name.startswith("_")]
    # What is not offered is there all the same.
    assert "session" in shell.ns["supabase"].auth.trait_names()


def test_help_of_a_magic(connected):
    doc = connected.ip.find_line_magic("supabase_connect").__doc__
    assert "%supabase_connect" in doc
    assert "--auth-url" in doc


def test_the_help_of_every_magic_and_of_the_client_shows_an_example(connected):
    from supabase_nb.notebook.client_with_displays import NotebookClient

    for name in connected.ip.magics_manager.magics["line"]:
        if name.startswith("supabase_"):
            doc = connected.ip.find_line_magic(name).__doc__
            assert f"    %{name} " in doc or f"    %{name}\n" in doc, name
    assert 'supabase.table("trips")' in (NotebookClient.__doc__ or "")
