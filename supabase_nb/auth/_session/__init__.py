"""The session of one client. All of it runs on the owner loop.

- `manager`: what a session consists of, and what its methods do that need no file of their own.
- `set_session`: puts a session in force: that of given tokens, or one that was just issued.
- `sign_in`: what each sign-in sends.
- `snapshot`, `state`: what is in force at a moment, and how another snapshot takes its place.
- `session_store`, `stored_session`: the stored sessions of a project, each under its id; one of them.
  `session_index`: which names use them.
- `refresher`: one exchange for everyone, also across kernels. `retry`: when to try again.
- `scheduler`, `background`: when there is something to do without a call, and what.
- `storage_sync`: takes over what other kernels did to the stored session.
- `sign_out`: ends a session here at once, at the server as soon as it can be reached.
- `change_queue`: notifies observers and subscribers, in one order.
"""
