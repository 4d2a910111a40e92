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
    "status.closed": "Closed",
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
    # The client was closed
    "hint.closed": "This client was closed. Run %supabase_connect to connect again.",
    # The status bar
    "status_bar.one": "Supabase: {status}",
    "status_bar.several": "Supabase: {status} ({count} clients)",
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
    # What is always true here
    "notice.binder": "This machine is Binder’s: shared and temporary. The session is kept in memory only; "
    "do not enter tokens of real users.",
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
    "expiry.late": "when next used",
    "expiry.none": "No token",
    "expiry.no_refresh": "Won't refresh automatically",
    "expiry.in": "in {span}",
    "expiry.days_hours": "{days} d {hours} h",
    "expiry.days": "{days} d",
    "expiry.far": "999+ d",
    # The timeline
    "timeline.title": "Events",
    "timeline.none": "No events yet",
    "event.INITIAL_SESSION": "Initial session",
    "event.SIGNED_IN": "Signed in",
    "event.SIGNED_OUT": "Signed out",
    "event.TOKEN_REFRESHED": "Token refreshed",
    "event.USER_UPDATED": "User updated",
    "event.PASSWORD_RECOVERY": "Password recovery",
    # Token entry
    "entry.title": "Restore a session",
    "entry.access": "Access token",
    "entry.refresh": "Refresh token",
    "entry.access.placeholder": "eyJ… or the whole session",
    "entry.refresh.placeholder": "Leave empty with a whole session",
    "entry.help": "Paste both tokens, a stored session, its cookies, or the address of a magic link into the "
    "first field.",
    "entry.where": "Where do I find these?",
    "entry.where.open": "Sign in to your app, open the browser’s developer tools (F12) and go to Application "
    "(Chrome, Edge) or Storage (Firefox, Safari).",
    "entry.where.storage": "Local storage",
    "entry.where.storage.how": "Copy the value of sb-…-auth-token, whole.",
    "entry.where.cookies": "Cookies",
    "entry.where.cookies.how": "Copy sb-…-auth-token. If there are two, .0 and .1, copy both: in one paste, "
    "or one in each field.",
    "entry.where.link": "Magic link",
    "entry.where.link.how": "Copy the address that the link led to, with all that follows the #.",
    "entry.submit": "Restore",
    "entry.other": "Use other tokens",
    "entry.keep": "Cancel",
    "entry.empty": "Nothing was given. Paste both tokens.",
    "entry.sent": "Sent to the kernel…",
    "entry.busy": "A cell is running: the tokens are checked when it ends.",
    "entry.checking": "Checking with the auth server…",
    "entry.restored": "Restored: signed in as {who}.",
    "entry.restored_once": "Restored: signed in as {who}. The refresh token was missing, so the session "
    "ends when the access token expires.",
    "entry.in_force": "Signed in as {who}.",
    "entry.failed": "That did not work. Try again.",
    "entry.private": "Tokens go to the kernel once and are not kept in this notebook.",
    "entry.snapshot": "Token entry. Run the cell again to enter tokens; in a terminal: "
    "%supabase_set_session --prompt",
    "entry.prompt_access": "Access token (or both, or the JSON, or the address): ",
    "entry.prompt_refresh": "Refresh token: ",
    "entry.nothing": "Nothing was given. Run %supabase_set_session again when you have the tokens.",
    "entry.nobody": "Nobody can be asked here. Put the tokens into environment variables, then run "
    "%supabase_set_session $ACCESS_TOKEN $REFRESH_TOKEN.",
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
