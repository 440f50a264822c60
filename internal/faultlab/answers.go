//go:build unix

package faultlab

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// fault is a broken answer to the requests whose path contains part; an empty
// part is every request.
type fault struct {
	part   string
	answer http.HandlerFunc
}

// breaking answers with the first fault that matches, and from h otherwise.
func breaking(h http.Handler, faults ...fault) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, f := range faults {
			if strings.Contains(r.URL.Path, f.part) {
				f.answer(w, r)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// status answers with a code and, unless text is empty, text/plain that go
// shows under "server response:".
func status(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if text != "" {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

const loginPage = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body><form action=\"/login\">Please sign in to continue.</form></body></html>\n"

// page answers 200 with a sign-in page, whatever was asked for.
func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, loginPage)
}

// errorPage answers with a code and a page, as load balancers do.
func errorPage(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		fmt.Fprintf(w, "<html><body><h1>%d %s</h1></body></html>\n", code, http.StatusText(code))
	}
}

// bytesOf answers 200 with the data.
func bytesOf(contentType string, data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(data)
	}
}

// cut promises all of data and closes the connection half-way.
func cut(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		panic(http.ErrAbortHandler)
	}
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to, http.StatusFound)
	}
}

// stall sends the headers and nothing more until the client gives up.
func stall(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000000")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}
