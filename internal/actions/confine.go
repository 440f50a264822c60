package actions

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/proc"
)

// Limits hold a script. Zero values set no bound.
type Limits struct {
	CPUSeconds uint64 `json:"cpu,omitempty"`
	Memory     uint64 `json:"memory,omitempty"` // bytes of memory of each of its processes, that nobody shares
	FileSize   uint64 `json:"file,omitempty"`   // bytes of each file that it writes
	OpenFiles  uint64 `json:"open,omitempty"`
	// UID and GID are who it runs as, where keepwell is root; 0: no change.
	UID int `json:"uid,omitempty"`
	GID int `json:"gid,omitempty"`
	// Processes bounds how many its user has; it holds nobody who is root.
	Processes uint64 `json:"processes,omitempty"`
	// Files, where set, are all that the script reaches, beside what programs need to start.
	Files *Files `json:"files,omitempty"`
}

// Files say which files a script reaches, by Landlock. Kernels differ in what they can
// hold: unless Strict, what this one cannot is left out, and the result says so.
type Files struct {
	// Readable and Writable are directories or files. The script's own directory is readable.
	Readable []string `json:"readable,omitempty"`
	Writable []string `json:"writable,omitempty"`
	// NoTCP forbids TCP, as server and as client.
	NoTCP bool `json:"no_tcp,omitempty"`
	// Strict has scripts refused where the kernel cannot hold them.
	Strict bool `json:"strict,omitempty"`
}

func (l Limits) none() bool { return l == Limits{} }

// held says how a script is held, as far as this kernel can.
func (l Limits) held() msg.Reason {
	switch abi := Landlock(); {
	case l.Files == nil:
		return msg.Because("plan.line.files.user")
	case abi == 0:
		return msg.Because("plan.line.files.nolandlock")
	default:
		return msg.Because("plan.line.files.landlock", abi)
	}
}

func (l Limits) String() string {
	text, err := json.Marshal(l)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// exitConfine is the exit code of Confine's program where it could not do its work.
const exitConfine = 126

// What the launcher is asked to do.
const (
	launchKeeper   = "keep"
	launchConfined = "confine"
)

// Launch does what the launcher of [Scripts] is asked to: it keeps commands, or becomes one
// within limits. What it returns is what the process should exit with.
func Launch(args, env []string) (exit int, err error) {
	switch {
	case len(args) == 1 && args[0] == launchKeeper:
		if err := proc.Keep(); err != nil {
			return exitConfine, err
		}
		return 0, nil
	case len(args) > 0 && args[0] == launchConfined:
		return Confine(args[1:], env)
	}
	return exitConfine, errors.New("this is for keepwell to start scripts with")
}

// Confine holds this process to the limits in args[0] and becomes the program args[1] with
// the arguments that follow. It returns only where that failed, and with what the process
// should exit with.
func Confine(args, env []string) (exit int, err error) {
	var l Limits
	if len(args) < 2 {
		return exitConfine, errors.New("confining needs limits and a program")
	}
	if err := json.Unmarshal([]byte(args[0]), &l); err != nil {
		return exitConfine, fmt.Errorf("reading limits: %w", err)
	}
	return exitConfine, confine(l, args[1:], env)
}
