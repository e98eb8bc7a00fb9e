-- Steps of 0005_grants follow.

-- Devices that wait for a person (session.Device). A row goes when its code is
-- redeemed, or some time after it has expired.
CREATE TABLE device (
  code      BLOB    NOT NULL PRIMARY KEY, -- SHA-256 of the device_code
  id        TEXT    NOT NULL,
  user_code TEXT    NOT NULL UNIQUE,
  client_id TEXT    NOT NULL,
  asked     TEXT    NOT NULL, -- what it asked for and from where, a JSON object
  created   INTEGER NOT NULL,
  expires   INTEGER NOT NULL,
  pause     INTEGER NOT NULL, -- between two polls, microseconds
  polled    INTEGER NOT NULL,
  answer    TEXT    NOT NULL  -- session.Answer as JSON, '' where there is none
) STRICT, WITHOUT ROWID;
CREATE INDEX device_by_client ON device (client_id, expires);
CREATE INDEX device_by_expiry ON device (expires);
-- What a person allowed a client, once: token.Grant. What comes of it has its id.
CREATE TABLE granted (
  id         TEXT    NOT NULL PRIMARY KEY,
  client_id  TEXT    NOT NULL,
  person_id  TEXT    NOT NULL,
  session_id TEXT    NOT NULL,
  offline    INTEGER NOT NULL, -- 1: it outlives its browser session
  body       TEXT    NOT NULL, -- a JSON object
  created    INTEGER NOT NULL,
  expires    INTEGER NOT NULL  -- nothing that came of it is alive then
) STRICT, WITHOUT ROWID;
CREATE INDEX granted_by_person ON granted (person_id, client_id);
CREATE INDEX granted_by_client ON granted (client_id);
CREATE INDEX granted_by_session ON granted (session_id) WHERE session_id <> '';
CREATE INDEX granted_by_expiry ON granted (expires);

-- Authorization codes. One that was redeemed stays for a day, to be known when
-- it comes again.
CREATE TABLE authorization_code (
  hash     BLOB    NOT NULL PRIMARY KEY,
  grant_id TEXT    NOT NULL,
  body     TEXT    NOT NULL, -- token.Code, a JSON object
  expires  INTEGER NOT NULL,
  spent    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX authorization_code_by_grant ON authorization_code (grant_id);
CREATE INDEX authorization_code_by_expiry ON authorization_code (expires);

-- Refresh tokens: a row for all of one grant.
CREATE TABLE refresh_family (
  grant_id  TEXT    NOT NULL PRIMARY KEY,
  handle    BLOB    NOT NULL UNIQUE,
  current   BLOB    NOT NULL,
  previous  BLOB    NOT NULL,
  rotated   INTEGER NOT NULL,
  jkt       TEXT    NOT NULL,
  x5t       TEXT    NOT NULL,
  last_used INTEGER NOT NULL,
  idle      INTEGER NOT NULL, -- microseconds
  ends      INTEGER NOT NULL,
  dead      INTEGER NOT NULL  -- at ends, or when it has been idle for too long
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_family_by_death ON refresh_family (dead);

-- Pushed authorization requests (RFC 9126).
CREATE TABLE pushed_request (
  hash      BLOB    NOT NULL PRIMARY KEY,
  client_id TEXT    NOT NULL,
  body      BLOB    NOT NULL,
  expires   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_request_by_client ON pushed_request (client_id, expires);
CREATE INDEX pushed_request_by_expiry ON pushed_request (expires);

-- Which clients have to do with a browser session: who is told when it ends.
CREATE TABLE session_client (
  session_id TEXT NOT NULL,
  client_id  TEXT NOT NULL,
  PRIMARY KEY (session_id, client_id)
) STRICT, WITHOUT ROWID;

-- What is still to be told (session.Notice).
CREATE TABLE logout_notice (
  id         TEXT    NOT NULL PRIMARY KEY,
  client_id  TEXT    NOT NULL,
  session_id TEXT    NOT NULL,
  person_id  TEXT    NOT NULL,
  created    INTEGER NOT NULL,
  due        INTEGER NOT NULL,
  attempts   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX logout_notice_by_due ON logout_notice (due);
