"""The ways in: password, one-time code, link, provider, anonymous. Each puts a session in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from . import errors, tokens
from .held import Word
from .keeper import Keeper
from .models import AuthChangeEvent, AuthResponse, Session, User
from .pkce import RECOVERY, Pkce
from .record import Pair
from .tokens import Secret, shown

_SECRET_FIELDS = ("password", "token", "token_hash", "captcha_token")
# The same in an address that a link or a provider's page leads to.
_SECRET_IN_URL = (
    "access_token",
    "code",
    "provider_refresh_token",
    "provider_token",
    "refresh_token",
    "token_hash",
)
# Where supabase-py's dictionaries call something by another name.
_ALIASES = {"email_redirect_to": "redirect_to"}


class WaysIn:
    """What `AuthClient` has to sign somebody in.

    Where Supabase's Python client takes a dictionary of credentials, so do these; keywords say the same.
    Passwords and codes are wrapped as they enter: no ``repr``, log or traceback of ours shows them.
    """

    _keeper: Keeper

    def sign_up(
        self,
        credentials: Mapping[str, Any] | None = None,
        /,
        *,
        email: str | None = None,
        phone: str | None = None,
        password: str | Secret | None = None,
        data: Mapping[str, Any] | None = None,
        redirect_to: str | None = None,
        channel: str | None = None,
        captcha_token: str | None = None,
    ) -> AuthResponse:
        """Make a new user.

        Args:
            credentials: The same as a dictionary.
            email: The address; or
            phone: the number, with its country's code.
            password: The password.
            data: The user's metadata.
            redirect_to: Where the link in the confirmation mail leads.
            channel: ``"sms"`` or ``"whatsapp"``, for a phone.
            captcha_token: What a captcha gave, where the project asks for one.

        Returns:
            The user and the session; no session when the project wants the address confirmed first.

        Raises:
            AuthWeakPassword: ``reasons`` says in what.
            AuthApiError: The server refused (``user_already_exists``, ``signup_disabled``…).
        """
        given = _given(
            credentials,
            email=email,
            phone=phone,
            password=password,
            data=data,
            redirect_to=redirect_to,
            channel=channel,
            captcha_token=captcha_token,
        )
        credentials = password = captcha_token = None
        _need(given, "password")
        word = self._keeper.new_word()
        found = self._post("/signup", given, data=dict(given.pop("data", {})), pkce="email" in given)
        return self._signed_in(word, found, "signed up")

    def sign_in_with_password(
        self,
        credentials: Mapping[str, Any] | None = None,
        /,
        *,
        email: str | None = None,
        phone: str | None = None,
        password: str | Secret | None = None,
        captcha_token: str | None = None,
    ) -> AuthResponse:
        """Sign in with a password.

        Args:
            credentials: The same as a dictionary.
            email: The address; or
            phone: the number.
            password: The password.
            captcha_token: What a captcha gave, where the project asks for one.

        Raises:
            AuthInvalidCredentials: Wrong e-mail or password.
            AuthApiError: The server refused (``email_not_confirmed``, ``user_banned``…).
            AuthRetryableError: The server cannot be reached now.
        """
        given = _given(credentials, email=email, phone=phone, password=password, captcha_token=captcha_token)
        credentials = password = captcha_token = None
        _need(given, "password")
        word = self._keeper.new_word()
        found = self._keeper.api.session(*self._request("/token?grant_type=password", given))
        return self._signed_in(word, found, "signed in with a password")

    def sign_in_anonymously(
        self, credentials: Mapping[str, Any] | None = None, /, *, data: Mapping[str, Any] | None = None
    ) -> AuthResponse:
        """Sign in as a new user without a name.

        Args:
            credentials: The same as a dictionary.
            data: The user's metadata.

        Raises:
            AuthApiError: ``anonymous_provider_disabled``: the project does not allow it.
        """
        given = _given(credentials, data=data)
        path, body = self._request("/signup", given, data=dict(given.pop("data", {})))
        word = self._keeper.new_word()
        found = self._keeper.api.session(path, body)
        return self._signed_in(word, found, "signed in anonymously")

    def sign_in_with_otp(
        self,
        credentials: Mapping[str, Any] | None = None,
        /,
        *,
        email: str | None = None,
        phone: str | None = None,
        should_create_user: bool | None = None,
        data: Mapping[str, Any] | None = None,
        redirect_to: str | None = None,
        channel: str | None = None,
        captcha_token: str | None = None,
    ) -> AuthResponse:
        """Have a one-time code, and by mail a link, sent; `verify_otp` or `sign_in_with_url` takes it.

        Args:
            credentials: The same as a dictionary.
            email: The address; or
            phone: the number, with its country's code.
            should_create_user: Whether a stranger becomes a new user; yes by default.
            data: The metadata of a new user.
            redirect_to: Where the link leads.
            channel: ``"sms"`` or ``"whatsapp"``, for a phone.
            captcha_token: What a captcha gave, where the project asks for one.

        Returns:
            Neither user nor session: these come with the code.

        Raises:
            AuthApiError: The server refused (``otp_disabled``, ``over_email_send_rate_limit``…).
        """
        given = _given(
            credentials,
            email=email,
            phone=phone,
            should_create_user=should_create_user,
            data=data,
            redirect_to=redirect_to,
            channel=channel,
            captcha_token=captcha_token,
        )
        credentials = captcha_token = None
        _need(given)
        create = given.pop("should_create_user", True)
        path, body = self._request("/otp", given, pkce="email" in given, create_user=create)
        self._keeper.api.post(path, body)
        return AuthResponse(None, None)

    def verify_otp(
        self,
        credentials: Mapping[str, Any] | None = None,
        /,
        *,
        email: str | None = None,
        phone: str | None = None,
        token: str | Secret | None = None,
        token_hash: str | Secret | None = None,
        type: str | None = None,
        captcha_token: str | None = None,
    ) -> AuthResponse:
        """Sign in with a one-time code.

        Args:
            credentials: The same as a dictionary.
            email: The address that the code was sent to; or
            phone: the number.
            token: The code. Spaces and dashes in it do not matter.
            token_hash: What a link holds instead of a code; then without address and code.
            type: What it was sent for: ``"email"`` (default), ``"sms"`` (default with a phone),
                ``"recovery"``, ``"invite"``, ``"email_change"``…
            captcha_token: What a captcha gave, where the project asks for one.

        Raises:
            AuthInvalidCredentials: The code is wrong, spent or too old.
            AuthApiError: The server refused.
        """
        given = _given(
            credentials,
            email=email,
            phone=phone,
            token=token,
            token_hash=token_hash,
            type=type,
            captcha_token=captcha_token,
        )
        credentials = token = token_hash = captcha_token = None
        if "token_hash" not in given:
            _need(given, "token")
            given["token"] = Secret("".join(given["token"].reveal().replace("-", " ").split()))
        kind = given.setdefault("type", "sms" if "phone" in given else "email")
        word = self._keeper.new_word()
        found = self._post("/verify", given)
        return self._signed_in(word, found, "signed in with a one-time code", recovery=kind == "recovery")

    # -- by an address that one is sent back to -----------------------------------------------------------

    def get_oauth_url(
        self,
        provider: str,
        *,
        redirect_to: str | None = None,
        scopes: str | None = None,
        query_params: Mapping[str, str] | None = None,
    ) -> str:
        """The address to open in a browser to sign in with a provider such as ``"github"``.

        `sign_in_with_url` takes the address that one is sent back to. It holds a code that is of use only
        together with the verifier that is made here and rests in storage (PKCE).

        Args:
            provider: The provider's name, as in the project's settings.
            redirect_to: Where to be sent back to; must be among the project's redirect URLs.
            scopes: What to ask of the provider, separated by spaces.
            query_params: Further parameters for the provider.
        """
        params = {"provider": provider, "redirect_to": redirect_to, "scopes": scopes}
        fields = {name: value for name, value in params.items() if value} | dict(query_params or {})
        return f"{self._keeper.api.url}/authorize?{urlencode({**fields, **self._pkce.challenge()})}"

    def sign_in_with_url(self, address: str | Secret) -> AuthResponse:
        """Sign in with the address that a link or a provider's page sent one back to.

        Args:
            address: Copied from the browser, whole: with its ``#access_token=…`` or its ``?code=…``.

        Raises:
            AuthApiError: The address says that the sign-in failed, or the server does.
            AuthError: There is nothing in it to sign in with.
        """
        secret, address = Secret(address), ""
        fields = _fields(secret)
        if fields.get("error_description") or fields.get("error_code") or fields.get("error"):
            raise _failed(fields)
        kind = fields["type"].reveal() if "type" in fields else ""
        if "access_token" in fields:
            pair = Pair.of(fields["access_token"], fields.get("refresh_token", ""))
            event = _event(recovery=kind == "recovery")
            session = self._keeper.enter(pair, event, "signed in with a link")
            return AuthResponse(session.user, session)
        if "code" in fields:
            return self.exchange_code_for_session(fields["code"])
        if "token_hash" in fields:
            return self.verify_otp(token_hash=fields["token_hash"], type=kind or "email")
        raise errors.AuthError(
            "There is nothing in this address to sign in with. Copy it whole, with all that stands behind "
            "the ? and the #.",
            code="no_credentials",
        )

    def exchange_code_for_session(
        self, auth_code: str | Secret | Mapping[str, Any], *, code_verifier: str | Secret | None = None
    ) -> AuthResponse:
        """Sign in with the code of an address (PKCE).

        Args:
            auth_code: The code; or a dictionary with it.
            code_verifier: By default the one that was made for it and rests in storage.

        Raises:
            AuthApiError: The server refused: the code is spent, too old, or of another verifier.
            AuthError: There is no verifier: the sign-in was not begun here.
        """
        if isinstance(auth_code, Mapping):
            code_verifier = code_verifier or auth_code.get("code_verifier")
            auth_code = Secret(auth_code.get("auth_code") or "")
        code, auth_code = tokens.clean(auth_code), ""
        verifier, code_verifier = tokens.clean(code_verifier), None
        purpose = ""
        if not verifier:
            verifier, purpose = self._pkce.verifier()
        if not verifier:
            raise errors.AuthError(
                "This code belongs to a sign-in that was not begun here, or was finished. Begin again with "
                "get_oauth_url or sign_in_with_otp.",
                code="no_code_verifier",
            )
        word = self._keeper.new_word()
        found = self._keeper.api.session(
            "/token?grant_type=pkce", {"auth_code": code, "code_verifier": verifier}
        )
        try:
            return self._signed_in(word, found, "signed in with a code", recovery=purpose == RECOVERY)
        finally:
            self._pkce.done()

    @property
    def _pkce(self) -> Pkce:
        return Pkce(self._keeper.storage, self._keeper.key)

    # -- how it is done -----------------------------------------------------------------------------------

    def _post(
        self, path: str, given: dict[str, Any], *, pkce: bool = False, **fields: object
    ) -> Session | User:
        path, body = self._request(path, given, pkce=pkce, **fields)
        return self._keeper.api.session_or_user(path, body)

    def _request(
        self, path: str, given: dict[str, Any], *, pkce: bool = False, **fields: object
    ) -> tuple[str, dict[str, object]]:
        """Where to send what is given, and its JSON."""
        body = {**given, **fields}
        redirect_to, captcha_token = body.pop("redirect_to", None), body.pop("captcha_token", None)
        if captcha_token is not None:
            body["gotrue_meta_security"] = {"captcha_token": captcha_token}
        if redirect_to is not None:
            path += f"{'&' if '?' in path else '?'}redirect_to={quote(redirect_to, safe='')}"
        return path, {**body, **(self._pkce.challenge() if pkce else {})}

    def _signed_in(
        self, word: Word, found: Session | User, cause: str, *, recovery: bool = False
    ) -> AuthResponse:
        if isinstance(found, User):
            return AuthResponse(found, None)
        self._keeper.begin(found, _event(recovery=recovery), cause, word)
        return AuthResponse(found.user, found)


def _given(credentials: Mapping[str, Any] | None, **named: Any) -> dict[str, Any]:
    """What was given, in a dictionary or by keywords, secrets wrapped.

    Raises:
        TypeError: A key that means nothing here; no typo passes in silence.
    """
    given = {name: value for name, value in named.items() if value is not None}
    flat = dict(credentials or {})
    flat |= flat.pop("options", None) or {}
    for key, value in flat.items():
        name = _ALIASES.get(key, key)
        if name not in named:
            raise TypeError(f"{key!r} is not among {', '.join(named)}")
        if value is not None:
            given.setdefault(name, value)
    return {name: Secret(value) if name in _SECRET_FIELDS else value for name, value in given.items()}


def _need(given: Mapping[str, Any], *names: str) -> None:
    """Refuse what no server could answer.

    Raises:
        AuthInvalidCredentials: Something is missing; says what.
    """
    if bool(given.get("email")) == bool(given.get("phone")):
        raise errors.AuthInvalidCredentials(
            "Say who it is: an email address or a phone number, one of them.", code="validation_failed"
        )
    for name in names:
        if not given.get(name):
            what = {"token": "The code that was sent is missing."}.get(name, f"The {name} is missing.")
            raise errors.AuthInvalidCredentials(what, code="validation_failed")


def _event(*, recovery: bool) -> AuthChangeEvent:
    return AuthChangeEvent.PASSWORD_RECOVERY if recovery else AuthChangeEvent.SIGNED_IN


def _fields(address: Secret) -> dict[str, Secret]:
    """What stands behind the ``?`` and the ``#``."""
    try:
        parts = urlsplit(address.reveal().strip().strip("\"'<>"))
        found = parse_qs(parts.query) | parse_qs(parts.fragment.lstrip("/?"))
    except ValueError:
        return {}
    return {name: Secret(values[0]) for name, values in found.items()}


def _failed(fields: Mapping[str, Secret]) -> errors.AuthApiError:
    secrets = [value for name, value in fields.items() if name in _SECRET_IN_URL]
    said, code, kind = (
        shown(fields[name].reveal(), secrets=secrets) if name in fields else ""
        for name in ("error_description", "error_code", "error")
    )
    code = code or kind
    message = errors.with_next_step(f"The sign-in failed: {said or code.replace('_', ' ')}", code)
    kinds = {"otp_expired": errors.AuthInvalidCredentials}
    return kinds.get(code, errors.AuthApiError)(message, code=code)
