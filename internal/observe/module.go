package observe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/keepwell/keepwell"
)

// How a zip is looked at: its end, then enough of its beginning to see that it flows.
const (
	zipEnd   = 1 << 10
	zipFirst = 64 << 10
)

// module asks for the files of a version, all at once, and for the checksum database's
// way through the proxy.
func (s *session) module(ctx context.Context) []Result {
	asks := []func(context.Context) Result{s.info, s.mod, s.zip}
	if s.target.Supported != "" {
		asks = append(asks, s.supported)
	}
	list := make([]Result, len(asks))
	var wg sync.WaitGroup
	for i, f := range asks {
		wg.Go(func() { list[i] = f(ctx) })
	}
	wg.Wait()
	return list
}

// versioned adds to r which version it is about, and names the file.
func (s *session) versioned(r Result, file string) Result {
	if r.Code != "" && r.Facts != nil {
		for name, value := range map[string]string{"module": s.target.Path, "version": s.target.Version} {
			if keepwell.ValidFact(name, value) {
				r.Facts[name] = value
			}
		}
	}
	if r.Key == "probe.http.status" {
		r.Key, r.Args = "probe.module.status", append([]string{file}, r.Args...)
	}
	return r
}

func (s *session) info(ctx context.Context) Result {
	a, r := s.data(ctx, ask{url: s.target.Files + ".info"})
	if a == nil {
		return s.versioned(r, ".info")
	}
	var info struct{ Version string }
	err := json.Unmarshal(a.body, &info)
	if err != nil || info.Version != s.target.Version {
		r.Key, r.Args, r.Code = "probe.module.info", []string{clip(cmp.Or(info.Version, "?"))}, "proxy/bad-response"
		return s.versioned(r, ".info")
	}
	return Result{State: Yes, Key: "probe.module.is", Args: []string{".info", info.Version}}
}

func (s *session) mod(ctx context.Context) Result {
	a, r := s.data(ctx, ask{url: s.target.Files + ".mod"})
	if a == nil {
		return s.versioned(r, ".mod")
	}
	declared := modfile.ModulePath(a.body)
	switch {
	case declared == s.target.Path:
		return Result{State: Yes, Key: "probe.module.is", Args: []string{".mod", "module " + declared}}
	case declared == "" && a.cut:
		return Result{State: Yes, Key: "probe.goproxy.file", Args: []string{strconv.Itoa(len(a.body))}}
	case declared == "":
		r.Key, r.Code = "probe.module.garbage", "proxy/bad-response"
	default:
		r.Key, r.Args, r.Code = "probe.module.other", []string{clip(declared)}, "module/moved"
		if keepwell.ValidFact("newpath", declared) {
			r.Facts["newpath"] = declared
		}
		delete(r.Facts, "status")
		r.Said = ""
	}
	return s.versioned(r, ".mod")
}

// zip reads the end of the file, where a zip has its directory, and then sees whether
// the beginning flows. The whole is never downloaded.
func (s *session) zip(ctx context.Context) Result {
	a, r := s.data(ctx, ask{url: s.target.Files + ".zip", part: "bytes=-" + strconv.Itoa(zipEnd)})
	if a == nil {
		return s.versioned(r, ".zip")
	}
	whole := a.header.Get("Content-Length")
	good := bytes.HasPrefix(a.body, []byte("PK\x03\x04"))
	if a.status == http.StatusPartialContent {
		_, whole, _ = strings.Cut(a.header.Get("Content-Range"), "/")
		good = bytes.Contains(a.body, []byte("PK\x05\x06"))
		began := a
		if a, r = s.data(ctx, ask{url: s.target.Files + ".zip", part: "bytes=0-" + strconv.Itoa(zipFirst-1), most: zipFirst}); a == nil {
			return s.versioned(r, ".zip")
		}
		good = good && (bytes.HasPrefix(a.body, []byte("PK\x03\x04")) || bytes.HasPrefix(began.body, []byte("PK\x05\x06")))
	}
	if !good {
		r.Key, r.Args, r.Code = "probe.module.zip", nil, "proxy/bad-response"
		return s.versioned(r, ".zip")
	}
	return Result{State: Yes, Key: "probe.module.flows", Args: []string{clip(cmp.Or(whole, "?")), strconv.Itoa(len(a.body)), strconv.FormatInt(a.reading.Milliseconds(), 10)}}
}

// supported says whether go would ask the checksum database through this proxy: 404
// and 410 mean no, and anything else but 200 makes go give up.
func (s *session) supported(ctx context.Context) Result {
	a, err := s.fetch(ctx, ask{url: s.target.Supported})
	if err != nil {
		return s.failed(a, err)
	}
	switch {
	case a.status == http.StatusOK:
		return Result{State: Yes, Key: "probe.sumdb.through"}
	case a.status == http.StatusNotFound || a.status == http.StatusGone:
		return Result{State: Yes, Key: "probe.sumdb.direct"}
	case s.target.Private && !a.sent:
		return Result{State: NotChecked, Key: "probe.private"}
	}
	return Result{
		State: No, Key: "probe.sumdb.supported", Args: []string{strconv.Itoa(a.status)}, Code: "sum/sumdb-unreachable", Said: a.said(),
		Facts: s.facts("phase", "verify", "status", strconv.Itoa(a.status), "proxy", s.target.Host),
	}
}

// sumKey is the key of the database that go knows by its name alone
// (cmd/go/internal/modfetch/key.go).
const sumKey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

func (s *session) sumdb(ctx context.Context) []Result {
	key := s.target.Key
	if key == "sum.golang.org" {
		key = sumKey
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return []Result{{State: No, Key: "probe.sumdb.key", Code: "sum/misconfigured", Said: said(err), Facts: s.facts("phase", "verify")}}
	}
	known := note.VerifierList(verifier)
	a, r := s.data(ctx, ask{url: s.target.Latest})
	if a == nil {
		if r.State == No && r.Code != "net/intercepted" {
			r.Code = "sum/sumdb-unreachable"
		}
		return []Result{r}
	}
	if _, err := note.Open(a.body, known); err != nil {
		return []Result{{State: No, Key: "probe.sumdb.bad", Code: "net/intercepted", Said: said(err), Facts: s.facts("phase", "verify")}}
	}
	list := []Result{{State: Yes, Key: "probe.sumdb.good", Args: []string{verifier.Name()}}}
	if s.target.Lookup != "" {
		list = append(list, s.lookup(ctx, known))
	}
	return list
}

// lookup asks for a version's line: that it is there, and that its tree is signed.
// Whether the line is in that tree is go's to prove.
func (s *session) lookup(ctx context.Context, known note.Verifiers) Result {
	a, r := s.data(ctx, ask{url: s.target.Lookup})
	if a == nil {
		switch r.Code {
		case "proxy/not-found":
			r.Code, r.Key, r.Args = "sum/sumdb-not-found", "probe.sumdb.absent", nil
		case "net/intercepted", "":
		default:
			r.Code = "sum/sumdb-unreachable"
		}
		return s.versioned(r, "lookup")
	}
	id, text, tree, err := tlog.ParseRecord(a.body)
	if err == nil {
		_, err = note.Open(tree, known)
	}
	if err == nil && !strings.Contains("\n"+string(text), "\n"+s.target.Path+" "+s.target.Version+" h1:") {
		err = errors.New("the line is of another version")
	}
	if err != nil {
		r.Key, r.Code, r.Said = "probe.sumdb.bad", "net/intercepted", said(err)
		delete(r.Facts, "status")
		return s.versioned(r, "lookup")
	}
	return Result{State: Yes, Key: "probe.sumdb.line", Args: []string{strconv.FormatInt(id, 10)}}
}
