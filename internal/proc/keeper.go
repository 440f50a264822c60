package proc

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Keepers are processes of keepwell that start commands on its behalf, one at a time
// each, and end all that a command has started when it ends, when its time is over, and
// when keepwell itself is no more, kill -9 included: also what has left its session. A
// keeper that is free starts the next command, since starting one costs far more than
// starting a script. Systems other than Linux have none; commands run there as without.
//
// What a command has others start (systemd-run, at, a container's daemon) is none of its
// descendants. What runs as another user, by sudo, is ended only where keepwell is root.
type Keepers struct {
	// Launcher is a program with arguments that calls [Keep].
	Launcher []string

	mu     sync.Mutex
	free   []*keeper
	closed bool
}

// mostFree bounds the keepers that wait for work.
const mostFree = 4

// order is what a keeper is to start; two descriptors travel with it, for both streams.
type order struct {
	Dir       string
	Argv, Env []string
}

// report is what became of an order.
type report struct {
	// Failed says why nothing was started; "": it was.
	Failed string
	// Exit is the exit code, 128+n where signal n ended it.
	Exit int
	// Ended and Left are how many processes that the command left running were ended, and
	// how many could not be.
	Ended, Left int
}

// mostFrame bounds one message between keepwell and a keeper, in bytes.
const mostFrame = 64 << 20

// frame is a value as it is sent: its length in four bytes, then the value.
func frame(v any) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 4))
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return nil, err
	}
	if b.Len() > mostFrame {
		return nil, fmt.Errorf("a command of %d bytes", b.Len())
	}
	binary.BigEndian.PutUint32(b.Bytes(), uint32(b.Len()-4))
	return b.Bytes(), nil
}

// unframe reads a value whose length is known.
func unframe(r io.Reader, head [4]byte, v any) error {
	size := binary.BigEndian.Uint32(head[:])
	if size > mostFrame {
		return errors.New("a message that is too long")
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	return gob.NewDecoder(bytes.NewReader(text)).Decode(v)
}
