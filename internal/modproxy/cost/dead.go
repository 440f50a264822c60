//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/keepwell/keepwell/internal/modstore"
)

// dead measures how long a client waits for the kept list of a module while its only
// upstream refuses connections, or takes them and is silent. Each of 100 requests is for
// another module.
func dead(ctx context.Context, b *bench) error {
	silent, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var taking sync.WaitGroup
	defer taking.Wait()
	defer silent.Close() //nolint:errcheck // nobody listens any more
	taking.Go(func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			defer c.Close() //nolint:errcheck // held open until the end
		}
	})
	refusing, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := refusing.Close(); err != nil {
		return err
	}
	for _, upstream := range []struct{ name, addr string }{{"refuses", refusing.Addr().String()}, {"is silent", silent.Addr().String()}} {
		for _, age := range []time.Duration{10 * time.Second, 2 * time.Minute, 24 * time.Hour} {
			took, err := b.staleLists(ctx, "http://"+upstream.addr, age)
			if err != nil {
				return err
			}
			const most = 50
			longest := slices.Max(took)
			b.table.bound(fmt.Sprintf("list of %s ago, upstream %s: slowest of %d", age, upstream.name, len(took)), millis(longest), float64(longest)/1e6, most, "ms")
			b.table.note("median %s, first %s", millis(median(took)), millis(took[0]))
		}
	}
	return nil
}

// staleLists asks a service for 100 lists that were stored some time ago.
func (b *bench) staleLists(ctx context.Context, upstream string, age time.Duration) (took []time.Duration, err error) {
	err = b.fresh(func(dir string) error {
		store := filepath.Join(dir, "store")
		s, err := modstore.Open(ctx, modstore.Options{Dir: store, Now: func() time.Time { return time.Now().Add(-age) }})
		if err != nil {
			return err
		}
		const modules = 100
		name := func(i int) string { return fmt.Sprintf("example.com/widget%d/@v/list", i) }
		for i := range modules {
			if _, err := s.PutData(ctx, modstore.Entry{Key: name(i)}, []byte("v1.0.0\nv1.1.0\n")); err != nil {
				return err
			}
		}
		if err := s.Close(); err != nil { //nolint:contextcheck // closing outlives the caller
			return err
		}
		kw, err := b.startKeepwell(ctx, []string{"GOSUMDB=off"}, store, "--upstream", upstream)
		if err != nil {
			return err
		}
		defer kw.stop()
		for i := range modules {
			began := time.Now()
			if err := fetch(ctx, "http://"+kw.addr+"/"+name(i)); err != nil {
				return err
			}
			took = append(took, time.Since(began))
		}
		return nil
	})
	return took, err
}

func fetch(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read counts
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", url, resp.StatusCode, data)
	}
	return err
}
