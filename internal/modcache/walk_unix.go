//go:build unix

package modcache

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// readDir appends the entries of a directory: one call of the system a name, relative to
// the open directory, so that no path is looked up from the root again.
func readDir(dir string, to []entry) ([]entry, error) {
	d, err := os.Open(dir)
	if err != nil {
		return to, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	at := int(d.Fd())
	for _, name := range names {
		e, statErr := statAt(at, name)
		if statErr == nil {
			to = append(to, e)
		} else if !errors.Is(statErr, fs.ErrNotExist) { // it went meanwhile
			err = errors.Join(err, &fs.PathError{Op: "stat", Path: name, Err: statErr})
		}
	}
	return to, err
}

func statAt(at int, name string) (entry, error) {
	var s unix.Stat_t
	for {
		err := unix.Fstatat(at, name, &s, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return entry{}, err
		}
		break
	}
	e := entry{
		name: name, size: s.Size, disk: int64(s.Blocks) * 512, owner: int(s.Uid), //nolint:unconvert // differs between systems
		dev: uint64(s.Dev), ino: uint64(s.Ino), links: uint64(s.Nlink), //nolint:unconvert // differs between systems
		changed: unix.TimespecToNsec(s.Ctim), modified: time.Unix(0, unix.TimespecToNsec(s.Mtim)),
	}
	e.used = e.modified
	if read := time.Unix(0, unix.TimespecToNsec(s.Atim)); read.After(e.used) {
		e.used = read
	}
	e.mode = fs.FileMode(s.Mode & 0o777)
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		e.mode |= fs.ModeDir
	case unix.S_IFLNK:
		e.mode |= fs.ModeSymlink
	default:
		e.mode |= fs.ModeIrregular
	}
	return e, nil
}

// lstat is statAt for one path.
func lstat(path string) (entry, error) { return statAt(unix.AT_FDCWD, path) }

// stamps says that a change of a file shows in its entry: the system changes the number
// or the time of change, which no program can set.
const stamps = true

// me is the user whose files may be changed; -1 where that is no question.
func me() int { return os.Geteuid() }
