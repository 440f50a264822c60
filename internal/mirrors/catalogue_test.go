package mirrors_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/mirrors"
	"github.com/keepwell/keepwell/internal/settings"
)

// TestCatalogueFitsSchema holds the embedded catalogue to schema.json, which editors
// read, and to what the program demands.
func TestCatalogueFitsSchema(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("catalogue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
	c, err := mirrors.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := time.Parse(time.DateOnly, c.Checked); err != nil {
		t.Error(err)
	}
	for _, eco := range mirrors.Ecosystems() {
		if len(c.Mirrors[eco]) < 3 {
			t.Errorf("%s has %d mirrors", eco, len(c.Mirrors[eco]))
		}
	}
}

// TestCatalogueDoesNotNameDefaults: what go comes with is read from GOROOT, never
// written down.
func TestCatalogueDoesNotNameDefaults(t *testing.T) {
	t.Parallel()
	root, err := goenv.ReadFile(filepath.Join(runtime.GOROOT(), "go.env")) //nolint:staticcheck // the tests run where they were built
	if err != nil || root["GOPROXY"] == "" {
		t.Skipf("no go.env: %v", err)
	}
	data, err := os.ReadFile("catalogue.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range settings.ProxyList(root["GOPROXY"]) {
		if u, err := url.Parse(e.Text); err == nil && u.Host != "" && strings.Contains(string(data), u.Host) {
			t.Errorf("the catalogue names %s", u.Host)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	const asks = "asks: {go: {path: example.com/a, version: v1.0.0, fresh: [example.com/b], absent: example.com/c}}\n"
	for name, text := range map[string]string{
		"no YAML":          "{",
		"an unknown key":   asks + "other: 1\n",
		"plain http":       asks + "mirrors: {go: [{name: a, url: 'http://mirror.example.org'}]}\n",
		"a login":          asks + "mirrors: {go: [{name: a, url: 'https://bob:secret@mirror.example.org'}]}\n",
		"a name twice":     asks + "mirrors: {go: [{name: a, url: 'https://a.example.org'}, {name: a, url: 'https://b.example.org'}]}\n",
		"no address":       asks + "mirrors: {go: [{name: a, url: a.example.org}]}\n",
		"nothing to ask":   "mirrors: {go: [{name: a, url: 'https://a.example.org'}]}\n",
		"a bad module":     strings.Replace(asks, "example.com/a,", "'../a',", 1),
		"a bad version":    strings.Replace(asks, "v1.0.0", "latest", 1),
		"a bad package":    "asks: {npm: {path: '../x', version: 1.0.0, fresh: [a], absent: b}}\n",
		"a bad npmversion": "asks: {npm: {path: x, version: '1 0', fresh: [a], absent: b}}\n",
	} {
		if _, err := mirrors.Read([]byte(text)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if _, err := mirrors.Read([]byte(asks + "mirrors: {go: [{name: a, url: 'http://127.0.0.1:1'}]}\n")); err != nil {
		t.Errorf("this machine itself: %v", err)
	}
}
