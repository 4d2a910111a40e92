"""A program that forks during an exchange, and prints what the child and the parent can do."""

# ruff: noqa: T201

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
import threading

from supabase_nb import AuthClient, AuthError, FileStorage, MemoryStorage


def child(auth: AuthClient) -> None:
    held = auth.get_session()
    print("child:kept" if held is not None and held == auth.session else "child:lost", flush=True)
    try:
        auth.refresh_session()
    except AuthError as error:
        print(f"child:{type(error).__name__}", flush=True)


def main(url: str, kind: str, folder: str) -> None:
    pair = json.load(sys.stdin)
    auth = AuthClient(url, storage=FileStorage(folder) if kind == "file" else MemoryStorage())
    auth.set_session(pair["access_token"], pair["refresh_token"])
    before = auth.session
    # In the middle of an exchange: with the storage's lock, and a request under way.
    api, asked, go_on = auth._manager.api, threading.Event(), threading.Event()
    send = api._send

    async def slow(*arguments: object) -> object:
        asked.set()
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        return await send(*arguments)  # type: ignore[arg-type]

    api._send = slow  # type: ignore[method-assign, assignment]
    refresh = threading.Thread(target=auth.refresh_session)
    refresh.start()
    asked.wait(20)
    process = multiprocessing.get_context("fork").Process(target=child, args=(auth,))
    process.start()
    process.join(20)
    go_on.set()
    refresh.join(20)
    print("parent:renewed" if auth.session != before and process.exitcode == 0 else "parent:failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
