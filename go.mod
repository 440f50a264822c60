module github.com/keepwell/keepwell

go 1.26.0

require (
	go.yaml.in/yaml/v3 v3.0.4
	golang.org/x/crypto v0.58.0
	golang.org/x/mod v0.42.0
	golang.org/x/text v0.43.0
)

require golang.org/x/sys v0.49.0 // indirect
