//go:build !windows

package msg

// systemLocale has nothing to add where the locale is in the environment.
func systemLocale() string { return "" }
