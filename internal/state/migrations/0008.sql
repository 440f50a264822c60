-- Who closed an incident by hand had a part in it, whatever ran.
UPDATE incidents SET handled = 'together' WHERE state = 'resolved' AND resolution = 'closed' AND handled = 'alone';
