-- What was opened since a time is read from one index alone; two that only the overview
-- used, and one that runs_results begins with, are less to write.
CREATE INDEX incidents_opened ON incidents(opened_at, code, asset);
DROP INDEX incidents_codes;
DROP INDEX incidents_assets;
DROP INDEX runs_ended;
