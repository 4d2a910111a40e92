"""A demo project: its state, and the rules that all endpoints share.

- `project`: keys, users and tables, authentication of requests. `options`: what can be chosen.
- `store`, `store_schema`: users, sessions and tokens in SQLite. `seeds`: the contents of a new project.
- `postgrest`, `filters`: the tables, and PostgREST's query language.
- `keys`, `cryptography_keys`, `ecdsa_keys`: signing keys. `passwords`: their hashes.
- `refresh_token_format`: version 2 refresh tokens.
- `api_errors`: the real server's errors. `go_formats`: its JSON bodies and times.
"""
