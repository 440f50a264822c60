//go:build unix

package faultlab

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// leastMended is the part of the mendable faults that doctor must mend; every mend that
// it makes must be taken back without a trace.
const leastMended = 0.9

// TestDoctorMends lets doctor mend what it can, takes the mend back, compares the files
// of the whole lab, has it mended again and runs the same call of the real tool.
func TestDoctorMends(t *testing.T) {
	bin, cache := buildKeepwell(t), t.TempDir()
	list := mendables()
	mended := make([]int, len(list)) // 1 yes, -1 no, 0 not tried
	t.Run("faults", func(t *testing.T) {
		inPools(t, list, func(m mendable) (string, bool) { return m.name, false }, func(t *testing.T, i int, m mendable) {
			need(t, Scenario{Tool: "go", Needs: m.needs})
			mended[i] = -1
			if tryMend(t, m, bin, cache) {
				mended[i] = 1
			}
		})
	})
	yes, tried := 0, 0
	for _, m := range mended {
		tried += m * m
		yes += max(m, 0)
	}
	t.Logf("%d of %d faults are mended and the mend taken back", yes, tried)
	if float64(yes) < leastMended*float64(tried) {
		t.Errorf("doctor mends %d of %d faults, want %.0f %%", yes, tried, 100*leastMended)
	}
}

func tryMend(t *testing.T, m mendable, bin, cache string) bool {
	l := Open(t, cache)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out := m.run(ctx, l)
	if !l.Failed() {
		t.Fatalf("the tool does not fail:\n%s", out)
	}
	words := l.words()
	before := l.fingerprints()
	seen := l.askDoctor(ctx, bin, words...)
	fix := append([]string{"doctor", "--fix", "--yes"}, words...)
	if m.consent {
		without := l.keepwell(ctx, bin, fix...)
		if list := ownChanges(before, l.fingerprints()); len(list) > 0 {
			t.Errorf("--yes alone changed what it must not: %v\n%s%s", list, without.out, without.stderr)
		}
		fix = append(fix, l.consents(seen)...)
	}
	l.keepwell(ctx, bin, fix...)
	made := ownChanges(before, l.fingerprints())
	undone := l.undo(ctx, bin)
	if list := ownChanges(before, l.fingerprints()); len(list) > 0 {
		t.Errorf("after undo the machine is not as before: %v\n%s", list, undone)
	}
	fixed := l.keepwell(ctx, bin, fix...)
	again, code := l.exec(ctx, l.Work, l.called[0], l.called[1:]...)
	worked := code == 0
	if !worked {
		t.Logf("NOT MENDED: doctor found %s\n%v\n%s%s\nchanged: %v\nthe tool says now:\n%s", seen.codes(), fix, fixed.out, fixed.stderr, made, again)
	}
	if worked {
		t.Logf("%s: changed %v, undone", seen.codes(), made)
	}
	return worked
}

// consents names the mends that were offered and need one.
func (l *Lab) consents(v visit) []string {
	var out []string
	for _, f := range v.doc.Findings {
		for _, r := range f.Remedies {
			if r.Safety == "asks" {
				out = append(out, "--consent", r.ID)
			}
		}
	}
	return out
}

// undo takes back all that keepwell did.
func (l *Lab) undo(ctx context.Context, bin string) string {
	var said strings.Builder
	for range 6 {
		v := l.keepwell(ctx, bin, "doctor", "--undo")
		said.WriteString(v.out + v.stderr)
		if v.exit != 0 {
			break
		}
	}
	return said.String()
}

// ownChanges are differences in the user's files; what go itself fetched, unpacked or
// locked in its module cache may stay.
func ownChanges(before, after map[string]string) []string {
	return slices.DeleteFunc(changed(before, after), func(c string) bool {
		unpacked := strings.HasPrefix(c, "changed: home/go/pkg/mod/") && (strings.HasSuffix(c, "-> dr-xr-xr-x") || strings.Contains(c, "-> -r--r--r-- "))
		return unpacked || c == "new: home/go" || strings.HasPrefix(c, "new: home/go/pkg")
	})
}
