"""The texts of all displays, in one table for translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..models import User

#: Key -> words. ``{name}`` is filled in. Replace entries before the first display to translate them.
WORDS: dict[str, str] = {
    # The states
    "status.signed_out": "Signed out",
    "status.restoring": "Restoring",
    "status.active": "Active",
    "status.refreshing": "Refreshing",
    "status.retrying": "Retrying",
    "status.expired": "Session ended",
    "status.closed": "Closed",
    "status.dead": "Not live",
    # What to know or do in a state; {option} is " --name other" for a client with another name
    "hint.signed_out": "Run %supabase_set_session{option} to restore a session.",
    "hint.restoring": "Restored from your saved session. The auth server hasn't confirmed it yet.",
    "hint.retrying": "The auth server isn't responding. Your session is safe.",
    "hint.expired": "Sign in again, or pass new tokens to %supabase_set_session{option}.",
    "hint.closed": "This client was closed. Run %supabase_connect{option} to connect again.",
    # The display has no kernel
    "dead.waiting": "Waiting for the kernel…",
    "dead.never": "Kernel stopped or restarted. Run the cell again.",
    "dead.gone": "Kernel stopped or restarted. Last known status: {status} ({time}).",
    "dead.silent": "The kernel isn't responding. Last known status: {status} ({time}).",
    # The status bar
    "status_bar.one": "Supabase: {status}",
    "status_bar.several": "Supabase: {status} ({count} clients)",
    # The panel
    "panel.title": "Supabase session",
    "panel.signed_out": "Not signed in",
    "panel.sign_in": "Sign in",
    "panel.sign_in_again": "Sign in again",
    "panel.paste": "Paste tokens",
    "panel.details": "Details",
    "panel.refresh": "Refresh now",
    "panel.retry": "Retry now",
    "panel.sign_out": "Sign out",
    "panel.asked": "Asking the kernel…",
    "panel.busy": "A cell is running. This will happen when it finishes.",
    "panel.refreshed": "Refreshed.",
    "panel.signed_out_now": "Signed out.",
    "panel.stop": "Stop",
    "panel.set_auth_stopped": "Requests are sent with the session's token again.",
    "panel.failed": "That didn't work. Run %supabase_refresh to see why.",
    "panel.retrying": "The auth server isn't responding. Your session is safe;",
    "panel.retrying_in": "retrying in {seconds} s.",
    "panel.retrying_now": "retrying now.",
    "panel.secret_key": "This client uses a secret key: requests without a user's token bypass Row Level "
    "Security.",
    # Below "Where do I find these?"
    "form.where.close": "Then close the app's tab, but don't sign out there. If the tab stays open, the app "
    "and this notebook both refresh the session, and the auth server may end it. To avoid this, sign in here "
    "instead.",
    # The second factor, in the panel
    "factor.title": "Second factor",
    "factor.code": "Enter the six digits from your authenticator app",
    "factor.app": "App",
    "factor.unnamed": "Authenticator app {number}",
    "factor.verify": "Verify",
    "factor.later": "Not now",
    "factor.open": "Verify…",
    "factor.help": "This ends your other sessions that haven't been verified.",
    "factor.digits": "Enter all six digits.",
    "factor.failed": "That didn't work. Run %supabase_mfa to see why.",
    "factor.wrong": "That code is wrong or has expired. Enter the code that the app shows now.",
    "factor.gone": "That app is no longer one of your second factors.",
    "factor.done": "Verified. Your other sessions that weren't verified have ended.",
    "factor.phone": "Your second factor is a phone number. To verify it, call auth.mfa.challenge and then "
    "auth.mfa.verify.",
    "factor.other": "Your second factor works only in a browser. Verify it in your app, then paste the "
    "app's session here.",
    # Permanent warnings about the environment
    "notice.binder": "Binder's machines are shared and temporary. The session is kept in memory only. "
    "Don't enter tokens of real users.",
    "notice.browser": "The session is stored in this browser: all notebooks and pages of this site can read "
    "it, and so can anyone who uses this browser. %supabase_sign_out removes it.",
    # The user
    "user.title": "User",
    "user.anonymous": "Anonymous user",
    "user.unnamed": "User without a name",
    "user.id": "User ID",
    "user.role": "Role",
    "user.provider": "Provider",
    "user.last_sign_in": "Last sign-in",
    "user.session": "Session ID",
    "user.aal": "Assurance level",
    "user.error": "Last error",
    "user.copy": "Copy the user ID",
    "user.copied": "Copied",
    # The access token
    "token.title": "Access token",
    "token.none": "None",
    "token.refreshes": "Refreshes automatically in {span}",
    "token.refreshing": "Refreshing…",
    "token.late": "Refreshes on next use",
    "token.checking": "Checking with the auth server…",
    "token.valid": "Valid for another {span}",
    "token.ends": "Ends at {time} · won't refresh automatically",
    "token.until": "Valid until {time}",
    "token.ended": "Expired",
    "token.days_hours": "{days} d {hours} h",
    "token.days": "{days} d",
    "token.far": "999+ d",
    # One line, for a magic in a notebook that shows the panel elsewhere
    "line.signed_in": "Signed in as {who}",
    "line.refreshes": "refreshes automatically",
    "line.ends": "ends at {time}",
    "line.ended": "The session of {who} has ended",
    # Events start with their cause. Causes that aren't listed here are shown as they are.
    "timeline.title": "Events",
    "timeline.none": "No events yet",
    "cause.refreshed automatically": "Refreshed automatically",
    "cause.refreshed in another notebook": "Refreshed in another notebook",
    "cause.session restored": "Restored from tokens",
    "cause.continued from storage": "Resumed your saved session",
    "cause.found in storage": "Restored from your saved session",
    "cause.signed out in another notebook": "Signed out in another notebook",
    "cause.user changed": "User updated",
    # The form
    "form.title": "Sign in to {host}",
    "form.methods": "How to sign in",
    "form.cancel": "Cancel",
    "form.email": "Email",
    "form.email.who": "Email or phone",
    "form.email.password": "Password",
    "form.email.submit": "Sign in",
    "form.email.empty": "Enter your email (or phone number) and password.",
    "form.code": "Email code",
    "form.code.who": "Email or phone",
    "form.code.code": "Code",
    "form.code.code.hint": "(or the URL that the link opened)",
    "form.code.send": "Send code",
    "form.code.sent": "Code sent. Enter it here, or paste the URL that the link opened.",
    "form.code.submit": "Sign in",
    "form.code.empty": "Enter your email (or phone number).",
    "form.tokens": "Paste tokens",
    "form.tokens.access": "Session, or access token",
    "form.tokens.access.placeholder": "Paste session JSON, both tokens, or the redirect URL",
    "form.tokens.refresh": "Refresh token",
    "form.tokens.refresh.hint": "(if not included above)",
    "form.tokens.submit": "Restore session",
    "form.tokens.empty": "Paste a session, or both tokens.",
    "form.private": "Sent to the kernel once, never stored in this notebook.",
    "form.where": "Where do I find these?",
    "form.where.open": "Sign in to your app, open the browser's developer tools (F12) and go to Application "
    "(Chrome, Edge) or Storage (Firefox, Safari).",
    "form.where.storage": "Local storage",
    "form.where.storage.how": "Copy the whole value of sb-…-auth-token.",
    "form.where.cookies": "Cookies",
    "form.where.cookies.how": "Copy sb-…-auth-token. If there are two, .0 and .1, copy both and paste them "
    "together, or one per field.",
    "form.where.link": "Magic link",
    "form.where.link.how": "Copy the URL that the link opened, including everything after the #.",
    "form.sent": "Sending to the kernel…",
    "form.busy": "A cell is running. This will be checked when it finishes.",
    "form.checking": "Checking with the auth server…",
    "form.failed": "That didn't work. Try again.",
    "form.signed_in": "Signed in as {who}.",
    "form.signed_in_once": "Signed in as {who}. The refresh token was missing, so the session ends when the "
    "access token expires.",
    # Signing in with a provider, in the form
    "form.providers.or": "or",
    "form.providers.or_with": "or continue with",
    "form.provider.continue": "Continue with {provider}",
    "form.provider.others": "Other ways to sign in",
    "form.provider.anonymous": "Continue as an anonymous user",
    "form.provider.waiting": "Waiting for you to sign in with {provider}",
    "form.provider.asking": "Asking the kernel…",
    "form.provider.busy": "A cell is running. This will continue when it finishes.",
    "form.provider.window": "Continue in the window that has opened.",
    "form.provider.blocked": "Your browser didn't open a window. Click the button to open the sign-in page.",
    "form.provider.closed": "The window was closed, or this page lost track of it. If you haven't "
    "finished signing in, open it again.",
    "form.provider.open": "Open sign-in page",
    "form.provider.again": "Open again",
    "form.provider.elsewhere": "Did you end up on a different page?",
    "form.provider.redirect": "If so, the project doesn't allow this notebook's URL yet. Add it in "
    "the project's settings, at Authentication → URL Configuration → Redirect URLs:",
    "form.provider.unreachable": "If the kernel runs on another machine, that page can't load. Paste "
    "its URL anyway.",
    "form.provider.address": "URL of that page",
    "form.provider.address.hint": "(to finish here anyway)",
    "form.provider.address.empty": "Paste the whole URL of the page that you ended up on.",
    "form.provider.submit": "Sign in",
    "form.provider.timeout": "The sign-in wasn't finished within five minutes. Try again.",
    "form.provider.over": "This sign-in has ended. Start again.",
    "form.provider.superseded": "This sign-in was cancelled because a newer one was started here.",
    "form.provider.disabled": "This project doesn't offer sign-in with {provider}. Sign in another way, or "
    "enable it in the project's settings, at Authentication → Sign In / Providers.",
    "form.provider.impossible": "Signing in with a provider doesn't work on this page. Sign in another way.",
    # Hidden prompts
    "entry.prompt_access": "Access token (or both tokens, session JSON, or the redirect URL): ",
    "entry.prompt_refresh": "Refresh token: ",
    "entry.nothing": "Nothing was entered. Run %supabase_set_session again when you have the tokens.",
    "entry.no_input": "No interactive input is available here. Put the tokens into environment variables, "
    "then run %supabase_set_session $ACCESS_TOKEN $REFRESH_TOKEN.",
    # Signing in with a browser
    "browser.open": "Opening your browser to sign in with {provider}. If it doesn't open, visit:\n{url}",
    "browser.visit": "Open this URL in a browser and sign in:\n{url}\nIf the page that you end up on says "
    "that you're signed in, press Enter. Otherwise, paste its URL here, even if the page fails to load.",
    "browser.wait": "Waiting for you to sign in. Press Ctrl-C to stop.",
    "browser.prompt": "URL of the final page (not shown): ",
    "browser.timeout": "The browser did not return within five minutes. Run %supabase_sign_in again. "
    "Add --paste if it ended up on another page or runs on another machine.",
    "browser.done": "You're signed in as {who}",
    "browser.failed": "You're not signed in",
    "browser.back": "Close this tab and return to your notebook.",
    "browser.over": "This sign-in has ended",
    "browser.other": "This page belongs to another sign-in",
    # Second factors
    "mfa.title": "Add an authenticator app",
    "mfa.scan": "Scan this with the app, then enter its six-digit code in the prompt below.",
    "mfa.image": "QR code of the new authenticator app",
    "mfa.key": "Can't scan it? Type this key into the app:",
    "mfa.private": "Neither is saved in this notebook.",
    "mfa.waiting": "Waiting for the kernel…",
    "mfa.added": "The app was added. In a new session, run %supabase_mfa to verify its code.",
    "mfa.cancelled": "The app was not added. Run %supabase_mfa --enroll to try again.",
    "mfa.snapshot": "The QR code of a new authenticator app was shown here. It isn't saved in this notebook.",
    # The notice about tokens in cells
    "cells.sign_out": "Sign out everywhere",
    "cells.asked": "Signing out…",
    "cells.busy": "Waiting for the running cell to finish or for the auth server…",
    "cells.signed_out": "Signed out everywhere: all sessions of {who} have ended. An access token that "
    "was already issued works until it expires.",
    "cells.no_client": "No client in this notebook is signed in as the user of these tokens. Sign in "
    "as that user, then run %supabase_sign_out --scope global.",
    "cells.failed": "Sign-out failed. Run %supabase_sign_out --scope global to see why.",
    # Snapshots: static HTML and text
    "snapshot.title": "Supabase session",
    "snapshot.status": "{status} at {time} (snapshot)",
    "snapshot.note": "Run the cell again to see the current session.",
    "snapshot.expires": "expires {time}",
    "snapshot.expired": "expired {time}",
}


def word(key: str, **values: object) -> str:
    """The words for `key`, with ``{name}`` filled in from `values`."""
    return WORDS[key].format(**values)


def name_of_user(user: User | None) -> str:
    """The user's email address or phone number, or a placeholder."""
    if user is None:
        return unnamed()
    return user.email or user.phone or unnamed(anonymous=user.is_anonymous)


def unnamed(*, anonymous: bool = False) -> str:
    """The name of a user without an address or number."""
    return word("user.anonymous" if anonymous else "user.unnamed")


def grouped(key: str) -> str:
    """A key in groups of four characters, so that it is easier to type."""
    return " ".join(key[start : start + 4] for start in range(0, len(key), 4))
