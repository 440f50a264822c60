package modproxy_test

// pathOfOpen has a link for each file that this process has open.
const pathOfOpen = "/proc/self/fd"
