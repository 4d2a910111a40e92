"""``/rest/v1``: the endpoints of the tables, whose rows depend on the user."""

from __future__ import annotations

from starlette.responses import Response

from .._project.api_errors import answer
from .._project.keys import BadToken
from .._project.postgrest import SERVICE, Answer
from .._project.project import Call


def table(call: Call) -> Response:
    """A table, which is read-only."""
    request = call.request
    try:
        who = _who(call)
    except BadToken as error:
        expired = "expired" in str(error)
        code, text = (
            ("PGRST303", "JWT expired") if expired else ("PGRST301", "No suitable key or wrong key type")
        )
        body = {"code": code, "details": None, "hint": None, "message": text}
        return answer(body, 401, {"www-authenticate": "Bearer"})
    name, headers = request.path_params["table"], {key.lower(): text for key, text in request.headers.items()}
    return _response(
        call.project.tables.answer(request.method, name, request.query_params.multi_items(), headers, who)
    )


def root(call: Call) -> Response:
    """The tables' types. Since 2026, a project reveals them only to secret keys."""
    if call.request.headers.get("apikey") != call.project.keys.service_key:
        hint = "Accessing the schema via the Data API is only allowed using a secret API key."
        return answer({"message": "Access to schema is forbidden", "hint": hint}, 403)
    return answer(call.project.tables.openapi())


def _response(found: Answer) -> Response:
    return Response(found.body, found.status, found.headers)


def _who(call: Call) -> str | None:
    """The user's id, `SERVICE` for the service role, or ``None`` without a user.

    As in a real project, the data API only verifies the token, not whether its session still exists.
    """
    token = call.project.bearer(call.request)
    if token is None and call.request.headers.get("apikey") == call.project.keys.service_key:
        return SERVICE
    if token is None or token == call.project.keys.anon_key:
        return None
    claims = call.project.claims(token)
    subject = claims.get("sub")
    if claims.get("role") == "service_role":
        return SERVICE
    return subject if isinstance(subject, str) else None
