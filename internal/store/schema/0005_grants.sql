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
