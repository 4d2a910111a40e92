"""`ClientOptions`: the options of supabase-py's `create_client`, as far as they mean something here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..storage import MemoryStorage, SessionStorage


@dataclass
class ClientOptions:
    """Options of `create_client`, as in supabase-py; its own ``ClientOptions`` works too.

    Args:
        schema: The database's schema; must be among the exposed ones.
        headers: Sent with every request. Not ``Authorization``: see `Client.set_auth`.
        auto_refresh_token: Refresh in the background.
        persist_session: Store the session; otherwise it is kept in memory only.
        storage: Where the session is stored; by default a file in the user's data folder.
        flow_type: Only ``"pkce"``: links carry a code, never tokens.

    Source: ``ClientOptions`` of supabase-py. Its time-outs, ``httpx_client`` and ``realtime`` do not apply.

    Example:
        ``create_client(url, key, options=ClientOptions(schema="private"))``
    """

    schema: str = "public"
    headers: Mapping[str, str] = field(default_factory=dict)
    auto_refresh_token: bool = True
    persist_session: bool = True
    storage: SessionStorage | None = None
    flow_type: Literal["pkce"] = "pkce"


_OURS = {option.name for option in dataclasses.fields(ClientOptions)}


def client_arguments(options: object) -> dict[str, Any]:
    """The arguments of `Client` that say the same.

    Args:
        options: A `ClientOptions`, or supabase-py's.

    Raises:
        TypeError: It is another thing, or says what cannot be done here.
    """
    if options is None:
        return {}
    if isinstance(options, type) or not dataclasses.is_dataclass(options):
        raise TypeError('options is a ClientOptions: options=ClientOptions(schema="private").')
    values: dict[str, Any] = {
        option.name: getattr(options, option.name) for option in dataclasses.fields(options)
    }
    usual: dict[str, Any] = {option.name: _default(option) for option in dataclasses.fields(options)}
    for name in values.keys() - _OURS:
        if values[name] != usual[name]:
            raise TypeError(f"ClientOptions({name}=…) isn't supported here: leave it out.")
    if values["flow_type"] != "pkce":
        raise TypeError('flow_type is always "pkce" here: leave it out. sign_in_with_url takes any link.')
    headers = {
        name: value
        for name, value in values["headers"].items()
        if value != (usual["headers"] or {}).get(name)  # supabase-py says its own name there
    }
    if any(name.lower() == "authorization" for name in headers):
        raise TypeError("Authorization is the session's. Use supabase.set_auth(token) after create_client.")
    return {
        "schema": values["schema"],
        "headers": headers,
        "auto_refresh": values["auto_refresh_token"],
        "storage": _storage(values["storage"]) if values["persist_session"] else MemoryStorage(),
    }


def _default(option: dataclasses.Field[Any]) -> Any:
    factory = option.default_factory
    return option.default if factory is dataclasses.MISSING else factory()


def _storage(given: object) -> SessionStorage | None:
    """Where the session is stored; ``None``: where it is by default."""
    if given is None or type(given).__module__.startswith("supabase_auth."):
        return None  # supabase-py's default
    if not isinstance(given, SessionStorage):
        raise TypeError("storage is a SessionStorage: FileStorage(), MemoryStorage(), or one of your own.")
    return given
