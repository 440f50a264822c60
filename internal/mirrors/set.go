package mirrors

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/keepwell/keepwell/internal/act"
	"github.com/keepwell/keepwell/internal/observe"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/settings"
)

// Setting is one of go's variables in a consistent set.
type Setting struct {
	Name string
	// Value is what it is to be; "" is unset. Changes says that it is something else now.
	Value   string
	Changes bool
	// Ask says that only a person may decide it, whatever else was agreed to.
	Ask bool
	// Why is what is to be said about it; the zero value is nothing.
	Why Check
}

// GoSet is the consistent set of GOPROXY, GOSUMDB, GONOPROXY and GOPRIVATE that uses m.
// Patterns and company proxies stay, these first; off, direct alone, and lists with a
// company's proxy change only where a person agrees; verification is never turned off.
// direct says whether the public checksum database is reached by its name and by its
// other address; it matters only where m does not have it.
func GoSet(s *settings.Settings, c *Catalogue, m *Measured, direct map[string]Check) []Setting {
	was := s.Env.Value("GOPROXY")
	list, company, closed := goList(was, m, func(at string) bool { return c.public(at, s) })
	proxy := Setting{Name: "GOPROXY", Value: list, Changes: list != was, Ask: company || closed}
	switch {
	case !proxy.Changes:
	case company:
		proxy.Why = yes("mirrors.set.company", m.Name)
	case closed:
		proxy.Why = yes("mirrors.set.closed", was)
	}
	if list == s.Go.Root["GOPROXY"] && s.OS["GOPROXY"] == "" {
		proxy.Value = "" // what go comes with needs no setting
	}
	after := s.With("GOPROXY", list)
	private := Setting{Name: "GOPRIVATE", Value: s.Env.Value("GOPRIVATE")}
	noproxy := Setting{Name: "GONOPROXY", Value: s.Env.Value("GONOPROXY")}
	if !company { // a company's proxy may well have private modules
		private.Value = uncovered(after)
		noproxy.Value = outranking(s, private.Value)
	}
	private.Changes = private.Value != s.Env.Value("GOPRIVATE")
	noproxy.Changes = noproxy.Value != s.Env.Value("GONOPROXY")
	if private.Changes {
		private.Why = yes("mirrors.set.private", m.Name)
	}
	if noproxy.Changes {
		noproxy.Why = yes("mirrors.set.noproxy", m.Name)
		if noproxy.Value == private.Value { // then it follows from GOPRIVATE
			noproxy.Value = ""
		}
	}
	return []Setting{proxy, checksums(s, m, direct), private, noproxy}
}

// goList is the list with m in the place of the public mirrors; company says that it
// has other servers, closed that it is off or direct alone.
func goList(was string, m *Measured, public func(string) bool) (list string, company, closed bool) {
	entries := settings.ProxyList(was)
	first := slices.IndexFunc(entries, func(e settings.ProxyEntry) bool { return public(e.Text) })
	if first >= 0 && same(entries[first].Text, m.URL) { // it is asked already; what falls in for it stays
		return was, false, false
	}
	var b strings.Builder
	placed := false
	for i, e := range entries {
		isAddress := e.Text != "direct" && e.Text != "off"
		switch {
		case isAddress && public(e.Text) && placed:
			continue
		case isAddress && public(e.Text):
			b.WriteString(m.URL)
			placed = true
			if m.Stops && i+1 < len(entries) { // or what follows would never be asked
				e.Pipe = true
			}
		case isAddress:
			company = true
			b.WriteString(e.Text)
		default:
			b.WriteString(e.Text)
		}
		if i+1 == len(entries) {
			break
		}
		if e.Pipe {
			b.WriteByte('|')
		} else {
			b.WriteByte(',')
		}
	}
	switch {
	case placed:
		return strings.TrimRight(b.String(), ",|"), company, false
	case company:
		return settings.AddProxy(was, m.URL, m.Stops), true, false
	}
	return offered(m), false, len(entries) > 0
}

// offered is the list that a mirror alone makes: what it does not have, private modules
// above all, go fetches from where it is kept.
func offered(m *Measured) string {
	if m.Stops {
		return m.URL + "|direct"
	}
	return m.URL + ",direct"
}

// Offered is the GOPROXY list that uses m alone; "" for other ecosystems than Go.
func (m *Measured) Offered() string {
	if m.Ecosystem != Go {
		return ""
	}
	return offered(m)
}

// uncovered is GOPRIVATE with the private-looking modules of this project that it does
// not name.
func uncovered(s *settings.Settings) string {
	value := s.Env.Value("GOPRIVATE")
	for range s.Project.Requires { // each round covers one host
		for _, l := range s.Lints() {
			if l.ID == "leak" && l.Set != "" {
				_, value, _ = strings.Cut(l.Set, "=")
				break
			}
		}
		if value == s.Env.Value("GOPRIVATE") {
			break
		}
		s = s.With("GOPRIVATE", value)
	}
	return value
}

// outranking is GONOPROXY so that it leaves out nothing of GOPRIVATE: where it is set it
// stands in its place, not beside it.
func outranking(s *settings.Settings, private string) string {
	value := s.Env.Value("GONOPROXY")
	own := s.OS["GONOPROXY"] != "" || s.Go.User["GONOPROXY"] != "" || s.Go.Root["GONOPROXY"] != ""
	if !own || private == "" {
		return value
	}
	if value == "none" {
		return private
	}
	for item := range strings.SplitSeq(private, ",") {
		if item = strings.TrimSpace(item); item != "" {
			value = settings.AddPattern(value, item)
		}
	}
	return value
}

// checksums keeps verification as it is. Where m does not have the public database and
// its name is out of reach, its other address, with the same key, is proposed.
func checksums(s *settings.Settings, m *Measured, direct map[string]Check) Setting {
	out := Setting{Name: "GOSUMDB", Value: s.Env.Value("GOSUMDB")}
	switch {
	case out.Value == "off":
		out.Why = no("mirrors.set.sumoff")
	case m.Sums.Key != "mirrors.sums.direct" || out.Value != SumName:
	case direct[SumName].State == observe.Yes:
	case direct[SumAlias].State == observe.Yes:
		out.Value, out.Changes, out.Ask = SumAlias, true, true
		out.Why = yes("mirrors.set.sumalias", m.Name, SumName, SumAlias)
	case direct[SumName].State != "":
		out.Why = no("mirrors.set.sumunreached", m.Name, SumName)
	}
	return out
}

// OutrankedError says that a stronger place sets the same, so that the user's file has
// no say.
type OutrankedError struct {
	Name, Place, File string
	Line              int
}

func (e *OutrankedError) Error() string {
	return fmt.Sprintf("%s is set in a stronger place (%s %s)", e.Name, e.Place, e.File)
}

// NpmSet is the edit of the user's .npmrc that makes npm ask url; "" takes the setting
// away.
func NpmSet(s *settings.Settings, url string) (act.Edit, error) {
	return userSetting(s.Npm, s.NpmUserFile(), "registry", func(before []byte, line int) []byte {
		text := ""
		if url != "" {
			text = "registry=" + url
		}
		return replaceLine(before, line, text, false)
	})
}

// PipSet is the edit of the user's pip.conf that makes pip ask url; "" takes the setting
// away.
func PipSet(s *settings.Settings, url string) (act.Edit, error) {
	return userSetting(s.Pip, s.PipUserFile(), "index-url", func(before []byte, line int) []byte {
		text := ""
		if url != "" {
			text = "index-url = " + url
		}
		if line > 0 || text == "" {
			return replaceLine(before, line, text, true)
		}
		for i, l := range bytes.SplitAfter(before, []byte("\n")) {
			if strings.TrimSpace(string(l)) == "[global]" {
				return replaceLine(before, -(i + 1), text, true)
			}
		}
		return replaceLine(before, 0, "[global]\n"+text, true)
	})
}

// userSetting edits the line of name in the user's file, or lets change add one (line 0).
func userSetting(list []settings.Entry, file, name string, change func(before []byte, line int) []byte) (act.Edit, error) {
	if file == "" {
		return act.Edit{}, fmt.Errorf("setting %s: %w", name, fs.ErrNotExist)
	}
	line := 0
	for _, e := range list {
		switch {
		case e.Name != name:
		case e.File == file:
			line = e.Line // the last of a file is the one that holds
		case e.InForce && e.Place != "user" && e.Place != "global":
			return act.Edit{}, &OutrankedError{Name: name, Place: e.Place, File: e.File, Line: e.Line}
		}
	}
	before, err := plainfile.Read(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return act.Edit{}, fmt.Errorf("setting %s: %w", name, err)
	}
	// A file that may hold passwords is its owner's.
	return act.Edit{Path: file, Before: before, After: change(before, line), Mode: 0o600}, nil
}

// replaceLine puts text in the place of a line and, where indented lines continue it, of
// these; 0 appends, a negative number inserts behind that line, no text removes. Line
// endings stay.
func replaceLine(data []byte, line int, text string, continued bool) []byte {
	if line == 0 && text == "" {
		return data
	}
	end := "\n"
	if bytes.Contains(data, []byte("\r\n")) {
		end = "\r\n"
	}
	if text != "" {
		text += end
	}
	if n := len(data); n > 0 && data[n-1] != '\n' {
		data = append(bytes.Clone(data), end...)
	}
	if line == 0 {
		return append(bytes.Clone(data), text...)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	at := max(line, -line)
	from, to := at-1, at
	if line < 0 {
		from = at
	}
	for continued && line > 0 && to < len(lines) && len(bytes.TrimSpace(lines[to])) > 0 && (lines[to][0] == ' ' || lines[to][0] == '\t') {
		to++
	}
	var out bytes.Buffer
	out.Write(bytes.Join(lines[:from], nil))
	out.WriteString(text)
	out.Write(bytes.Join(lines[to:], nil))
	return out.Bytes()
}
