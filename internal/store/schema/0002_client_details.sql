-- client.Details, a JSON object, read and written as one.
ALTER TABLE client ADD COLUMN details TEXT NOT NULL DEFAULT '{}';

-- policy.Demands of a route, a JSON object.
ALTER TABLE route ADD COLUMN demands TEXT NOT NULL DEFAULT '{}';
