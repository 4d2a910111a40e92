"""A pytest plugin: ``supabase_auth_server``, a faithful Supabase Auth server for tests, without Docker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from supabase_nb.demo import DemoServer


@pytest.fixture(scope="session")
def supabase_auth_server() -> Iterator[DemoServer]:
    """A running auth server with three users, shared by the whole test session.

    It listens on a free port of 127.0.0.1, with a temporary state folder, and stops after the tests. Point
    the client under test at ``supabase_auth_server.url`` (project) or ``.auth_url`` (auth server), with
    ``supabase_auth_server.anon_key``; ``.sign_in()`` returns a session of ``ada@example.com``. The
    number of emails isn't limited (``mail_interval=0``). For other options, or a server per test, use
    `supabase_nb.demo.testing.running_server`.

    Needs ``pip install "supabase-nb[demo]"``.
    """
    pytest.importorskip("starlette", reason='the fixture needs: pip install "supabase-nb[demo]"')
    from supabase_nb.demo.testing import running_server

    with running_server(mail_interval=0) as server:
        yield server
