-- Who has taken an incident, and when.
ALTER TABLE incidents ADD COLUMN taken_by TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN taken_at BIGINT NOT NULL DEFAULT 0;
