"""A kernel's messages to the status bar, which don't disturb other front ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from test_kernel import Kernel

from supabase_nb.demo import DemoServer

COMM_NAME = "supabase-nb.status-bar"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("status-bar"))
    yield kernel
    kernel.stop()


@pytest.fixture
def connect(server: DemoServer) -> str:
    return f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"


def told(kernel: Kernel) -> list[dict[str, Any]]:
    """What the kernel sent to the status bar since the last call."""
    said = [message for message in kernel.said if message["content"].get("comm_id") == COMM_NAME]
    kernel.said.clear()
    # A front end that doesn't know it drops a message, but logs an error for an opened or closed comm.
    assert {message["msg_type"] for message in said} <= {"comm_msg"}
    return [message["content"]["data"] for message in said]


def comms(kernel: Kernel) -> list[str]:
    reply = kernel.client.comm_info(COMM_NAME, reply=True, timeout=20)
    return list(reply["content"]["comms"])


def test_the_messages_to_the_status_bar(kernel: Kernel, server: DemoServer, connect: str) -> None:
    kernel.run("%load_ext supabase_nb")
    assert told(kernel) == []
    assert comms(kernel) == []
    assert kernel.value("'supabase_nb.notebook._displays.status_bar' in __import__('sys').modules") == "False"

    kernel.run(connect)
    assert told(kernel)[-1] == {
        "status": "signed_out",
        "text": "Supabase: Signed out",
        "details": "supabase: Signed out",
    }
    assert comms(kernel) == [COMM_NAME]
    pair = server.sign_in()
    kernel.run(f"supabase.auth.set_session({pair['access_token']!r}, {pair['refresh_token']!r});")
    news = told(kernel)
    assert news[-1]["text"] == "Supabase: Active"
    assert not any(secret in str(news) for secret in ("ada", *pair.values()) if isinstance(secret, str))

    # The same again is no news.
    kernel.run("1 + 1")
    kernel.run(connect)
    assert told(kernel) == []

    # Of several, what needs most attention; a closed client no more.
    kernel.run(f"{connect} --name other")
    assert told(kernel)[-1] == {
        "status": "signed_out",
        "text": "Supabase: Signed out (2 clients)",
        "details": "other: Signed out\nsupabase: Active",
    }
    kernel.run("other.close()")
    assert told(kernel)[-1]["text"] == "Supabase: Active"
    kernel.run("supabase.auth.sign_out()")
    assert told(kernel)[-1]["text"] == "Supabase: Signed out"
    kernel.run("%reload_ext supabase_nb")
    assert told(kernel) == []
    kernel.run("%unload_ext supabase_nb")
    assert told(kernel)[-1]["text"] == ""


def test_a_reloaded_page_requests_the_state(kernel: Kernel, connect: str) -> None:
    kernel.run("%load_ext supabase_nb")
    kernel.run(connect)
    told(kernel)
    message = kernel.client.session.msg("comm_msg", {"comm_id": COMM_NAME, "data": {}})
    kernel.client.shell_channel.send(message)
    while not (news := told(kernel)):
        kernel.said.append(kernel.client.get_iopub_msg(timeout=20))
    assert news == [
        {"status": "signed_out", "text": "Supabase: Signed out", "details": "supabase: Signed out"}
    ]
