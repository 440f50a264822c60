package web

// StateWords are the values whose words pages look up.
var StateWords = stateWords
