"""Gets keys and types of tables from the server. Many servers reveal them only to secret keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ... import _http as httpx
from ...errors import AuthError
from .truncation_warning import RowLimit

if TYPE_CHECKING:
    from ..client import Client
    from ..request_tokens import SessionTokens

#: Postgres type -> the kind of its values.
_KINDS = {
    "boolean": "bool",
    "smallint": "int",
    "integer": "int",
    "bigint": "int",
    "int32": "int",  # newer servers
    "int64": "int",
    "real": "float",
    "double precision": "float",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "numeric": "number",
    "json": "json",
    "jsonb": "json",
}


class Known(NamedTuple):
    """A known table.

    Args:
        key: The columns of its primary key; empty for a view.
        kinds: Its columns in order, with the kinds of their values.
    """

    key: tuple[str, ...]
    kinds: Mapping[str, str]


class Tables:
    """A client's tables, as far as reading them needs it.

    Args:
        client: What sends the requests.
        tokens: As whom.

    Attributes:
        row_limit: How many rows come at a time.
    """

    def __init__(self, client: Client, tokens: SessionTokens) -> None:
        self.client, self.tokens, self.row_limit = client, tokens, RowLimit()
        self._schemas: dict[str, dict[str, Known]] = {}

    def known(self, headers: Mapping[str, str]) -> dict[str, Known]:
        """The server's description of the tables in these headers' schema; requested once."""
        profile = headers.get("accept-profile", "public")
        if profile not in self._schemas:
            self._schemas[profile] = _look(self.client, headers)
        return self._schemas[profile]


def _look(client: Client, headers: Mapping[str, str]) -> dict[str, Known]:
    """The tables that the server reveals, if any."""
    if str(urlsplit(client.url).hostname).endswith(".supabase.co") and not client.auth.uses_secret_key:
        return {}  # since March 2026
    try:
        response = client.http.get("/rest/v1/", headers=_asked(headers))
        definitions = response.json()["definitions"] if response.status_code == 200 else {}
        return {name: _known(table["properties"]) for name, table in definitions.items()}
    except (AuthError, httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # not needed for reading; if something is wrong, the request for the rows will fail


def _asked(headers: Mapping[str, str]) -> dict[str, str]:
    profile = headers.get("accept-profile")
    return {"accept": "application/openapi+json"} | ({"accept-profile": profile} if profile else {})


def _known(properties: Mapping[str, Mapping[str, Any]]) -> Known:
    key = tuple(name for name, said in properties.items() if "<pk/>" in said.get("description", ""))
    kinds = {}
    for name, said in properties.items():
        kinds[name] = "json" if said.get("type") == "array" else _KINDS.get(said.get("format", ""), "text")
    return Known(key, kinds)
