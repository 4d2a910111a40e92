"""Client: one Supabase project, worked with as one user."""

from __future__ import annotations

from typing import Any

from .auth import AuthClient
from .storage import SessionStorage, storage_key
from .tokens import Secret


class Client:
    """One Supabase project.

    Args:
        url: The project's URL, ``https://abcd.supabase.co``.
        key: Its publishable (anon) key.
        name: Tells several sessions of one project apart.
        storage: Where the session rests; by default a file in the user's data folder.
        auth_url: The auth server's base, where it is not ``{url}/auth/v1``.
        **options: Further arguments of `AuthClient`.

    Raises:
        AuthError: ``url`` is no address.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        name: str = "",
        storage: SessionStorage | None = None,
        auth_url: str | None = None,
        **options: Any,
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self._key = Secret(key)
        options.setdefault("storage_key", storage_key(url, name))
        headers = {"apikey": key, **options.pop("headers", {})}
        self.auth = AuthClient(auth_url or f"{self.url}/auth/v1", headers=headers, storage=storage, **options)

    @property
    def key(self) -> str:
        """The project's publishable key."""
        return self._key.reveal()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, {self.auth.status})"

    def close(self) -> None:
        """Stop refreshing and drop the connections. The session stays stored. Harmless when done twice."""
        self.auth.close()


def create_client(url: str, key: str, **options: Any) -> Client:
    """A `Client`; the name that Supabase's own packages use."""
    return Client(url, key, **options)
