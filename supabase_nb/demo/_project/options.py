"""The embedded auth server's options, for Python, the command line and the pytest plugin."""

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

    port: int = _option(0, "port on 127.0.0.1; 0: the previous port, or a free one", metavar="P")
    access_token_lifetime: int = _option(3600, "lifetime of access tokens", metavar="SECONDS")
    reuse_interval: int = _option(
        10, "how long a used refresh token is still accepted (hosted projects: 10)", metavar="SECONDS"
    )
    signing_alg: str = _option("ES256", "algorithm for signing access tokens", choices=ALGORITHMS)
    jwt_secret: str | None = _option(
        None,
        f"also accept HS256 tokens signed with this secret, including service_role (or set "
        f"${SECRET_VARIABLE}, "
        "which other users of the machine can't see)",
        metavar="S",
        secret=True,
    )
    issuer: str | None = _option(None, "the `iss` claim (default: the server's own /auth/v1)", metavar="URL")
    site_url: str | None = _option(
        None, "where links without a redirect_to lead (default: a page of the server)", metavar="URL"
    )
    redirect_urls: str = _option(
        "http://localhost/**,http://localhost:*/**",
        "other addresses that links and providers may lead to, separated by commas; * and ** as in a "
        "project's "
        "settings; the site URL and 127.0.0.1 are always allowed",
        metavar="URLS",
    )
    providers: str = _option(
        "github",
        "enabled sign-in providers, separated by commas; all lead to the demo provider's page",
        metavar="NAMES",
    )
    manual_linking: bool = _option(True, "allow users to link identities")
    oauth_server: bool = _option(True, "also be an OAuth 2.1 server")
    secure_password_change: bool = _option(
        False, "require an emailed code to change the password in sessions older than 24 hours"
    )
    autoconfirm: bool = _option(True, "confirm new users at once; --no-autoconfirm: by email")
    disable_signup: bool = _option(False, "refuse new users")
    disable_email: bool = _option(False, "turn off sign-in with email and password")
    outbox: bool = _option(True, "keep sent emails at GET /demo/outbox; --no-outbox: sending emails fails")
    rate_limit: int = _option(
        0,
        "maximum number of requests to /token, /signup, /otp, /verify per address in 5 minutes; 0: no limit",
        metavar="N",
    )
    mail_interval: int = _option(
        60,
        "minimum time between two emails of the same kind to a user; 0: no limit (hosted projects: 60)",
        metavar="SECONDS",
    )
    timebox: int = _option(0, "sessions end after this time; 0: never", metavar="SECONDS")
    refresh_token_version: int = _option(
        1, "2: issue refresh tokens that contain the session id", choices=(1, 2)
    )
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
            raise ValueError(f"signing_alg must be one of {', '.join(ALGORITHMS)}")
        if self.refresh_token_version not in (1, 2):
            raise ValueError("refresh_token_version must be 1 or 2")
        if not 0 <= self.port < 65536:
            raise ValueError(f"port is out of range: {self.port}")

    def public(self) -> dict[str, Any]:
        """All options except the secret, for the state file."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if "secret" not in field.metadata
        }

    def arguments(self) -> list[str]:
        """The options as command line arguments, without the secret, which other users could read there."""
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


def absolute_state_dir(state_dir: Path | None) -> Path:
    """A state folder, or the default one, as a path that is valid in every working directory."""
    return Path(os.path.abspath(os.path.expanduser(state_dir or default_state_dir())))


def default_state_dir() -> Path:
    """The default state folder: ``$SUPABASE_NB_DEMO_STATE``, or one in the user's data folder."""
    import platformdirs

    named = os.environ.get(STATE_VARIABLE)
    return Path(named) if named else Path(platformdirs.user_data_dir("supabase-nb")) / "demo"
