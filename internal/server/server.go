// Package server runs an HTTP server as a service: it listens (also on a socket that
// systemd hands over), is patient with slow readers and cuts dead ones, takes new
// certificates and files while it runs, and ends gracefully. It knows nothing of what
// is served, and decides nothing about who may ask.
//
// Requests that need little are answered before net/http sees them, if the caller knows
// how (early.go; which requests those can be: request.go).
//
// A new way to listen goes into listen.go, another file to follow is a call of
// [Watcher.Add], another header that changes no answer a name in request.go.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Options of Serve.
type Options struct {
	// Server is complete but for TLS.
	Server *http.Server
	// Certificate is for TLS; nil: plain HTTP.
	Certificate *Certificate
	// Grace is how long requests may go on after the end of ctx.
	Grace time.Duration
	// Stopping is called when the end begins; it may be nil.
	Stopping func()
	// Watcher follows files; nil: none. It looks at once on SIGHUP.
	Watcher *Watcher
	// Early answers what it can before net/http; nil: nothing. Over TLS it is not asked.
	Early Early

	early *early
}

// Serve serves on ln until the end of ctx, then lets requests end within the grace. A
// second signal to the process ends it at once.
func Serve(ctx context.Context, ln net.Listener, o Options) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	var work sync.WaitGroup
	defer work.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.Watcher != nil {
		work.Go(func() { o.Watcher.Follow(ctx) })
	}
	if o.Early != nil && o.Certificate == nil && canLook { // who takes nothing of an early answer is found by looking
		o.early = &early{Listener: ln, answer: o.Early, idle: o.Server.IdleTimeout}
		ln = o.early
	}
	work.Go(func() { end(ctx, o, signals) })
	var rs readers
	if canLook {
		o.Server.ConnState = rs.state
	} else {
		o.Server.WriteTimeout = time.Hour
	}
	work.Go(func() { rs.follow(ctx) })
	notify("READY=1")
	if o.Certificate == nil {
		return notClosed(o.Server.Serve(ln))
	}
	// A client of HTTP/2 that is gone is found by asking, one that takes nothing by its
	// connection or its stream.
	o.Server.Handler = rs.streams.over(o.Server.Handler)
	o.Server.HTTP2 = &http.HTTP2Config{SendPingTimeout: lookEach, PingTimeout: lookEach, WriteByteTimeout: strikes * lookEach}
	o.Server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: o.Certificate.Get}
	return notClosed(o.Server.ServeTLS(ln, "", ""))
}

// end ends the server when ctx does.
func end(ctx context.Context, o Options, signals <-chan os.Signal) {
	<-ctx.Done()
	notify("STOPPING=1")
	if o.Stopping != nil {
		o.Stopping()
	}
	late, cut := context.WithTimeout(context.WithoutCancel(ctx), o.Grace)
	defer cut()
	ended := make(chan struct{})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer close(ended)
	waiting.Go(func() {
		for range 2 { // the first one is what ended ctx
			select {
			case <-signals:
			case <-ended:
				return
			}
		}
		cut()
	})
	if o.early != nil {
		o.early.ending.Store(true)
	}
	_ = o.Server.Shutdown(late) // who is not served by then is cut off
	if o.early != nil {
		o.early.end(late)
	}
	_ = o.Server.Close()
}

// notClosed drops the error of a server that was shut down.
func notClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
