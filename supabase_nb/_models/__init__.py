"""The values of `supabase_nb.models`.

- `session`: a session, and what the sign-in methods return. `claims`: verified claims.
- `users`: users, their identities and factors.
- `provider_responses`, `mfa_responses`: what the methods for providers and second factors return.
- `events`: a session's status, its events, their subscribers, and notices.
- `base`: parsing and dumping, shared by all of them.
"""
