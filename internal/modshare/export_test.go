package modshare

// Escape and Unescape are the names of keys.
func Escape(key string) string { return escape(key) }

// Unescape is the key of a name.
func Unescape(name string) (string, bool) { return unescape(name) }

// EntryPrefix is where keys that begin so lie.
func EntryPrefix(prefix string) string { return entryPrefix(prefix) }

// EntryName is where the entry of a key lies.
func EntryName(key string) string { return entryName(key) }
