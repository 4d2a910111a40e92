"""The embedded auth server as an ASGI application: routes, and checks for every request."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .._endpoints import (
    admin,
    auth,
    controls,
    factors,
    identities,
    oauth_clients,
    oauth_consent,
    oauth_server,
    one_time_codes,
    provider,
    rest,
)
from .._project.api_errors import ApiError, answer
from .._project.project import Call, Project

Handler = Callable[[Call], Response]
LOG = logging.getLogger("supabase_nb.demo")
MAX_BODY = 1 << 20
_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?", re.IGNORECASE)
_LIMITED = ("/token", "/signup", "/otp", "/verify", "/recover")

AUTH_ROUTES: dict[str, dict[str, Handler]] = {
    "/signup": {"POST": auth.signup},
    "/token": {"POST": auth.token},
    "/user": {"GET": auth.get_user, "PUT": auth.update_user},
    "/logout": {"POST": auth.logout},
    "/settings": {"GET": auth.settings},
    "/health": {"GET": auth.health},
    "/.well-known/jwks.json": {"GET": auth.jwks},
    "/otp": {"POST": one_time_codes.otp},
    "/recover": {"POST": one_time_codes.recover},
    "/verify": {"GET": one_time_codes.verify_link, "POST": one_time_codes.verify},
    "/authorize": {"GET": provider.authorize},
    "/callback": {"GET": provider.callback},
    "/admin/users": {"GET": admin.users, "POST": admin.create_user},
    "/admin/users/{user_id}": {"GET": admin.get_user, "PUT": admin.update_user, "DELETE": admin.delete_user},
    "/admin/generate_link": {"POST": admin.generate_link},
    "/admin/users/{user_id}/factors": {"GET": factors.admin_list},
    "/admin/users/{user_id}/factors/{factor_id}": {"DELETE": factors.admin_delete},
    "/sso": {"POST": auth.sso},
    "/resend": {"POST": one_time_codes.resend},
    "/reauthenticate": {"GET": one_time_codes.reauthenticate},
    "/factors": {"POST": factors.enroll},
    "/factors/{factor_id}": {"DELETE": factors.unenroll},
    "/factors/{factor_id}/challenge": {"POST": factors.challenge},
    "/factors/{factor_id}/verify": {"POST": factors.verify},
    "/user/identities/authorize": {"GET": provider.link_identity},
    "/user/identities/{identity_id}": {"DELETE": identities.unlink},
    "/user/oauth/grants": {"GET": oauth_server.grants, "DELETE": oauth_server.revoke_grant},
    "/.well-known/oauth-authorization-server": {"GET": oauth_server.discovery},
    "/.well-known/openid-configuration": {"GET": oauth_server.openid_configuration},
    "/oauth/clients/register": {"POST": oauth_clients.register},
    "/oauth/authorize": {"GET": oauth_consent.authorize},
    "/oauth/authorizations/{authorization_id}": {"GET": oauth_consent.read},
    "/oauth/authorizations/{authorization_id}/consent": {"POST": oauth_consent.consent},
    "/oauth/token": {"POST": oauth_server.token},
    "/oauth/userinfo": {"GET": oauth_server.userinfo},
}
# The real server's router authenticates before matching these, which can also end in a slash.
GUARDED = {"/user": Project.require_user, "/factors": Project.require_user, "/admin": Project.require_admin}
DEMO_ROUTES: dict[str, dict[str, Handler]] = {
    "/demo/instance": {"GET": controls.instance},
    "/demo/stats": {"GET": controls.stats},
    "/demo/stats/reset": {"POST": controls.reset_stats},
    "/demo/outage": {"POST": controls.outage},
    "/demo/expire": {"POST": controls.expire},
    "/demo/clock": {"POST": controls.clock},
    "/demo/keys": {"POST": controls.keys},
    "/demo/session": {"GET": controls.session},
    "/demo/stop": {"POST": controls.stop},
    "/demo/outbox": {"GET": controls.outbox},
    "/demo/totp": {"GET": factors.codes},
    "/demo/provider": {"GET": provider.page},
    "/demo/id_token": {"POST": provider.make_id_token},
    "/demo/consent": {"GET": oauth_consent.page},
    "/demo/consent/decide": {"GET": oauth_consent.decide},
    "/demo/welcome": {"GET": controls.welcome},
}


def build(project: Project) -> Starlette:
    """The application for a project."""
    routes = [_route(project, "", path, handlers) for path, handlers in DEMO_ROUTES.items()]
    methods = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
    routes.append(_route(project, "", "/rest/v1/{table}", dict.fromkeys(methods, rest.table)))
    routes.append(_route(project, "", "/rest/v1/", {"GET": rest.root}))
    for prefix in ("/auth/v1", ""):
        for path, handlers in AUTH_ROUTES.items():
            routes.append(_route(project, prefix, path, handlers))
            if _guard(path):
                routes.append(_route(project, prefix, f"{path}/", handlers))

    async def not_routed(request: Request, error: Exception) -> Response:
        guard = _guard(request.url.path.removeprefix("/auth/v1"))
        try:
            if guard is not None:
                guard(project, request)
        except ApiError as refusal:
            return refusal.response(request.headers.get("x-supabase-api-version"))
        return await _not_routed(request, error)

    app = Starlette(
        routes=routes,
        middleware=[Middleware(Gate, project=project)],
        exception_handlers={HTTPException: not_routed},
    )
    app.router.redirect_slashes = False
    return app


def _guard(path: str) -> Callable[[Project, Request], Any] | None:
    """A check for all requests to this path or below it."""
    found = (guard for start, guard in GUARDED.items() if f"{path}/".startswith(f"{start}/"))
    return next(found, None)


def _route(project: Project, prefix: str, path: str, handlers: dict[str, Handler]) -> Route:
    async def endpoint(request: Request) -> Response:
        call = Call(request, await request.body(), prefix, project)
        try:
            _count(call, path)
            return handlers[request.method](call)
        except ApiError as error:
            return error.response(request.headers.get("x-supabase-api-version"))
        except Exception:
            LOG.exception("unexpected failure at %s %s", request.method, path)
            failure = ApiError(500, "unexpected_failure", "Unexpected failure, please check server logs")
            return failure.response(request.headers.get("x-supabase-api-version"))

    route = Route(prefix + path, endpoint, methods=list(handlers))
    route.methods = set(handlers)  # without the HEAD that Starlette adds, as in the real server
    return route


def _count(call: Call, path: str) -> None:
    """Count the request for statistics and the rate limit."""
    project, method = call.project, call.request.method
    if path.startswith("/demo/"):
        return
    name = (
        path.removeprefix("/.well-known/").removesuffix(".json").strip("/").split("/{")[0].replace("/", ".")
    )
    if name == "token":
        grant = call.query("grant_type")
        name = f"token.{grant if grant in ('password', 'refresh_token', 'pkce') else 'other'}"
    elif name in ("user", "verify") or name.startswith("admin"):
        name = f"{name}.{method.lower()}"
    project.stats[name] += 1
    if project.options.rate_limit and path in _LIMITED:
        client = call.request.client
        address = call.request.headers.get("x-forwarded-for", client.host if client else "")
        if not project.within_limit(f"{path} {address}"):
            raise ApiError(429, "over_request_rate_limit", "Request rate limit reached")


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return Response(b"", 405, error.headers)
    return Response("404 page not found\n", 404, media_type="text/plain")


class Gate:
    """Checks for every request: origin, size and speed, outages; adds the date; logs."""

    def __init__(self, app: ASGIApp, project: Project) -> None:
        self._app, self._project = app, project

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        project, headers, status = self._project, Headers(scope=scope), 0
        project.last_request = time.monotonic()
        origin = headers.get("origin")
        trusted = origin is None or re.fullmatch(rf"https?://{_LOOPBACK.pattern}", origin, re.IGNORECASE)

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = MutableHeaders(raw=message["headers"])
                added["date"] = formatdate(project.store.now(), usegmt=True)
                if origin is not None and trusted:
                    added["access-control-allow-origin"] = origin
                    added["access-control-expose-headers"] = (
                        "X-Total-Count, Link, X-Supabase-Api-Version, Content-Range"
                    )
                    added["vary"] = "Origin"
            await send(message)

        refusal = self._refusal(scope, headers, bool(trusted))
        body = b""
        if refusal is None and {"content-length", "transfer-encoding"} & set(headers):
            try:
                body = await asyncio.wait_for(_read_body(headers, receive), project.options.body_timeout)
            except ApiError as error:
                refusal = error.response(headers.get("x-supabase-api-version"))
            except asyncio.TimeoutError:
                slow = ApiError(
                    408,
                    "request_timeout",
                    "The request body arrived too slowly",
                    headers={"connection": "close"},
                )
                refusal = slow.response(headers.get("x-supabase-api-version"))

        async def received() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await (refusal or self._app)(scope, received, send_on)
        # Without the query, because an email's link contains a token.
        path = scope["path"].encode("ascii", "backslashreplace").decode()[:200]
        LOG.info("%s %s %d", scope["method"], path, status)

    def _refusal(self, scope: Scope, headers: Headers, trusted: bool) -> Response | None:
        project, path = self._project, scope["path"]
        version = headers.get("x-supabase-api-version")
        if not _LOOPBACK.fullmatch(headers.get("host", "")):
            # A web page whose domain resolves to 127.0.0.1 (DNS rebinding).
            text = "This server responds only to requests for 127.0.0.1 or localhost"
            return ApiError(421, "validation_failed", text).response(version)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            return Response(status_code=204, headers=_preflight(headers) if trusted else None)
        if path.startswith("/demo/"):
            if not trusted:
                return ApiError(403, "validation_failed", "Requests from other sites are refused").response(
                    version
                )
        elif time.monotonic() < project.down_until:
            project.stats["outage"] += 1
            return answer({"message": "An invalid response was received from the upstream server"}, 503)
        elif path.startswith(("/auth/v1/", "/rest/v1/")):
            return _key_refusal(project, headers, path)
        return None


def _preflight(headers: Headers) -> dict[str, str]:
    return {
        "access-control-allow-methods": "GET, POST, PATCH, PUT, DELETE",
        "access-control-allow-headers": headers.get("access-control-request-headers", ""),
        "access-control-max-age": "600",
    }


def _key_refusal(project: Project, headers: Headers, path: str) -> Response | None:
    """The project's gateway: refuse a wrong ``apikey``. Only the data API requires one."""
    key = headers.get("apikey")
    if key is None and path.startswith("/auth/"):
        return None
    if key is None:
        hint = "No `apikey` request header or url param was found."
        return answer({"message": "No API key found in request", "hint": hint}, 401)
    if not project.knows_key(key):
        hint = "Double check your Supabase `anon` or `service_role` API key."
        return answer({"message": "Invalid API key", "hint": hint}, 401)
    return None


async def _read_body(headers: Headers, receive: Receive) -> bytes:
    length = headers.get("content-length", "0")
    body = bytearray()
    too_large = ApiError(
        413, "validation_failed", "Request body is larger than 1 MiB", headers={"connection": "close"}
    )
    if length.isdecimal() and int(length[:12]) > MAX_BODY:
        raise too_large
    while True:
        message: dict[str, Any] = dict(await receive())
        if message["type"] == "http.disconnect":
            raise ApiError(400, "bad_json", "The request body ended early")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise too_large
        if not message.get("more_body"):
            return bytes(body)
