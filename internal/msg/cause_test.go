package msg_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keepwell/keepwell/internal/msg"
)

// TestCausesAreChinese makes the library fail, and reads what it says.
func TestCausesAreChinese(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, absent := os.Open(gone)
	_, notFound := exec.LookPath("keepwell-no-such-command")
	_, noZip := zip.NewReader(bytes.NewReader([]byte("text")), 4)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, inUse := net.Listen("tcp", ln.Addr().String())
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, refused := net.Dial("tcp", ln.Addr().String())
	_, badPort := net.Listen("tcp", "127.0.0.1:99999")
	for _, x := range []struct {
		err  error
		want string
	}{
		{absent, gone + "：没有这个文件或目录"},
		{os.Mkdir(filepath.Join(file, "below"), 0o700), filepath.Join(file, "below") + "：不是目录"},
		{os.Link(gone, file+"2"), file + "2：没有这个文件或目录"},
		{notFound, "keepwell-no-such-command：在 PATH 中找不到可执行文件"},
		{noZip, "不是有效的 zip 文件"},
		{inUse, "地址已被占用"},
		{refused, ln.Addr().String() + "：连接被拒绝"},
		{badPort, "99999：端口无效"},
		{fmt.Errorf("line 3: %w", absent), "line 3：" + gone + "：没有这个文件或目录"},
		{fmt.Errorf("%w, twice", io.ErrUnexpectedEOF), "unexpected EOF, twice"},
		{errors.Join(io.ErrUnexpectedEOF, noZip), "内容不完整；不是有效的 zip 文件"},
		{errors.New("words of somebody"), "words of somebody"},
		{msg.NewError("cause.of", "x", noZip), "x：不是有效的 zip 文件"},
	} {
		if x.err == nil {
			t.Errorf("no failure where %q was expected", x.want)
			continue
		}
		if got := msg.Cause(msg.ZH, x.err); got != x.want {
			t.Errorf("%v: %q, want %q", x.err, got, x.want)
		}
		if got := msg.Text(msg.ZH, "err.internal", x.err); got != x.want {
			t.Errorf("%v within a message: %q, want %q", x.err, got, x.want)
		}
		if got := msg.Text(msg.EN, "err.internal", x.err); got != x.err.Error() && !strings.HasPrefix(got, "x: ") {
			t.Errorf("English became %q, from %v", got, x.err)
		}
	}
}
