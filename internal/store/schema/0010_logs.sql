-- Access logs that were read, and how far: written with the counts of the lines
-- up to there, so that none is counted twice. A log is told by how it begins,
-- whatever its name is. Its bytes are kept as HMACs alone.
CREATE TABLE log_position (
  id        TEXT    NOT NULL PRIMARY KEY, -- HMAC of the first head bytes
  start     TEXT    NOT NULL,             -- HMAC of the first line
  head      INTEGER NOT NULL,
  name      TEXT    NOT NULL,
  format    TEXT    NOT NULL,
  at_offset INTEGER NOT NULL,
  at_line   INTEGER NOT NULL,
  before    INTEGER NOT NULL, -- how many bytes before the offset mark is of
  mark      TEXT    NOT NULL, -- their HMAC
  batches   INTEGER NOT NULL,
  report    TEXT    NOT NULL, -- JSON
  updated   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX log_position_by_start ON log_position (start);
CREATE INDEX log_position_by_update ON log_position (updated);

-- When an apikey last came from a page in a browser, and last without TLS.
ALTER TABLE apikey_use ADD COLUMN last_browser INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apikey_use ADD COLUMN last_plain INTEGER NOT NULL DEFAULT 0;
