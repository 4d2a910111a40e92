"""Gets keys and types of tables from the server. Many servers reveal them only to secret keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from ..._network import http_library as httpx
from ...errors import AuthError
from .._truncation_warning import RowLimit

if TYPE_CHECKING:
    from .._token_provider import SessionTokenProvider
    from ..client import Client

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


class TableSchema(NamedTuple):
    """What the server reveals about a table.

    Args:
        key: The columns of its primary key; empty for a view.
        kinds: Its columns in order, with the kinds of their values.
    """

    key: tuple[str, ...]
    kinds: Mapping[str, str]


class Tables:
    """The schemas of a client's tables.

    Args:
        client: Sends the requests.
        tokens: The tokens to send them with.

    Attributes:
        row_limit: Knows the most rows that the server sends per request.
    """

    def __init__(self, client: Client, tokens: SessionTokenProvider) -> None:
        self.client, self.tokens, self.row_limit = client, tokens, RowLimit()
        self._schemas: dict[str, dict[str, TableSchema]] = {}

    def schemas(self, headers: Mapping[str, str]) -> dict[str, TableSchema]:
        """The server's description of the tables in these headers' schema; requested once."""
        profile = headers.get("accept-profile", "public")
        if profile not in self._schemas:
            self._schemas[profile] = _fetch(self.client, headers)
        return self._schemas[profile]


def _fetch(client: Client, headers: Mapping[str, str]) -> dict[str, TableSchema]:
    """The tables that the server reveals, if any."""
    if str(urlsplit(client.url).hostname).endswith(".supabase.co") and not client.auth.uses_secret_key:
        return {}  # since March 2026
    try:
        response = client.http.get("/rest/v1/", headers=_request_headers(headers))
        definitions = response.json()["definitions"] if response.status_code == 200 else {}
        return {name: _parse_table(table["properties"]) for name, table in definitions.items()}
    except (AuthError, httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # not needed for reading; if something is wrong, the request for the rows will fail


def _request_headers(headers: Mapping[str, str]) -> dict[str, str]:
    profile = headers.get("accept-profile")
    return {"accept": "application/openapi+json"} | ({"accept-profile": profile} if profile else {})


def _parse_table(properties: Mapping[str, Mapping[str, Any]]) -> TableSchema:
    key = tuple(
        name for name, description in properties.items() if "<pk/>" in description.get("description", "")
    )
    kinds = {}
    for name, description in properties.items():
        kinds[name] = (
            "json"
            if description.get("type") == "array"
            else _KINDS.get(description.get("format", ""), "text")
        )
    return TableSchema(key, kinds)
