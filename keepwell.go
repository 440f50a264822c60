// Package keepwell is the vocabulary of keepwell: the values that every part
// of the program speaks with. It observes ([Evidence]), diagnoses ([Finding]
// with a [Code], an [Owner] and a [Severity]) and proposes acts ([Remedy]).
//
// The package holds data and validation only. It never reads a file, opens a
// connection or knows a language: words are made at the edge from a code and
// its facts. The usual next thing to add here is a value that two capabilities
// share; behaviour belongs to the capability.
package keepwell
