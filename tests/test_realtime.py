"""Realtime: channels are joined with the newest token, and get each rotated one pushed."""

from __future__ import annotations

import asyncio
import http
import json
import pprint
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import made
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from supabase_nb import AuthError, Client, MemoryStorage, create_client

TOKEN = "POST /auth/v1/token"


class Room:
    """A small server of the protocol: it takes joins and new tokens, and answers "ok"."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self._arrived = asyncio.Condition()
        self._connections: list[ServerConnection] = []

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self._connections.append(connection)
        with suppress(ConnectionClosed):
            async for text in connection:
                frame = json.loads(text)
                reply = {"status": "ok", "response": {"postgres_changes": []}}
                await connection.send(json.dumps({**frame, "event": "phx_reply", "payload": reply}))
                async with self._arrived:
                    self.frames.append(frame)
                    self._arrived.notify_all()

    async def drop(self) -> None:
        for connection in self._connections:
            await connection.close(1012)

    def tokens(self, event: str) -> list[str]:
        """The tokens that frames of this kind carried."""
        return [frame["payload"]["access_token"] for frame in self.frames if frame["event"] == event]

    async def have(self, count: int, event: str) -> list[str]:
        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(lambda: len(self.tokens(event)) >= count), 30)
        return self.tokens(event)


@asynccontextmanager
async def room() -> AsyncIterator[tuple[Room, str]]:
    there = Room()
    async with serve(there, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield there, f"http://127.0.0.1:{port}"


def connect(url: str, answers: made.Answers, key: str = "sb_publishable_abc") -> Client:
    return create_client(url, key, storage=MemoryStorage(), auto_refresh=False, transport=answers)


def rotations() -> made.Answers:
    """A server that gives a new token at each exchange."""
    given = 0

    def answer(_: object) -> Any:
        nonlocal given
        given += 1
        return made.httpx.Response(200, json=made.session(f"refreshtoken{given}", jti=str(given)))

    return made.Answers(**{TOKEN: answer, "POST /auth/v1/logout": {}})


def token(client: Client) -> str:
    assert client.auth.session is not None
    return client.auth.session.access_token


async def join(client: Client) -> Any:
    """Join a channel; until 2.34, `subscribe` did not wait for the answer."""
    channel = await client.realtime.channel("trips").subscribe()
    while not channel.is_joined:
        await asyncio.sleep(0.01)
    return channel


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_the_rotated_token_is_pushed_at_each_refresh() -> None:
    async def test() -> None:
        async with room() as (there, url):
            client = connect(url, rotations())
            client.auth.sign_in_with_password(email="ada@example.com", password="pass")
            await join(client)
            assert await there.have(1, "phx_join") == [token(client)]
            pushed = []
            for count in (1, 2, 3):
                # From another thread, as the background does.
                await client.auth.aio.refresh_session()
                pushed.append(token(client))
                assert await there.have(count, "access_token") == pushed
            assert len(set(pushed)) == 3
            assert there.paths == ["/realtime/v1/websocket?apikey=sb_publishable_abc&vsn=1.0.0"]
            await client.realtime.close()
            client.close()

    run(test)


def test_set_auth_and_signing_out_are_pushed_too() -> None:
    async def test() -> None:
        async with room() as (there, url):
            client = connect(url, rotations())
            client.auth.sign_in_with_password(email="ada@example.com", password="pass")
            await join(client)
            mine, other = token(client), made.jwt(jti="other")
            client.set_auth(other)
            assert await there.have(1, "access_token") == [other]
            client.set_auth(None)
            assert await there.have(2, "access_token") == [other, mine]
            await client.auth.aio.sign_out("local")
            # Not signed in: the project's key.
            assert (await there.have(3, "access_token"))[-1] == "sb_publishable_abc"
            await client.realtime.close()
            client.close()

    run(test)


# The package reads an attribute that websockets has deprecated.
@pytest.mark.filterwarnings("ignore:ConnectionClosed:DeprecationWarning")
def test_a_join_after_the_rotation_carries_the_newest() -> None:
    async def test() -> None:
        async with room() as (there, url):
            client = connect(url, rotations())
            assert client.realtime.access_token == "sb_publishable_abc"
            client.auth.sign_in_with_password(email="ada@example.com", password="pass")
            client.auth.refresh_session()
            await client.realtime.channel("trips").subscribe()
            assert await there.have(1, "phx_join") == [token(client)]
            # One connection of ours is lost, and meanwhile the token was rotated.
            client.realtime.initial_backoff = 0.01
            await there.drop()
            client.auth.refresh_session()
            assert (await there.have(2, "phx_join"))[-1] == token(client)
            await client.realtime.close()
            client.close()

    run(test)


def test_after_the_loop_ended_the_next_one_carries_the_newest() -> None:
    """A script that calls `asyncio.run` twice; the token is rotated between."""
    client = connect("http://127.0.0.1:9", rotations())
    client.auth.sign_in_with_password(email="ada@example.com", password="pass")
    joined: list[str] = []

    async def test() -> None:
        async with room() as (there, url):
            client.realtime.url = f"{url.replace('http', 'ws')}/realtime/v1/websocket"
            channel = client.realtime.channel("trips")
            await channel.subscribe()
            joined.extend(await there.have(1, "phx_join"))
            await client.realtime.remove_channel(channel)
            await client.realtime.close()

    run(test)
    first = token(client)
    client.auth.refresh_session()
    run(test)
    assert joined == [first, token(client)]
    client.close()


def test_a_token_that_cannot_be_pushed_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with room() as (_, url):
            client = connect(url, rotations())
            client.auth.sign_in_with_password(email="ada@example.com", password="pass")
            channel = await join(client)

            async def fail(*_: object) -> None:
                raise OSError("no way")

            channel.push = fail  # type: ignore[assignment, method-assign]
            await client.auth.aio.refresh_session()
            while "could not be sent to realtime" not in caplog.text:
                await asyncio.sleep(0)
            assert client.auth.status == "active"
            assert token(client) not in caplog.text
            await client.realtime.close()
            client.close()

    run(test)


# -- where the token goes, and where it shows -----------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_handshake_that_is_redirected_to_another_origin_joins_nothing(status: int) -> None:
    async def test() -> None:
        async with room() as (there, elsewhere):

            def redirect(connection: ServerConnection, _: Any) -> Any:
                answer = connection.respond(http.HTTPStatus(status), "")
                answer.headers["Location"] = elsewhere.replace("http", "ws") + "/realtime/v1/websocket"
                return answer

            async with serve(there, "127.0.0.1", 0, process_request=redirect) as server:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                client = connect(url, rotations())
                client.auth.sign_in_with_password(email="ada@example.com", password="pass")
                client.realtime.max_retries = 1
                with pytest.raises(AuthError, match="redirected to another address") as caught:
                    await client.realtime.channel("trips").subscribe()
                assert not client.realtime.is_connected
                assert token(client) not in str(caught.value)
                # A rotation is not pushed there either.
                await client.auth.aio.refresh_session()
                await client.realtime.close()
                client.close()
            assert there.frames == []
            assert not [path for path in there.paths if "sb_publishable_abc" in path]

    run(test)


def test_a_handshake_that_is_redirected_within_the_origin_joins() -> None:
    async def test() -> None:
        there = Room()

        def redirect(connection: ServerConnection, request: Any) -> Any:
            if request.path.startswith("/moved"):
                return None
            answer = connection.respond(http.HTTPStatus.TEMPORARY_REDIRECT, "")
            answer.headers["Location"] = "/moved"
            return answer

        async with serve(there, "127.0.0.1", 0, process_request=redirect) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            client = connect(url, rotations())
            client.auth.sign_in_with_password(email="ada@example.com", password="pass")
            await join(client)
            assert await there.have(1, "phx_join") == [token(client)]
            await client.realtime.close()
            client.close()

    run(test)


def as_json(values: dict[str, Any]) -> str:
    return json.dumps(values, default=repr)


@pytest.mark.parametrize("view", [repr, str, pprint.pformat, as_json])
def test_a_channels_attributes_show_no_token(view: Callable[[object], str]) -> None:
    async def test() -> None:
        async with room() as (there, url):
            client = connect(url, rotations())
            client.auth.sign_in_with_password(email="ada@example.com", password="pass")
            channel = await join(client)
            tokens = [token(client)]
            shown = view(vars(channel.join_push))
            await client.auth.aio.refresh_session()
            tokens.append(token(client))
            # What is sent is the token itself.
            assert await there.have(1, "phx_join") == tokens[:1]
            assert await there.have(1, "access_token") == tokens[1:]
            things = [client.realtime, channel, channel.join_push, *channel.messages_waiting_for_ack.values()]
            shown += "".join(view(vars(thing)) for thing in things)
            assert "access_token" in shown
            assert not [one for one in tokens if one in shown]
            # A program that asks for it gets it, as text.
            assert client.realtime.access_token == tokens[1]
            assert json.loads(json.dumps(client.realtime.access_token)) == tokens[1]
            await client.realtime.close()
            client.close()

    run(test)
