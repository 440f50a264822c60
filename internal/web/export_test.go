package web

// StateWords are the values whose words pages look up.
var StateWords = stateWords

// ProblemKey is the key of the words for an error.
func ProblemKey(err error) string { return problemOf(err).Key }
