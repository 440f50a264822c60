package modproxy

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// TestATreeIsHeldToItsSignature: that one tree was seen to be signed says nothing of
// another, however like it.
func TestATreeIsHeldToItsSignature(t *testing.T) {
	t.Parallel()
	secret, public, err := note.GenerateKey(nil, "sum.example.org")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := note.Sign(&note.Note{Text: "go.sum database tree\n8\nroot\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(tree, []byte("\n8\n"), []byte("\n9\n"), 1)
	d := &database{verifier: verifier}
	for i, row := range []struct {
		tree []byte
		good bool
	}{{forged, false}, {tree, true}, {tree, true}, {forged, false}, {forged, false}, {nil, false}, {tree, true}} {
		if err := d.signed(row.tree); (err == nil) != row.good {
			t.Errorf("%d: %v", i, err)
		}
	}
	tree[0]++ // what is remembered is a copy
	if d.signed(tree) == nil {
		t.Error("a tree that was changed passes")
	}
}
