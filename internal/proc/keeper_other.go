//go:build !linux

package proc

import (
	"context"
	"errors"
	"io"
)

type keeper struct{}

func (k *Keepers) can() bool { return false }

// Close lets go of the keepers that are free.
func (k *Keepers) Close() {}

func (k *Keepers) run(context.Context, order, io.Writer, io.Writer) (report, error) {
	return report{}, errors.ErrUnsupported
}

// Keep is what the program of a keeper calls. There are none on this system.
func Keep() error { return errors.ErrUnsupported }
