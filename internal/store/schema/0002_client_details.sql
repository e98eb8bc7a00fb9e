-- client.Details, a JSON object, read and written as one.
ALTER TABLE client ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
