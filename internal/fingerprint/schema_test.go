package fingerprint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/keepwell/keepwell/faults"
	"github.com/keepwell/keepwell/internal/fingerprint"
)

// TestLibraryFitsSchema holds every library file to schema.json, which editors read.
func TestLibraryFitsSchema(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob("library/*.yaml")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d library files, %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var list any
		if err := yaml.Unmarshal(data, &list); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// The validator wants JSON's types.
		raw, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEntriesNameKnownCodes: a code that the catalogue does not know could not be
// put into words.
func TestEntriesNameKnownCodes(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, c := range faults.Codes() {
		known[string(c)] = true
	}
	seen := map[string]bool{}
	for _, e := range fingerprint.Default().Entries() {
		seen[string(e.Code)] = true
		for _, c := range e.Rivals {
			if !known[string(c)] {
				t.Errorf("%s: rival %s is not in the catalogue", e.ID, c)
			}
		}
		if !known[string(e.Code)] {
			t.Errorf("%s: code %s is not in the catalogue", e.ID, e.Code)
		}
		for _, o := range e.Over {
			if o.Name() != "*" && !known[string(o)] {
				t.Errorf("%s: outranks %s, which is not in the catalogue", e.ID, o)
			}
		}
	}
	// none/other is never claimed, module/archived is printed by no tool, and operational
	// faults are found in alerts (internal/classify holds each to its examples).
	for code := range known {
		if !seen[code] && code != "none/other" && code != "module/archived" && !strings.HasPrefix(code, "ops/") {
			t.Errorf("no fingerprint finds %s", code)
		}
	}
}

// TestFilterAgreesWithSearch: the automaton finds exactly the anchors that a plain
// search finds.
func TestFilterAgreesWithSearch(t *testing.T) {
	t.Parallel()
	texts := []string{
		"", "go: example.com/w@v1.0.0: unexpected EOF\n", "xxCHECKSUM MISMATCHyy", "checksum mismatc", "checksum mismatc checksum mismatch",
		strings.Repeat("no such hos ", 50) + "no such host", "拒绝访问", "npm error code ERESOLVE",
	}
	for _, text := range texts {
		lib := fingerprint.New(fingerprint.Shipped())
		lower := strings.ToLower(text)
		all := func() fingerprint.Needs { return ^fingerprint.Needs(0) }
		plain := lib.Match(text, lower, fingerprint.Local, all)
		found := lib.Find([]byte(text)) >= 0 // builds the automaton
		fast := lib.Match(text, lower, fingerprint.Local, all)
		if len(plain) != len(fast) {
			t.Errorf("%q: %d hits by search, %d by the automaton", text, len(plain), len(fast))
		}
		if len(plain) > 0 && !found {
			t.Errorf("%q: matched, but the automaton passes it over", text)
		}
	}
}
