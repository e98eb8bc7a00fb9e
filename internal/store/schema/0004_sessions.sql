-- Steps of 0004_sessions follow.

-- A browser in which somebody has signed in (session.Session).
CREATE TABLE browser_session (
  id         TEXT    NOT NULL PRIMARY KEY,
  cookie     BLOB    NOT NULL UNIQUE, -- SHA-256 of what the browser holds
  person_id  TEXT    NOT NULL,
  created    INTEGER NOT NULL,
  last_seen  INTEGER NOT NULL,
  idle       INTEGER NOT NULL, -- microseconds, 0: as long as expires says
  expires    INTEGER NOT NULL,
  ends       INTEGER NOT NULL, -- of these two the first
  auth_time  INTEGER NOT NULL,
  acr        TEXT    NOT NULL,
  amr        TEXT    NOT NULL,
  user_agent TEXT    NOT NULL,
  source     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX browser_session_by_person ON browser_session (person_id, created);
CREATE INDEX browser_session_by_end ON browser_session (ends);

-- What waits in a browser for the answer of a person (session.Request). Numbers
-- rise, so that the oldest can be told.
CREATE TABLE browser_request (
  seq       INTEGER NOT NULL PRIMARY KEY,
  id        TEXT    NOT NULL UNIQUE,
  browser   BLOB    NOT NULL, -- SHA-256 of the cookie of the browser
  kind      TEXT    NOT NULL,
  client_id TEXT    NOT NULL,
  return_to TEXT    NOT NULL,
  payload   BLOB    NOT NULL,
  demand    TEXT    NOT NULL, -- these four are JSON objects
  ask       TEXT    NOT NULL,
  progress  TEXT    NOT NULL,
  answer    TEXT    NOT NULL, -- '' where there is none
  created   INTEGER NOT NULL,
  expires   INTEGER NOT NULL
) STRICT;
CREATE INDEX browser_request_by_browser ON browser_request (browser, seq);
CREATE INDEX browser_request_by_expiry ON browser_request (expires);

-- What a person allowed a client (session.Consent).
CREATE TABLE consent (
  person_id   TEXT    NOT NULL,
  client_id   TEXT    NOT NULL,
  resources   TEXT    NOT NULL, -- sorted
  scopes      TEXT    NOT NULL,
  fingerprint BLOB    NOT NULL, -- of the client as it was shown
  at          INTEGER NOT NULL,
  PRIMARY KEY (person_id, client_id, resources)
) STRICT, WITHOUT ROWID;
CREATE INDEX consent_by_client ON consent (client_id);
