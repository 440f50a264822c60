package observe

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/keepwell/keepwell/internal/proc"
)

// largestKnownHosts is how much of a known_hosts file is read.
const largestKnownHosts = 4 << 20

// errSeen ends the handshake as soon as the host key is known.
var errSeen = errors.New("the host key was read, nothing more is wanted")

// sshSettings are what ssh's own settings say about a host (`ssh -G`).
type sshSettings struct {
	known  []string // known_hosts files
	alias  string   // HostKeyAlias
	strict string   // StrictHostKeyChecking
	unseen bool     // the key is on no file, and ssh takes it nevertheless
}

// plainSSH is the command that git runs for ssh, in words; nil where it is not OpenSSH's
// or needs a shell to be understood.
func (s *session) plainSSH() []string {
	if program := s.getenv("GIT_SSH"); program != "" && s.getenv("GIT_SSH_COMMAND") == "" {
		if sshName(program) {
			return []string{program}
		}
		return nil
	}
	words := strings.Fields(cmp.Or(s.getenv("GIT_SSH_COMMAND"), "ssh"))
	if len(words) == 0 || strings.ContainsAny(strings.Join(words, " "), "\"'`$;&|<>\\(){}*?~#\n") || !sshName(words[0]) {
		return nil
	}
	return words
}

// quietSSH are options that come before the user's, so that they win: ask nobody, lend
// no agent, run nothing here, write no file.
func (s *session) quietSSH() []string {
	options := []string{
		"BatchMode=yes", "ControlMaster=no", "ConnectTimeout=4", "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes",
		"PermitLocalCommand=no", "UpdateHostKeys=no",
	}
	if s.keys.unseen { // ssh would add the key
		options = append(options, "UserKnownHostsFile="+os.DevNull)
	}
	var out []string
	for _, o := range options {
		out = append(out, "-o", o)
	}
	return out
}

func sshName(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == "ssh"
}

// askSSH asks ssh for its settings of the target's host, and puts where it would go and
// with which keys into words.
func (s *session) askSSH(ctx context.Context) []Result {
	command := s.plainSSH()
	if command == nil {
		s.target.Jump = true
		return []Result{{State: NotChecked, Key: "probe.client.command"}}
	}
	args := append(slices.Clone(command[1:]), "-G")
	if p := s.target.URL.Port(); p != "" {
		args = append(args, "-p", p)
	}
	if name := s.target.URL.User.Username(); name != "" {
		args = append(args, "-l", name)
	}
	out, err := proc.Output(ctx, proc.Options{Timeout: s.Each, Env: s.Env}, command[0], append(args, "--", s.target.Host)...)
	if err != nil {
		return []Result{{State: NotChecked, Key: "probe.client.ssh", Args: []string{said(err)}}}
	}
	set := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		set[name] = append(set[name], value)
	}
	first := func(name string) string { return strings.Join(set[name][:min(len(set[name]), 1)], "") }
	for _, name := range []string{"userknownhostsfile", "globalknownhostsfile"} {
		for file := range strings.FieldsSeq(first(name)) {
			if file != "none" {
				s.keys.known = append(s.keys.known, s.tilde(file))
			}
		}
	}
	s.keys.alias, s.keys.strict = first("hostkeyalias"), first("stricthostkeychecking")
	if via := cmp.Or(first("proxyjump"), first("proxycommand")); via != "" && via != "none" {
		s.target.Jump = true
		return []Result{{State: Yes, Key: "probe.client.jump"}, s.offers(ctx, set["identityfile"], first("identityagent"), first("identitiesonly") == "yes")}
	}
	host, port := cmp.Or(first("hostname"), s.target.Host), cmp.Or(first("port"), s.target.Port)
	if forbiddenHost(host) {
		return []Result{{State: No, Key: "probe.forbidden", Args: []string{clip(host)}}}
	}
	s.target.Host, s.target.Port = host, port
	return []Result{s.offers(ctx, set["identityfile"], first("identityagent"), first("identitiesonly") == "yes")}
}

func (s *session) tilde(file string) string {
	if rest, ok := strings.CutPrefix(file, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return file
}

// offers names the keys that ssh would offer; no key is read.
func (s *session) offers(ctx context.Context, files []string, socket string, only bool) Result {
	var names []string
	for _, file := range files {
		if info, err := os.Stat(s.tilde(file)); err == nil && info.Mode().IsRegular() {
			names = append(names, clip(file))
		}
	}
	if socket == "" || socket == "SSH_AUTH_SOCK" {
		socket = s.getenv("SSH_AUTH_SOCK")
	}
	if n := agentKeys(ctx, s.tilde(socket)); n > 0 && !only {
		names = append(names, "ssh-agent: "+strconv.Itoa(n))
	}
	if len(names) == 0 {
		return Result{State: Yes, Key: "probe.client.keyless"}
	}
	return Result{State: Yes, Key: "probe.client.keys", Args: []string{strings.Join(names, ", ")}}
}

// agentKeys counts the keys of an agent.
func agentKeys(ctx context.Context, socket string) int {
	if socket == "" || socket == "none" {
		return 0
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return 0
	}
	defer conn.Close() //nolint:errcheck // only asked
	defer deadline(ctx, conn)()
	keys, err := agent.NewClient(conn).List()
	if err != nil {
		return 0
	}
	return len(keys)
}

// ssh reads the server's host key and breaks off before any login.
func (s *session) ssh(ctx context.Context) []Result {
	conn, err := s.connect(ctx)
	if err != nil {
		code, key := dialFault(err)
		return []Result{{State: No, Key: key, Args: []string{s.target.Host}, Code: code, Said: said(err), Facts: s.facts("phase", "dial")}}
	}
	defer conn.Close() //nolint:errcheck // nothing more is asked of it
	defer deadline(ctx, conn)()
	name := net.JoinHostPort(s.target.Host, s.target.Port)
	if s.keys.alias != "" {
		name = net.JoinHostPort(s.keys.alias, "22") // an alias stands alone in the file
	}
	known, files, done := s.knownHosts()
	defer done()
	var seen ssh.PublicKey
	cfg := &ssh.ClientConfig{
		User: "git", HostKeyAlgorithms: preferred(known, name, conn.RemoteAddr()),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error { seen = key; return errSeen },
	}
	_, _, _, err = ssh.NewClientConn(conn, name, cfg)
	if seen == nil {
		return []Result{s.sshFailed(err)}
	}
	verdict := known(name, conn.RemoteAddr(), seen)
	var missing *knownhosts.KeyError
	if errors.As(verdict, &missing) && len(missing.Want) == 0 && s.target.Port != "22" && s.keys.alias == "" {
		// An entry without port is good for every port, but cannot differ.
		if plain := net.JoinHostPort(s.target.Host, "22"); known(plain, conn.RemoteAddr(), seen) == nil {
			verdict, name = nil, plain
		}
	}
	if verdict == nil {
		for _, k := range onFile(known, name, conn.RemoteAddr()) {
			if bytes.Equal(k.Key.Marshal(), seen.Marshal()) {
				files = place(k)
				break
			}
		}
	}
	return []Result{s.judgeKey(seen, verdict, files)}
}

// onFile are the keys that are known for a host.
func onFile(known ssh.HostKeyCallback, name string, at net.Addr) []knownhosts.KnownKey {
	var e *knownhosts.KeyError
	if errors.As(known(name, at, noKey{}), &e) {
		return e.Want
	}
	return nil
}

// preferred orders the kinds of host keys as ssh does: those on file first, so that
// the server shows the key that can be compared.
func preferred(known ssh.HostKeyCallback, name string, at net.Addr) []string {
	all := ssh.SupportedAlgorithms().HostKeys
	var out []string
	for _, w := range onFile(known, name, at) {
		kinds := []string{w.Key.Type()}
		if kinds[0] == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, kind := range kinds {
			if slices.Contains(all, kind) && !slices.Contains(out, kind) {
				out = append(out, kind)
			}
		}
	}
	return append(out, slices.DeleteFunc(all, func(a string) bool { return slices.Contains(out, a) })...)
}

// noKey is a key that is on no file.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errSeen }

func (s *session) sshFailed(err error) Result {
	r := Result{State: No, Key: "probe.ssh.not", Code: "vcs/other", Said: said(err), Facts: s.facts("tool", "ssh")}
	switch {
	case timedOut(err):
		r.Code, r.Key = "net/timeout", "probe.ssh.silent"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		r.Code, r.Key = "net/reset", "probe.reset"
	}
	return r
}

// judgeKey says whether ssh would go on with a host key.
func (s *session) judgeKey(key ssh.PublicKey, verdict error, files string) Result {
	shown := ssh.FingerprintSHA256(key)
	r := Result{State: No, Code: "auth/host-key", Facts: s.facts("tool", "ssh"), Tool: "git", Args: []string{key.Type(), shown}}
	lenient := s.keys.strict == "false" || s.keys.strict == "no" || s.keys.strict == "off" || s.keys.strict == "accept-new"
	var differs *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case verdict == nil:
		return Result{State: Yes, Key: "probe.ssh.known", Args: []string{key.Type(), shown, files}}
	case errors.As(verdict, &revoked):
		r.Key, r.Args = "probe.ssh.revoked", append(r.Args, place(revoked.Revoked))
	case errors.As(verdict, &differs) && len(differs.Want) > 0:
		r.Key, r.Args = "probe.ssh.differs", append(r.Args, place(differs.Want[0]))
		if i := slices.IndexFunc(differs.Want, func(k knownhosts.KnownKey) bool { return k.Key.Type() == key.Type() }); i >= 0 {
			r.Args[2], r.Rival = place(differs.Want[i]), "net/intercepted"
		} else {
			r.Key = "probe.ssh.kind"
		}
	case lenient:
		s.keys.unseen = true
		return Result{State: Yes, Key: "probe.ssh.accepted", Args: []string{key.Type(), shown, s.keys.strict}}
	default:
		r.Key, r.Args = "probe.ssh.missing", append(r.Args, files)
	}
	return r
}

func place(k knownhosts.KnownKey) string {
	return clip(k.Filename) + ":" + strconv.Itoa(k.Line)
}

// knownHosts reads the known_hosts files; files names those that are there. A line that
// cannot be read is left out, as ssh does, where the library would give up the file.
func (s *session) knownHosts() (known ssh.HostKeyCallback, files string, done func()) {
	var there, names []string
	dir, made := "", map[string]string{}
	done = func() {
		if dir != "" {
			_ = os.RemoveAll(dir)
		}
	}
	for _, file := range s.keys.known {
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() || info.Size() > largestKnownHosts {
			continue
		}
		names = append(names, clip(file))
		if _, err := knownhosts.New(file); err == nil {
			there = append(there, file)
			continue
		}
		if dir == "" {
			if dir, err = os.MkdirTemp("", "keepwell-ssh-"); err != nil {
				continue
			}
		}
		b, err := os.ReadFile(file)
		clean := filepath.Join(dir, strconv.Itoa(len(made)))
		if err != nil || os.WriteFile(clean, readable(b), 0o600) != nil { //nolint:gosec // a copy in a directory of its own
			continue
		}
		made[clean] = file
		there = append(there, clean)
	}
	check, err := knownhosts.New(there...)
	if err != nil { // a line that this library alone cannot read
		check, _ = knownhosts.New()
	}
	return func(host string, at net.Addr, key ssh.PublicKey) error {
		return named(check(host, at, key), made)
	}, cmp.Or(strings.Join(names, ", "), "known_hosts"), done
}

// readable empties the lines that hold no entry; the others keep their numbers.
func readable(b []byte) []byte {
	lines := bytes.Split(b, []byte("\n"))
	for i, line := range lines {
		if _, _, _, _, _, err := ssh.ParseKnownHosts(line); err != nil {
			lines[i] = nil
		}
	}
	return bytes.Join(lines, []byte("\n"))
}

// named puts the user's file names in the place of those of copies.
func named(err error, made map[string]string) error {
	var differs *knownhosts.KeyError
	if errors.As(err, &differs) {
		for i := range differs.Want {
			differs.Want[i].Filename = cmp.Or(made[differs.Want[i].Filename], differs.Want[i].Filename)
		}
	}
	var revoked *knownhosts.RevokedError
	if errors.As(err, &revoked) {
		revoked.Revoked.Filename = cmp.Or(made[revoked.Revoked.Filename], revoked.Revoked.Filename)
	}
	return err
}
