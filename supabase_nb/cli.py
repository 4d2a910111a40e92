"""The command line: ``supabase-nb serve | stop | status | scan``."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ._secrets.masking import mask_lookalikes
from ._version import __version__
from .demo._project.options import (
    SECRET_VARIABLE,
    STATE_VARIABLE,
    Options,
    absolute_state_dir,
    default_state_dir,
)
from .demo.server_handle import DemoServer, DemoServerError
from .demo.server_process import check_installed, ensure_server, find_server, stop_server


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments after the program's name; by default, those of this process.

    Returns:
        The exit status: 0, or 1 after an error, which is printed.
    """
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except (DemoServerError, ValueError, OSError) as error:
        print(f"supabase-nb: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


class _Parser(argparse.ArgumentParser):
    """A parser whose errors don't repeat tokens from the command line."""

    def error(self, message: str) -> NoReturn:
        """Print the error, and exit with status 2."""
        super().error(mask_lookalikes(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="supabase-nb",
        description="Run an auth server for demos, or search files for leaked tokens.",
    )
    parser.add_argument("--version", action="version", version=f"supabase-nb {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_serve(commands)
    for name, text, run in (
        ("stop", "stop the embedded auth server and keep its state", _stop),
        ("status", "show whether the embedded auth server is running, and its URL", _status),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        _add_state(command)
        command.set_defaults(run=run)
    if importlib.util.find_spec("supabase_nb._scan") is not None:
        importlib.import_module("supabase_nb._scan").add_parser(commands)
    return parser


def _add_state(command: argparse.ArgumentParser) -> None:
    text = f"folder for the server's state (default: ${STATE_VARIABLE}, or {default_state_dir()})"
    command.add_argument("--state", type=_folder, metavar="DIR", help=text.replace("%", "%%"))


def _folder(text: str) -> Path:
    if not text:  # an unset shell variable, and not the current folder
        raise argparse.ArgumentTypeError("the path is empty. Pass . for the current folder")
    return Path(text)


def _add_serve(commands: Any) -> None:
    command = commands.add_parser(
        "serve",
        help="start the embedded auth server for demos and tests",
        description="Start a small Supabase Auth server on 127.0.0.1, for demos and tests. It runs in the "
        "background and has three users: ada@, grace@ and alan@example.com, all with the password "
        '"correct horse battery". If it is already running with other options, it is restarted with these.',
        epilog='While it runs: POST /demo/outage {"seconds": n}, /demo/expire {"email": ...}, /demo/clock '
        '{"advance": seconds}, /demo/keys {"do": "standby|rotate|revoke"}; GET /demo/stats, /demo/outbox. '
        "Tables with Row Level Security: GET /rest/v1/trips, /rest/v1/readings.",
    )
    command.add_argument("--foreground", action="store_true", help="run in this process until Ctrl-C")
    command.add_argument("--announce", action="store_true", help=argparse.SUPPRESS)
    _add_state(command)
    for field in dataclasses.fields(Options):
        flag = "--" + field.name.replace("_", "-")
        about = dict(field.metadata)
        about.pop("secret", None)
        if isinstance(field.default, bool):
            about["action"] = argparse.BooleanOptionalAction
        else:
            about["type"] = str if field.default is None else type(field.default)
            if field.default is not None:
                about["help"] += f" (default: {field.default})"
        command.add_argument(flag, dest=field.name, default=None, **about)
    command.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    check_installed()
    given = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Options)}
    given = {name: value for name, value in given.items() if value is not None}
    if os.environ.get(SECRET_VARIABLE):
        given.setdefault("jwt_secret", os.environ[SECRET_VARIABLE])
    if not arguments.foreground:
        _show(ensure_server(arguments.state, **given))
        return 0
    import logging

    from .demo._server.run import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    serve(Options(**given), absolute_state_dir(arguments.state), _announce if arguments.announce else _shown)
    return 0


def _announce(server: DemoServer, stop: Callable[[], None]) -> None:
    """Tell the waiting parent process that the server is ready, then release its pipe."""
    print("ready", flush=True)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)


def _shown(server: DemoServer, stop: Callable[[], None]) -> None:
    _show(server)


def _show(server: DemoServer) -> None:
    print(
        f"demo auth server: running at {server.url} (process {server.pid})\n"
        f"  anon key:    {server.anon_key}\n"
        f"  state:       {server.state_dir} (service key: in server.json, log: server.log)\n"
        f"  sign in as:  ada@example.com, grace@ or alan@, password 'correct horse battery'",
        flush=True,
    )


def _stop(arguments: argparse.Namespace) -> int:
    stopped = stop_server(arguments.state)
    print("demo auth server: stopped" if stopped else "demo auth server: was not running")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    server = find_server(arguments.state)
    if server is None:
        print("demo auth server: not running (start it: supabase-nb serve)")
        return 3
    _show(server)
    return 0
