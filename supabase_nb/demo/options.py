"""The options of the embedded auth server: one table for Python, the command line and the pytest plugin."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALGORITHMS = ("ES256", "RS256", "HS256")
STATE_VARIABLE = "SUPABASE_NB_DEMO_STATE"
SECRET_VARIABLE = "SUPABASE_NB_DEMO_JWT_SECRET"
PASSWORD = "correct horse battery"


def _option(default: Any, text: str, **more: Any) -> Any:
    return dataclasses.field(default=default, metadata={"help": text, **more}, repr="secret" not in more)


@dataclass(frozen=True)
class Options:
    """The settings of one server; times in seconds."""

    port: int = _option(0, "port on 127.0.0.1; 0: the same as last time, or a free one", metavar="P")
    access_token_lifetime: int = _option(3600, "lifetime of access tokens", metavar="SECONDS")
    reuse_interval: int = _option(
        10, "how long a used refresh token is still accepted (hosted projects: 10)", metavar="SECONDS"
    )
    signing_alg: str = _option("ES256", "how access tokens are signed", choices=ALGORITHMS)
    jwt_secret: str | None = _option(
        None,
        f"also accept HS256 tokens signed with this secret, also service_role (or use ${SECRET_VARIABLE}, "
        "which other users of the machine can't see)",
        metavar="S",
        secret=True,
    )
    issuer: str | None = _option(None, "the `iss` claim (default: the server's own /auth/v1)", metavar="URL")
    site_url: str | None = _option(
        None, "where links lead that name no redirect_to (default: a page of the server)", metavar="URL"
    )
    redirect_urls: str = _option(
        "http://localhost/**,http://localhost:*/**",
        "where else links and providers may lead, separated by commas; * and ** as in a project's settings; "
        "the site and 127.0.0.1 may always",
        metavar="URLS",
    )
    providers: str = _option(
        "github",
        "sign-in providers that are enabled, separated by commas; all lead to the demo's own page",
        metavar="NAMES",
    )
    manual_linking: bool = _option(True, "users can link identities; --no-manual-linking: they can't")
    oauth_server: bool = _option(True, "the project is an OAuth 2.1 server too; --no-oauth-server: it isn't")
    secure_password_change: bool = _option(
        False, "a new password asks for a code by mail, in sessions older than 24 hours"
    )
    autoconfirm: bool = _option(True, "confirm new users at once; --no-autoconfirm: by e-mail")
    disable_signup: bool = _option(False, "refuse new users")
    disable_email: bool = _option(False, "turn off sign-in with e-mail and password")
    outbox: bool = _option(True, "e-mails can be read at GET /demo/outbox; --no-outbox: sending them fails")
    rate_limit: int = _option(
        0, "requests to /token, /signup, /otp, /verify per address in 5 minutes; 0: no limit", metavar="N"
    )
    mail_interval: int = _option(
        60,
        "time between two such e-mails to a user; 0: no limit (hosted projects: 60)",
        metavar="SECONDS",
    )
    timebox: int = _option(0, "sessions end after this time; 0: never", metavar="SECONDS")
    refresh_token_version: int = _option(1, "2: refresh tokens that contain the session's id", choices=(1, 2))
    idle_timeout: int = _option(
        8 * 3600, "stop after this time without a request; 0: never", metavar="SECONDS"
    )
    body_timeout: float = _option(
        10.0, "disconnect clients that take longer to send headers or a body", metavar="SECONDS"
    )

    def __post_init__(self) -> None:
        whole = ("access_token_lifetime", "idle_timeout", "reuse_interval", "rate_limit", "timebox")
        for name in (*whole, "mail_interval"):
            if getattr(self, name) < (name == "access_token_lifetime"):
                raise ValueError(f"{name} is too small: {getattr(self, name)}")
        if self.signing_alg not in ALGORITHMS:
            raise ValueError(f"signing_alg is one of {', '.join(ALGORITHMS)}")
        if self.refresh_token_version not in (1, 2):
            raise ValueError("refresh_token_version is 1 or 2")
        if not 0 <= self.port < 65536:
            raise ValueError(f"port is out of range: {self.port}")

    def public(self) -> dict[str, Any]:
        """All but the secret, for the state file."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if "secret" not in field.metadata
        }

    def arguments(self) -> list[str]:
        """The command line that says the same; without the secret, which others could read there."""
        words = []
        for name, value in self.public().items():
            flag = name.replace("_", "-")
            if value == getattr(Options, name):
                continue
            words += (
                [f"--{flag}" if value else f"--no-{flag}"]
                if isinstance(value, bool)
                else [f"--{flag}", str(value)]
            )
        return words


def default_state_dir() -> Path:
    """Where a server keeps its state: ``$SUPABASE_NB_DEMO_STATE``, or in the user's data folder."""
    import platformdirs

    named = os.environ.get(STATE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_data_dir("supabase-nb")) / "demo"
