"""A Markdown extension that generates the magics reference and the tables of errors and traits."""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from supabase_nb import errors

#: Server's error code -> what it means. What to do is in `errors.NEXT_STEPS`.
MEANINGS = {
    "anonymous_provider_disabled": "The project doesn't allow anonymous sign-ins.",
    "bad_code_verifier": "The code and the verifier belong to different sign-ins.",
    "bad_jwt": "The access token can't be verified: it is incomplete, modified, expired or from another "
    "project.",
    "email_address_invalid": "The project doesn't accept this email address.",
    "email_not_confirmed": "The account exists, but its email address has not been confirmed.",
    "email_provider_disabled": "The project doesn't allow signing in with email and password.",
    "flow_state_expired": "The sign-in took too long.",
    "flow_state_not_found": "The code was used before, or is unknown.",
    "identity_already_exists": "The provider's account is already linked to this or another user.",
    "insufficient_aal": "The user has a second factor, which this session hasn't verified yet.",
    "invalid_client": "The session belongs to an app that signed in with the project's OAuth server.",
    "invalid_credentials": "The email address or the password is wrong.",
    "invalid_grant": "The server refused the refresh token without giving a reason. Older servers do this.",
    "manual_linking_disabled": "The project doesn't allow users to link accounts.",
    "mfa_challenge_expired": "The challenge has expired.",
    "mfa_factor_name_conflict": "The user already has a factor with this name.",
    "mfa_factor_not_found": "The factor was removed or belongs to another user, or the challenge has ended.",
    "mfa_ip_address_mismatch": "The challenge was already used, or was created from another IP address.",
    "mfa_totp_enroll_not_enabled": "The project doesn't allow authenticator apps.",
    "mfa_verification_failed": "The code is wrong or has expired.",
    "no_authorization": "The request had no access token.",
    "oauth_client_refused": "The session belongs to an app of the project's OAuth server that has a secret.",
    "otp_expired": "The code or link was already used, or has expired.",
    "over_email_send_rate_limit": "The project has sent too many emails recently.",
    "over_request_rate_limit": "Too many requests came from this IP address.",
    "provider_disabled": "The project doesn't allow this provider.",
    "reauthentication_needed": "The session is older than a day, so changing the password requires a code.",
    "reauthentication_not_valid": "The code is wrong, was already used, or has expired.",
    "refresh_token_already_used": "The refresh token was already used, by another program or before it was "
    "copied.",
    "refresh_token_not_found": "The session was signed out, or the refresh token is from another project.",
    "same_password": "The new password is the same as the old one.",
    "saml_provider_disabled": "The project doesn't allow single sign-on.",
    "session_expired": "The session reached a limit of the project: too old, or unused for too long.",
    "session_mismatch": "The access token and the refresh token belong to different users. Nothing was "
    "saved.",
    "session_not_found": "The session was signed out elsewhere.",
    "signup_disabled": "The project doesn't accept new users.",
    "single_identity_not_deletable": "It is the user's only account to sign in with.",
    "unexpected_redirect": "The server redirects requests to another address.",
    "user_already_exists": "There is already an account with this email address.",
    "user_banned": "The user is banned.",
    "user_not_found": "The user was deleted.",
    "validation_failed": "The input is invalid, according to the server or to this package (which then "
    "sends nothing).",
    "weak_password": "The password is too weak; `error.reasons` says why.",
}

#: This package's own codes: code -> what it means, what to do.
OWN = {
    "client_closed": (
        "The client was closed, or the extension was unloaded.",
        "Run `%supabase_connect` again, or create another client.",
    ),
    "forked_process": (
        "A forked child process can't refresh its parent's session.",
        "Create a client in the child, after the fork.",
    ),
    "insecure_url": (
        "The project's URL starts with `http://`, so others on the network could read the tokens.",
        "Use `https://`, or pass `--allow-http`.",
    ),
    "invalid_key": (
        "The project's key contains a line break or another character that a key can't have.",
        "Copy the whole key again from the project's settings.",
    ),
    "invalid_url": (
        "The project's URL is not valid, or contains a space, a password, a query or a fragment.",
        "Copy it again from the project's settings.",
    ),
    "key_for_token": (
        "You passed a project's key instead of a user's token. Nothing was sent.",
        "Take both tokens from the user's session.",
    ),
    "network": (
        "The server can't be reached or didn't respond in time. The session is kept.",
        "Wait, or check the network and the project's URL.",
    ),
    "no_code_verifier": (
        "The code belongs to a sign-in that was started in another client, or is already complete.",
        "Request a new link with this client and open that one.",
    ),
    "no_credentials": (
        "The URL contains neither a code nor tokens.",
        "Copy the whole URL, including everything after `#` or `?`.",
    ),
    "no_key": ("No key for the project was found.", "Pass `--key`, or set `SUPABASE_KEY`."),
    "no_url": ("No project URL was found.", "Pass the URL, set `SUPABASE_URL`, or use `--demo`."),
    "paste": (
        "The pasted text is incomplete, is not a session, or contains two sessions.",
        "Paste both tokens, a stored session, its cookies, or the URL that a magic link led to. "
        "See [Sign in](sign-in.md#paste-them).",
    ),
    "oauth_registration_disabled": (
        "The project's OAuth server doesn't allow dynamic client registration.",
        "Register a client in the project's settings, and pass its `client_id`.",
    ),
    "secret_key": (
        "A service-role or secret key bypasses Row Level Security.",
        "Use the publishable (anon) key, or pass `--allow-secret-key`.",
    ),
    "session_missing": (
        "You aren't signed in, or the session has expired and has no refresh token.",
        "Restore a session from both tokens, or sign in.",
    ),
    "sign_in_timeout": (
        "The browser did not return from the sign-in within five minutes.",
        "Run `%supabase_sign_in` again, with `--paste` if the browser runs on another machine.",
    ),
    "state_mismatch": (
        "The URL that the browser returned to belongs to another sign-in.",
        "Start again, and finish in the window that opens.",
    ),
    "storage_open_to_others": (
        "Other users can read the file of the stored session.",
        "Change its permissions as the message says, then sign in again.",
    ),
    "superseded": (
        "Another sign-out, sign-in or `set_session` finished while this call was waiting.",
        "To use the session of this call, call it again. The session that it obtained was ended.",
    ),
    "masked_token": (
        "You passed the mask that replaced a token in a cell. Nothing was sent.",
        "Run `%supabase_set_session` without arguments and paste the tokens.",
    ),
    "swapped_tokens": (
        "You passed an access token instead of the refresh token. Nothing was sent.",
        "Pass the access token first, then the refresh token.",
    ),
    "token_for_key": (
        "You passed a user's access token instead of the project's key.",
        "Pass the publishable (anon) key.",
    ),
    "user_changed": (
        "While a DataFrame was loading, the user signed out or another user signed in.",
        "Run the cell again.",
    ),
    "wrong_project": (
        "The key or the access token is from another project or another service.",
        "Use the URL, the key and the tokens of the same project.",
    ),
}


class GeneratedParts(Preprocessor):
    """Replaces each placeholder with its generated part."""

    def run(self, lines: list[str]) -> list[str]:
        """Called by Python-Markdown with the lines of each page."""
        parts = {"<!-- magics -->": magics, "<!-- errors -->": error_table, "<!-- traits -->": traits}
        return [part for line in lines for part in (parts[line]().split("\n") if line in parts else [line])]


class DocsExtension(Extension):
    """Named in mkdocs.yml."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Insert the parts first, so that they are processed like any other Markdown."""
        md.preprocessors.register(GeneratedParts(md), "supabase_nb_parts", 100)


def makeExtension() -> Extension:
    """Called by Python-Markdown."""
    return DocsExtension()


def magics() -> str:
    """Each magic: what it does, its usage, its arguments."""
    from supabase_nb.notebook._magics.magic_parser import MagicParser
    from supabase_nb.notebook._magics.session_magics import COMMANDS
    from supabase_nb.notebook._magics.sign_in_magics import SIGN_IN_COMMANDS

    return "\n\n".join(
        _magic(MagicParser, name, *command) for name, command in (COMMANDS | SIGN_IN_COMMANDS).items()
    )


def _magic(kind: Any, name: str, build: Callable[[Any], object], run: Callable[..., Any]) -> str:
    parser = kind(name, run.__doc__ or "")
    build(parser)
    usage = " ".join(parser.format_usage().replace("::", "").split())
    options = re.findall(r"\[[^]]*\]|\S+", usage)
    usage = textwrap.fill(
        " ".join(option.replace(" ", "\0") for option in options),
        76,
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    usage = usage.replace("\0", " ")
    about = inspect.cleandoc(run.__doc__ or "")
    lines = [f"## `%{name}`", "", about, "", "Usage:", "", "```text", usage, "```", ""]
    rows = [f"| {words} | {text} |" for words, text in _arguments(parser)]
    return "\n".join([*lines, *(["| argument | meaning |", "|---|---|", *rows] if rows else [])])


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) or action.help is argparse.SUPPRESS:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else ""
        value = "" if action.nargs == 0 else metavar or "{" + ",".join(map(str, action.choices or ())) + "}"
        words = ", ".join(action.option_strings) + f" {value}" if action.option_strings else value
        yield f"`{words.strip()}`", (action.help or "").replace("|", "\\|")


def error_table() -> str:
    """A row per code: what it means, whether it ends the session, and what to do."""
    rows = ["| code | what it means | what to do |", "|---|---|---|"]
    known = {code: (MEANINGS[code], _with_code(step)) for code, step in errors.NEXT_STEPS.items()} | OWN
    for code, (meaning, step) in sorted(known.items()):
        ends = " **The session has ended.**" if code in errors.FINAL_CODES else ""
        rows.append(f"| `{code}` | {meaning}{ends} | {step} |")
    return "\n".join(rows)


def _with_code(step: str) -> str:
    """A message with its names as code."""
    return re.sub(r"%\w+|\bauth\.[\w.]+\(\)|\bfriendly_name\b|\bnonce\b", r"`\g<0>`", step)


def traits() -> str:
    """A row per observable trait of the session."""
    from supabase_nb import AuthClient

    rows = ["| trait | value |", "|---|---|"]
    rows += [
        f"| `{name}` | {AuthClient.class_traits()[name].help} |" for name in AuthClient.class_own_traits()
    ]
    return "\n".join(rows)
