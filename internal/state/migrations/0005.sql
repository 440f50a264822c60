-- What is asked for approval: the input of the action, which is what is made when it is
-- granted, and what it says to people. '': asked before this was kept.
ALTER TABLE approvals ADD COLUMN intent TEXT NOT NULL DEFAULT '';
