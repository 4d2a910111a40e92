"""A client's session. This code runs on the owner loop.

- `manager`: creates and connects the parts below. `parts`: those that the others share.
- `set_session`: makes a session current, from given tokens or after a sign-in.
- `sign_in_requests`: the requests of the sign-in methods.
- `snapshot`, `state`: the current session, as a value that is replaced with each change.
- `session_store`, `session_record`: a project's stored sessions, each under its id.
  `session_index`: which names use them. `session_locks`: locks that all kernels share.
- `refresher`: one refresh for all callers, threads and kernels. `retry`: when a call tries again.
- `scheduler`: calls sessions when they have something to do, and looks for other kernels' changes.
  `scheduled_work`: what is done then: refresh, verify, save.
- `session_verifier`: asks the server whether a restored session is still valid.
- `storage_sync`: takes over other kernels' changes to the stored session, and locks it against them.
- `unsaved_rotation_lock`: tells other kernels that this one has newer tokens, which it couldn't save.
- `rotation_conflict`: notices that another program refreshes the same session.
- `sign_out`: ends a session here at once, and on the server as soon as it responds.
- `change_queue`: calls observers and subscribers, in order.
"""
