package modproxy

// KeyOf is where the file of a request's path is kept; ok is false for what is no path of
// the protocol.
func KeyOf(path string) (key string, ok bool) {
	a, err := parse(path)
	return a.key, err == nil
}
