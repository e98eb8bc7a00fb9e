-- What an apikey begins with, as far as that says only its kind; the cohort that
-- it was put into by name, '' for none; and an exception that was granted to it,
-- a JSON object, '' for none.
ALTER TABLE apikey ADD COLUMN prefix TEXT NOT NULL DEFAULT '';
ALTER TABLE apikey ADD COLUMN cohort TEXT NOT NULL DEFAULT '';
ALTER TABLE apikey ADD COLUMN extension TEXT NOT NULL DEFAULT '';
CREATE INDEX apikey_by_cohort ON apikey (cohort) WHERE cohort <> '';
