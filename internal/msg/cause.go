package msg

import (
	"archive/zip"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// causeTable has words for what operating systems and Go's library say: these errors
// come from anywhere, in English only.
var causeTable = sync.OnceValue(func() map[string]message {
	return map[string]message{
		"cause.of":          {"%s: %s", "%s：%s"},
		"cause.absent":      {"no such file or directory", "没有这个文件或目录"},
		"cause.forbidden":   {"permission denied", "没有权限"},
		"cause.exists":      {"it exists already", "已经存在"},
		"cause.notdir":      {"not a directory", "不是目录"},
		"cause.isdir":       {"is a directory", "是一个目录"},
		"cause.notempty":    {"directory not empty", "目录不是空的"},
		"cause.readonly":    {"read-only file system", "文件系统是只读的"},
		"cause.full":        {"no space left on device", "磁盘空间不足"},
		"cause.quota":       {"disk quota exceeded", "超出磁盘配额"},
		"cause.files":       {"too many open files", "打开的文件过多"},
		"cause.noexec":      {"exec format error", "文件格式无法执行"},
		"cause.notfound":    {"executable file not found in $PATH", "在 PATH 中找不到可执行文件"},
		"cause.dot":         {"found in the current directory, from which nothing is run unasked", "在当前目录中找到，但不会自动运行当前目录中的程序"},
		"cause.inuse":       {"address already in use", "地址已被占用"},
		"cause.notmine":     {"cannot assign requested address", "本机没有这个地址"},
		"cause.refused":     {"connection refused", "连接被拒绝"},
		"cause.reset":       {"connection reset by peer", "连接被重置"},
		"cause.timeout":     {"timed out", "超时"},
		"cause.unreachable": {"network is unreachable", "网络不可达"},
		"cause.broken":      {"broken pipe", "管道已关闭"},
		"cause.ended":       {"unexpected end", "内容不完整"},
		"cause.eof":         {"end of file", "没有更多内容"},
		"cause.cancelled":   {"cancelled", "已取消"},
		"cause.zip":         {"not a valid zip file", "不是有效的 zip 文件"},
		"cause.zipmethod":   {"unsupported compression", "使用了不支持的压缩方式"},
		"cause.zipsum":      {"checksum error in the zip file", "zip 文件内的校验和不符"},
		"cause.port":        {"invalid port", "端口无效"},
		"cause.noport":      {"missing port in address", "地址里缺少端口"},
		"cause.address":     {"invalid address", "地址无效"},
		"cause.host":        {"no such host", "没有这个主机"},
		"cause.locked":      {"the database is locked", "数据库被锁定"},
		"cause.sqlread":     {"the database is read-only", "数据库是只读的"},
		"cause.sqlio":       {"the database cannot be read or written", "数据库读写出错"},
		"cause.sqlbad":      {"the database is damaged", "数据库已损坏"},
		"cause.sqlfull":     {"the disk is full", "磁盘空间不足"},
		"cause.sqlopen":     {"the database file cannot be opened", "无法打开数据库文件"},
	}
})

// known are the errors that are the same wherever they come from, the narrower first.
var known = sync.OnceValue(func() []struct {
	is  error
	key string
} {
	return []struct {
		is  error
		key string
	}{
		{exec.ErrNotFound, "cause.notfound"},
		{exec.ErrDot, "cause.dot"},
		{zip.ErrFormat, "cause.zip"},
		{zip.ErrAlgorithm, "cause.zipmethod"},
		{zip.ErrChecksum, "cause.zipsum"},
		{context.Canceled, "cause.cancelled"},
		{context.DeadlineExceeded, "cause.timeout"},
		{os.ErrDeadlineExceeded, "cause.timeout"},
		{io.ErrUnexpectedEOF, "cause.ended"},
		{io.EOF, "cause.eof"},
		{syscall.ENOTEMPTY, "cause.notempty"}, // which is ErrExist as well
		{syscall.ENOTDIR, "cause.notdir"},
		{syscall.EISDIR, "cause.isdir"},
		{syscall.EROFS, "cause.readonly"},
		{syscall.ENOSPC, "cause.full"},
		{syscall.EDQUOT, "cause.quota"},
		{syscall.EMFILE, "cause.files"},
		{syscall.ENFILE, "cause.files"},
		{syscall.ENOEXEC, "cause.noexec"},
		{syscall.EADDRINUSE, "cause.inuse"},
		{syscall.EADDRNOTAVAIL, "cause.notmine"},
		{syscall.ECONNREFUSED, "cause.refused"},
		{syscall.ECONNRESET, "cause.reset"},
		{syscall.ETIMEDOUT, "cause.timeout"},
		{syscall.ENETUNREACH, "cause.unreachable"},
		{syscall.EHOSTUNREACH, "cause.unreachable"},
		{syscall.EPIPE, "cause.broken"},
		{fs.ErrNotExist, "cause.absent"},
		{fs.ErrPermission, "cause.forbidden"},
		{fs.ErrExist, "cause.exists"},
	}
})

// Cause is an error in a language, as far as it has words there: an [Error] its own,
// those of the operating system and of Go's library the ones of this table. Of what
// wraps them without words of its own, the English stays in front.
func Cause(lang Lang, err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // what wraps it has words of its own
		return e.in(lang)
	}
	if lang != ZH {
		return err.Error()
	}
	if said, ok := wrapped(err); ok {
		return said
	}
	if key := causeKey(err); key != "" {
		return Text(lang, key)
	}
	return behind(err)
}

// of names what an error is about.
func of(what string, err error) string {
	if what == "" {
		return Cause(ZH, err)
	}
	return Text(ZH, "cause.of", what, Cause(ZH, err))
}

// wrapped words the wrappers of Go's library, whose parts are typed.
func wrapped(err error) (string, bool) {
	switch e := err.(type) { //nolint:errorlint // one layer at a time
	case *fs.PathError:
		return of(e.Path, e.Err), true
	case *os.LinkError:
		return of(e.New, e.Err), true
	case *os.SyscallError:
		return Cause(ZH, e.Err), true
	case *exec.Error:
		return of(e.Name, e.Err), true
	case *url.Error:
		return of(e.URL, e.Err), true
	case *net.DNSError:
		return of(e.Name, causeWords(dnsKey(e))), true
	case *net.AddrError:
		return of(e.Addr, causeWords(addressKey(e.Err))), true
	case *net.OpError:
		if e.Op == "listen" || e.Addr == nil { // who listens has said where
			return Cause(ZH, e.Err), true
		}
		return of(e.Addr.String(), e.Err), true
	case interface{ Unwrap() []error }:
		var said []string
		for _, one := range e.Unwrap() {
			said = append(said, Cause(ZH, one))
		}
		if plain := errors.Join(e.Unwrap()...); plain == nil || plain.Error() != err.Error() {
			return "", false // not errors.Join: it has words of its own
		}
		return strings.Join(said, "；"), true
	}
	return "", false
}

// causeWords is an error with the words of key.
func causeWords(key string) error { return &Error{Key: key} }

func dnsKey(e *net.DNSError) string {
	if e.IsTimeout {
		return "cause.timeout"
	}
	return "cause.host"
}

func addressKey(said string) string {
	switch said {
	case "invalid port":
		return "cause.port"
	case "missing port in address":
		return "cause.noport"
	}
	return "cause.address"
}

// causeKey finds the words of an error that wraps nothing.
func causeKey(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return ""
	}
	for _, k := range known() {
		if errors.Is(err, k.is) {
			return k.key
		}
	}
	if err.Error() == "not a directory" { // os.OpenRoot's, of no type
		return "cause.notdir"
	}
	var database interface{ Code() int } // SQLite's
	if !errors.As(err, &database) {
		return ""
	}
	const primary = 0xff
	return map[int]string{
		5: "cause.locked", 6: "cause.locked", 8: "cause.sqlread", 10: "cause.sqlio", 11: "cause.sqlbad", 13: "cause.sqlfull", 14: "cause.sqlopen", 26: "cause.sqlbad",
	}[database.Code()&primary]
}

// behind replaces the end of an error's text by the words of the error within.
func behind(err error) string {
	text, inner := err.Error(), errors.Unwrap(err)
	if inner == nil {
		return text
	}
	head, ok := strings.CutSuffix(text, inner.Error())
	if !ok {
		return text
	}
	said := Cause(ZH, inner)
	if bare, ok := strings.CutSuffix(head, ": "); ok && said != inner.Error() {
		head = bare + "："
	}
	return head + said
}
