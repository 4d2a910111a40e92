"""The session of one client. All of it runs on the owner loop.

- `manager`: what a session consists of, and what its methods do that need no file of their own.
- `adopter`: puts a session in force: that of given tokens (`set_session`), or a new one.
- `sign_in`: what each sign-in sends.
- `snapshot`, `state`: what is in force at a moment, and how another snapshot takes its place.
- `session_store`, `stored_session`: the stored sessions of a project, each under its id; one of them.
- `refresher`: one exchange for everyone, also across kernels. `scheduler`: when. `retry`: when again.
- `other_kernels`: what they did to the stored session.
- `sign_out`: ends a session here at once, at the server as soon as it can be reached.
- `delivery`: tells observers and subscribers, in one order.
"""
