package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/doctor"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/proc"
)

// bundled is a file of the archive for a bug report.
type bundled struct {
	name string
	data []byte
}

// runDoctorBundle writes what the doctor saw into an archive that can be shown to others.
func runDoctorBundle(ctx context.Context, a *app, o doctorOptions) error {
	if _, err := os.Lstat(o.bundle); err == nil {
		return &failure{exit: exitError, key: "err.doctor.exists", args: []any{o.bundle}, hint: "hint.doctor.exists"}
	}
	c, report, err := examineNow(ctx, a, o)
	if err != nil {
		return err
	}
	findings, err := a.describe(c, report.Findings, nil)
	if err != nil {
		return err
	}
	files, err := bundle(ctx, a, c, report, findings)
	if err != nil {
		return &failure{exit: exitError, key: "err.internal", args: []any{err}, hint: "hint.internal", unwrapped: err}
	}
	hide := hider(c, o.maskNames)
	for i := range files {
		files[i].data = []byte(hide(string(files[i].data)))
	}
	if err := writeBundle(o.bundle, files); err != nil {
		return &failure{exit: exitError, key: "err.doctor.bundle", args: []any{o.bundle, cause(err)}, hint: "hint.open", unwrapped: err}
	}
	return a.tellBundle(o.bundle, files)
}

func (a *app) tellBundle(name string, files []bundled) error {
	if present.Format(a.format).Machine() {
		var names []string
		for _, f := range files {
			names = append(names, f.name)
		}
		return shown(a, writeDocument(a, struct {
			Command string   `json:"command"`
			Bundle  string   `json:"bundle"`
			Files   []string `json:"files"`
		}{"doctor", name, names}))
	}
	fmt.Fprintln(a.out, present.Visible(msg.Text(a.lang, "doctor.bundle.written", name), true))
	for _, f := range files {
		fmt.Fprintf(a.out, "  %-14s %8d  %s\n", f.name, len(f.data), msg.Text(a.lang, "doctor.bundle."+strings.TrimSuffix(f.name, filepath.Ext(f.name))))
	}
	fmt.Fprintln(a.out, msg.Text(a.lang, "doctor.bundle.look"))
	return nil
}

// bundle gathers the files.
func bundle(ctx context.Context, a *app, c *doctor.Case, r doctor.Report, findings []keepwell.Finding) ([]bundled, error) {
	var doc examined
	doc.Checks = examinedChecks(a, r)
	if err := stream(&doc.gathered, "doctor", doctorTarget(c), findings); err != nil {
		return nil, err
	}
	var list []bundled
	data := func(name string, v any) error {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		err := enc.Encode(v)
		list = append(list, bundled{name, b.Bytes()})
		return err
	}
	if err := data("report.json", doc); err != nil {
		return nil, err
	}
	text, err := a.reportText(c, r, findings)
	if err != nil {
		return nil, err
	}
	list = append(list, bundled{"report.txt", text})
	goEnv := map[string]string{}
	for name, set := range c.Settings.Go.Go {
		goEnv[name] = maskedValue(name, set)
	}
	for _, f := range []struct {
		name string
		v    any
	}{{"env.json", c.Settings.Groups()}, {"goenv.json", goEnv}, {"probes.json", bundledProbes(a, r)}, {"versions.json", toolVersions(ctx, c)}} {
		if err := data(f.name, f.v); err != nil {
			return nil, err
		}
	}
	if name := c.Settings.Env.Value("GOMOD"); name != "" && name != os.DevNull {
		if mod, err := os.ReadFile(name); err == nil && len(mod) < 1<<20 {
			list = append(list, bundled{"go.mod", mod})
		}
	}
	if e, err := engine(); err == nil {
		if lines := lastLines(filepath.Join(e.Dir, "journal.jsonl")); len(lines) > 0 {
			list = append(list, bundled{"journal.jsonl", lines})
		}
	}
	return list, nil
}

func maskedValue(name, value string) string {
	if masked, ok := strings.CutPrefix(mask.Text(name+"="+value), name+"="); ok {
		return masked
	}
	return mask.Text(value)
}

// reportText is the report as a person sees it, without colours.
func (a *app) reportText(c *doctor.Case, r doctor.Report, findings []keepwell.Finding) ([]byte, error) {
	var b bytes.Buffer
	plain := *a
	plain.out, plain.color, plain.format = &b, "never", string(present.Text)
	err := plain.showExamined(c, r, findings)
	return b.Bytes(), err
}

type bundledProbe struct {
	Server string        `json:"server"`
	Layers []probedLayer `json:"layers"`
}

func bundledProbes(a *app, r doctor.Report) []bundledProbe {
	out := []bundledProbe{}
	for _, o := range r.Outcomes {
		for _, l := range o.Layers {
			out = append(out, bundledProbe{mask.Text(l.Target.String()), probeWords{a.lang}.layers(l.Results)})
		}
	}
	return out
}

// toolVersions are the programs that take part.
func toolVersions(ctx context.Context, c *doctor.Case) map[string]string {
	out := map[string]string{"keepwell": version(), "system": runtime.GOOS + "/" + runtime.GOARCH, "time": time.Now().Format(time.RFC3339)}
	if c.Machine.GoVersion != "" {
		out["go"] = c.Machine.GoVersion
	}
	for _, tool := range []string{"git", "npm", "node", "pip", "python3"} {
		text, err := proc.Output(ctx, proc.Options{Timeout: 3 * time.Second, Dir: os.TempDir()}, tool, "--version")
		if first, _, _ := strings.Cut(string(text), "\n"); err == nil {
			out[tool] = mask.Text(first)
		}
	}
	if release, err := os.ReadFile("/etc/os-release"); err == nil {
		for l := range strings.Lines(string(release)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(l), "PRETTY_NAME="); ok {
				out["distribution"] = strings.Trim(name, `"`)
			}
		}
	}
	return out
}

// mostJournal bounds the part of the journal that goes along, in bytes.
const mostJournal = 256 << 10

// lastLines are the last lines of the journal, which holds names and hashes and no
// contents.
func lastLines(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	if len(data) > mostJournal {
		data = data[len(data)-mostJournal:]
		if _, rest, ok := bytes.Cut(data, []byte("\n")); ok {
			data = rest
		}
	}
	return data
}

// hider masks whatever looks secret, the home directory, and on wish the names of
// private modules and of their servers.
func hider(c *doctor.Case, maskNames bool) func(string) string {
	s := c.Settings
	var pairs []string
	if maskNames {
		var private []string
		for _, m := range slices.Concat(s.Project.Requires, []module.Version{{Path: s.Project.Module}}) {
			patterns := strings.Join([]string{s.Env.Value("GOPRIVATE"), s.Env.Value("GONOPROXY"), s.Env.Value("GONOSUMDB")}, ",")
			if m.Path != "" && (m.Path == s.Project.Module || module.MatchPrefixPatterns(patterns, m.Path)) {
				private = append(private, m.Path)
			}
		}
		for _, item := range strings.Split(s.Env.Value("GOPRIVATE")+","+s.Env.Value("GONOPROXY")+","+s.Env.Value("GONOSUMDB"), ",") {
			if item = strings.Trim(strings.TrimSpace(item), "*./"); item != "" && item != "none" {
				private = append(private, item)
			}
		}
		slices.SortFunc(private, func(a, b string) int { return len(b) - len(a) })
		for i, p := range slices.Compact(private) {
			pairs = append(pairs, p, fmt.Sprintf("private-%d.invalid", i+1))
			if escaped, err := module.EscapePath(p); err == nil && escaped != p {
				pairs = append(pairs, escaped, fmt.Sprintf("private-%d.invalid", i+1))
			}
		}
	}
	if s.Home != "" && s.Home != "/" {
		pairs = append(pairs, s.Home, "~")
	}
	names := strings.NewReplacer(pairs...)
	return func(text string) string {
		var b strings.Builder
		for l := range strings.Lines(text) {
			b.WriteString(mask.Text(l))
		}
		return names.Replace(b.String())
	}
}

// writeBundle writes the archive where nothing is, for its owner only; one that could
// not be finished does not stay.
func writeBundle(name string, files []bundled) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			_ = os.Remove(name)
		}
	}()
	w := zip.NewWriter(f)
	for _, file := range files {
		out, err := w.CreateHeader(&zip.FileHeader{Name: file.name, Method: zip.Deflate, Modified: time.Now()})
		if err != nil {
			return err
		}
		if _, err := out.Write(file.data); err != nil {
			return err
		}
	}
	return w.Close()
}
