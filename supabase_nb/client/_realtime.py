"""Realtime as the signed-in user: each new access token is pushed to every channel."""

from __future__ import annotations

import asyncio
from typing import Any

from realtime import AsyncRealtimeClient

from .._network import http_library as httpx
from .._secrets.log_masking import log_without_text
from .._secrets.tokens import MASK
from ..errors import AuthUnknownError, with_next_step
from ._token_provider import SessionTokenProvider


class SessionRealtime(AsyncRealtimeClient):
    """Supabase's realtime client with the session's tokens.

    Args:
        provider: The tokens.
        url: The project's URL.
        **options: More arguments of `realtime.AsyncRealtimeClient`.
    """

    def __init__(self, provider: SessionTokenProvider, url: str, **options: Any) -> None:
        self._tokens = provider
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(f"{url}/realtime/v1", token=provider.key.reveal(), **options)
        self.stop = provider.on_change(self._on_token_change)

    @property
    def access_token(self) -> str | None:
        """The token for joining a channel: the newest one, or the project's key."""
        token = self._tokens.last_token() or self._tokens.key
        return token.reveal() if token else None

    @access_token.setter
    def access_token(self, token: str | None) -> None:
        """Ignored: use `Client.set_auth`, which applies to realtime too."""

    async def connect(self) -> None:
        """Connect, in the running event loop. Channels join with the newest token."""
        self._loop = asyncio.get_running_loop()
        await super().set_auth(MASK)
        await super().connect()

    async def send(self, message: Any) -> None:
        """Send a message. The token is inserted here; channels and pushes contain only a mask."""
        fields = message if isinstance(message, dict) else dict(message)
        if "access_token" in fields["payload"]:
            for channel in self.channels.values():
                if "access_token" in channel.join_push.payload:
                    channel.join_push.update_payload({"access_token": MASK})
            payload = {**fields["payload"], "access_token": self.access_token}
            message = type(message)(**{**fields, "payload": payload})
        await super().send(message)

    async def _on_connect(self) -> None:
        """Refuse a connection that was redirected to another host, before anything is sent."""
        connection, own = self._ws_connection, httpx.URL(self.url).netloc.decode()
        if connection and connection.request and connection.request.headers["Host"] != own:
            self._ws_connection = None
            await connection.close()
            raise AuthUnknownError(
                with_next_step("Realtime was redirected to another address", "unexpected_redirect"),
                code="unexpected_redirect",
            )
        await super()._on_connect()

    def _on_token_change(self) -> None:
        """The token has changed. Called in any thread."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return  # channels join the next connection with it
        try:
            asyncio.run_coroutine_threadsafe(self._push_token(), loop)
        except RuntimeError:
            return  # the loop has just been closed

    async def _push_token(self) -> None:
        try:
            await super().set_auth(MASK)
        except Exception:  # noqa: BLE001
            log_without_text("the new token could not be sent to realtime; channels that join later use it")
