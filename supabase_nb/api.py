"""The auth server's endpoints, one method each; every answer becomes a value or one of our errors.

Tokens pass through here, so: they travel in `Secret`s, an exception of the HTTP library never leaves (its
frames hold headers and bodies), and errors are raised where no local variable holds a token.
"""

from __future__ import annotations

import ipaddress
import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import errors, logs, tokens, workers
from .answers import Answer, late, not_an_address, not_promised, outage, read, refusal
from .clock import ServerClock
from .models import Session, User
from .tokens import Secret

if TYPE_CHECKING:
    import httpx

#: Seconds to connect, and to wait for an answer (design: "time-outs and retries"); and for all of a request.
CONNECT_TIMEOUT, READ_TIMEOUT, REQUEST_TIMEOUT = 5.0, 10.0, 15.0
#: Hosts that ``http://`` is good enough for.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_API_VERSION = "2024-01-01"
_LARGEST_ANSWER = 4 * 1024 * 1024


class AuthAPI:
    """One auth server.

    Args:
        url: Its base, ``https://abcd.supabase.co/auth/v1``.
        headers: Sent with every request; ``apikey`` among them.
        clock: Learns the server's time from each answer.
        transport: An httpx transport to share a connection pool with; by default one of our own.
        allow_http: Send tokens over plain ``http://`` to other machines too: readable on the way.

    Raises:
        AuthError: ``url`` is no address, or tokens would travel in the clear.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: ServerClock,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
        allow_http: bool = False,
    ) -> None:
        self.url = check_url(url, allow_http=allow_http)
        self.clock = clock
        self._headers = {name: Secret(value) for name, value in (headers or {}).items()}
        self._transport = transport
        self._http: httpx.Client | None = None
        # A user seldom changes: the same answer is the same user, and nobody need look whether anything did.
        self._seen: tuple[Callable[[], bytes], User] | None = None
        self._pid = 0

    # -- the endpoints ------------------------------------------------------------------------------------

    def get_user(self, access_token: Secret, *, limited: bool = True) -> User:
        """``GET /user``: verifies the token with the server (``tests/wire/sessions-es256.json``).

        Args:
            access_token: Whose it is, is asked.
            limited: Give up after `REQUEST_TIMEOUT`, which takes a thread. Without: for a thread that holds
                no lock and that nobody waits for longer than they like.
        """
        return self._user(self._request("GET", "/user", token=access_token, limited=limited))

    def update_user(self, access_token: Secret, attributes: Mapping[str, object]) -> User:
        """``PUT /user`` (``tests/wire/users.json``)."""
        return self._user(self._request("PUT", "/user", token=access_token, body=attributes))

    def refresh(self, refresh_token: Secret) -> Session:
        """``POST /token?grant_type=refresh_token`` (``tests/wire/rotation.json``)."""
        session = self.session("/token?grant_type=refresh_token", {"refresh_token": refresh_token})
        if not session.refresh_token:
            raise not_promised()
        return session

    def session(self, path: str, body: Mapping[str, object]) -> Session:
        """A ``POST`` that is promised to be answered with a session: the ways in and the exchange."""
        found = self.session_or_user(path, body)
        if not isinstance(found, Session):
            raise not_promised()
        return found

    def session_or_user(self, path: str, body: Mapping[str, object]) -> Session | User:
        """The same, where the answer may be a user who must confirm something first (sign-up)."""
        steady = self.clock.clock.steady
        sent = steady()
        answer = self._request("POST", path, body=body)
        found = read(answer, self.clock.now())
        if found is None:
            raise not_promised(answer.status)
        if isinstance(found, Session):
            self.clock.learn_issued(found.issued_at, sent, steady())
        return found

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """A ``POST`` whose answer holds no token (a mail is sent). Returns its JSON."""
        answer = self._request("POST", path, body=body)
        found = answer.json()
        if not isinstance(found, dict):
            del found  # this frame may appear in a traceback with locals
            raise not_promised(answer.status)
        return found

    def logout(self, access_token: Secret, scope: str) -> None:
        """``POST /logout`` (``tests/wire/sign-out.json``)."""
        answer = self._request("POST", f"/logout?scope={scope}", token=access_token)
        if answer.status != 204 and not isinstance(answer.json(), dict):
            raise not_promised(answer.status)

    def jwks(self) -> Mapping[str, Any]:
        """``GET /.well-known/jwks.json``: the public keys."""
        keys = self._request("GET", "/.well-known/jwks.json").json()
        if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
            del keys  # whatever it is: this frame may stand in a traceback with locals
            raise not_promised()
        return keys

    def close(self) -> None:
        """Drop the connections; the next request makes new ones."""
        http, self._http = self._http, None
        if http is not None and self._pid == os.getpid() and self._transport is None:
            http.close()

    # -- how they are sent --------------------------------------------------------------------------------

    def _user(self, answer: Answer) -> User:
        seen = self._seen
        if seen is not None and answer.body() == seen[0]():
            return seen[1]
        found = read(answer, 0.0)
        if not isinstance(found, User):
            raise not_promised(answer.status)
        self._seen = (answer.body, found)
        return found

    def _request(
        self,
        method: str,
        path: str,
        *,
        token: Secret | None = None,
        body: Mapping[str, object] | None = None,
        limited: bool = True,
    ) -> Answer:
        if token is not None and not tokens.is_jwt(token):
            raise errors.AuthInvalidJwt("This is not an access token. " + errors.NEXT_STEPS["bad_jwt"])
        sent = self.clock.clock.steady()
        if limited:
            answer = self._within_limit(lambda: self._transmit(method, path, token, body))
        else:
            answer = self._transmit(method, path, token, body)
        if isinstance(answer, BaseException):
            raise answer
        self.clock.learn(answer.headers.get("date"), sent, self.clock.clock.steady())
        if 200 <= answer.status < 300:
            return answer
        raise refusal(answer, self.url, self.clock.now())

    def _within_limit(self, send: Callable[[], Answer | BaseException]) -> Answer | BaseException:
        """Send in a thread that is waited for so long and no longer.

        The HTTP library bounds each step, but not looking up a name, nor how many steps a slow server makes
        of one answer; and whoever waits may hold the lock of the stored session.
        """
        outcome: list[Answer | BaseException] = []
        sending = threading.Lock()
        sending.acquire()

        def run() -> None:
            outcome.append(send())
            sending.release()

        try:
            workers.start(run, "supabase-nb-request")
        except RuntimeError:  # no more threads, or the interpreter is ending
            run()
        if not sending.acquire(timeout=REQUEST_TIMEOUT):
            return late(self.url)
        return outcome[0]

    def _transmit(
        self, method: str, path: str, token: Secret | None, body: Mapping[str, object] | None
    ) -> Answer | BaseException:
        """Send and receive. Failures are handed back, not raised: the frames below hold tokens."""
        import httpx

        headers = {name: value.reveal() for name, value in self._headers.items()}
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json;charset=UTF-8"
            content = json.dumps(body, default=_plain).encode()
        interrupt: type[BaseException]
        try:
            # Redirects are never followed: the next address would be handed the tokens.
            http = self._client(httpx)
            request = http.build_request(method, _parsed(self.url + path), headers=headers, content=content)
            with closing(http.send(request, stream=True)) as response:
                received, began = bytearray(), time.monotonic()
                for chunk in response.iter_bytes():
                    received += chunk
                    if time.monotonic() - began > REQUEST_TIMEOUT:
                        return late(self.url)  # nobody waits any more
                    if len(received) > _LARGEST_ANSWER:
                        return errors.AuthUnknownError("The answer was far too long to be the auth server's.")
                sent = [*self._headers.values(), *_secrets(body), *([] if token is None else [token])]
                return Answer(response.status_code, response.headers, bytes(received), sent)
        except errors.AuthError as error:
            return errors.again(error)  # without these frames
        except httpx.HTTPError as error:
            return outage(error, self.url)
        except (httpx.InvalidURL, UnicodeError):
            return not_an_address(self.url)
        except BaseException as error:  # noqa: BLE001  (Ctrl-C: raised anew, without these frames)
            interrupt = type(error)
        return (
            interrupt()
            if interrupt is KeyboardInterrupt
            else errors.AuthUnknownError(
                f"The request could not be sent ({interrupt.__name__}). Check the URL and the key."
            )
        )

    def _client(self, httpx: Any) -> httpx.Client:
        if self._http is None or self._pid != os.getpid():
            from .pool import Pool

            # A forked child must not write into its parent's connections.
            shared = self._transport if self._pid in (0, os.getpid()) else None
            logs.install()
            self._http = httpx.Client(
                headers={"X-Supabase-Api-Version": _API_VERSION, "Accept": "application/json"},
                timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT),
                transport=shared or Pool(),
                follow_redirects=False,
            )
            self._pid = os.getpid()
            if shared is None:
                # A client that is dropped takes its connections with it; when the interpreter ends, they go.
                weakref.finalize(self, _close, self._http, self._pid).atexit = False
        return self._http


@lru_cache(maxsize=32)
def _parsed(url: str) -> httpx.URL:
    """An address; taking it apart costs a fifth of sending a request."""
    import httpx

    return httpx.URL(url)


def _close(http: httpx.Client, pid: int) -> None:
    if os.getpid() == pid:
        http.close()


def check_url(url: str, *, allow_http: bool = False) -> str:
    """The URL without a trailing slash.

    No error here repeats the URL: it may hold a password.

    Raises:
        AuthError: It is no URL, or holds a user name, password, query or fragment, or names another machine
            over plain ``http://``.
    """
    address = url.strip() if isinstance(url, str) else ""
    parts, host = None, None
    try:
        parts = urlsplit(address)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        pass
    problem = ""
    if parts is not None and "@" in parts.netloc:
        problem = "A project's URL holds no user name or password: take out all up to the @."
    elif parts is None or not host or parts.scheme not in ("http", "https"):
        problem = "This is not a project's URL."
    elif "?" in address or "#" in address:
        problem = "A project's URL has no query or fragment: take out the ? or # and all behind it."
    if problem or parts is None:
        raise errors.AuthError(
            f"{problem} It looks like https://abcd.supabase.co: see Project Settings, API.",
            code="invalid_url",
        )
    if parts.scheme == "http" and not allow_http and not is_this_machine(host):
        raise errors.AuthError(
            f"http://{host} would send tokens in the clear. Use https://. If you must: --allow-http, or "
            "allow_http=True.",
            code="insecure_url",
        )
    return address.rstrip("/")


def _secrets(value: object) -> Iterator[Secret]:
    """The secrets in a request's body."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _secrets(item)


def is_this_machine(host: str | None) -> bool:
    """Whether a host is a loopback name or address: what is sent there leaves no machine."""
    try:
        return host in LOOPBACK or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} cannot be sent")
