"""A client's session. This code runs on the owner loop.

- `manager`: creates and connects the parts below. `parts`: those that the others share.
- `set_session`: makes a session current, from given tokens or after a sign-in.
- `sign_in_requests`: the requests of the sign-in methods.
- `snapshot`, `state`: the current session, as a value that is replaced with each change.
- `session_store`, `stored_session`: a project's stored sessions, each under its id.
  `session_index`: which names use them. `session_locks`: locks that all kernels share.
- `refresher`: one refresh for all callers, threads and kernels. `retry`: when to try again.
- `scheduler`, `background_work`: when a session is refreshed automatically, and what is done then.
- `storage_sync`: takes over other kernels' changes to the stored session.
- `unsaved_tokens`: tells other kernels that only this one has the newest tokens, which it couldn't save.
- `other_program`: notices that another program refreshes the same session.
- `sign_out`: ends a session here at once, and on the server as soon as it responds.
- `change_queue`: calls observers and subscribers, in order.
"""
