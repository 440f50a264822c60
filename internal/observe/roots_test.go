package observe

import "testing"

func TestFamily(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]string{
		"ID=debian\n": "debian", "NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n": "debian", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n": "rhel",
		"ID=alpine\n": "alpine", "ID=\"opensuse-leap\"\n": "suse", "ID=manjaro\nID_LIKE=arch\n": "arch", "ID=void\n": "other", "": "other",
	} {
		if got := family(release); got != want {
			t.Errorf("%q is taken for %s, want %s", release, got, want)
		}
	}
}
