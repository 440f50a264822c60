package modproxy

import "io"

// KeyOf is where the file of a request's path is kept; ok is false for what is no path of
// the protocol.
func KeyOf(path string) (key string, ok bool) {
	a, err := parse(path)
	return a.key, err == nil
}

// Under is how many files are being fetched.
func (p *Proxy) Under() int {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	return len(p.flights.all)
}

// HoldBundles opens the bundles of lists, as a configuration does.
func HoldBundles(lists []List) (open func(key string) (io.ReadSeekCloser, error), retire func(), err error) {
	b, err := openBundles(lists)
	if err != nil {
		return nil, nil, err
	}
	return b.open, b.retire, nil
}

// Cause is the line of go's words that clients see.
func Cause(words string) string { return cause(words) }
