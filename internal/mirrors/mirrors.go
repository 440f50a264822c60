// Package mirrors compares the servers that Go modules, npm and Python packages can be
// fetched from: how soon each answers, how fast it delivers, how fresh it is, whether
// what it says is right, and, for Go, whether the checksum database is reached through
// it. It ranks them and says which settings use one ([GoSet], [NpmSet], [PipSet]).
//
// It sends no credential to any server but the HTTP proxy in force, asks public servers
// for public names only, and changes nothing: its callers carry settings out by
// internal/act. What could not be looked at is "not checked" with the reason, never bad.
//
// To add a mirror, add an entry to catalogue.yaml; to add something that is measured,
// a field of [Measured], the question in the file of the ecosystem, its weight in
// score.go, and words in internal/msg/mirrors.go.
package mirrors

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"time"

	"github.com/keepwell/keepwell/internal/observe"
)

// Ecosystem is what a mirror serves.
type Ecosystem string

// The ecosystems.
const (
	Go   Ecosystem = "go"
	Npm  Ecosystem = "npm"
	PyPI Ecosystem = "pypi"
)

// Ecosystems are all of them.
func Ecosystems() []Ecosystem { return []Ecosystem{Go, Npm, PyPI} }

// Origin is how keepwell came to know a mirror.
type Origin string

// The origins.
const (
	FromCatalogue Origin = "catalogue"
	FromDefault   Origin = "default"  // what the tool comes with
	FromSettings  Origin = "settings" // what the user's settings name beside
)

// Mirror is one server.
type Mirror struct {
	Name string `yaml:"name"`
	URL  string `yaml:"url"`
	// Operator is who runs it, by language; empty where nobody can say.
	Operator  map[string]string `yaml:"operator"`
	About     string            `yaml:"about"`
	Ecosystem Ecosystem         `yaml:"-"`
	Origin    Origin            `yaml:"-"`
	// InUse says that the settings in force name it.
	InUse bool `yaml:"-"`
}

// Check is an answer to one question about a mirror: a key of internal/msg with its
// arguments.
type Check struct {
	State observe.State
	Key   string
	Args  []string
}

// Measured is what was seen of one mirror.
type Measured struct {
	Mirror
	// Protocol is whether what it says is right: a version's files, and "not found" for
	// what is not there.
	Protocol Check
	// Latency is the median of three small requests on an open connection.
	Latency Check
	Median  time.Duration
	// Speed is that of a part of a file.
	Speed          Check
	BytesPerSecond float64
	// Fresh compares its newest versions with the newest that any mirror told.
	Fresh  Check
	Newest map[string]string
	// Sums is whether the checksum database is reached through it. Go only.
	Sums Check
	// Redirects are the hosts that it sent on to.
	Redirects []string
	// Stops says that it answers a name that nobody has with something else than "not
	// found", so that go asks nobody behind a comma.
	Stops bool
	// Usable says that fetching through it works; what was not checked does not count.
	Usable bool
	Score  int
	Rank   int

	late     int               // packages with a newer version elsewhere
	compared int               // packages of which anybody told a version
	modSum   string            // of the .mod file that it served
	sums     map[string]string // what the checksum database says through it
	first    bool              // the first question was answered rightly
}

// Options are the surroundings. The zero value is this machine with Go's own limits.
type Options struct {
	// Proxy decides which HTTP proxy is used; nil: none.
	Proxy func(*url.URL) (*url.URL, error)
	// Roots are the trusted certificates; nil: the system's.
	Roots *x509.CertPool
	// SumDB is GOSUMDB; "" means that the checksum database is not asked.
	SumDB string
	// Each and All bound the time for one mirror and for all; 0 means 5 s and 10 s.
	Each, All time.Duration
	// Offline asks nobody.
	Offline bool
}

// Limits of what is asked at a time and read of an answer.
const (
	atOnce        = 8 // mirrors
	connections   = 2 // to one host
	largestAnswer = 1 << 20
	largestHeader = 64 << 10
	mostRedirects = 10
	speedBytes    = 2 << 20
	speedTime     = 1500 * time.Millisecond
)

func (o Options) withDefaults() Options {
	if o.Each == 0 {
		o.Each = 5 * time.Second
	}
	if o.All == 0 {
		o.All = 10 * time.Second
	}
	if o.Proxy == nil {
		o.Proxy = func(*url.URL) (*url.URL, error) { return nil, nil } //nolint:nilnil // no proxy is an answer
	}
	return o
}

func yes(key string, args ...string) Check { return Check{observe.Yes, key, args} }
func no(key string, args ...string) Check  { return Check{observe.No, key, args} }
func unknown(key string, args ...string) Check {
	return Check{observe.NotChecked, key, args}
}

// absent reports the statuses that say "not here".
func absent(status int) bool { return status == http.StatusNotFound || status == http.StatusGone }
