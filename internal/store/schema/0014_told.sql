-- What the owners of apikeys were told, once for each program and occasion.
CREATE TABLE told (
  apikey_id TEXT    NOT NULL,
  program   TEXT    NOT NULL, -- '' for the apikey as a whole
  occasion  TEXT    NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY (apikey_id, program, occasion)
) STRICT, WITHOUT ROWID;
CREATE INDEX told_by_time ON told (at);
