-- Times are microseconds since 1970 in UTC; 0 is none. {id}, {blob}: see dialect.go.
CREATE TABLE incidents(
	id {id}, key TEXT NOT NULL, code TEXT NOT NULL, asset TEXT NOT NULL, state TEXT NOT NULL, priority TEXT NOT NULL,
	confidence DOUBLE PRECISION NOT NULL, title TEXT NOT NULL, evidence TEXT NOT NULL, alerts BIGINT NOT NULL, joins BIGINT NOT NULL,
	opened_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, resolved_at BIGINT NOT NULL, resolution TEXT NOT NULL);
CREATE UNIQUE INDEX incidents_open ON incidents(key) WHERE state = 'open';
CREATE INDEX incidents_key ON incidents(key, id);
CREATE INDEX incidents_state ON incidents(state, id);
CREATE INDEX incidents_code ON incidents(code, id);
CREATE INDEX incidents_asset ON incidents(asset, id);
CREATE INDEX incidents_priority ON incidents(priority, id);
CREATE INDEX incidents_resolved ON incidents(resolved_at);

CREATE TABLE alerts(
	id {id}, fingerprint TEXT NOT NULL, starts_at BIGINT NOT NULL, status TEXT NOT NULL, ends_at BIGINT NOT NULL,
	labels TEXT NOT NULL, annotations TEXT NOT NULL, generator_url TEXT NOT NULL, source TEXT NOT NULL,
	seen BIGINT NOT NULL, first_at BIGINT NOT NULL, last_at BIGINT NOT NULL, incident_id BIGINT NOT NULL DEFAULT 0,
	UNIQUE(fingerprint, starts_at, status));
CREATE INDEX alerts_incident ON alerts(incident_id, id);
CREATE INDEX alerts_first ON alerts(first_at, id);
CREATE INDEX alerts_last ON alerts(last_at);

CREATE TABLE playbooks(
	name TEXT NOT NULL, version TEXT NOT NULL, text TEXT NOT NULL, origin TEXT NOT NULL, stored_at BIGINT NOT NULL,
	PRIMARY KEY(name, version));
CREATE TABLE playbook_modes(
	name TEXT NOT NULL PRIMARY KEY, version TEXT NOT NULL, mode TEXT NOT NULL, since BIGINT NOT NULL, set_by TEXT NOT NULL);

CREATE TABLE runs(
	id {id}, playbook TEXT NOT NULL, version TEXT NOT NULL, incident_id BIGINT NOT NULL, asset TEXT NOT NULL, unique_key TEXT NOT NULL,
	state TEXT NOT NULL, mode TEXT NOT NULL, reason TEXT NOT NULL, vars TEXT NOT NULL, error TEXT NOT NULL,
	created_at BIGINT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, updated_at BIGINT NOT NULL);
CREATE UNIQUE INDEX runs_unfinished ON runs(unique_key) WHERE ended_at = 0;
CREATE INDEX runs_state ON runs(state, id);
CREATE INDEX runs_playbook ON runs(playbook, id);
CREATE INDEX runs_incident ON runs(incident_id, id);
CREATE INDEX runs_asset ON runs(asset, id);
CREATE INDEX runs_ended ON runs(ended_at);
CREATE TABLE steps(
	run_id BIGINT NOT NULL, seq BIGINT NOT NULL, attempt BIGINT NOT NULL, name TEXT NOT NULL, action TEXT NOT NULL, status TEXT NOT NULL,
	intent TEXT NOT NULL, result TEXT NOT NULL, error TEXT NOT NULL, node BIGINT NOT NULL,
	created_at BIGINT NOT NULL, intended_at BIGINT NOT NULL, ended_at BIGINT NOT NULL,
	PRIMARY KEY(run_id, seq, attempt));
CREATE INDEX steps_status ON steps(status, run_id);

CREATE TABLE approvals(
	id {id}, run_id BIGINT NOT NULL, seq BIGINT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, asked_by TEXT NOT NULL,
	asked_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, decided_by TEXT NOT NULL, decided_at BIGINT NOT NULL, note TEXT NOT NULL);
CREATE UNIQUE INDEX approvals_asked ON approvals(run_id, seq) WHERE state = 'asked';
CREATE INDEX approvals_state ON approvals(state, id);
CREATE INDEX approvals_run ON approvals(run_id, id);

CREATE TABLE cooldowns(
	key TEXT NOT NULL PRIMARY KEY, until_at BIGINT NOT NULL, set_at BIGINT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE breakers(
	key TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, failures BIGINT NOT NULL, ineffective BIGINT NOT NULL,
	opened_at BIGINT NOT NULL, until_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE mutes(
	id {id}, scope TEXT NOT NULL, reason TEXT NOT NULL, set_by TEXT NOT NULL, from_at BIGINT NOT NULL, until_at BIGINT NOT NULL, lifted_at BIGINT NOT NULL, lifted_by TEXT NOT NULL);
CREATE INDEX mutes_lifted ON mutes(lifted_at, until_at);

CREATE TABLE journal(
	seq BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL, incident_id BIGINT NOT NULL, run_id BIGINT NOT NULL,
	body TEXT NOT NULL, hash {blob} NOT NULL);
CREATE INDEX journal_incident ON journal(incident_id, seq);
CREATE INDEX journal_run ON journal(run_id, seq);
CREATE INDEX journal_kind ON journal(kind, seq);
CREATE INDEX journal_at ON journal(at, seq);
CREATE TABLE journal_head(one BIGINT NOT NULL PRIMARY KEY, seq BIGINT NOT NULL, hash {blob} NOT NULL);
INSERT INTO journal_head(one, seq, hash) VALUES(1, 0, {empty});
CREATE TABLE checkpoints(
	seq BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, hash {blob} NOT NULL, public_key {blob} NOT NULL, signature {blob} NOT NULL);

CREATE TABLE users(
	id {id}, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, password TEXT NOT NULL, subject TEXT NOT NULL, disabled BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL);
CREATE UNIQUE INDEX users_subject ON users(subject) WHERE subject <> '';
CREATE TABLE tokens(
	id {id}, user_id BIGINT NOT NULL, name TEXT NOT NULL, hash {blob} NOT NULL UNIQUE, role TEXT NOT NULL, scope TEXT NOT NULL,
	created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT NOT NULL, revoked_at BIGINT NOT NULL);
CREATE INDEX tokens_user ON tokens(user_id, id);
CREATE TABLE sessions(
	hash {blob} NOT NULL PRIMARY KEY, user_id BIGINT NOT NULL, csrf TEXT NOT NULL, address TEXT NOT NULL, created_at BIGINT NOT NULL, seen_at BIGINT NOT NULL, expires_at BIGINT NOT NULL);
CREATE INDEX sessions_user ON sessions(user_id);
CREATE INDEX sessions_expires ON sessions(expires_at);

CREATE TABLE settings(name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, updated_at BIGINT NOT NULL);
CREATE TABLE nodes(
	id {id}, name TEXT NOT NULL, started_at BIGINT NOT NULL, beat_at BIGINT NOT NULL, gone_at BIGINT NOT NULL);
CREATE INDEX nodes_gone ON nodes(gone_at);
