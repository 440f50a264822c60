package settings

import (
	"cmp"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// npmKeys are npm's settings that touch fetching; scopes and hosts come on top.
const npmKeys = "registry proxy https-proxy noproxy strict-ssl cafile ca cert certfile keyfile always-auth _auth _authToken _password username " +
	"offline prefer-offline userconfig globalconfig"

// readNpm reads npm's places, strongest first: npm_config_* variables, the project's
// file, the user's, the installation's.
func (s *Settings) readNpm() []Entry {
	var out []Entry
	for _, name := range sortedKeys(s.OS) {
		key, ok := cutPrefixFold(name, "npm_config_")
		if !ok || s.OS[name] == "" || strings.HasPrefix(key, "/") || strings.HasPrefix(key, "_") { // npm skips empty ones too
			continue
		}
		key = strings.ReplaceAll(strings.ToLower(key), "_", "-")
		if slices.Contains(strings.Fields(npmKeys), key) {
			out = append(out, s.npmEntry(pair{key: key, value: s.OS[name]}, "environment", ""))
		}
	}
	for _, f := range s.npmFiles() {
		pairs := parseNpmrc(read(f.path))
		slices.Reverse(pairs) // within a file the last wins
		for _, p := range pairs {
			if npmMatters(p.key) {
				out = append(out, s.npmEntry(p, f.place, f.path))
			}
		}
	}
	return inForce(out)
}

func npmMatters(key string) bool {
	return slices.Contains(strings.Fields(npmKeys), key) || strings.HasPrefix(key, "//") || strings.HasPrefix(key, "@") && strings.HasSuffix(key, ":registry")
}

type file struct{ place, path string }

func (s *Settings) npmFiles() []file {
	var out []file
	if root := npmRoot(s.Project.Dir); root != s.Home {
		out = append(out, file{"project", filepath.Join(root, ".npmrc")})
	}
	user := s.npmVariable("userconfig")
	if user == "" && s.Home != "" {
		user = filepath.Join(s.Home, ".npmrc")
	}
	out = append(out, file{"user", user})
	global := s.npmVariable("globalconfig")
	if global == "" {
		prefix := s.npmVariable("prefix")
		if npm, err := exec.LookPath("npm"); prefix == "" && err == nil {
			prefix = filepath.Dir(filepath.Dir(npm))
		}
		global = filepath.Join(cmp.Or(prefix, "/usr/local"), "etc", "npmrc")
		if prefix == "/usr" { // Debian moved it
			global = "/etc/npmrc"
		}
	}
	return append(out, file{"global", global})
}

func (s *Settings) npmVariable(key string) string {
	return cmp.Or(s.OS["NPM_CONFIG_"+strings.ToUpper(key)], s.OS["npm_config_"+key])
}

// npmRoot is the directory that npm takes for the project: the nearest above that
// has a package.json or node_modules.
func npmRoot(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		for _, name := range []string{"package.json", "node_modules"} {
			if _, err := os.Stat(filepath.Join(at, name)); err == nil {
				return at
			}
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// npmEntry drops what is secret at once.
func (s *Settings) npmEntry(p pair, place, path string) Entry {
	e := Entry{Name: p.key, Value: p.value, Place: place, File: path, Line: p.line}
	field := p.key
	if strings.HasPrefix(p.key, "//") {
		base := p.key
		field = ""
		if i := strings.LastIndex(p.key, ":"); i > 0 {
			base, field = p.key[:i], p.key[i+1:]
		}
		e.Host, _, _ = strings.Cut(strings.TrimPrefix(base, "//"), "/")
	}
	kind := map[string]string{"_authToken": "token", "_auth": "login", "_password": "password", "keyfile": "", "username": ""}[field]
	if kind != "" {
		e.Value, e.Credential = "", kind
		e.Literal, e.Unset = s.variableOf(p.value)
	}
	return e
}

var variable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$\{([A-Za-z_]\w*)(\??)\}`) })

// variableOf reports whether a credential stands there itself, and else whether the
// variable that holds it is missing.
func (s *Settings) variableOf(value string) (literal, unset bool) {
	m := variable().FindStringSubmatch(value)
	if m == nil {
		return true, false
	}
	_, set := s.OS[m[1]]
	return false, !set && m[2] == ""
}

// pipKeys are pip's settings that touch fetching.
const pipKeys = "index-url extra-index-url find-links no-index trusted-host cert client-cert proxy timeout retries index keyring-provider require-virtualenv"

// readPip reads pip's places, strongest first: PIP_* variables, PIP_CONFIG_FILE, the
// virtual environment's file, the user's, the machine's.
func (s *Settings) readPip() []Entry {
	var out []Entry
	for _, name := range sortedKeys(s.OS) {
		key, ok := strings.CutPrefix(name, "PIP_")
		key = strings.ReplaceAll(strings.ToLower(key), "_", "-")
		if ok && s.OS[name] != "" && slices.Contains(strings.Fields(pipKeys), key) {
			out = append(out, s.pipEntry(pair{key: key, value: s.OS[name]}, "environment", ""))
		}
	}
	for _, f := range s.pipFiles() {
		pairs := parsePip(read(f.path))
		slices.Reverse(pairs)
		for _, p := range pairs {
			if slices.Contains(strings.Fields(pipKeys), p.key) && (p.section == "global" || p.section == "install" || p.section == "download") {
				out = append(out, s.pipEntry(p, f.place, f.path))
			}
		}
	}
	return inForce(out)
}

func (s *Settings) pipFiles() []file {
	name := "pip.conf"
	if runtime.GOOS == "windows" {
		name = "pip.ini"
	}
	var out []file
	chosen := s.OS["PIP_CONFIG_FILE"]
	if chosen == os.DevNull { // pip then reads no file at all
		return nil
	}
	if chosen != "" {
		out = append(out, file{"PIP_CONFIG_FILE", chosen})
	}
	if venv := s.OS["VIRTUAL_ENV"]; venv != "" {
		out = append(out, file{"site", filepath.Join(venv, name)})
	}
	if s.Home != "" {
		switch runtime.GOOS {
		case "windows":
			out = append(out, file{"user", filepath.Join(s.OS["APPDATA"], "pip", name)})
		case "darwin":
			out = append(out, file{"user", filepath.Join(s.Home, "Library", "Application Support", "pip", name)})
		}
		out = append(
			out, file{"user", filepath.Join(cmp.Or(s.OS["XDG_CONFIG_HOME"], filepath.Join(s.Home, ".config")), "pip", name)},
			file{"user", filepath.Join(s.Home, ".pip", name)},
		)
	}
	for _, dir := range filepath.SplitList(cmp.Or(s.OS["XDG_CONFIG_DIRS"], "/etc/xdg")) {
		out = append(out, file{"global", filepath.Join(dir, "pip", name)})
	}
	return append(out, file{"global", filepath.Join("/etc", name)})
}

// NpmUserFile is the file that `npm config set` writes; "" where there is no home.
func (s *Settings) NpmUserFile() string { return userFile(s.npmFiles()) }

// PipUserFile is the file that `pip config set` writes; "" where there is no home, or
// pip reads no files.
func (s *Settings) PipUserFile() string { return userFile(s.pipFiles()) }

// userFile is the strongest of the user's files that is there, or whose directory is;
// else the last that is in use nowadays.
func userFile(list []file) string {
	var users []string
	for _, f := range list {
		if f.place == "user" && f.path != "" {
			users = append(users, f.path)
		}
	}
	for _, path := range users {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	for _, path := range users {
		if _, err := os.Stat(filepath.Dir(path)); err == nil && filepath.Base(filepath.Dir(path)) == "pip" {
			return path
		}
	}
	if n := len(users); n > 1 { // the very last is what pip has outgrown: ~/.pip
		return users[n-2]
	} else if n == 1 {
		return users[0]
	}
	return ""
}

// pipEntry takes the login out of URLs, and says that there was one.
func (s *Settings) pipEntry(p pair, place, path string) Entry {
	e := Entry{Name: p.key, Place: place, File: path, Line: p.line}
	words := strings.Fields(p.value)
	for i, w := range words {
		u, err := url.Parse(w)
		if err != nil || u.User == nil {
			continue
		}
		e.Credential, e.Host = "login", u.Hostname()
		e.Literal, e.Unset = s.variableOf(u.User.String())
		u.User = nil
		words[i] = u.String()
	}
	e.Value = strings.Join(words, " ")
	return e
}

// inForce marks the strongest entry of each name, of a list with the strongest first.
func inForce(list []Entry) []Entry {
	seen := map[string]bool{}
	for i := range list {
		list[i].InForce = !seen[list[i].Name]
		seen[list[i].Name] = true
	}
	// Shown are the lines of a file in their order.
	for start := 0; start < len(list); {
		end := start + 1
		for end < len(list) && list[end].File == list[start].File && list[start].File != "" {
			end++
		}
		slices.Reverse(list[start:end])
		start = end
	}
	return list
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return "", false
}

// certNames are the variables that name certificates for some tool.
func certNames() []string {
	return []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"}
}
