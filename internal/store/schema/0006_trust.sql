-- Rules by which tokens of other issuers stand for clients. What a rule says is
-- a JSON object, read and written as one.
CREATE TABLE trust_rule (
  id         TEXT    NOT NULL PRIMARY KEY,
  name       TEXT    NOT NULL UNIQUE,
  client_id  TEXT    NOT NULL, -- '' where it is for no client
  disabled   INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  definition TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX trust_rule_by_client ON trust_rule (client_id) WHERE client_id <> '';

-- Initial access tokens (RFC 7591 §3): who has one may register clients, as
-- often as uses are left.
CREATE TABLE registration_token (
  id        TEXT    NOT NULL PRIMARY KEY,
  name      TEXT    NOT NULL,
  hash      BLOB    NOT NULL UNIQUE,
  scopes    TEXT    NOT NULL,
  uses_left INTEGER NOT NULL,
  used      INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  expires   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX registration_token_by_expiry ON registration_token (expires);

-- Clients that registered without anybody's word are deleted when they are not
-- used (store.Clean). The column is 0 for all others.
ALTER TABLE client ADD COLUMN unused_until INTEGER NOT NULL DEFAULT 0;
CREATE INDEX client_unused ON client (unused_until) WHERE unused_until > 0;

-- Who people are at the providers where they sign in.
CREATE TABLE upstream_person (
  issuer    TEXT    NOT NULL,
  subject   TEXT    NOT NULL,
  person_id TEXT    NOT NULL REFERENCES person (id) ON DELETE CASCADE,
  created   INTEGER NOT NULL,
  PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX upstream_person_by_person ON upstream_person (person_id);
