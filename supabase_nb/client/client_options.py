"""`ClientOptions`: the supported options of supabase-py's `create_client`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..storage import MemoryStorage, SessionStorage, check_storage


@dataclass
class ClientOptions:
    """Options of `create_client`, as in supabase-py; its own ``ClientOptions`` works too.

    Args:
        schema: The database schema. It must be exposed in the project's settings.
        headers: Sent with every request. For ``Authorization``, use `Client.set_auth`.
        auto_refresh_token: Refresh in the background.
        persist_session: Store the session; otherwise it is kept in memory only.
        storage: Where the session is stored; by default a file in the user's data folder.
        flow_type: Always ``"pkce"``: links carry a code, never tokens.

    Source: ``ClientOptions`` of supabase-py. Its timeouts, ``httpx_client`` and ``realtime`` are not
        supported.

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
    """The corresponding arguments of `Client`.

    Args:
        options: A `ClientOptions`, or supabase-py's.

    Raises:
        TypeError: The argument is something else, or has an option that isn't supported.
    """
    if options is None:
        return {}
    if isinstance(options, type) or not dataclasses.is_dataclass(options):
        raise TypeError('options must be a ClientOptions: options=ClientOptions(schema="private").')
    values: dict[str, Any] = {
        option.name: getattr(options, option.name) for option in dataclasses.fields(options)
    }
    usual: dict[str, Any] = {option.name: _default(option) for option in dataclasses.fields(options)}
    for name in values.keys() - _OURS:
        if values[name] != usual[name]:
            raise TypeError(f"ClientOptions({name}=…) isn't supported. Leave it out.")
    if values["flow_type"] != "pkce":
        raise TypeError('flow_type is always "pkce". Leave it out. sign_in_with_url accepts any link.')
    headers = {
        name: value
        for name, value in values["headers"].items()
        if value != (usual["headers"] or {}).get(name)  # supabase-py's default header with its name
    }
    if any(name.lower() == "authorization" for name in headers):
        raise TypeError(
            "The session sets Authorization. To send another token, call supabase.set_auth(token)."
        )
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
    """The storage; ``None``: the default."""
    if given is None or type(given).__module__.startswith("supabase_auth."):
        return None  # supabase-py's default
    return check_storage(given)
