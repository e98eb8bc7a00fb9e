-- Times are microseconds since 1970 UTC, 0 where there is none. Lists of names
-- are separated by spaces. Secrets are hashes or sealed.

CREATE TABLE client (
  id               TEXT    NOT NULL PRIMARY KEY,
  name             TEXT    NOT NULL,
  owner            TEXT    NOT NULL,
  status           TEXT    NOT NULL,
  auth             TEXT    NOT NULL,
  signing_alg      TEXT    NOT NULL,
  audience         TEXT    NOT NULL,
  jwks_uri         TEXT    NOT NULL,
  grants           TEXT    NOT NULL,
  scopes           TEXT    NOT NULL,
  default_scopes   TEXT    NOT NULL,
  pending_scopes   TEXT    NOT NULL,
  resources        TEXT    NOT NULL,
  pending_reason   TEXT    NOT NULL,
  apikey_id        TEXT    NOT NULL,
  software_id      TEXT    NOT NULL,
  software_version TEXT    NOT NULL,
  source           TEXT    NOT NULL,
  created          INTEGER NOT NULL,
  last_used        INTEGER NOT NULL,
  credentials      TEXT    NOT NULL -- a JSON list, read and written as one
) STRICT, WITHOUT ROWID;
CREATE INDEX client_by_apikey ON client (apikey_id) WHERE apikey_id <> '';

-- A row for all assertions of one commit that expire in the same minute: the
-- (client, jti) of each is 16 bytes of its hash. See spent.go.
CREATE TABLE spent_assertion (
  seq     INTEGER NOT NULL PRIMARY KEY,
  expires INTEGER NOT NULL,
  ids     BLOB    NOT NULL
) STRICT;
CREATE INDEX spent_assertion_by_expiry ON spent_assertion (expires);

CREATE TABLE revocation (
  kind          TEXT    NOT NULL,
  id            TEXT    NOT NULL,
  issued_before INTEGER NOT NULL,
  expires       INTEGER NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX revocation_by_expiry ON revocation (expires);

CREATE TABLE signing_key (
  id            TEXT    NOT NULL PRIMARY KEY,
  alg           TEXT    NOT NULL,
  sealed        BLOB    NOT NULL,
  created       INTEGER NOT NULL,
  sign_from     INTEGER NOT NULL,
  sign_until    INTEGER NOT NULL,
  publish_until INTEGER NOT NULL,
  dropped       INTEGER NOT NULL,
  UNIQUE (alg, sign_from)
) STRICT;

CREATE TABLE apikey (
  id          TEXT    NOT NULL PRIMARY KEY,
  fingerprint BLOB    NOT NULL UNIQUE,
  last4       TEXT    NOT NULL,
  label       TEXT    NOT NULL,
  owner       TEXT    NOT NULL,
  contact     TEXT    NOT NULL,
  known_by    TEXT    NOT NULL,
  stage       TEXT    NOT NULL,
  stage_since INTEGER NOT NULL,
  stage_until INTEGER NOT NULL,
  suspended   INTEGER NOT NULL,
  client_id   TEXT    NOT NULL,
  created     INTEGER NOT NULL,
  revoked     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX apikey_by_client ON apikey (client_id) WHERE client_id <> '';

-- Beside apikey, so that counting traffic does not rewrite apikeys.
CREATE TABLE apikey_use (
  apikey_id  TEXT    NOT NULL PRIMARY KEY,
  first_used INTEGER NOT NULL,
  last_used  INTEGER NOT NULL,
  last_ok    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sealed_apikey (
  client_id TEXT    NOT NULL REFERENCES client (id) ON DELETE CASCADE,
  upstream  TEXT    NOT NULL,
  apikey_id TEXT    NOT NULL REFERENCES apikey (id),
  sealed    BLOB    NOT NULL,
  created   INTEGER NOT NULL,
  PRIMARY KEY (client_id, upstream)
) STRICT, WITHOUT ROWID;
CREATE INDEX sealed_apikey_by_apikey ON sealed_apikey (apikey_id);

CREATE TABLE route (
  match   TEXT    NOT NULL PRIMARY KEY,
  scopes  TEXT    NOT NULL,
  open    INTEGER NOT NULL,
  enforce TEXT    NOT NULL,
  source  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each member of policy.Settings, as JSON.
CREATE TABLE setting (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Traffic repeats its words endlessly: each is kept once here, and the rows
-- hold its number. 0 is the empty word.
CREATE TABLE traffic_word (
  id        INTEGER NOT NULL PRIMARY KEY,
  word      TEXT    NOT NULL UNIQUE,
  last_hour INTEGER NOT NULL -- no row of a later hour holds it
) STRICT;
CREATE INDEX traffic_word_by_hour ON traffic_word (last_hour);

CREATE TABLE traffic (
  hour       INTEGER NOT NULL,
  kind       INTEGER NOT NULL,
  credential INTEGER NOT NULL,
  method     INTEGER NOT NULL,
  template   INTEGER NOT NULL,
  status     INTEGER NOT NULL,
  agent      INTEGER NOT NULL,
  source     INTEGER NOT NULL,
  carrier    INTEGER NOT NULL,
  outcome    INTEGER NOT NULL,
  calls      INTEGER NOT NULL,
  first_at   INTEGER NOT NULL,
  last_at    INTEGER NOT NULL,
  PRIMARY KEY (hour, kind, credential, method, template, status, agent, source, carrier, outcome)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_entry (
  seq    INTEGER NOT NULL PRIMARY KEY,
  at     INTEGER NOT NULL,
  actor  TEXT    NOT NULL,
  action TEXT    NOT NULL,
  object TEXT    NOT NULL,
  detail TEXT    NOT NULL,
  prev   BLOB    NOT NULL,
  hash   BLOB    NOT NULL
) STRICT;
CREATE TRIGGER audit_entry_stays BEFORE UPDATE ON audit_entry
  BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END;
CREATE TRIGGER audit_entry_remains BEFORE DELETE ON audit_entry
  BEGIN SELECT RAISE(ABORT, 'audit entries are never deleted'); END;

CREATE TABLE change_log (
  seq  INTEGER NOT NULL PRIMARY KEY,
  at   INTEGER NOT NULL,
  kind TEXT    NOT NULL,
  id   TEXT    NOT NULL
) STRICT;
