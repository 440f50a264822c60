package modshare_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keepwell/keepwell/internal/modshare"
	"github.com/keepwell/keepwell/internal/modshare/sharetest"
	"github.com/keepwell/keepwell/internal/modstore"
	"github.com/keepwell/keepwell/internal/modstore/storetest"
)

func TestMain(m *testing.M) {
	sharetest.SetLogin()
	if url := os.Getenv("KEEPWELL_TEST_HOLDER"); url != "" {
		holdForEver(url)
		return
	}
	os.Exit(m.Run())
}

// brisk are limits for tests: no pauses, and patience with a busy machine.
func brisk() modshare.Limits {
	return modshare.Limits{Op: 20 * time.Second, Rest: time.Nanosecond, Lease: time.Minute, Poll: time.Millisecond, Grace: time.Minute}
}

// short is a lease to be waited for.
func short(o *modshare.Options) { o.Limits.Lease = 4 * time.Second }

func open(t testing.TB, url string, change func(*modshare.Options)) *modshare.Store {
	t.Helper()
	s, err := openIn(t.TempDir(), url, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), s.Store.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openIn(dir, url string, change func(*modshare.Options)) (*modshare.Store, error) {
	local, err := modstore.Open(context.Background(), modstore.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	o := modshare.Options{Local: local, URL: url, Limits: brisk()}
	if change != nil {
		change(&o)
	}
	s, err := modshare.Open(context.Background(), o)
	if err != nil {
		return nil, errors.Join(err, local.Close())
	}
	return s, nil
}

// replica is a store as storetest wants it: put and handed on, found here or taken.
type replica struct{ *modshare.Store }

func (r replica) Put(ctx context.Context, key string, data []byte) error {
	e, err := r.keep(ctx, key, data)
	if err != nil {
		return err
	}
	_, err = r.Publish(ctx, e, false)
	return err
}

func (r replica) keep(ctx context.Context, key string, data []byte) (modstore.Entry, error) {
	st, err := r.Stage()
	if err != nil {
		return modstore.Entry{}, err
	}
	defer st.Discard()
	if _, err := st.Write(data); err != nil {
		return modstore.Entry{}, err
	}
	return r.Store.Put(ctx, modstore.Entry{Key: key, H1: "h1:test", Source: "test", Via: "sumdb"}, st)
}

func (r replica) Bytes(ctx context.Context, key string) ([]byte, error) {
	e, err := r.Get(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		var b bytes.Buffer
		_, err := r.Take(ctx, key, &b)
		return b.Bytes(), err
	case err != nil:
		return nil, err
	case e.Data != nil:
		return e.Data, nil
	}
	f, err := r.OpenFile(ctx, e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func blob(data []byte) string {
	sum := sha256.Sum256(data)
	h := hex.EncodeToString(sum[:])
	return "blobs/" + h[:2] + "/" + h
}

func spoil(t testing.TB, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestContract runs what every store keeps to over a bucket of a real server.
func TestContract(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) storetest.World {
		prefix := fmt.Sprintf("world%d/", n.Add(1))
		return storetest.World{
			Open:  func(t *testing.T) storetest.Replica { return replica{open(t, server.Bucket(prefix), nil)} },
			Spoil: func(t *testing.T, data []byte) { spoil(t, server.File(prefix+blob(data))) },
			Lose: func(t *testing.T, data []byte) {
				if err := os.Remove(server.File(prefix + blob(data))); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// TestOneClaimAtATime has many claim one key: no two hold it at once.
func TestOneClaimAtATime(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	stores := []*modshare.Store{open(t, server.Bucket(""), nil), open(t, server.Bucket(""), nil), open(t, server.Bucket(""), nil)}
	var mu sync.Mutex
	holding, most, all := 0, 0, 0
	var work sync.WaitGroup
	for i := range 12 {
		work.Go(func() {
			release, err := stores[i%3].Claim(t.Context(), "example.com/m/@v/v1.0.0.zip")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			holding++
			all++
			most = max(most, holding)
			mu.Unlock()
			// Work that lasts: requests to the bucket in number.
			_, _ = stores[i%3].Keys(t.Context(), "example.com/")
			mu.Lock()
			holding--
			mu.Unlock()
			release()
		})
	}
	work.Wait()
	if most != 1 || all != 12 {
		t.Errorf("%d held the claim at once, %d in all", most, all)
	}
}

// TestAClaimIsRenewed makes a claim look old that is held: it is renewed, and nobody takes
// it over.
func TestAClaimIsRenewed(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	renewed := make(chan struct{}, 64)
	gate.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/claims/") && r.Header.Get("If-Match") != "" {
			renewed <- struct{}{}
		}
		return false
	})
	one, two := open(t, gate.Bucket(""), short), open(t, server.Bucket(""), short)
	release, err := one.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	age(t, server)
	for len(renewed) > 0 {
		<-renewed
	}
	<-renewed
	<-renewed // the one before has been answered
	got := make(chan error, 1)
	go func() {
		release, err := two.Claim(context.Background(), "k")
		release()
		got <- err
	}()
	for two.Count("wait") < 3 {
		select {
		case <-got:
			t.Fatal("a claim that is renewed was taken over")
		default:
		}
	}
	release()
	if err := <-got; err != nil || two.Count("takeover") != 0 {
		t.Error(err, two.Count("takeover"))
	}
}

// age makes the only claim one of two hours ago, by the server's clock.
func age(t testing.TB, server *sharetest.Server) {
	t.Helper()
	claims := server.Objects(t, "claims/")
	if len(claims) != 1 {
		t.Fatal(claims)
	}
	ago := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(server.File(claims[0]), ago, ago); err != nil {
		t.Fatal(err)
	}
}

func holdForEver(url string) {
	dir, err := os.MkdirTemp("", "holder")
	if err == nil {
		var s *modshare.Store
		if s, err = openIn(dir, url, func(o *modshare.Options) { o.Limits.Lease = time.Second }); err == nil {
			_, err = s.Claim(context.Background(), "k")
		}
	}
	fmt.Println("held", err)
	_ = os.RemoveAll(dir)
	select {}
}

// TestKilledHolder kills the holder of a claim without warning: it costs the lease.
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "KEEPWELL_TEST_HOLDER="+server.Bucket(""))
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		t.Fatal("the holder does not start", err)
	}
	said := make([]byte, 64)
	n, _ := out.Read(said)
	if string(said[:n]) != "held <nil>\n" {
		t.Fatalf("the holder: %s", said[:n])
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s := open(t, server.Bucket(""), nil)
	release, err := s.Claim(t.Context(), "k")
	release()
	if err != nil || s.Count("takeover") != 1 {
		t.Errorf("%v, %d taken over", err, s.Count("takeover"))
	}
}

// TestTheServersClock takes a claim over at once that is old by the server's clock,
// whatever its holder's or ours says.
func TestTheServersClock(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	s := open(t, server.Bucket(""), func(o *modshare.Options) { o.Limits.Lease = time.Hour })
	one, err := s.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	defer one()
	age(t, server)
	two := open(t, server.Bucket(""), func(o *modshare.Options) { o.Limits.Lease = time.Hour })
	release, err := two.Claim(t.Context(), "k")
	if err != nil || two.Count("takeover") != 1 {
		t.Error(err, two.Count("takeover"))
	}
	release()
}

// TestLostAnswers breaks off the answers to conditional writes that were carried out: who
// wrote sees that it was itself.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	s := open(t, gate.Bucket(""), nil)
	other := open(t, server.Bucket(""), nil)
	behind := http.Client{}
	lose := func(r *http.Request) { // pass it on, and keep the answer
		again := r.Clone(context.Background())
		again.RequestURI = ""
		again.URL.Scheme, again.URL.Host = "http", strings.TrimPrefix(server.URL, "http://")
		if resp, err := behind.Do(again); err == nil {
			resp.Body.Close()
		}
		panic(http.ErrAbortHandler)
	}
	var once sync.Once
	gate.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/trust/") {
			once.Do(func() { lose(r) })
		}
		return false
	})
	if h1, err := s.Trust(t.Context(), "m v1", "h1:a"); err != nil || h1 != "h1:a" {
		t.Errorf("%s, %v", h1, err)
	}
	if h1, err := other.Trust(t.Context(), "m v1", "h1:b"); err != nil || h1 != "h1:a" {
		t.Errorf("the other replica trusts %s, %v", h1, err)
	}
	if h1, err := s.Trusted(t.Context(), "m v1"); err != nil || h1 != "h1:a" {
		t.Errorf("%s, %v", h1, err)
	}
}

// TestFirstWins has two replicas put different bytes for one key.
func TestFirstWins(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	one, two := replica{open(t, server.Bucket(""), nil)}, replica{open(t, server.Bucket(""), nil)}
	const key = "example.com/m/@v/v1.0.0.zip"
	a, b := storetest.Content("a-large-one"), storetest.Content("another")
	for _, data := range [][]byte{a, b} {
		if len(data) <= modstore.Inline {
			t.Fatal("not a blob")
		}
	}
	if err := one.Put(t.Context(), key, a); err != nil {
		t.Fatal(err)
	}
	e, err := two.keep(t.Context(), key, b)
	if err != nil {
		t.Fatal(err)
	}
	if other, err := two.Publish(t.Context(), e, false); err != nil || !other {
		t.Fatalf("other %v, %v", other, err)
	}
	taken := func() []byte {
		var got bytes.Buffer
		if _, err := open(t, server.Bucket(""), nil).Take(t.Context(), key, &got); err != nil {
			t.Fatal(err)
		}
		return got.Bytes()
	}
	if !bytes.Equal(taken(), a) {
		t.Error("not the first bytes")
	}
	// Only the checksum database overrules.
	if _, err := two.Publish(t.Context(), e, true); err != nil || !bytes.Equal(taken(), b) {
		t.Error("not overruled", err)
	}
}

// TestRottenEntry spoils the entry itself: small files lie in it.
func TestRottenEntry(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	one, two := replica{open(t, server.Bucket(""), nil)}, replica{open(t, server.Bucket(""), nil)}
	const key = "example.com/m/@v/v1.0.0.mod"
	data := []byte("module example.com/m\n")
	if err := one.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
	name := server.Objects(t, "entries/")[0]
	whole, err := os.ReadFile(server.File(name))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(whole, []byte(`"data":"`)) + 12
	for what, changed := range map[string][]byte{
		"a byte":   slices.Concat(whole[:at], []byte{whole[at] ^ 1}, whole[at+1:]),
		"cut":      whole[:len(whole)/2],
		"nothing":  {},
		"of other": bytes.Replace(whole, []byte("example.com"), []byte("example.org"), 1),
	} {
		if err := os.WriteFile(server.File(name), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if _, err := two.Take(t.Context(), key, &got); !errors.Is(err, modstore.ErrRotten) {
			t.Errorf("%s: %v, %q", what, err, got.String())
		}
		if err := one.Put(t.Context(), key, data); err != nil { // fetched anew
			t.Errorf("%s: %v", what, err)
		}
		got.Reset()
		if _, err := two.Take(t.Context(), key, &got); err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%s, put again: %v, %q", what, err, got.String())
		}
	}
}

// TestWithoutTheServer goes on alone when the server is gone, and shares again after.
func TestWithoutTheServer(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	rest := time.Hour
	s := replica{open(t, gate.Bucket(""), func(o *modshare.Options) { o.Limits.Rest = rest })}
	gate.Before(func(_ http.ResponseWriter, r *http.Request) bool { sharetest.Cut(r); return true })
	gate.Asked()
	const key = "example.com/m/@v/v1.0.0.zip"
	if err := s.Put(t.Context(), key, storetest.Content("a-large-one")); err == nil {
		t.Error("nobody was there")
	}
	release, err := s.Claim(t.Context(), key)
	release()
	if err != nil {
		t.Error(err)
	}
	if h1, err := s.Trust(t.Context(), "m v1", "h1:a"); err != nil || h1 != "h1:a" {
		t.Error(h1, err)
	}
	if ok, err := s.SetNote(t.Context(), "n", "", "1"); err != nil || !ok {
		t.Error(ok, err)
	}
	if v, err := s.Note(t.Context(), "n"); err != nil || v != "1" {
		t.Error(v, err)
	}
	if data, err := s.Bytes(t.Context(), key); err != nil || !bytes.Equal(data, storetest.Content("a-large-one")) {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if keys, err := s.Keys(t.Context(), "example.com/"); err != nil || len(keys) != 1 {
		t.Error(keys, err)
	}
	if asked := gate.Asked(); len(asked) != 2 || asked[0] != asked[1] || s.Sharing() { // a first failure is tried once more
		t.Errorf("a server that failed was asked again: %v", asked)
	}
	if left := server.Objects(t, "blobs/"); len(left) != 0 {
		t.Errorf("half an upload is in the bucket: %v", left)
	}
}

// TestItComesBack shares again what was pinned meanwhile.
func TestItComesBack(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	gate := server.Gate(t)
	gate.Before(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	s := open(t, gate.Bucket(""), nil) // down at the start, too
	if h1, err := s.Trust(t.Context(), "m v1", "h1:a"); err != nil || h1 != "h1:a" || s.Sharing() {
		t.Fatal(h1, err)
	}
	gate.Before(nil)
	if h1, err := s.Trusted(t.Context(), "m v1"); err != nil || h1 != "h1:a" || !s.Sharing() {
		t.Error(h1, err)
	}
	if h1, err := open(t, server.Bucket(""), nil).Trusted(t.Context(), "m v1"); err != nil || h1 != "h1:a" {
		t.Errorf("what was pinned meanwhile was not shared: %q, %v", h1, err)
	}
}

// TestRefusals tells what is wrong with a bucket before anything is served.
func TestRefusals(t *testing.T) {
	t.Parallel()
	server := sharetest.Start(t)
	other := sharetest.Start(t, "ROOT_SECRET_KEY=another-secret-than-ours")
	stranger := sharetest.Start(t, "ROOT_ACCESS_KEY=somebody")
	unconditional := server.Gate(t)
	unconditional.Before(func(_ http.ResponseWriter, r *http.Request) bool {
		// What signatures cover cannot be taken away: such a server just does not look.
		if r.Header.Get("If-None-Match") != "" {
			_ = os.Remove(server.File(strings.TrimPrefix(r.URL.Path, "/modules/")))
		}
		return false
	})
	denied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>no</Message></Error>`)
	}))
	t.Cleanup(denied.Close)
	for url, want := range map[string]modshare.Reason{
		server.URL + "/nobucket":                        modshare.NoBucket,
		other.Bucket(""):                                modshare.WrongCredentials,
		stranger.Bucket(""):                             modshare.WrongCredentials,
		denied.URL + "/modules":                         modshare.Denied,
		unconditional.Bucket(""):                        modshare.Unconditional,
		"https://s3.example.org":                        modshare.BadAddress,
		"s3.example.org/modules":                        modshare.BadAddress,
		"https://s3.example.org/modules?regoin=eu":      modshare.BadAddress,
		"https://s3.example.org/modules?addressing=dns": modshare.BadAddress,
		"https://key:secret@s3.example.org/modules":     modshare.LoginInAddress,
	} {
		s, err := openIn(t.TempDir(), url, nil)
		var r *modshare.Refusal
		if !errors.As(err, &r) || r.Reason != want {
			t.Errorf("%s: want %s: %v", url, want, err)
		}
		if err == nil {
			s.Close()
		} else if strings.Contains(err.Error(), "secret@") || strings.Contains(err.Error(), sharetest.Secret) {
			t.Errorf("a secret in the error: %v", err)
		}
	}
	alone, err := openIn(t.TempDir(), unconditional.Bucket("x/"), func(o *modshare.Options) { o.Unconditional = true })
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if err := (replica{alone}).Put(t.Context(), "k", []byte("v")); err != nil {
		t.Error(err)
	}
}
