package doctor

import (
	"context"
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/credentials"
)

// forSSH tells which key would be offered to a host, and what ssh will stumble over.
func (l *logins) forSSH(ctx context.Context, u use, to credentials.Address) {
	for _, name := range []string{"GIT_SSH_COMMAND", "GIT_SSH"} {
		if l.Settings.OS[name] != "" {
			l.use(to.Host, "ssh-command", name)
			return
		}
	}
	if l.git.Value("core.sshCommand") != "" {
		l.use(to.Host, "ssh-command", "core.sshCommand")
		return
	}
	if !keepwell.ValidFact("host", to.Name) {
		return
	}
	s, err := credentials.AskSSH(ctx, to, l.sshHome)
	if err != nil {
		return // whether there is an ssh is the check vcs's business
	}
	agent := l.agent(ctx, s)
	keys := keysOf(s)
	switch {
	case len(keys[credentials.KeyGood]) > 0:
		l.use(to.Host, "key", l.tilde(keys[credentials.KeyGood][0]))
	case agent.keys > 0:
		l.use(to.Host, "agent", number(agent.keys))
	}
	if !u.sure && !u.likely || s.Other {
		return
	}
	l.badKeys(to, keys, agent)
	l.hostKey(to, s)
}

// agentState is what answers at the agent's socket.
type agentState struct {
	keys int
	// dead is the socket where nobody answers; "" where one does or none is named.
	dead string
}

func (l *logins) agent(ctx context.Context, s credentials.SSH) agentState {
	socket := s.Agent
	switch {
	case socket == "none":
		return agentState{}
	case socket == "SSH_AUTH_SOCK" || strings.HasPrefix(socket, "$"):
		socket = l.Settings.OS[strings.TrimPrefix(socket, "$")]
	}
	if socket == "" {
		return agentState{}
	}
	n, err := credentials.AgentKeys(ctx, socket)
	if err != nil {
		return agentState{dead: socket}
	}
	return agentState{keys: n}
}

func keysOf(s credentials.SSH) map[credentials.KeyState][]string {
	out := map[credentials.KeyState][]string{}
	for _, name := range s.Identities {
		state := credentials.Key(name)
		out[state] = append(out[state], name)
	}
	return out
}

// badKeys notes that no key can be used.
func (l *logins) badKeys(to credentials.Address, keys map[credentials.KeyState][]string, agent agentState) {
	if len(keys[credentials.KeyGood]) > 0 || agent.keys > 0 {
		return
	}
	facts := []string{"host", to.Name}
	dead := ""
	if agent.dead != "" {
		dead = l.Say("doctor.credentials.dead-agent", l.tilde(agent.dead))
	}
	switch open, locked := keys[credentials.KeyOpen], keys[credentials.KeyLocked]; {
	case len(open) > 0:
		l.find("auth/ssh-key", keepwell.SeverityWarning, append(facts, "path", l.tilde(open[0])), "key-open", l.tilde(open[0]), to.Name)
	case len(locked) > 0:
		l.find("auth/ssh-key", keepwell.SeverityWarning, append(facts, "path", l.tilde(locked[0])), "key-locked", l.tilde(locked[0]), dead)
	default:
		l.find("auth/ssh-key", keepwell.SeverityWarning, facts, "key-absent", to.Name, dead)
	}
}

// hostKey notes a host that ssh does not know: go's batch mode cannot ask.
func (l *logins) hostKey(to credentials.Address, s credentials.SSH) {
	if slices.Contains([]string{"no", "off", "false", "accept-new"}, s.Strict) {
		return
	}
	name := s.Name
	port := s.Port
	if s.Alias != "" {
		name, port = s.Alias, ""
	}
	var files []string
	for _, file := range s.KnownHosts {
		data, err := credentials.ReadFile(file)
		if err == nil && credentials.Known(data, name, port) {
			return
		}
		files = append(files, l.tilde(file))
	}
	if len(files) > 0 {
		l.find("auth/host-key", keepwell.SeverityWarning, []string{"host", to.Name, "path", files[0]}, "host-unknown", name, files[0])
	}
}
