package trace

import "strings"

// lookupSum is the h1: sum that a lookup's answer has for "path version".
func lookupSum(data []byte, key string) string {
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), key+" "); ok {
			return rest
		}
	}
	return ""
}

func lastWord(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }
