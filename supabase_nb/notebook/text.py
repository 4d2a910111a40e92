"""All the words that people see in displays: one table, so that it can be translated."""

from __future__ import annotations

#: Key -> words. ``{name}`` is filled in. Replace entries before the first display to translate them.
WORDS: dict[str, str] = {
    # The six states
    "status.signed_out": "Signed out",
    "status.restoring": "Restoring",
    "status.active": "Active",
    "status.refreshing": "Refreshing",
    "status.retrying": "Retrying",
    "status.expired": "Expired",
    # What a state means, where that helps
    "hint.signed_out": "No session. Run %supabase_set_session to restore one.",
    "hint.restoring": "Read from storage. The auth server has not confirmed it yet.",
    "hint.retrying": "The auth server does not answer. The session is kept.",
    "hint.expired": "The session has ended. Sign in again, then run %supabase_set_session.",
    # Nobody behind the display
    "dead.badge": "Not live",
    "dead.waiting": "Waiting for the kernel…",
    "dead.never": "The kernel is gone. Run the cell again.",
    "dead.gone": "The kernel is gone: last seen {time}, then “{status}”. Run the cell again.",
    "dead.silent": "The kernel does not answer: last seen {time}, then “{status}”.",
    # The panel
    "panel.title": "Supabase session",
    "panel.refresh": "Refresh",
    "panel.retry": "Try now",
    "panel.sign_out": "Sign out",
    "panel.asked": "Asked the kernel…",
    "panel.busy": "The kernel is busy: this happens when the running cell ends.",
    "panel.refreshed": "Refreshed.",
    "panel.signed_out": "Signed out.",
    "panel.failed": "That did not work. Run %supabase_refresh to see why.",
    # The user card
    "user.title": "User",
    "user.anonymous": "Anonymous user",
    "user.unnamed": "User without a name",
    "user.nobody": "Nobody is signed in",
    "user.id": "User id",
    "user.role": "Role",
    "user.provider": "Provider",
    "user.last_sign_in": "Last sign-in",
    "user.session": "Session",
    "user.aal": "Assurance",
    "user.copy": "Copy the user id",
    "user.copied": "Copied",
    # The expiry
    "expiry.title": "Expiry",
    "expiry.left": "left",
    "expiry.expires": "Expires",
    "expiry.expired": "Expired",
    "expiry.refresh": "Next refresh",
    "expiry.retry": "Next try",
    "expiry.now": "now",
    "expiry.none": "No token",
    "expiry.no_refresh": "Not refreshed by itself",
    "expiry.in": "in {span}",
    "expiry.days": "{days} d {hours} h",
    # The timeline
    "timeline.title": "Events",
    "timeline.none": "No events yet",
    "event.INITIAL_SESSION": "Initial session",
    "event.SIGNED_IN": "Signed in",
    "event.SIGNED_OUT": "Signed out",
    "event.TOKEN_REFRESHED": "Token refreshed",
    "event.USER_UPDATED": "User updated",
    "event.PASSWORD_RECOVERY": "Password recovery",
    # Snapshots: static HTML and text
    "snapshot.title": "Supabase session, snapshot of {time}",
    "snapshot.then": "then {status}",
    "snapshot.note": "Not live: run the cell again to see the session as it is now.",
    "snapshot.expires": "expires {time}",
    "snapshot.expired": "expired {time}",
}


def word(key: str, **values: object) -> str:
    """The words for `key`, with ``{name}`` filled in from `values`."""
    return WORDS[key].format(**values)
