//go:build !unix

package modcache

import (
	"errors"
	"io/fs"
	"os"
)

func readDir(dir string, to []entry) ([]entry, error) {
	list, err := os.ReadDir(dir)
	for _, d := range list {
		info, statErr := d.Info()
		if statErr == nil {
			to = append(to, entryOf(info))
		} else if !errors.Is(statErr, fs.ErrNotExist) {
			err = errors.Join(err, statErr)
		}
	}
	return to, err
}

func entryOf(info fs.FileInfo) entry {
	return entry{
		name: info.Name(), mode: info.Mode(), size: info.Size(), disk: info.Size(), used: info.ModTime(), modified: info.ModTime(), links: 1, owner: -1,
	}
}

func lstat(path string) (entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return entry{}, err
	}
	return entryOf(info), nil
}

// stamps: a program may set the time of a file here, so that nothing recorded is believed.
const stamps = false

func me() int { return -1 }
