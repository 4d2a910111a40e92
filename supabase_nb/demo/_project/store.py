"""The server's state: users, sessions, refresh tokens and one-time tokens in SQLite."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import secrets
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .go_formats import from_rfc3339, rfc3339
from .refresh_token_format import parse_v2, signature, write_v2
from .store_schema import MIGRATION, SCHEMA

_WIRE_ORDER = """
id aud role email email_confirmed_at invited_at phone confirmation_sent_at confirmed_at recovery_sent_at
new_email email_change_sent_at reauthentication_sent_at last_sign_in_at app_metadata user_metadata factors
identities created_at
updated_at banned_until deleted_at is_anonymous
""".split()  # noqa: SIM905
_NANOSECONDS = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6})\d+Z$")


@dataclass
class User:
    """A user; ``doc`` is its JSON. Times that were just set have nanoseconds, as on the real server."""

    id: str
    email: str
    password: str | None
    doc: dict[str, Any]

    def wire(self) -> dict[str, Any]:
        """The JSON, with the fields in the server's order. The fields of metadata are sorted."""
        doc = {name: self.doc[name] for name in _WIRE_ORDER if name in self.doc}
        return doc | {name: _sorted(doc[name]) for name in ("app_metadata", "user_metadata")}

    @property
    def confirmed(self) -> bool:
        """Whether the email address is confirmed."""
        return "email_confirmed_at" in self.doc

    def banned(self, now: float) -> bool:
        """Whether the user is banned at this Unix time."""
        until = self.doc.get("banned_until")
        return until is not None and now < from_rfc3339(until)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _microseconds(value: Any) -> Any:
    match = _NANOSECONDS.match(value) if isinstance(value, str) else None
    return match[1].rstrip("0") + "Z" if match else value


@dataclass
class Exchange:
    """The result of exchanging a refresh token: an error code, or the token to return."""

    code: str | None = None
    user: User | None = None
    session_id: str | None = None
    refresh_token: str = ""


class Store:
    """The database. Every change is one transaction, so a kill at any moment leaves a consistent state."""

    def __init__(
        self, path: Path, *, token_version: int = 1, reuse_interval: float = 10, timebox: float = 0
    ) -> None:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing that was committed
        self._db.execute("PRAGMA foreign_keys=ON")
        if self._db.execute("PRAGMA user_version").fetchone()[0] == 1:
            self._db.executescript(MIGRATION)
        self._db.executescript(SCHEMA)
        self.token_version, self.reuse_interval, self.timebox = token_version, reuse_interval, timebox
        self.clock_offset = 0.0

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def now(self) -> float:
        """Unix time by the server's clock, which a demo can set forward."""
        return time.time() + self.clock_offset

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction. Nested ones join the outer one."""
        if self._db.in_transaction:
            yield self._db
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # -- users ---------------------------------------------------------------------------------------------

    def _user(self, where: str, value: str) -> User | None:
        row = self._db.execute(
            f"SELECT id, email, password, doc FROM users WHERE {where} = ?", (value,)
        ).fetchone()
        if row is None:
            return None
        doc = json.loads(row[3])
        for part in (doc, *doc["identities"]):
            part.update({name: _microseconds(value) for name, value in part.items()})
        if "email_confirmed_at" in doc:
            doc["confirmed_at"] = doc[
                "email_confirmed_at"
            ]  # a generated column, so only users that were read from the database have it
        if factors := self.factors(row[0]):
            doc["factors"] = factors
        return User(row[0], row[1] or "", row[2], doc)

    def factors(self, user_id: str) -> list[dict[str, Any]]:
        """The user's second factors, as the user's JSON has them."""
        rows = self._db.execute(
            "SELECT id, created_at, updated_at, verified, name, challenged_at FROM factors "
            "WHERE user_id = ? ORDER BY created_at",
            (user_id,),
        )
        return [
            {
                "id": row[0],
                "created_at": rfc3339(row[1]),
                "updated_at": rfc3339(row[2]),
                "status": "verified" if row[3] else "unverified",
                **({"friendly_name": row[4]} if row[4] else {}),
                "factor_type": "totp",
                "phone": "",
                "last_challenged_at": None if row[5] is None else rfc3339(row[5]),
            }
            for row in rows
        ]

    def user(self, user_id: str) -> User | None:
        """The user with this id."""
        return self._user("id", user_id)

    def user_by_email(self, email: str) -> User | None:
        """The user with this address, in lower case."""
        return self._user("email", email)

    def users(self, page: int, per_page: int) -> tuple[list[User], int]:
        """A page of users, newest first, and the number of all users."""
        total = self._db.execute("SELECT count(*) FROM users").fetchone()[0]
        rows = self._db.execute(
            "SELECT id FROM users ORDER BY rowid DESC LIMIT ? OFFSET ?",
            (per_page, (page - 1) * per_page),
        ).fetchall()
        return [user for row in rows if (user := self.user(row[0]))], total

    def save_user(self, user: User) -> None:
        """Insert or update a user."""
        user.doc["updated_at"] = rfc3339(self.now())
        doc = {name: value for name, value in user.doc.items() if name != "factors"}
        with self.transaction() as db:
            db.execute(
                "INSERT INTO users VALUES (?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET email = excluded.email, "
                "password = excluded.password, doc = excluded.doc",
                (user.id, user.email or None, user.password, json.dumps(doc)),
            )

    def new_user(
        self,
        email: str,
        password: str | None,
        metadata: dict[str, Any],
        *,
        user_id: str | None = None,
        role: str = "authenticated",
    ) -> User:
        """A new user, not saved yet. Without an address, it is anonymous."""
        user = User(user_id or str(uuid.uuid4()), email, password, {})
        user.doc = {
            "id": user.id,
            "aud": "authenticated",
            "role": role,
            "email": email,
            "phone": "",
            "app_metadata": {"provider": "email", "providers": ["email"]} if email else {},
            "user_metadata": metadata,
            "identities": [],
            "created_at": rfc3339(self.now()),
            "is_anonymous": not email,
        }
        return user

    def add_identity(self, user: User, data: dict[str, Any]) -> None:
        """Add the identity for the user's email address."""
        now = self.now()
        verified = {"email": user.email, "email_verified": False, "phone_verified": False, "sub": user.id}
        user.doc["identities"] = [
            {
                "identity_id": str(uuid.uuid4()),
                "id": user.id,
                "user_id": user.id,
                "identity_data": _sorted(data | verified),
                "provider": "email",
                "last_sign_in_at": rfc3339(now, 9),
                "created_at": rfc3339(now),
                "updated_at": rfc3339(now),
                "email": user.email,
            }
        ]

    def end_mails(self, user: User) -> None:
        """Invalidate all links and codes that were sent before a new password (``recover``).

        The caller saves the user.
        """
        for name in ("confirmation_sent_at", "recovery_sent_at", "email_change_sent_at"):
            user.doc.pop(name, None)
        with self.transaction() as db:
            db.execute("DELETE FROM one_time_tokens WHERE user_id = ?", (user.id,))

    def delete_user(self, user_id: str) -> None:
        """Delete the user and everything that belongs to the user."""
        with self.transaction() as db:
            db.execute("DELETE FROM users WHERE id = ?", (user_id,))

    # -- sessions ------------------------------------------------------------------------------------------

    def new_session(
        self, user: User, method: str, *, client_id: str | None = None, scope: str | None = None
    ) -> Exchange:
        """A session with its first refresh token.

        Args:
            user: The user, saved here with a new ``last_sign_in_at``.
            method: How the user signed in: ``password``, ``otp``, ``anonymous``, ``oauth``…
            client_id: The client of the OAuth server that it is for.
            scope: What that client was allowed.
        """
        session_id, now = str(uuid.uuid4()), self.now()
        user.doc["last_sign_in_at"] = rfc3339(now, 9)
        amr = json.dumps([{"method": method, "timestamp": int(now)}])
        with self.transaction() as db:
            self.save_user(user)
            db.execute(
                "INSERT INTO sessions (id, user_id, created_at, amr, hmac_key, client_id, scope) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (session_id, user.id, now, amr, secrets.token_bytes(32), client_id, scope),
            )
            signed = self.token_version == 2
            token = self._signed_token(session_id) if signed else self._next_token(session_id, None, now)
        return Exchange(user=user, session_id=session_id, refresh_token=token)

    def session(self, session_id: str) -> sqlite3.Row | None:
        """A session's row."""
        cursor = self._db.execute("SELECT * FROM sessions WHERE id = ?", (session_id,))
        cursor.row_factory = sqlite3.Row
        row: sqlite3.Row | None = cursor.fetchone()
        return row

    def alive(self, session_id: str) -> bool:
        """Whether the session has a valid refresh token."""
        query = (
            "SELECT 1 FROM sessions s LEFT JOIN refresh_tokens t ON t.session_id = s.id "
            "WHERE s.id = ? AND (t.id IS NULL OR NOT t.revoked)"
        )
        return self._db.execute(query, (session_id,)).fetchone() is not None

    def issued(self, session_id: str, at: float) -> None:
        """Record when the newest access token was issued."""
        with self.transaction() as db:
            db.execute("UPDATE sessions SET issued_at = ? WHERE id = ?", (at, session_id))

    def expire(self, user_id: str | None) -> int:
        """Expire all access tokens that have been issued so far.

        Args:
            user_id: Only this user's; ``None``: all users'.

        Returns:
            The number of sessions.
        """
        with self.transaction() as db:
            query = "UPDATE sessions SET expired_at = :now WHERE :user IS NULL OR user_id = :user"
            return db.execute(query, {"now": self.now(), "user": user_id}).rowcount

    def end_sessions(self, user_id: str, scope: str, session_id: str | None) -> None:
        """Sign out: ``local`` this session, ``others`` all but this one, ``global`` all of the user's."""
        condition = {"local": " AND id = :id", "others": " AND id IS NOT :id", "global": ""}[scope]
        with self.transaction() as db:
            query = f"DELETE FROM sessions WHERE user_id = :user{condition}"
            db.execute(query, {"user": user_id, "id": session_id})

    # -- refresh tokens ------------------------------------------------------------------------------------

    def _next_token(self, session_id: str, parent: str | None, now: float) -> str:
        token = base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]
        self._db.execute(
            "INSERT INTO refresh_tokens (token, parent, session_id, updated_at) VALUES (?, ?, ?, ?)",
            (token, parent, session_id, now),
        )
        return token

    def _signed_token(self, session_id: str) -> str:
        query = "SELECT hmac_key, counter FROM sessions WHERE id = ?"
        return write_v2(session_id, *self._db.execute(query, (session_id,)).fetchone())

    def swap_token(self, session_id: str) -> str:
        """Replace the newest refresh token of a session that is at another level now (``mfa``)."""
        now = self.now()
        with self.transaction() as db:
            if self.token_version == 2:
                db.execute("UPDATE sessions SET counter = counter + 1 WHERE id = ?", (session_id,))
                return self._signed_token(session_id)
            parent: str = db.execute(
                "SELECT token FROM refresh_tokens WHERE session_id = ? ORDER BY revoked, id DESC",
                (session_id,),
            ).fetchone()[0]
            update = "UPDATE refresh_tokens SET revoked = 1, updated_at = ? WHERE token = ?"
            db.execute(update, (now, parent))
            return self._next_token(session_id, parent, now)

    def exchange(self, token: str, client_id: str | None = None) -> Exchange:
        """Spend a refresh token: rotation, reuse and revocation as in ``rotation*.json``.

        This is one transaction, so a second request with the same token finds it spent.

        Args:
            token: The refresh token.
            client_id: The OAuth client that sends the request, if any.
        """
        now = self.now()
        with self.transaction():
            exchange = self._exchange_v1 if len(token) == 12 else self._exchange_v2
            return exchange(token, now, client_id)

    def _usable(self, session_id: str, now: float, client_id: str | None) -> Exchange:
        session = self.session(session_id)
        user = self.user(session["user_id"]) if session else None
        assert session is not None
        assert user is not None
        if user.banned(now):
            return Exchange("user_banned", user)
        if session["client_id"] != client_id:
            # Only the OAuth client that a session belongs to can refresh it (``oauth-server``).
            code = "other_client" if session["client_id"] and client_id else "client_needed"
            return Exchange(code if session["client_id"] else "client_refused", user, session_id)
        expired = self.timebox and now > session["created_at"] + self.timebox
        return Exchange("session_expired" if expired else None, user, session_id)

    def _exchange_v1(self, token: str, now: float, client_id: str | None) -> Exchange:
        db = self._db
        row = db.execute(
            "SELECT id, revoked, updated_at, session_id FROM refresh_tokens WHERE token = ?", (token,)
        ).fetchone()
        if row is None:
            return Exchange("refresh_token_not_found")
        token_id, revoked, updated_at, session_id = row
        result = self._usable(session_id, now, client_id)
        if result.code:
            return result
        assert result.user is not None
        if revoked:
            active = db.execute(
                "SELECT token, parent FROM refresh_tokens "
                "WHERE session_id = ? AND NOT revoked ORDER BY id DESC",
                (session_id,),
            ).fetchone()
            if active and active[1] == token:
                # The parent of the active token: the response may have been lost.
                result.refresh_token = active[0]
                return result
            if now > updated_at + self.reuse_interval:
                db.execute(
                    "UPDATE refresh_tokens SET revoked = 1, updated_at = ? "
                    "WHERE session_id = ? AND NOT revoked",
                    (now, session_id),
                )
                result.code = "refresh_token_already_used"
                return result
        db.execute("UPDATE refresh_tokens SET revoked = 1, updated_at = ? WHERE id = ?", (now, token_id))
        result.refresh_token = self._next_token(session_id, token, now)
        self.save_user(result.user)  # the real server touches updated_at here
        db.execute("UPDATE sessions SET refreshed_at = ? WHERE id = ?", (now, session_id))
        return result

    def _exchange_v2(self, token: str, now: float, client_id: str | None) -> Exchange:
        session_id, counter, signed = parse_v2(token)
        row = self._db.execute(
            "SELECT hmac_key, counter, created_at, refreshed_at FROM sessions WHERE id = ?", (session_id,)
        ).fetchone()
        if row is None or not hmac.compare_digest(signature(row[0], signed[0]), signed[1]):
            return Exchange("refresh_token_not_found")
        _, newest, created_at, refreshed_at = row
        result = self._usable(session_id, now, client_id)
        if result.code:
            return result
        behind = newest - counter
        if behind < 0:
            result.code = "validation_failed"
            return result
        if behind > 1 and not abs(now - (refreshed_at or created_at)) < self.reuse_interval:
            self._db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))
            result.code = "refresh_token_already_used"
            return result
        update = "UPDATE sessions SET refreshed_at = ?, counter = ? WHERE id = ?"
        self._db.execute(update, (now, newest + (behind == 0), session_id))
        result.refresh_token = self._signed_token(session_id)
        return result
