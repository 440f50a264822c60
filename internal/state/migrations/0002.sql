-- How often in a row logging in failed, by account and by address.
CREATE TABLE login_attempts(
	key TEXT NOT NULL PRIMARY KEY, failures BIGINT NOT NULL, next_at BIGINT NOT NULL, updated_at BIGINT NOT NULL);
CREATE INDEX login_attempts_updated ON login_attempts(updated_at);
