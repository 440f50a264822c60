// Command goproxy is the peer that keepwell's module proxy is measured beside: the
// library github.com/goproxy/goproxy over a directory, with nothing around it. It is a
// module of its own so that keepwell never links it.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/goproxy/goproxy"
)

func main() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "GOPROXY=http://"+ln.Addr().String())
	_ = http.Serve(ln, &goproxy.Goproxy{
		Cacher:  goproxy.DirCacher(os.Args[1]),
		Fetcher: &goproxy.GoFetcher{Env: append(os.Environ(), "GOPROXY=off", "GOSUMDB=off")},
	})
}
