"""A Markdown extension for the documentation: the magics reference, the tables of errors and traits."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from supabase_nb import errors

#: Code -> what it means, for people. What to do about it stands in `errors.NEXT_STEPS`.
MEANINGS = {
    "anonymous_provider_disabled": "The project lets nobody sign in anonymously.",
    "bad_jwt": "The access token cannot be verified: it is cut off, changed, expired, or another project's.",
    "email_address_invalid": "The project does not take this e-mail address.",
    "email_not_confirmed": "The account exists, but its e-mail address has not been confirmed.",
    "email_provider_disabled": "The project has no sign-in with e-mail and password.",
    "invalid_credentials": "E-mail address and password do not belong together.",
    "invalid_grant": "An older server refused the refresh token, without saying why.",
    "no_authorization": "The request carried no access token.",
    "otp_expired": "The code or link was used before, or is too old.",
    "over_email_send_rate_limit": "The project has sent too many mails lately.",
    "over_request_rate_limit": "Too many requests came from this address.",
    "refresh_token_already_used": "The refresh token is spent, and was sent again.",
    "refresh_token_not_found": "The refresh token is unknown: the session was signed out, or it is another "
    "project's.",
    "same_password": "The new password is the old one.",
    "session_expired": "The project ends sessions after a time, or when they are idle.",
    "session_mismatch": "The access token is one user's, the refresh token another's. Nothing was saved.",
    "session_not_found": "The session was signed out elsewhere.",
    "signup_disabled": "The project takes no new users.",
    "unexpected_redirect": "The server wants to send the request elsewhere.",
    "user_already_exists": "There is an account with this e-mail address.",
    "user_banned": "The user is locked out.",
    "user_not_found": "The user was deleted.",
    "validation_failed": "The server, or this package before it, could not make sense of what was given.",
    "weak_password": "The password does not do; `error.reasons` says in what.",
}

#: Codes of this package's own, whose messages say all: code -> what it means, what to do.
OWN = {
    "client_closed": (
        "The client was closed, or the extension was unloaded.",
        "Run `%supabase_connect` again, or make another client.",
    ),
    "forked_process": (
        "A forked child process would have to refresh its parent's session.",
        "Create a client in the child, after the fork.",
    ),
    "insecure_url": (
        "The project's URL is `http://`: tokens could be read on the way.",
        "Use `https://`; if you must, `--allow-http`.",
    ),
    "invalid_url": (
        "The project's URL is no address, or holds more than one: a password, a query, a fragment.",
        "Copy it again from the project's settings.",
    ),
    "key_for_token": (
        "A project's key was given where a user's token belongs. Nothing was sent.",
        "Take both tokens from the user's session.",
    ),
    "network": (
        "The server cannot be reached, or does not answer in time. The session is kept.",
        "Wait, or check the network and the project's URL.",
    ),
    "no_code_verifier": (
        "The code belongs to a sign-in that was not begun here, or is over.",
        "Ask for a new link here, and open that one.",
    ),
    "no_credentials": (
        "The address holds nothing to sign in with.",
        "Copy it again, whole, with all that stands behind `#` or `?`.",
    ),
    "no_key": ("The project's key was found nowhere.", "Give `--key`, or set `SUPABASE_ANON_KEY`."),
    "no_url": ("No project was named.", "Give its URL, or set `SUPABASE_URL`; or use `--demo`."),
    "paste": (
        "What was pasted is incomplete, no session, or two of them.",
        "Paste two tokens, a stored session, its cookies, or the address that a link led to.",
    ),
    "secret_key": (
        "A service-role or secret key bypasses Row Level Security.",
        "Use the publishable (anon) key; if you must, `--allow-secret-key`.",
    ),
    "session_missing": (
        "Nobody is signed in, or the session cannot be renewed without a refresh token.",
        "Restore both tokens of a session, or sign in.",
    ),
    "storage_open_to_others": (
        "Others may read the stored session's file.",
        "Take their permission away, as the message says, and sign in again.",
    ),
    "superseded": (
        "A later sign-out, sign-in or `set_session` was carried out while this call was waiting.",
        "Call it again if you want its session. The server is told to end what it issued for this call.",
    ),
    "masked_token": (
        "The token was removed from its cell, and what is left is a mask. Nothing was sent.",
        "Run `%supabase_set_session` with no arguments and paste the tokens.",
    ),
    "swapped_tokens": (
        "An access token was given where the refresh token belongs. Nothing was sent.",
        "Give the access token first, then the refresh token.",
    ),
    "token_for_key": (
        "A user's access token was given where the project's key belongs.",
        "Give the publishable (anon) key.",
    ),
    "user_changed": (
        "Another user signed in, or out, while a DataFrame was read.",
        "Run the cell again: the rows of one frame are one user's.",
    ),
    "wrong_project": (
        "The key or the access token is another project's than the URL, or a third party's.",
        "Take all of them from the same project.",
    ),
}


class GeneratedParts(Preprocessor):
    """Puts each generated part in the place of its mark."""

    def run(self, lines: list[str]) -> list[str]:
        """Called by Python-Markdown with the lines of each page."""
        parts = {"<!-- magics -->": magics, "<!-- errors -->": error_table, "<!-- traits -->": traits}
        return [part for line in lines for part in (parts[line]().split("\n") if line in parts else [line])]


class DocsExtension(Extension):
    """Named in mkdocs.yml."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Run before everything else, so that the parts are Markdown like any other."""
        md.preprocessors.register(GeneratedParts(md), "supabase_nb_parts", 100)


def makeExtension() -> Extension:
    """Called by Python-Markdown."""
    return DocsExtension()


def magics() -> str:
    """Each magic: what it does, its usage, what it takes."""
    from supabase_nb.notebook.arguments import MagicParser
    from supabase_nb.notebook.commands import COMMANDS
    from supabase_nb.notebook.sign_in import WAYS_IN

    return "\n\n".join(_magic(MagicParser, name, *command) for name, command in (COMMANDS | WAYS_IN).items())


def _magic(kind: Any, name: str, build: Callable[[Any], object], run: Callable[..., Any]) -> str:
    parser = kind(name, run.__doc__ or "")
    build(parser)
    usage = " ".join(parser.format_usage().replace("::", "").split())
    about = inspect.cleandoc(run.__doc__ or "")
    lines = [f"## `%{name}`", "", about, "", "```text", usage, "```", ""]
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
    """Code -> what it means -> what to do; and whether it ends the session."""
    rows = ["| code | what it means | what to do |", "|---|---|---|"]
    known = {code: (MEANINGS[code], step) for code, step in errors.NEXT_STEPS.items()} | OWN
    for code, (meaning, step) in sorted(known.items()):
        ends = " **The session has ended.**" if code in errors.FINAL_CODES else ""
        rows.append(f"| `{code}` | {meaning}{ends} | {step} |")
    return "\n".join(rows)


def traits() -> str:
    """What of a session can be observed."""
    from supabase_nb import AuthClient

    rows = ["| trait | what it is |", "|---|---|"]
    rows += [
        f"| `{name}` | {AuthClient.class_traits()[name].help} |" for name in AuthClient.class_own_traits()
    ]
    return "\n".join(rows)
