package cli

// otherCache is the cache of npm or pip.
type otherCache struct {
	Tool string `json:"tool"`
}
