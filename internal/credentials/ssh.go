package credentials

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the hash of known_hosts is what it is
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/keepwell/keepwell/internal/proc"
)

// SSH is how ssh would reach one host, as `ssh -G` tells it.
type SSH struct {
	Name, User, Port string
	// Alias stands for the name in known_hosts where it is set.
	Alias string
	// Identities are the key files that it would try, whether they exist or not.
	Identities []string
	KnownHosts []string
	// Strict is StrictHostKeyChecking.
	Strict string
	// Agent is IdentityAgent: "SSH_AUTH_SOCK", "none" or a socket.
	Agent string
	// Other says that more than files decides: a key on a card, a program that knows hosts
	// or makes connections.
	Other bool
}

// AskSSH asks ssh what it would do for an address, without connecting.
func AskSSH(ctx context.Context, a Address, home string) (SSH, error) {
	args := []string{"-G"}
	if a.Port != "" {
		args = append(args, "-p", a.Port)
	}
	if a.User != "" {
		args = append(args, "-l", a.User)
	}
	out, err := proc.Output(ctx, proc.Options{Timeout: 3 * time.Second}, "ssh", append(args, "--", a.Name)...)
	if err != nil {
		return SSH{}, err
	}
	return ParseSSH(out, home), nil
}

// ParseSSH reads what `ssh -G` prints.
func ParseSSH(out []byte, home string) SSH {
	s := SSH{Agent: "SSH_AUTH_SOCK"}
	full := func(name string) string {
		name = strings.Trim(name, `"`)
		if rest, ok := strings.CutPrefix(name, "~/"); ok {
			return filepath.Join(home, rest)
		}
		return strings.ReplaceAll(name, "%d", home)
	}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "hostname":
			s.Name = value
		case "user":
			s.User = value
		case "port":
			s.Port = value
		case "hostkeyalias":
			s.Alias = value
		case "identityfile":
			s.Identities = append(s.Identities, full(value))
		case "userknownhostsfile", "globalknownhostsfile":
			for name := range strings.FieldsSeq(value) {
				s.KnownHosts = append(s.KnownHosts, full(name))
			}
		case "stricthostkeychecking":
			s.Strict = value
		case "identityagent":
			s.Agent = full(value)
		case "pkcs11provider", "proxycommand", "proxyjump", "knownhostscommand", "controlpath", "certificatefile":
			s.Other = s.Other || value != "none" && value != ""
		}
	}
	return s
}

// Known reports whether a line of known_hosts names the host (sshd(8), "SSH_KNOWN_HOSTS
// FILE FORMAT").
func Known(data []byte, name, port string) bool {
	names := []string{strings.ToLower(name)}
	if port != "" && port != "22" { // ssh looks for both
		names = append(names, "["+names[0]+"]:"+port)
	}
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) > 0 && words[0] == "@cert-authority" {
			words = words[1:]
		}
		if len(words) < 3 || strings.HasPrefix(words[0], "#") || strings.HasPrefix(words[0], "@") {
			continue
		}
		for _, n := range names {
			if names := words[0]; matches(names, n) {
				return true
			}
		}
	}
	return false
}

func matches(list, name string) bool {
	found := false
	for p := range strings.SplitSeq(list, ",") {
		if salt, sum, ok := strings.Cut(strings.TrimPrefix(p, "|1|"), "|"); ok && strings.HasPrefix(p, "|1|") {
			key, err := base64.StdEncoding.DecodeString(salt)
			mac := hmac.New(sha1.New, key)
			_, _ = io.WriteString(mac, name)
			found = found || err == nil && base64.StdEncoding.EncodeToString(mac.Sum(nil)) == sum
			continue
		}
		p, not := strings.CutPrefix(strings.ToLower(p), "!")
		if hit := glob(p, name); hit && not {
			return false
		} else if hit {
			found = true
		}
	}
	return found
}

// glob knows * and ?; a bracket is one that stands around a host.
func glob(pattern, name string) bool {
	if pattern == name {
		return true
	}
	ok, err := path.Match(strings.NewReplacer("[", `\[`, "]", `\]`).Replace(pattern), name)
	return err == nil && ok
}

// KeyState is what ssh would make of a key file.
type KeyState string

// The states. Locked needs a passphrase, which go's batch mode cannot ask for; Open is
// one that others may read, which ssh refuses.
const (
	KeyAbsent KeyState = "absent"
	KeyGood   KeyState = "good"
	KeyLocked KeyState = "locked"
	KeyOpen   KeyState = "open"
)

// Key looks at a key file.
func Key(name string) KeyState {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return KeyAbsent
	}
	if runtime.GOOS != "windows" && owned(info) && info.Mode()&0o077 != 0 {
		return KeyOpen
	}
	data, err := ReadFile(name)
	if err != nil {
		return KeyAbsent // for whoever runs this
	}
	if locked(data) {
		return KeyLocked
	}
	return KeyGood
}

// locked reports whether a key is encrypted. Only the header is read.
func locked(data []byte) bool {
	block, _ := pem.Decode(data)
	if block == nil {
		return false
	}
	const magic = "openssh-key-v1\x00"
	rest, ok := strings.CutPrefix(string(block.Bytes), magic)
	if !ok {
		return block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED")
	}
	if len(rest) < 4 {
		return false
	}
	n := binary.BigEndian.Uint32([]byte(rest[:4]))
	return int(n) <= len(rest)-4 && rest[4:4+n] != "none"
}

// AgentKeys asks an ssh agent how many keys it holds. The error says that nobody
// answers there.
func AgentKeys(ctx context.Context, socket string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // nothing more is asked of it
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return 0, err
		}
	}
	// SSH_AGENTC_REQUEST_IDENTITIES, answered by SSH_AGENT_IDENTITIES_ANSWER and a count.
	if _, err := conn.Write([]byte{0, 0, 0, 1, 11}); err != nil {
		return 0, err
	}
	var answer [9]byte
	if _, err := io.ReadFull(conn, answer[:5]); err != nil {
		return 0, err
	}
	if answer[4] != 12 {
		return 0, nil
	}
	if _, err := io.ReadFull(conn, answer[5:]); err != nil {
		return 0, err
	}
	return int(binary.BigEndian.Uint32(answer[5:])), nil
}
