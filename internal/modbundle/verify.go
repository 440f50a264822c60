package modbundle

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
)

// Proof says who vouches for a module where it is read.
type Proof string

// The proofs.
const (
	ProofDatabase Proof = "sumdb"  // the checksum database, by the reader's key
	ProofSum      Proof = "go.sum" // a go.sum that the reader named
	ProofNone     Proof = "none"
)

// Checked is what Verify found of one module.
type Checked struct {
	Module
	Proof Proof `json:"proof"`
	// Problem is why it must not be used; "" where nothing speaks against it.
	Problem string `json:"problem,omitempty"`
}

// Verifier is what the reader knows. Name and Key are of the checksum database, as in
// GOSUMDB, or empty; Sums are lines of go.sum, "path version" or "path version/go.mod".
type Verifier struct {
	Name, Key string
	Sums      map[string]string
}

// Verify computes the sum of each module from its bytes, and holds it to the manifest, to
// the checksum database's signed tree and to go.sum.
func (s *Set) Verify(ctx context.Context, v Verifier, did func(Checked)) ([]Checked, error) {
	var client *sumdb.Client
	if v.Key != "" {
		client = sumdb.NewClient(&reader{p: Prover{Name: v.Name, Key: v.Key, Have: s.ReadFile}, ctx: ctx, files: map[string][]byte{}})
	}
	var all []Checked
	for _, m := range s.Modules() {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		c := Checked{Module: m}
		var err error
		if c.Proof, err = s.verify(m, v, client); err != nil {
			c.Problem = err.Error()
		}
		all = append(all, c)
		if did != nil {
			did(c)
		}
	}
	return all, nil
}

func (s *Set) verify(m Module, v Verifier, client *sumdb.Client) (Proof, error) {
	have, err := s.sumsOf(m)
	if err != nil {
		return ProofNone, err
	}
	said := map[string]string{m.Version: m.Zip, m.Version + "/go.mod": m.Mod}
	for version, h1 := range have {
		if h1 != said[version] {
			return ProofNone, fmt.Errorf("%s is %s, where the manifest has %s", version, h1, said[version])
		}
	}
	proof := ProofNone
	if lookup, err := escaped(m.Key(), "@"); err == nil && client != nil && s.Has("sumdb/"+v.Name+"/lookup/"+lookup) {
		if err := proved(client, m, have); err != nil {
			return ProofNone, err
		}
		proof = ProofDatabase
	}
	covered := len(have) > 0
	for version, h1 := range have {
		want := v.Sums[m.Path+" "+version]
		if want != "" && want != h1 {
			return ProofNone, fmt.Errorf("%s is %s, where go.sum has %s", version, h1, want)
		}
		covered = covered && want != ""
	}
	if covered && proof == ProofNone {
		proof = ProofSum
	}
	return proof, nil
}

// proved asks go's own client, which reads the records and tiles of the bundle.
func proved(client *sumdb.Client, m Module, have map[string]string) error {
	for version, h1 := range have {
		lines, err := client.Lookup(m.Path, version)
		if err != nil {
			return fmt.Errorf("the proof of the checksum database: %w", err)
		}
		if want := m.Path + " " + version + " " + h1; len(lines) != 1 || lines[0] != want {
			return fmt.Errorf("%s is %s, where the checksum database has %s", version, h1, strings.Join(lines, ", "))
		}
	}
	return nil
}

// sumsOf computes the h1: sums of what is there, by version as in go.sum.
func (s *Set) sumsOf(m Module) (map[string]string, error) {
	have := map[string]string{}
	key, err := Key(m.Key(), "mod")
	if err != nil {
		return nil, err
	}
	if s.Has(key) {
		data, err := s.ReadFile(key)
		if err != nil {
			return nil, err
		}
		h1, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return nil, err
		}
		have[m.Version+"/go.mod"] = h1
	}
	if key, err = Key(m.Key(), "zip"); err != nil || !s.Has(key) {
		return have, err
	}
	r, err := s.Open(key)
	if err != nil {
		return nil, err
	}
	at, ok := r.(io.ReaderAt)
	if !ok {
		return nil, errors.New("it cannot be read")
	}
	have[m.Version], err = hashZip(at, s.FileSize(key))
	return have, err
}

var errBomb = errors.New("it unpacks to more than a module may have")

// hashZip is the h1: sum of a module's zip, within the bounds of what one may unpack to.
func hashZip(r io.ReaderAt, size int64) (string, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return "", err
	}
	files := make(map[string]*zip.File, len(z.File))
	names := make([]string, 0, len(z.File))
	var total uint64
	for _, f := range z.File {
		if files[f.Name] != nil {
			return "", fmt.Errorf("%.200q stands there twice", f.Name)
		}
		if total += f.UncompressedSize64; total > largestTools || f.UncompressedSize64 > largestTools {
			return "", errBomb
		}
		files[f.Name] = f
		names = append(names, f.Name)
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) {
		r, err := files[name].Open()
		if err != nil {
			return nil, err
		}
		return &bounded{r, int64(files[name].UncompressedSize64)}, nil
	})
}

// bounded fails where more comes than the directory says.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errBomb
	}
	return n, err
}
