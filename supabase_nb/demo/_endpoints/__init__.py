"""The embedded server's endpoints, in groups.

- `auth`: settings, sign-up, tokens, the user, sign-out. `admin`: the service role's.
- `one_time_codes`: codes and links in emails. `pkce`: their flows. `redirects`: where they lead.
- `provider`: signing in with a provider. `identities`: a user's accounts. `factors`: second factors.
- `oauth_server`: the project as an OAuth server, with `oauth_clients` and `oauth_consent`.
- `rest`: the tables. `controls`: for tests. `page_layout`: the look of the pages that people see.
"""
