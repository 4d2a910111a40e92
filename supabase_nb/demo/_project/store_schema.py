"""The tables of the server's database, and the upgrade from an older version."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, email TEXT UNIQUE, password TEXT, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, created_at REAL NOT NULL,
  refreshed_at REAL, amr TEXT NOT NULL, hmac_key BLOB NOT NULL, counter INTEGER NOT NULL DEFAULT 0,
  issued_at REAL NOT NULL DEFAULT 0, expired_at REAL NOT NULL DEFAULT 0, client_id TEXT, scope TEXT);
CREATE TABLE IF NOT EXISTS refresh_tokens (
  id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT NOT NULL UNIQUE, parent TEXT,
  session_id TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
  revoked INTEGER NOT NULL DEFAULT 0, updated_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS one_time_tokens (
  hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, kind TEXT NOT NULL,
  email TEXT NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS flow_states (
  id TEXT PRIMARY KEY, user_id TEXT REFERENCES users(id) ON DELETE CASCADE, auth_code TEXT UNIQUE,
  challenge TEXT NOT NULL, method TEXT NOT NULL, amr TEXT NOT NULL, redirect_to TEXT NOT NULL,
  created_at REAL NOT NULL, provider TEXT NOT NULL DEFAULT '', linking INTEGER NOT NULL DEFAULT 0,
  provider_tokens TEXT NOT NULL DEFAULT '{}');
CREATE TABLE IF NOT EXISTS factors (
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, created_at REAL NOT NULL,
  updated_at REAL NOT NULL, verified INTEGER NOT NULL DEFAULT 0, name TEXT NOT NULL, secret TEXT NOT NULL,
  challenged_at REAL);
CREATE TABLE IF NOT EXISTS challenges (
  id TEXT PRIMARY KEY, factor_id TEXT NOT NULL REFERENCES factors(id) ON DELETE CASCADE,
  created_at REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS oauth_clients (id TEXT PRIMARY KEY, secret TEXT, doc TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS oauth_authorizations (
  id TEXT PRIMARY KEY, client_id TEXT NOT NULL REFERENCES oauth_clients(id) ON DELETE CASCADE,
  user_id TEXT REFERENCES users(id) ON DELETE CASCADE, params TEXT NOT NULL, status TEXT NOT NULL,
  code TEXT UNIQUE, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS oauth_consents (
  user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE, client_id TEXT NOT NULL, scope TEXT NOT NULL,
  granted_at REAL NOT NULL, PRIMARY KEY (user_id, client_id));
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, mail TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_user ON sessions(user_id);
CREATE INDEX IF NOT EXISTS by_session ON refresh_tokens(session_id);
"""
#: Upgrades an older version's database. Flows can be dropped, because they last only minutes.
MIGRATION = """
DROP TABLE flow_states;
ALTER TABLE sessions ADD COLUMN client_id TEXT;
ALTER TABLE sessions ADD COLUMN scope TEXT;
PRAGMA user_version = 2;
"""
