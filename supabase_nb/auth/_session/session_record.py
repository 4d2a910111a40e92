"""SessionRecord: a session with the hashes of its used refresh tokens. TokenPair: two given tokens."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..._secrets import masking, tokens
from ..._secrets.tokens import Secret
from ...errors import AuthStorageError
from ...models import Session

# Our own field in the stored object, which Supabase's other clients ignore.
_OWN_FIELD = "supabase_nb"
# How many hashes to keep: the oldest tokens are in notebooks, the newest in other kernels.
_OLDEST_KEPT, _NEWEST_KEPT = 128, 384
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class TokenPair(NamedTuple):
    """Two tokens from the user, the access token's claims, and the server's id of the session."""

    access_token: Secret
    refresh_token: Secret
    claims: Mapping[str, Any] | None
    session_id: str | None

    @classmethod
    def from_tokens(
        cls, access_token: object, refresh_token: object, known: Session | None = None
    ) -> TokenPair:
        """Clean both tokens (`tokens.clean`). If they are the `known` session's, return its pair."""
        access, refresh = tokens.clean(access_token), tokens.clean(refresh_token)
        masking.remember_pair(access, refresh)
        if known is not None and (access, refresh) == (known.access_secret, known.refresh_secret):
            return cls.from_session(known)
        claims = tokens.read_claims(access)
        return cls(access, refresh, claims, tokens.session_id(claims, refresh))

    @classmethod
    def from_session(cls, session: Session) -> TokenPair:
        """The tokens of a session."""
        return cls(session.access_secret, session.refresh_secret, session.claims, session.session_id)

    @property
    def user_id(self) -> str | None:
        """The user's id, from the access token."""
        return tokens.text_claim(self.claims, "sub")


class SessionRecord(NamedTuple):
    """A session with the salted hashes of its used refresh tokens.

    Args:
        session: The session with its newest tokens.
        salt: The hashes' salt, hexadecimal.
        spent_token_hashes: The hashes, oldest first, at most 512.
        clock_offset: Server's clock minus this machine's, when the session was saved, in seconds.
        shared: Whether another program refreshes it too (`rotation_conflict`).
    """

    session: Session
    salt: str
    spent_token_hashes: tuple[str, ...] = ()
    clock_offset: float = 0.0
    shared: bool = False

    @property
    def id(self) -> str:
        """The id for storage: the session's, or the user's if the session has none."""
        return self.session.session_id or f"user-{self.session.user.id}"

    @property
    def pair(self) -> TokenPair:
        """The session's tokens."""
        return TokenPair.from_session(self.session)

    @classmethod
    def new(cls, session: Session, *, spent: Secret | None = None) -> SessionRecord:
        """A record for a session that isn't stored yet.

        Args:
            session: The session.
            spent: The refresh token that was exchanged for it, if any.
        """
        record = cls(session, os.urandom(8).hex())
        return record._with_spent(spent) if spent else record

    def rotated_to(self, session: Session, *, spent: Secret | None = None) -> SessionRecord:
        """The record after a rotation, or with the same tokens.

        Args:
            session: The new session.
            spent: Another used refresh token of the session, besides our own.
        """
        record = self._replace(session=session)
        for token in (self.pair.refresh_token, spent):
            if token and token.reveal() != session.refresh_token:
                record = record._with_spent(token)
        return record

    def _with_spent(self, spent: Secret) -> SessionRecord:
        hashed = tokens.fingerprint(spent, self.salt)
        if hashed in self.spent_token_hashes:
            return self
        hashes = (*self.spent_token_hashes, hashed)
        if len(hashes) > _OLDEST_KEPT + _NEWEST_KEPT:
            hashes = hashes[:_OLDEST_KEPT] + hashes[-_NEWEST_KEPT:]
        return self._replace(spent_token_hashes=hashes)

    def is_spent(self, refresh_token: Secret) -> bool:
        """Whether this is a used refresh token of this session."""
        if not self.spent_token_hashes or not refresh_token:
            return False
        return tokens.fingerprint(refresh_token, self.salt) in self.spent_token_hashes

    def same_as(self, stored: SessionRecord, clock_offset: float) -> bool:
        """Whether the record is the same: tokens, user, used tokens, and the clock within a second."""
        return (
            (self.session, self.salt, self.spent_token_hashes, self.shared)
            == (stored.session, stored.salt, stored.spent_token_hashes, stored.shared)
        ) and abs(clock_offset - stored.clock_offset) < 1.0

    def is_later_than(self, pair: TokenPair) -> bool:
        """Whether this is a later rotation of the tokens' session."""
        session = self.session
        same = (pair.refresh_token, pair.access_token) == (session.refresh_secret, session.access_secret)
        own = session.refresh_secret
        if same or not (pair.refresh_token or own):
            return False
        if self.is_spent(pair.refresh_token):
            return True
        mine, theirs = session.issued_at, tokens.number(pair.claims, "iat")
        if pair.refresh_token == own:
            # Only the access token may be older, or unreadable.
            return theirs is None or (mine is not None and mine > theirs)
        if pair.session_id is None or pair.session_id != session.session_id:
            return False
        if not pair.refresh_token:
            # Without its refresh token, the session would be lost when the access token expires.
            return mine is not None and theirs is not None and mine >= theirs
        ours, supplied = tokens.counter_of(own), tokens.counter_of(pair.refresh_token)
        if ours is not None and supplied is not None:
            return ours > supplied
        return mine is not None and theirs is not None and mine > theirs

    def is_older_than(self, pair: TokenPair) -> bool:
        """Whether the pair is a later rotation of this session, which was made by another program."""
        if not pair.refresh_token or pair.session_id != self.session.session_id or self.is_later_than(pair):
            return False
        mine, theirs = self.session.issued_at, tokens.number(pair.claims, "iat")
        return mine is not None and theirs is not None and theirs > mine

    def merged_with(self, other: SessionRecord) -> SessionRecord:
        """The later of two records of a session, with the used tokens of both.

        Of two that were issued in the same second, `other`, which another client may have written.
        """
        later, earlier = self, other
        if self.is_spent(other.pair.refresh_token):
            return self
        if other.is_spent(self.pair.refresh_token):
            return other
        mine, theirs = self.session.issued_at or 0, other.session.issued_at or 0
        tie = theirs == mine and other.session.refresh_token != self.session.refresh_token
        if theirs > mine or tie:
            later, earlier = other, self
        # Another client has rotated it, without a list of used tokens.
        return later if later.spent_token_hashes else earlier.rotated_to(later.session)

    def to_text(self) -> str:
        """The text for the storage."""
        ours = {
            "salt": self.salt,
            "ancestors": self.spent_token_hashes,
            "clock_offset": round(self.clock_offset, 3),
            **({"shared": True} if self.shared else {}),
        }
        return _ENCODER.encode({**self.session.to_wire(), _OWN_FIELD: ours})

    @classmethod
    def from_text(cls, text: Secret) -> SessionRecord | None:
        """Parse a session stored by this or another Supabase client; ``None`` if it is damaged."""
        try:
            wire = json.loads(text.reveal())
            ours = wire.pop(_OWN_FIELD, None) if isinstance(wire, dict) else None
            session = Session.from_wire(wire)
        except (TypeError, ValueError, RecursionError):  # TypeError: the storage didn't return a string
            return None
        if not isinstance(ours, dict):
            return cls.new(session)
        salt, ancestors, offset = ours.get("salt"), ours.get("ancestors"), tokens.number(ours, "clock_offset")
        if not isinstance(salt, str) or len(salt) != 16 or not isinstance(ancestors, list):
            return cls.new(session)
        try:
            bytes.fromhex(salt)
        except ValueError:
            return cls.new(session)
        hashes = tuple(item for item in ancestors if isinstance(item, str))
        shared = ours.get("shared") is True
        return cls(session, salt, hashes[-_OLDEST_KEPT - _NEWEST_KEPT :], offset or 0.0, shared)


class StorageDamaged(AuthStorageError):
    """The stored data is not a session. It was set aside, not deleted."""
