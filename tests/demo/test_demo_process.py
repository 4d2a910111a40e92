from pathlib import Path

from supabase_nb.demo import DemoServer, find_server


def test_a_running_server_is_found(supabase_auth_server: DemoServer) -> None:
    found = find_server(supabase_auth_server.state_dir)
    assert found == supabase_auth_server
    assert supabase_auth_server.service_key not in repr(found)


def test_nothing_is_found_where_nothing_runs(tmp_path: Path) -> None:
    assert find_server(tmp_path) is None
