// Package moved finds out what became of a module or package that cannot be fetched: a
// slip in its spelling, a version that is none, another place, or no place at all. What
// it finds are proposals ([Proposal]) with evidence, best first; who carries them out
// asks a person first.
//
// It never runs a tool, sends no credential, asks nobody about names that look private,
// and makes at most [MaxRequests] requests a name.
package moved

// MaxRequests bounds what is asked of servers for one name, redirects included.
const MaxRequests = 8
