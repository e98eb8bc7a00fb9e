-- Leaked credentials on record (leak.Record, a JSON object read and written as
-- one). Of one subject one record at most is open; closed is 0 for it.
CREATE TABLE leak (
  id      TEXT    NOT NULL PRIMARY KEY,
  kind    TEXT    NOT NULL,
  subject TEXT    NOT NULL,
  opened  INTEGER NOT NULL,
  closed  INTEGER NOT NULL,
  body    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX leak_open ON leak (kind, subject) WHERE closed = 0;

-- Calls of each day by kind of credential, kept for longer than traffic.
CREATE TABLE daily_calls (
  day     INTEGER NOT NULL, -- its first moment, UTC
  kind    TEXT    NOT NULL,
  calls   INTEGER NOT NULL,
  refused INTEGER NOT NULL, -- of these, by offkey
  PRIMARY KEY (day, kind)
) STRICT, WITHOUT ROWID;
