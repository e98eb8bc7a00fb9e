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

-- What is on record already. A carrier is "header:X-API-Key", "query:key", "basic".
INSERT INTO daily_calls (day, kind, calls, refused)
SELECT t.hour / 86400000000 * 86400000000,
  CASE k.word
    WHEN 'apikey' THEN 'apikey:' || CASE WHEN c.word IS NULL THEN 'other' WHEN instr(c.word, ':') > 0 THEN substr(c.word, 1, instr(c.word, ':') - 1) ELSE c.word END
    WHEN 'client' THEN 'client:' || coalesce((SELECT auth FROM client WHERE id = w.word), 'other')
    ELSE k.word END,
  sum(t.calls), sum(CASE WHEN o.word LIKE 'denied:%' THEN t.calls ELSE 0 END)
FROM traffic t JOIN traffic_word k ON k.id = t.kind
  LEFT JOIN traffic_word w ON w.id = t.credential LEFT JOIN traffic_word c ON c.id = t.carrier LEFT JOIN traffic_word o ON o.id = t.outcome
GROUP BY 1, 2;
