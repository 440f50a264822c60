package moved

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/keepwell/keepwell/internal/spelling"
)

// asVersion is what was meant by the spelling of a version: v put before, a capital or
// doubled V, leading zeros, a fourth part. Words (latest, master) stay as they are.
func asVersion(s string) string {
	bare := strings.TrimLeft(s, "vV=^~ ")
	if bare == "" || bare[0] < '0' || bare[0] > '9' {
		return s
	}
	main, rest := bare, ""
	if i := strings.IndexAny(bare, "-+"); i >= 0 {
		main, rest = bare[:i], bare[i:]
	}
	parts := strings.Split(main, ".")
	for i, p := range parts {
		if strings.Trim(p, "0123456789") != "" || p == "" {
			return s
		}
		if parts[i] = strings.TrimLeft(p, "0"); parts[i] == "" {
			parts[i] = "0"
		}
	}
	return "v" + strings.Join(parts[:min(len(parts), 3)], ".") + rest
}

// exact tells a version that names one thing, not a query.
func exact(v string) bool {
	return semver.IsValid(v) && semver.Canonical(v) == strings.TrimSuffix(v, "+incompatible")
}

// majorOf is the number before the first dot; 0 and 1 are both 1, as paths have it.
func majorOf(v string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(semver.Major(v), "v"))
	if err != nil {
		return 0
	}
	return max(n, 1)
}

// nearest is the version of a list that comes nearest to one that is none: the last of
// the same minor version before it, else one that a hand slips to, else the last before
// it, else the first after it. Of a lost commit it is the first release that its base
// names or a later one. Retracted ones and candidates are passed over, unless one was
// asked for. "" where there is none of the same major version.
func nearest(versions []string, asked string, retracted func(string) bool) string {
	want := asVersion(asked)
	var list []string
	for _, v := range versions {
		pre := semver.Prerelease(v) != "" && semver.Prerelease(want) == ""
		if !pre && !retracted(v) && (!semver.IsValid(want) || majorOf(v) == majorOf(want)) {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		return ""
	}
	if !semver.IsValid(want) {
		return list[len(list)-1]
	}
	if base, ok := lostCommit(want); ok {
		released := slices.DeleteFunc(slices.Clone(list), func(v string) bool { return semver.Prerelease(v) != "" })
		for _, v := range released {
			if semver.Compare(v, base) >= 0 {
				return v
			}
		}
		if len(released) > 0 {
			return released[len(released)-1]
		}
		return list[len(list)-1]
	}
	var before, same, after string
	for _, v := range list {
		switch c := semver.Compare(v, want); {
		case c == 0:
			return v // +incompatible
		case c < 0:
			before = v
			if semver.MajorMinor(v) == semver.MajorMinor(want) {
				same = v
			}
		case after == "":
			after = v
		}
	}
	if same == "" {
		if i := slices.IndexFunc(list, func(v string) bool { return spelling.Slip(v, want) <= 0.8 && len(v) == len(want) && swapped(v, want) }); i >= 0 {
			return list[i]
		}
		if after != "" && semver.MajorMinor(after) == semver.MajorMinor(want) {
			return after
		}
	}
	return cmp.Or(same, before, after)
}

// swapped tells two texts with the same bytes in another order.
func swapped(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return string(x) == string(y)
}

// lostCommit is the version that a pseudo-version's commit comes before: v1.4.1 of
// v1.4.1-0.20251201000000-deadbeefcafe; v0.0.0 says nothing.
func lostCommit(v string) (base string, ok bool) {
	if !module.IsPseudoVersion(v) {
		return "", false
	}
	base, err := module.PseudoVersionBase(v)
	if err != nil || base == "" {
		return "v0.0.0", err == nil
	}
	if semver.Prerelease(base) != "" { // of v1.5.0-rc.1.0.…: the release is still to come
		return strings.TrimSuffix(base, semver.Prerelease(base)), true
	}
	parts := strings.Split(strings.TrimSuffix(base, semver.Build(base)), ".")
	if patch, err := strconv.Atoi(parts[len(parts)-1]); err == nil {
		parts[len(parts)-1] = strconv.Itoa(patch + 1)
	}
	return strings.Join(parts, "."), true
}
