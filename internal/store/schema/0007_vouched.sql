-- On whose word clients registered themselves that can bring any number of them:
-- those of one software statement are counted. The column is '' for all others.
ALTER TABLE client ADD COLUMN vouched_by TEXT NOT NULL DEFAULT '';
CREATE INDEX client_by_voucher ON client (vouched_by) WHERE vouched_by <> '';
