-- People, as package directory has them. A hash of a password and a sealed
-- secret are all that is kept of how they prove themselves.
CREATE TABLE person (
  id             TEXT    NOT NULL PRIMARY KEY,
  name           TEXT    NOT NULL,
  email          TEXT    NOT NULL,
  email_verified INTEGER NOT NULL,
  status         TEXT    NOT NULL,
  claims         TEXT    NOT NULL, -- a JSON object
  source         TEXT    NOT NULL,
  created        INTEGER NOT NULL,
  updated        INTEGER NOT NULL,
  last_sign_in   INTEGER NOT NULL,
  password       TEXT    NOT NULL,
  password_mark  TEXT    NOT NULL,
  totp_sealed    BLOB    NOT NULL,
  totp_step      INTEGER NOT NULL,
  totp_created   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What people type to sign in, in lower case: names and addresses share one
-- space, so that neither can be taken for another's.
CREATE TABLE person_login (
  login     TEXT NOT NULL PRIMARY KEY,
  person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX person_login_by_person ON person_login (person_id);

CREATE TABLE people_group (
  name    TEXT    NOT NULL PRIMARY KEY,
  scopes  TEXT    NOT NULL,
  roles   TEXT    NOT NULL,
  policy  TEXT    NOT NULL, -- a JSON object
  source  TEXT    NOT NULL,
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO people_group (name, scopes, roles, policy, source, created, updated) VALUES
  ('everyone', '', '', '{}', 'api', 0, 0),
  ('admins', '', 'admin', '{}', 'api', 0, 0);

CREATE TABLE person_group (
  person_id  TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
  group_name TEXT NOT NULL REFERENCES people_group (name),
  PRIMARY KEY (person_id, group_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX person_group_by_group ON person_group (group_name, person_id);

CREATE TABLE recovery_code (
  person_id TEXT NOT NULL REFERENCES person (id) ON DELETE CASCADE,
  hash      BLOB NOT NULL,
  PRIMARY KEY (person_id, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE passkey (
  id         BLOB    NOT NULL PRIMARY KEY,
  person_id  TEXT    NOT NULL REFERENCES person (id) ON DELETE CASCADE,
  public_key BLOB    NOT NULL,
  sign_count INTEGER NOT NULL,
  aaguid     BLOB    NOT NULL,
  transports TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  eligible   INTEGER NOT NULL,
  backed_up  INTEGER NOT NULL,
  created    INTEGER NOT NULL,
  last_used  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX passkey_by_person ON passkey (person_id);

-- One for each purpose of a person; of the one for setup the person is ''.
CREATE TABLE person_link (
  purpose   TEXT    NOT NULL,
  person_id TEXT    NOT NULL,
  hash      BLOB    NOT NULL UNIQUE,
  email     TEXT    NOT NULL,
  created   INTEGER NOT NULL,
  expires   INTEGER NOT NULL,
  PRIMARY KEY (purpose, person_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX person_link_by_expiry ON person_link (expires);
