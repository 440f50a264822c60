//go:build unix

package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/modshare/sharetest"
)

// TestWarmFillsABucket warms one machine's store, then fills a bucket from it; another
// machine's store is imported into it, and scrub finds what rots there.
func TestWarmFillsABucket(t *testing.T) {
	t.Parallel()
	bucket := sharetest.Start(t)
	l := newRunLab(t)
	server := l.serve(nil)
	l.env = append(l.env, "AWS_ACCESS_KEY_ID="+sharetest.Key, "AWS_SECRET_ACCESS_KEY="+sharetest.Secret)
	store := filepath.Join(l.work, "store")
	l.must(0, "1 module with code, 3 files", "warm", "go.mod", "--dir", store, "--upstream", server) // no bucket yet
	out := l.must(0, "has 3 of these files", "warm", "go.mod", "--dir", store, "--upstream", server, "--s3", bucket.Bucket("go"), "--pin", "nightly", "--json")
	if !strings.Contains(out, `"shared": 3`) {
		t.Errorf("%s", out)
	}
	if n := len(bucket.Objects(t, "go/pins/")); n != 3 {
		t.Errorf("%d pins in the bucket", n)
	}
	clear(l.good) // nobody but the bucket has it
	l.must(0, "中已有其中 3 个文件", "warm", "go.mod", "--dir", filepath.Join(l.work, "other"), "--upstream", server, "--s3", bucket.Bucket("go"), "--lang", "zh")
	l.must(0, "nightly is pinned no more", "warm", "--dir", store, "--unpin", "nightly", "--s3", bucket.Bucket("go"))
	if n := len(bucket.Objects(t, "go/pins/")); n != 0 {
		t.Errorf("%d pins are left in the bucket", n)
	}
	scrub := []string{"proxy", "--scrub", "--dir", store, "--upstream", server, "--s3", bucket.Bucket("go")}
	said := func(code int, words string, args ...string) {
		t.Helper()
		if out := l.must(code, "", args...); !strings.Contains(out, words) {
			t.Errorf("%q in\n%s", words, out)
		}
	}
	said(0, "/modules: files held to their sums: 3 (0 MiB); rotten: 0, missing: 0\n", scrub...)
	for _, name := range bucket.Objects(t, "go/entries/") {
		if strings.HasSuffix(name, ".zip_.json") {
			if err := os.Truncate(bucket.File(name), 20); err != nil {
				t.Fatal(err)
			}
		}
	}
	said(3, "replaced from here", scrub...)
	said(0, "里已校验文件 3 个（0 MiB）；损坏 0 个", append(scrub, "--lang", "zh")...)
}
