package act_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/act"
)

// unpacked is a directory such as go unpacks a module to: nobody may write in it.
func unpacked(t *testing.T) (root, dir string) {
	t.Helper()
	root = t.TempDir()
	dir = filepath.Join(root, "widget@v1.0.0")
	write(t, filepath.Join(dir, "go.mod"), "module example.com/widget\n")
	write(t, filepath.Join(dir, "sub", "a.go"), "package sub\n")
	for _, p := range []string{"go.mod", "sub/a.go"} {
		chmod(t, filepath.Join(dir, filepath.FromSlash(p)), 0o444)
	}
	if runtime.GOOS != "windows" {
		if err := os.Symlink(filepath.Join("..", "go.mod"), filepath.Join(dir, "sub", "link")); err != nil {
			t.Fatal(err)
		}
	}
	chmod(t, filepath.Join(dir, "sub"), 0o555)
	chmod(t, dir, 0o555)
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o700)
		_ = os.Chmod(filepath.Join(dir, "sub"), 0o700)
	})
	return root, dir
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestRemoveDir: a directory goes with all that is in it, and comes back to the byte
// and the bit.
func TestRemoveDir(t *testing.T) {
	t.Parallel()
	root, dir := unpacked(t)
	before := tree(t, root)
	e := &act.Engine{Dir: t.TempDir()}
	r, err := e.Run(t.Context(), act.Plan{Command: "test", Steps: []act.Step{act.RemoveDir{Path: dir}}}, yes)
	if err != nil {
		t.Fatal(err)
	}
	if left := tree(t, root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if _, _, err := e.Undo(t.Context(), r.ID, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("after undo (-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(dir, "sub")); err != nil || info.Mode().Perm() != 0o555 && runtime.GOOS != "windows" {
		t.Errorf("sub: %v, %v", info, err)
	}
}

// TestRemoveDirUnpackedAnew: what go has put there since stays.
func TestRemoveDirUnpackedAnew(t *testing.T) {
	t.Parallel()
	root, dir := unpacked(t)
	e := &act.Engine{Dir: t.TempDir()}
	r, err := e.Run(t.Context(), act.Plan{Command: "test", Steps: []act.Step{act.RemoveDir{Path: dir}}}, yes)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "go.mod"), "module example.com/widget // sound\n")
	before := tree(t, root)
	var changed *act.ChangedError
	if _, _, err := e.Undo(t.Context(), r.ID, ""); !errors.As(err, &changed) {
		t.Errorf("undo: %v", err)
	}
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("undo changed somebody's work:\n%s", diff)
	}
}

// TestRunKeepsTrees: what a tool does to a directory is taken back, also where it fails.
func TestRunKeepsTrees(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module example.com/m\n\ngo 1.21\n")
	write(t, filepath.Join(root, "vendor", "modules.txt"), "# old\n")
	before := tree(t, root)
	e := &act.Engine{Dir: t.TempDir()}
	run := act.Run{
		Dir: root, Name: "go", Args: []string{"mod", "vendor"}, Files: []string{"go.mod"}, Trees: []string{"vendor"},
		Env: []string{"GOFLAGS=", "GOTOOLCHAIN=local", "GOWORK=off"},
	}
	r, err := e.Run(t.Context(), act.Plan{Command: "test", Steps: []act.Step{run}}, yes)
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(before, tree(t, root)) {
		t.Error("go mod vendor changed nothing")
	}
	if _, _, err := e.Undo(t.Context(), r.ID, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("after undo (-want +got):\n%s", diff)
	}
	run.Check = func(context.Context) error { return errors.New("not what was meant") }
	if _, err := e.Run(t.Context(), act.Plan{Command: "test", Steps: []act.Step{run}}, yes); err == nil {
		t.Error("a failed verification passed")
	}
	if diff := cmp.Diff(before, tree(t, root)); diff != "" {
		t.Errorf("after a failure (-want +got):\n%s", diff)
	}
}
