module github.com/keepwell/keepwell/tools/goproxy

go 1.26

require github.com/goproxy/goproxy v0.21.0

require golang.org/x/mod v0.25.0 // indirect
