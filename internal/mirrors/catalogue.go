package mirrors

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"sync"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"
)

//go:embed catalogue.yaml
var embedded []byte

// Catalogue is the public mirrors that are known, and what is asked of them.
type Catalogue struct {
	// Checked is the day on which the addresses were last looked at: "2026-11-22".
	Checked string                 `yaml:"checked"`
	Mirrors map[Ecosystem][]Mirror `yaml:"mirrors"`
	Asks    map[Ecosystem]Ask      `yaml:"asks"`
}

// Ask is what mirrors of one ecosystem are compared by.
type Ask struct {
	// Path and Version name a file that is downloaded in part.
	Path    string `yaml:"path"`
	Version string `yaml:"version"`
	// Fresh are the packages of which the newest version is compared.
	Fresh []string `yaml:"fresh"`
	// Absent is a name that nobody has.
	Absent string `yaml:"absent"`
	// FilePath and FileVersion, where the user chose, name what is downloaded in place of
	// Path and Version. That a mirror does not have it is no fault.
	FilePath    string `yaml:"-"`
	FileVersion string `yaml:"-"`
}

// Chosen reports whether the user chose what is downloaded.
func (a Ask) Chosen() bool { return a.FilePath != "" }

// File is what is downloaded.
func (a Ask) File() (path, version string) {
	if a.Chosen() {
		return a.FilePath, a.FileVersion
	}
	return a.Path, a.Version
}

// Embedded is the catalogue that keepwell comes with.
func Embedded() (*Catalogue, error) { return Read(embedded) }

// Read reads a catalogue and holds it to its form: an unknown key is an error.
func Read(data []byte) (*Catalogue, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var c Catalogue
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("reading the catalogue of mirrors: %w", err)
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("reading the catalogue of mirrors: %w", err)
	}
	for eco, list := range c.Mirrors {
		for i := range list {
			list[i].Ecosystem, list[i].Origin = eco, FromCatalogue
		}
	}
	return &c, nil
}

// Validate reports everything that is wrong.
func (c *Catalogue) Validate() error {
	var errs []error
	for eco, list := range c.Mirrors {
		if _, ok := c.Asks[eco]; !ok {
			errs = append(errs, fmt.Errorf("%s: nothing to ask its mirrors", eco))
		}
		names := map[string]bool{}
		for _, m := range list {
			if m.Name == "" || names[m.Name] {
				errs = append(errs, fmt.Errorf("%s: the name %q is empty or used twice", eco, m.Name))
			}
			names[m.Name] = true
			if u, err := url.Parse(m.URL); err != nil || u.Host == "" || u.User != nil || !Safe(u) {
				errs = append(errs, fmt.Errorf("%s: %s has no https address", eco, m.Name))
			}
		}
	}
	for eco, a := range c.Asks {
		if err := a.Validate(eco); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", eco, err))
		}
	}
	return errors.Join(errs...)
}

// Validate reports names and versions that cannot be asked for.
func (a Ask) Validate(eco Ecosystem) error {
	if len(a.Fresh) == 0 {
		return errors.New("no package to compare")
	}
	path, version := a.File()
	for _, n := range append([]string{a.Path, a.Absent, path}, a.Fresh...) {
		if eco == Go {
			if err := module.CheckPath(n); err != nil {
				return err
			}
		} else if !packageName().MatchString(n) {
			return fmt.Errorf("%q is no name of a package", n)
		}
	}
	if eco == Go {
		return errors.Join(module.Check(a.Path, a.Version), module.Check(path, version))
	}
	for _, v := range []string{a.Version, version} {
		if !release().MatchString(v) {
			return fmt.Errorf("%q is no version", v)
		}
	}
	return nil
}

var (
	packageName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(@[A-Za-z0-9~][A-Za-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*$`)
	})
	release = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9][A-Za-z0-9.+-]*$`) })
)

// Safe reports addresses that nobody on the way can change the answers of: https, and
// this machine itself.
func Safe(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}
