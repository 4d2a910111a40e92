"""A client that was closed or replaced, in a real kernel: all of its displays say so."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from test_kernel import Kernel

from supabase_nb.demo import DemoServer

ADVICE = "This client was closed. Run %supabase_connect to connect again."


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("closed"))
    yield kernel
    kernel.stop()


@pytest.fixture
def connect(kernel: Kernel, server: DemoServer) -> str:
    """The line that connects; it was run, and Ada is signed in."""
    line = f"%supabase_connect {server.url} --key '{server.anon_key}' --storage memory"
    pair = server.sign_in()
    kernel.run("%load_ext supabase_nb")
    kernel.run(line)
    kernel.run(f"supabase.auth.set_session({pair['access_token']!r}, {pair['refresh_token']!r});")
    kernel.run("import json\nbadge = supabase.badge\nmodels = [badge.model_id, supabase.panel.model_id]")
    assert kernel.value("supabase.auth.status") == "'active'"
    kernel.said.clear()
    return line


def texts(kernel: Kernel) -> str:
    """The texts of what was displayed."""
    return "\n".join(
        message["content"].get("text") or message["content"].get("data", {}).get("text/plain", "")
        for message in kernel.said
        if message["msg_type"] in ("display_data", "execute_result", "stream")
    )


def statuses(kernel: Kernel) -> set[str]:
    """The messages to displays."""
    told = [
        message["content"]["data"].get("content", {})
        for message in kernel.said
        if message["msg_type"] == "comm_msg"
    ]
    return {
        "closed" if content["type"] == "closed" else content["view"]["status"]
        for content in told
        if content.get("type") in ("view", "closed")
    }


def left_pages(kernel: Kernel) -> bool:
    """Whether a display was taken off its page."""
    closed = {m["content"]["comm_id"] for m in kernel.said if m["msg_type"] == "comm_close"}
    return bool(closed & set(json.loads(kernel.value("json.dumps(models)").strip("'"))))


@pytest.mark.parametrize(
    "cell",
    ["supabase", "supabase.panel", "badge", "supabase.expiry", "supabase.token_entry()", "%supabase_session"],
)
def test_displays_of_a_closed_client_say_so(kernel: Kernel, connect: str, cell: str) -> None:
    kernel.run("supabase.close()")
    kernel.said.clear()
    assert kernel.run(cell)["status"] == "ok"
    assert ADVICE in texts(kernel)
    assert statuses(kernel) == {"closed"}


def test_unloading_closes_displays_and_keeps_them_visible(kernel: Kernel, connect: str) -> None:
    kernel.run("kept = supabase")
    kernel.said.clear()
    kernel.run("%unload_ext supabase_nb")
    assert statuses(kernel) == {"closed"}
    assert not left_pages(kernel)
    assert kernel.value("kept.closed") == "True"


def test_reloading_keeps_displays_live(kernel: Kernel, connect: str) -> None:
    kernel.run("%reload_ext supabase_nb")
    assert kernel.value("supabase.closed") == "False"
    kernel.run("%supabase_session")
    assert statuses(kernel) == {"active"}
    assert not left_pages(kernel)


def test_replacing_a_client_leaves_its_displays_live_until_it_is_gone(kernel: Kernel, connect: str) -> None:
    kernel.run("import gc, weakref\nseen, kept = weakref.ref(supabase.auth), supabase")
    kernel.said.clear()
    kernel.run(connect.replace("memory", "file"))
    assert kernel.value("kept.closed") == "False"
    assert not left_pages(kernel)
    kernel.run("kept = None\nwhile seen() is not None: gc.collect()")
    kernel.said.clear()
    kernel.run("badge._handle_custom_msg({'type': 'hello'}, [])")  # as a page that is loaded again
    assert statuses(kernel) == {"closed"}
    assert not left_pages(kernel)
