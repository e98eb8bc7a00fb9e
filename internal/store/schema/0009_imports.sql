-- What an import says about an apikey beside its owner (scopes, end, list), and
-- the hash by which it is known until a call brings it: a JSON object.
ALTER TABLE apikey ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
CREATE INDEX apikey_by_owner ON apikey (owner);

-- Which apikey a hash is of, also once the apikey itself was seen. The mark is
-- SHA-256 of the hash as it was written.
CREATE TABLE apikey_hash (
  mark      BLOB NOT NULL PRIMARY KEY,
  apikey_id TEXT NOT NULL REFERENCES apikey (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX apikey_hash_by_apikey ON apikey_hash (apikey_id);

-- The secrets of HMACs that others made of apikeys.
CREATE TABLE apikey_pepper (
  name   TEXT NOT NULL PRIMARY KEY,
  sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The traffic of apikeys once more, by apikey and day: what a list of apikeys
-- shows is read from here. Rows leave with their calls when their day is older
-- than the list looks back (store.Clean); apikey_use.calls is their sum.
CREATE TABLE apikey_day (
  credential INTEGER NOT NULL, -- these are words of traffic_word
  day        INTEGER NOT NULL,
  method     INTEGER NOT NULL,
  template   INTEGER NOT NULL,
  ok         INTEGER NOT NULL, -- the API answered with success
  agent      INTEGER NOT NULL,
  source     INTEGER NOT NULL,
  carrier    INTEGER NOT NULL,
  calls      INTEGER NOT NULL,
  first_at   INTEGER NOT NULL,
  last_at    INTEGER NOT NULL,
  PRIMARY KEY (credential, day, method, template, ok, agent, source, carrier)
) STRICT, WITHOUT ROWID;
CREATE INDEX apikey_day_by_day ON apikey_day (day);

-- Where an apikey was seen, and on which day last.
CREATE TABLE apikey_carrier (
  apikey_id TEXT    NOT NULL,
  carrier   TEXT    NOT NULL,
  day       INTEGER NOT NULL,
  PRIMARY KEY (apikey_id, carrier)
) STRICT, WITHOUT ROWID;

ALTER TABLE apikey_use ADD COLUMN calls INTEGER NOT NULL DEFAULT 0;

-- What the hours of before say.
INSERT INTO apikey_day (credential, day, method, template, ok, agent, source, carrier, calls, first_at, last_at)
  SELECT t.credential, t.hour - t.hour % 86400000000, t.method, t.template, t.status >= 200 AND t.status < 300, t.agent, t.source, t.carrier,
    sum(t.calls), min(t.first_at), max(t.last_at)
  FROM traffic t JOIN traffic_word k ON k.id = t.kind AND k.word = 'apikey'
  WHERE t.credential <> 0
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
UPDATE apikey_use SET calls = coalesce((SELECT sum(d.calls) FROM apikey_day d JOIN traffic_word w ON w.id = d.credential WHERE w.word = apikey_use.apikey_id), 0);
INSERT INTO apikey_carrier (apikey_id, carrier, day)
  SELECT k.word, c.word, max(d.day) FROM apikey_day d JOIN traffic_word k ON k.id = d.credential JOIN traffic_word c ON c.id = d.carrier GROUP BY 1, 2;
