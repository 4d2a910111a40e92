"""Tokens and keys, and how they stay secret.

- `tokens`: `Secret`, which wraps them; a token's claims and expiry.
- `token_formats`: the formats of tokens and keys. `token_search`: finds them in text.
- `credential_checks`: detects mixed-up tokens and keys before anything is sent.
- `masking`: masks known secret values. `log_masking`: masks them in log records.
- `private_files`: files that only their owner can read.
"""
