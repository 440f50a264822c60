-- What people look at: who repaired an incident, on which day and how long it took (see
-- handled in views.go), the words that are searched, and indexes that lists and figures
-- are read from alone.
ALTER TABLE incidents ADD COLUMN handled TEXT NOT NULL DEFAULT '';
ALTER TABLE incidents ADD COLUMN repair BIGINT NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN repair_day BIGINT NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN words TEXT NOT NULL DEFAULT '';
UPDATE incidents SET words = lower(title || ' ' || asset || ' ' || code);
UPDATE incidents SET {repaired} WHERE state = 'resolved';
CREATE INDEX incidents_repairs ON incidents(repair_day, handled, repair);
CREATE INDEX incidents_counts ON incidents(state, priority);
CREATE INDEX incidents_codes ON incidents(code, opened_at);
CREATE INDEX incidents_assets ON incidents(asset, opened_at);
CREATE INDEX incidents_words ON incidents(id, words, state, priority);
CREATE INDEX runs_results ON runs(ended_at, mode, state);
CREATE INDEX runs_books ON runs(playbook, mode, state);
