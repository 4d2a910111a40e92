"""No token in any view of the public objects that Python and its tools offer."""

import copy
import dataclasses
import io
import json
import pickle
import pprint
import traceback
import types
from collections import deque
from collections.abc import Mapping

import httpx
import jwt
import made
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supabase_nb import AuthClient, Client, FileStorage, MemoryStorage, Session, errors
from supabase_nb._secrets.masking import mask_lookalikes
from supabase_nb._secrets.tokens import Secret
from supabase_nb.client.httpx_auth import SessionAuth
from supabase_nb.models import (
    AuthChangeEvent,
    AuthEvent,
    AuthResponse,
    ClaimsResponse,
    SessionResponse,
    UserResponse,
)

ACCESS = jwt.encode({"sub": "planted", "role": "authenticated"}, "0" * 32, algorithm="HS256")
V1 = "vt2ehksbqlrt"
V2 = "ACJlgyS7J0mni-J7DfPrK9wCjujWOYq62DhrzODmVxXaEzooyQ4"
KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"


@pytest.mark.parametrize("refresh", [V1, V2, "abcdefghijkl"])
@pytest.mark.parametrize(
    "write",
    [
        '"refresh_token": "{}"',
        '"refresh_token":"{}"',
        "'refresh_token': '{}'",
        "refresh_token='{}'",
        "refresh_token = {}\n",
        "refresh_token: {}\n",
        "refreshToken: '{}'",
        "REFRESH_TOKEN={}",
        "#refresh_token={}&type=magiclink",
        "(b'refresh_token', b'{}')",
        '"provider_refresh_token": "{}"',
        '"token": "{}"',
        "/verify?token={}&type=signup",
        '"token_hash": "{}"',
        '"password": "{}"',
        "password={}",
        "'apikey': '{}'",
        "(b'apikey', b'{}')",
        "apikey: {}",
        "/websocket?apikey={}&vsn=1.0.0",
        "(b'authorization', b'Bearer {}')",
        "Authorization: Bearer {}",
        "authorization: Basic {}",
        '"code_verifier": "{}"',
    ],
)
def test_values_with_secret_names_are_redacted(write, refresh):
    for text in (write, json.dumps(write), json.dumps(json.dumps(write))):
        redacted = mask_lookalikes(f"before {text} after".replace("{}", refresh))
        assert refresh not in redacted
        assert redacted.startswith("before ")
        assert redacted.endswith(" after")
        assert mask_lookalikes(redacted) == redacted


@pytest.mark.parametrize(
    "write",
    ["{}", '"{}"', "Bearer {}", "x={}&y", "\x1b[31m{}\x1b[0m", '\\"{}\\"', "a.{}.b"],
)
def test_access_tokens_and_keys_are_redacted_everywhere(write):
    for secret in (ACCESS, ACCESS.rsplit(".", 1)[0], ACCESS[:40], KEY):
        assert secret not in mask_lookalikes(write.format(secret))


@pytest.mark.parametrize(
    "write",
    [
        'set_session("{}", "{}")',
        "set_session('{}',\n    '{}')",
        "set_session('{}', refresh_token='{}')",
        "%supabase_set_session {} {}",
        '{{"code": "%supabase_set_session \\"{}\\" \\"{}\\""}}',
    ],
)
def test_a_refresh_token_beside_an_access_token_is_redacted(write):
    assert V1 not in mask_lookalikes(write.format(ACCESS, V1))


@pytest.mark.parametrize(
    "text",
    [
        "Invalid Refresh Token: Already Used. Sign in again, or restore a session from newer tokens.",
        "The refresh token is missing, and the access token has expired.",
        "refresh_token_already_used",
        "refresh_token=None",
        "token_type='bearer'",
        "Password should be at least 6 characters.",
        "AuthApiError('x', status=400, code='bad_jwt')",
        "session_id=5f45d14a-b91e-441f-a665-5cd13c51e050",
        "Authorization is needed",
    ],
)
def test_ordinary_texts_stay(text):
    assert mask_lookalikes(text) == text


@given(st.text())
def test_any_text_can_be_redacted(text):
    assert ACCESS not in mask_lookalikes(f"{text}{ACCESS}{text}")


# -- every public object in every view -----------------------------------------------------------------------

REFRESH = "plantedrefr3"
PROVIDER = "gho_plantedprovider"
WIRE = made.session(REFRESH, marker="planted") | {"provider_token": PROVIDER}
SECRETS = (WIRE["access_token"], WIRE["access_token"].split(".")[1], REFRESH, PROVIDER)
SESSION = Session.from_wire(WIRE)


def leaks(shown):
    return [secret[:8] for secret in SECRETS if secret in shown]


def said_to_all(request):
    """A transport's answer to every request: the user."""
    return httpx.Response(200, json=WIRE["user"])


def signed_in(**options):
    transport = httpx.MockTransport(said_to_all)
    options = {"storage": MemoryStorage(), "auto_refresh": False, "transport": transport} | options
    client = AuthClient("https://abcd.supabase.co/auth/v1", **options)
    client.set_session(WIRE["access_token"], REFRESH)
    return client


def _client(folder):
    storage = FileStorage(folder / "sessions")
    transport = httpx.MockTransport(said_to_all)
    client = Client(
        "https://abcd.supabase.co", "anon", storage=storage, auto_refresh=False, transport=transport
    )
    client.auth.set_session(WIRE["access_token"], REFRESH)
    return client


def _memory(folder):
    storage = MemoryStorage()
    storage.set("key", json.dumps(WIRE))
    return storage


def _file(folder):
    storage = FileStorage(folder / "sessions")
    storage.set("key", json.dumps(WIRE))
    return storage


def _subscription(folder):
    return signed_in().on_auth_state_change(print_nothing)


def print_nothing(event, session):
    """A subscriber."""


OBJECTS = {
    "Secret": lambda folder: Secret(WIRE["access_token"]),
    "empty Secret": lambda folder: Secret(""),
    "Session": lambda folder: SESSION,
    "Session.with_user": lambda folder: SESSION.with_user(SESSION.user),
    "Session.claims": lambda folder: SESSION.claims,
    "User": lambda folder: SESSION.user,
    "AuthResponse": lambda folder: AuthResponse(SESSION.user, SESSION),
    "ClaimsResponse": lambda folder: ClaimsResponse(SESSION.claims, {}, Secret(WIRE["access_token"])),
    "SessionResponse": lambda folder: SessionResponse(SESSION.user, SESSION),
    "UserResponse": lambda folder: UserResponse.of(SESSION.user),
    "AuthEvent": lambda folder: AuthEvent(AuthChangeEvent.SIGNED_IN, 0.0, "because"),
    "Subscription": _subscription,
    "AuthClient": lambda folder: signed_in(),
    "AuthClient.events": lambda folder: signed_in().events,
    "AuthClient's trait values": lambda folder: signed_in().trait_values(),
    "AuthClient's manager": lambda folder: signed_in()._manager,
    "AuthClient's API": lambda folder: signed_in()._manager.api,
    "AuthClient.aio": lambda folder: signed_in().aio,
    "Client": _client,
    "Client.http": lambda folder: _client(folder).http,
    "a request": lambda folder: _client(folder).http.get("/rest/v1/trips").request,
    "SessionAuth": lambda folder: SessionAuth(_client(folder)),
    "MemoryStorage": _memory,
    "FileStorage": _file,
    "AuthError": lambda folder: errors.AuthError("It failed.", code="x"),
    "list": lambda folder: [SESSION, {"s": SESSION}],
}


def reprs_below(value, depth=4, seen=None):
    """What a debugger's variables view shows: the values of all attributes, and theirs."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth < 0 or isinstance(value, (str, bytes, type, types.ModuleType)):
        return repr(value)
    seen.add(id(value))
    parts = [repr(value)]
    if isinstance(value, Mapping):
        children = [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        children = list(value)
    else:
        children = list(getattr(value, "__dict__", {}).values())
        for cls in type(value).__mro__:
            slots = getattr(cls, "__slots__", ())
            children += [
                getattr(value, name, None) for name in ([slots] if isinstance(slots, str) else slots)
            ]
    return "\n".join(parts + [reprs_below(child, depth - 1, seen) for child in children])


def _rich(value):
    from rich.console import Console
    from rich.pretty import pretty_repr

    console = Console(file=io.StringIO(), width=500)
    console.print(value)
    return pretty_repr(value) + console.file.getvalue()


def _json(value):
    return json.dumps(value, default=repr)


def _asdict(value):
    return repr(dataclasses.asdict(value)) if dataclasses.is_dataclass(value) else ""


def _astuple(value):
    return repr(dataclasses.astuple(value)) if dataclasses.is_dataclass(value) else ""


def _pickled(protocol):
    def view(value):
        try:
            return pickle.dumps(value, protocol).decode("latin-1")
        except (TypeError, AttributeError, pickle.PicklingError) as refused:
            return str(refused)

    return view


def _copied(copy_it):
    def view(value):
        try:
            copied = copy_it(value)
        except (TypeError, AttributeError, ValueError) as refused:  # a lock in it
            return str(refused)
        return repr(copied) + reprs_below(copied)

    return view


def _in_a_traceback(value):
    def fails(argument):
        local = [argument]
        raise ValueError(len(local))

    try:
        fails(value)
    except ValueError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def _vars(value):
    return repr(vars(value)) if hasattr(value, "__dict__") else ""


def _ipython(value):
    from IPython.core.formatters import DisplayFormatter
    from IPython.lib.pretty import pretty

    return pretty(value) + repr(DisplayFormatter().format(value))


def _reprlib(value):
    import reprlib

    return reprlib.repr(value)


def _pformat(value):
    return pprint.pformat(value, width=40)


VIEWS = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": lambda value: f"{value}{value!r}{value!s:>200}",
    "%": lambda value: "%s %r" % ((value,), (value,)),  # noqa: UP031
    "pprint": _pformat,
    "reprlib": _reprlib,
    "vars": _vars,
    "dir": lambda value: repr(dir(value)),
    "attributes": reprs_below,
    "copy": _copied(copy.copy),
    "deepcopy": _copied(copy.deepcopy),
    "asdict": _asdict,
    "astuple": _astuple,
    "rich": _rich,
    "json": _json,
    "pickle": _pickled(pickle.DEFAULT_PROTOCOL),
    "pickle 0": _pickled(0),
    "traceback with locals": _in_a_traceback,
    "IPython": _ipython,
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", OBJECTS)
def test_no_view_of_an_object_shows_a_token(name, view, tmp_path):
    shown = VIEWS[view](OBJECTS[name](tmp_path))
    assert isinstance(shown, str)
    assert leaks(shown) == []


def test_the_views_can_see():
    """Of plain data every view shows the tokens; otherwise the test above would pass for nothing."""
    blind = {"dir"}

    @dataclasses.dataclass
    class Plain:
        refresh_token: str = REFRESH

    for name, view in VIEWS.items():
        shown = view(Plain()) + view(WIRE)
        assert name in blind or REFRESH in shown, name


@pytest.mark.parametrize("name", ["Secret", "Session", "AuthResponse", "list"])
def test_objects_with_tokens_are_neither_json_nor_pickled(name, tmp_path):
    value = OBJECTS[name](tmp_path)
    with pytest.raises(TypeError):
        json.dumps(value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(value, protocol)


def test_the_wire_format_is_available_on_request():
    assert SESSION.to_wire() == WIRE
