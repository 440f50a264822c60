package modproxy

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
