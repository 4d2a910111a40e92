"""Handles the requests of a panel's buttons and form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..._secrets.tokens import Secret
from ...errors import AuthApiError, AuthError, copy_error
from .._sign_in.code_sign_in import email_or_phone, sign_in_with_code
from ..text import name_of_user, word

if TYPE_CHECKING:
    from ...auth import AuthClient
    from ...models import AuthResponse

Fields = Mapping[str, Secret]

_CODE = re.compile(r"^\s*[\"'<]?\w+://\S*[?&](?:code|token_hash)=")


def _refresh(auth: AuthClient, fields: Fields) -> str:
    auth.refresh_session()
    return word("panel.refreshed")


def _sign_out(auth: AuthClient, fields: Fields) -> str:
    # Like the magic, this ends only this notebook's session.
    auth.sign_out("local")
    return word("panel.signed_out_now")


def _stop_set_auth(auth: AuthClient, fields: Fields) -> str:
    from ...client._token_provider import stop_set_auth

    stop_set_auth(auth)
    return word("panel.set_auth_stopped")


def _set_session(auth: AuthClient, fields: Fields) -> str:
    access_token, refresh_token = (fields.get(name, Secret("")) for name in ("access_token", "refresh_token"))
    # If the URL contains a code instead of tokens, sign in with it.
    if _CODE.search(access_token.reveal()):
        return signed_in(auth.sign_in_with_url(access_token))
    from .._paste.paste import read_paste

    return signed_in(auth.set_session(*read_paste(access_token, refresh_token)))


def _sign_in_with_password(auth: AuthClient, fields: Fields) -> str:
    password = fields.get("password", Secret(""))
    return signed_in(auth.sign_in_with_password(_identifier(fields), password=password))


def _send_code(auth: AuthClient, fields: Fields) -> str:
    # A typo in the sign-in form must not create a user.
    auth.sign_in_with_otp(_identifier(fields), should_create_user=False)
    return word("form.code.sent")


def _verify_code(auth: AuthClient, fields: Fields) -> str:
    code = Secret(fields.get("code", Secret("")).reveal().strip())
    return signed_in(sign_in_with_code(auth, _identifier(fields), code))


def _verify_factor(auth: AuthClient, fields: Fields) -> str:
    factor_id = fields.get("factor_id", Secret("")).reveal()
    try:
        auth.mfa.challenge_and_verify(factor_id=factor_id, code=fields.get("code", Secret("")))
    except AuthApiError as error:
        failure = error
    else:
        return word("factor.done")
    if failure.code == "mfa_factor_not_found":
        auth.refresh_session()  # it was removed elsewhere: show the user's factors as they are now
        raise AuthError(word("factor.gone"))
    if failure.code == "mfa_verification_failed":
        raise AuthError(word("factor.wrong"))
    raise copy_error(failure)


def _identifier(fields: Fields) -> dict[str, str]:
    return email_or_phone(fields.get("who", Secret("")).reveal().strip())


def signed_in(response: AuthResponse) -> str:
    """The form's text after a sign-in."""
    user, session = response.user, response.session
    lasts = session is None or session.refresh_token
    return word("form.signed_in" if lasts else "form.signed_in_once", who=name_of_user(user))


#: Request -> its handler, called in its own thread. The panel shows the text that it returns.
HANDLERS: Mapping[str, Callable[[AuthClient, Fields], str]] = {
    "refresh": _refresh,
    "sign_out": _sign_out,
    "stop_set_auth": _stop_set_auth,
    "set_session": _set_session,
    "sign_in_with_password": _sign_in_with_password,
    "send_code": _send_code,
    "verify_code": _verify_code,
    "verify_factor": _verify_factor,
}
