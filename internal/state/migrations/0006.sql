-- The public keys that sign checkpoints: each for good, also when it signs no more. vouched_by
-- is the key that says by vouch that this one follows it, entry what announced it in the
-- journal.
CREATE TABLE journal_keys(
	public_key {blob} NOT NULL PRIMARY KEY, node TEXT NOT NULL, created_at BIGINT NOT NULL, entry BIGINT NOT NULL,
	vouched_by {blob} NOT NULL, vouch {blob} NOT NULL, retired_at BIGINT NOT NULL);
