package modshare_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keepwell/keepwell/internal/modshare"
)

// TestPace runs transfers by a clock of its own.
func TestPace(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, row := range map[string]struct {
		size, each int64 // bytes, and how many come each second
		extra      int   // seconds that the answer takes after the last byte
		want       string
	}{
		"fast":                         {100 * mib, 50 * mib, 0, ""},
		"slow, and not too slow":       {10 * mib, 300 << 10, 0, ""},
		"a trickle":                    {100 * mib, 100 << 10, 0, "204800 of 104857600 bytes moved within 2s"},
		"silence":                      {100 * mib, 0, 0, "no answer within 2s"},
		"an answer after the upload":   {mib, mib, 2, ""},
		"no answer after the upload":   {mib, mib, 7, "0 of 1048576 bytes moved within 2s"},
		"small and slow, all the same": {1000, 1000, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, read, _, end := modshare.Pace(t.Context(), row.size, modshare.Limits{})
				defer end()
				second := func() bool {
					timer := time.NewTimer(time.Second - time.Millisecond)
					defer timer.Stop()
					select {
					case <-timer.C:
						return true
					case <-ctx.Done():
						return false
					}
				}
				moved := int64(0)
				for moved < row.size && second() {
					read(min(row.each, row.size-moved))
					moved += row.each
				}
				for range row.extra {
					second()
				}
				got := ""
				if ctx.Err() != nil {
					got = context.Cause(ctx).Error()
				}
				if got != row.want {
					t.Errorf("%q, want %q", got, row.want)
				}
			})
		})
	}
}

// TestPaceOfASecondTry counts from the first byte again.
func TestPaceOfASecondTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, read, again, end := modshare.Pace(t.Context(), 2<<20, modshare.Limits{})
		defer end()
		for range 2 {
			read(1 << 20)
			again()
		}
		read(1 << 20) // half of it
		<-ctx.Done()
		if got := context.Cause(ctx).Error(); got != "0 of 2097152 bytes moved within 2s" {
			t.Error(got)
		}
	})
}
