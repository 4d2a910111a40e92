"""Realtime as the user of now: the rotated token is pushed to every channel at each refresh."""

from __future__ import annotations

import asyncio
from typing import Any

from realtime import AsyncRealtimeClient

from .. import _http
from ..errors import AuthUnknownError, with_next_step
from ..logs import log_without_text
from ..tokens import MASK
from .request_tokens import SessionTokens


class SessionRealtime(AsyncRealtimeClient):
    """Supabase's realtime client, with a session behind it.

    Args:
        provider: What requests carry.
        url: The project's URL.
        **options: Further arguments of `realtime.AsyncRealtimeClient`.
    """

    def __init__(self, provider: SessionTokens, url: str, **options: Any) -> None:
        self._tokens = provider
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(f"{url}/realtime/v1", token=provider.key.reveal(), **options)
        self.stop = provider.listen(self._changed)

    @property
    def access_token(self) -> str | None:
        """What a channel is joined with: the newest token, or the project's key."""
        token = self._tokens.newest() or self._tokens.key
        return token.reveal() if token else None

    @access_token.setter
    def access_token(self, token: str | None) -> None:
        """Ignored: `Client.set_auth` swaps the token of everything, realtime's too."""

    async def connect(self) -> None:
        """Open the connection, in the loop that runs now. Joins begin with the newest token."""
        self._loop = asyncio.get_running_loop()
        await super().set_auth(MASK)
        await super().connect()

    async def send(self, message: Any) -> None:
        """Send a message. Tokens are put in as it leaves: channels and pushes keep a mask in their place."""
        fields = message if isinstance(message, dict) else dict(message)
        if "access_token" in fields["payload"]:
            for channel in self.channels.values():
                if "access_token" in channel.join_push.payload:
                    channel.join_push.update_payload({"access_token": MASK})
            payload = {**fields["payload"], "access_token": self.access_token}
            message = type(message)(**{**fields, "payload": payload})
        await super().send(message)

    async def _on_connect(self) -> None:
        """Refuse a connection that a redirect led to another host, before anything is sent there."""
        connection, own = self._ws_connection, _http.URL(self.url).netloc.decode()
        if connection and connection.request and connection.request.headers["Host"] != own:
            self._ws_connection = None
            await connection.close()
            raise AuthUnknownError(
                with_next_step("Realtime was redirected to another address", "unexpected_redirect"),
                code="unexpected_redirect",
            )
        await super()._on_connect()

    def _changed(self) -> None:
        """Another token is carried: called in any thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return  # joins of the next connection carry it
        try:
            asyncio.run_coroutine_threadsafe(self._push(), loop)
        except RuntimeError:
            return  # the loop was closed just now

    async def _push(self) -> None:
        try:
            await super().set_auth(MASK)
        except Exception:  # noqa: BLE001
            log_without_text(
                "the new token could not be pushed to realtime; channels that join anew carry it"
            )
