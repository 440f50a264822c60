package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/goenv"
	"github.com/keepwell/keepwell/internal/modbundle"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/plainfile"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/route"
)

func newBundleUnpackCmd(a *app) *cobra.Command {
	o := moduleOptions{exit: exitError}
	dir := ""
	cmd := &cobra.Command{
		Use:   "unpack FILE ... -o DIR",
		Short: "Make a directory for GOPROXY=file:// of bundles / 把打包文件解成 GOPROXY=file:// 可用的目录",
		Long: "unpack checks the bundles and writes their files into DIR, which go reads without any server. Standard output gets the\n" +
			"settings to use. It may be called again: what is there stays, what came with a newer bundle is added.\n" +
			"检查打包文件并解到目录中，go 可以直接读取，不需要服务器。可以重复运行。",
		Example: "  keepwell bundle unpack modules.zip -o /srv/modules",
		Args:    someBundles,
		RunE:    func(cmd *cobra.Command, args []string) error { return runBundleUnpack(cmd.Context(), a, o, dir, args) },
	}
	cmd.Flags().StringVarP(&dir, "output", "o", "", "the directory / 输出目录")
	return cmd
}

func runBundleUnpack(ctx context.Context, a *app, o moduleOptions, dir string, names []string) error {
	if dir == "" {
		return misused("bundle.nodir")
	}
	at, err := filepath.Abs(dir)
	if err != nil {
		return o.failed("bundle.write", "", err, dir)
	}
	s, err := a.checked(ctx, o, names)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // only read
	var total int64
	for _, b := range s.Bundles {
		total += b.Size
	}
	count, done := a.counting("bundle.unpacking", total)
	err = s.Unpack(ctx, at, count)
	done()
	if err != nil {
		hint := "hint.bundle.write"
		if errors.Is(err, modbundle.ErrMixed) {
			hint = "hint.bundle.mixed"
		}
		return o.failed("bundle.write", hint, cause(err), dir)
	}
	fmt.Fprintln(a.errs, present.Visible(msg.Text(a.lang, "bundle.unpacked", dir, s.Count()), true))
	a.tellSettings(ctx, fileURL(at), s)
	return nil
}

// fileURL is a directory for GOPROXY, which separates by commas and bars.
func fileURL(dir string) string {
	path := filepath.ToSlash(dir)
	if !strings.HasPrefix(path, "/") { // a drive of Windows
		path = "/" + path
	}
	return strings.ReplaceAll((&url.URL{Scheme: "file", Path: path}).String(), ",", "%2C")
}

// inside is what `bundle list` says to programs.
type inside struct {
	Bundles    []insideBundle `json:"bundles"`
	Databases  []string       `json:"databases"`
	Toolchains []string       `json:"toolchains"`
	Modules    []insideModule `json:"modules"`
}

type insideBundle struct {
	File  string   `json:"file"`
	ID    string   `json:"id"`
	Since []string `json:"since"`
	Size  int64    `json:"size"`
	Files int      `json:"files"`
}

type insideModule struct {
	modbundle.Module
	Size int64 `json:"size"` // of the code; 0 where only go.mod is there
}

func newBundleListCmd(a *app) *cobra.Command {
	o := moduleOptions{exit: exitError}
	return &cobra.Command{
		Use:   "list FILE ...",
		Short: "Show what bundles hold / 列出打包文件的内容",
		Long: "list shows the modules of bundles, their sizes, and who vouched for them where the bundle was made. It believes the\n" +
			"manifest; `bundle verify` does not.\n" +
			"列出打包文件中的模块、大小，以及制作时由谁担保。",
		Example: "  keepwell bundle list modules.zip\n  keepwell bundle list modules.zip --json",
		Args:    someBundles,
		RunE:    func(_ *cobra.Command, args []string) error { return runBundleList(a, o, args) },
	}
}

func runBundleList(a *app, o moduleOptions, names []string) error {
	if err := a.oneDocument(); err != nil {
		return err
	}
	s, err := modbundle.OpenSet(names...)
	if err != nil {
		return o.unopened(err)
	}
	defer s.Close() //nolint:errcheck // only read
	doc := inside{Databases: s.Databases(), Toolchains: []string{}, Modules: []insideModule{}}
	if doc.Databases == nil {
		doc.Databases = []string{}
	}
	mods := 0
	for _, b := range s.Bundles {
		since := b.Manifest.Since
		if since == nil {
			since = []string{}
		}
		doc.Bundles = append(doc.Bundles, insideBundle{b.Name, b.ID, since, b.Size, len(b.Manifest.Files)})
	}
	for _, m := range s.Modules() {
		im := insideModule{Module: m}
		if m.Zip == "" {
			mods++
		} else {
			for _, key := range keysOf(m.Key(), "zip") {
				im.Size = s.FileSize(key)
			}
		}
		if m.Path == toolchainPath {
			doc.Toolchains = append(doc.Toolchains, m.Version)
		}
		doc.Modules = append(doc.Modules, im)
	}
	if present.Format(a.format).Machine() {
		return a.document(doc)
	}
	return shown(a, present.Outline(a.out, a.style(), a.insideLines(doc, mods)))
}

func (a *app) insideLines(doc inside, mods int) []present.Line {
	say := func(key string, args ...any) present.Line {
		return present.Line{Text: msg.Text(a.lang, key, args...)}
	}
	var lines []present.Line
	for _, b := range doc.Bundles {
		lines = append(lines, say("bundle.list.file", filepath.Base(b.File), modbundle.Short(b.ID), mebibytes(b.Size), b.Files))
		for _, id := range b.Since {
			lines = append(lines, say("bundle.list.since", modbundle.Short(id)))
		}
	}
	if len(doc.Databases) > 0 {
		lines = append(lines, say("bundle.list.databases", strings.Join(doc.Databases, ", ")))
	}
	var rows []present.Row
	for _, m := range doc.Modules {
		if m.Zip != "" {
			rows = append(rows, present.Row{Cells: []string{m.Path, m.Version, kibibytes(m.Size), a.trust(m.Trust)}})
		}
	}
	lines = append(lines, present.Line{})
	lines = append(lines, a.moduleTable(rows, msg.Text(a.lang, "bundle.list.trust"))...)
	if mods > 0 {
		lines = append(lines, present.Line{}, say("bundle.list.mods", mods))
	}
	return lines
}

// moduleTable is a table of modules, within 80 columns.
func (a *app) moduleTable(rows []present.Row, last string) []present.Line {
	const path, version = 36, 20
	return present.Table(a.style(), []present.Column{
		{Title: msg.Text(a.lang, "bundle.list.module"), Most: path},
		{Title: msg.Text(a.lang, "bundle.list.version"), Most: version},
		{Title: "KiB", Right: true},
		{Title: last},
	}, rows)
}

func kibibytes(n int64) string { return strconv.FormatInt((n+1023)/1024, 10) }

// trust is who vouched, in the reader's language.
func (a *app) trust(via string) string {
	if via == "first use" {
		return msg.Text(a.lang, "bundle.list.first")
	}
	return cmp.Or(via, "-")
}

func newBundleVerifyCmd(a *app) *cobra.Command {
	o := moduleOptions{exit: exitError}
	var sums []string
	cmd := &cobra.Command{
		Use:   "verify FILE ...",
		Short: "Prove what bundles hold, without a network / 离线验证打包文件的内容",
		Long: "verify holds every file to the manifest, computes the sum of every module from its bytes, and proves it by the tree that\n" +
			"the checksum database signed, with the key of GOSUMDB here, and by the go.sum files that --sum names. It exits with 3\n" +
			"where something is wrong.\n" +
			"逐个计算模块的校验和，用本机 GOSUMDB 的公钥和打包文件内的证明离线验证；--sum 另外对照 go.sum。有问题时退出码为 3。",
		Example: "  keepwell bundle verify modules.zip --sum go.sum",
		Args:    someBundles,
		RunE:    func(cmd *cobra.Command, args []string) error { return runBundleVerify(cmd.Context(), a, o, sums, args) },
	}
	cmd.Flags().StringArrayVar(&sums, "sum", nil, "a go.sum that has to agree / 用来对照的 go.sum")
	return cmd
}

// verified is what `bundle verify` says to programs.
type verified struct {
	OK       bool   `json:"ok"`
	Database string `json:"database"`
	Damaged  string `json:"damaged,omitempty"`
	// Proved, Summed and Unproved count versions; those with a problem are in none.
	Proved   int                 `json:"proved"`
	Summed   int                 `json:"summed"`
	Unproved []string            `json:"unproved"`
	Problems []modbundle.Checked `json:"problems"`
}

func runBundleVerify(ctx context.Context, a *app, o moduleOptions, sums, names []string) error {
	if err := a.oneDocument(); err != nil {
		return err
	}
	v := modbundle.Verifier{Sums: map[string]string{}}
	for _, name := range sums {
		data, err := plainfile.Read(name)
		if err != nil {
			return o.failed("bundle.read", "", plainCause(err))
		}
		p := project{sums: v.Sums}
		p.addSums(data)
	}
	doc := verified{Unproved: []string{}, Problems: []modbundle.Checked{}}
	if env, err := goenv.Load(ctx, ""); err == nil {
		if db, on, err := route.ReadDatabase(env.Value("GOSUMDB")); err == nil && on {
			v.Name, v.Key, doc.Database = db.Name, db.Key, db.Name
		}
	}
	s, err := modbundle.OpenSet(names...)
	if err == nil {
		defer s.Close() //nolint:errcheck // only read
		if err := a.verify(ctx, s, v, &doc); err != nil {
			return o.failed("bundle.verify", "", err)
		}
	} else if doc.Damaged = a.damaged(err); doc.Damaged == "" {
		return o.unopened(err)
	}
	doc.OK = doc.Damaged == "" && len(doc.Problems) == 0
	if present.Format(a.format).Machine() {
		return a.document(doc)
	}
	if !doc.OK {
		a.exit = exitFaults
	}
	return shown(a, present.Outline(a.out, a.style(), a.verifiedLines(doc)))
}

// damaged words what is wrong with the content of a bundle that cannot be opened; "" where
// it could not be read, or lacks another one.
func (a *app) damaged(err error) string {
	var f *modbundle.FileError
	var base *modbundle.BaseError
	var path *fs.PathError
	if !errors.As(err, &f) || errors.As(err, &base) || errors.As(err, &path) {
		return ""
	}
	return a.damage(f)
}

// damage is English for programs.
func (a *app) damage(f *modbundle.FileError) string {
	if present.Format(a.format).Machine() {
		return f.Error()
	}
	return msg.Text(a.lang, "cause.of", f.Name, f.Err)
}

func (a *app) verify(ctx context.Context, s *modbundle.Set, v modbundle.Verifier, doc *verified) error {
	var total int64
	for _, b := range s.Bundles {
		total += b.Size
	}
	count, done := a.counting("bundle.checking", total)
	defer done()
	if err := s.Check(ctx, count); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		doc.Damaged = err.Error()
		var f *modbundle.FileError
		if errors.As(err, &f) {
			doc.Damaged = a.damage(f)
		}
	}
	list, err := s.Verify(ctx, v, nil)
	for _, c := range list {
		switch name := c.Path + "@" + c.Version; {
		case c.Problem != "":
			doc.Problems = append(doc.Problems, c)
		case c.Proof == modbundle.ProofDatabase:
			doc.Proved++
		case c.Proof == modbundle.ProofSum:
			doc.Summed++
		default:
			doc.Unproved = append(doc.Unproved, name)
		}
	}
	slices.Sort(doc.Unproved)
	return err
}

func (a *app) verifiedLines(doc verified) []present.Line {
	var lines []present.Line
	say := func(tone present.Tone, key string, args ...any) {
		lines = append(lines, present.Line{Text: msg.Text(a.lang, key, args...), Tone: tone})
	}
	if doc.Damaged != "" {
		say(present.Warning, "bundle.verify.damaged", doc.Damaged)
	}
	for _, c := range doc.Problems {
		say(present.Warning, "bundle.verify.problem", c.Path, c.Version, c.Problem)
	}
	if doc.Proved > 0 {
		say(present.Bold, "bundle.verify.proved", doc.Proved, doc.Database)
	}
	if doc.Summed > 0 {
		say(present.Bold, "bundle.verify.summed", doc.Summed)
	}
	if n := len(doc.Unproved); n > 0 {
		say("", "bundle.verify.unproved", n)
		for _, name := range doc.Unproved {
			lines = append(lines, present.Line{Text: "  " + name, Whole: true})
		}
	}
	if doc.OK {
		say("", "bundle.verify.ok")
	} else {
		say(present.Warning, "bundle.verify.bad")
	}
	return lines
}

// oneDocument refuses formats that have no form for this.
func (a *app) oneDocument() error {
	if f := present.Format(a.format); f != present.Text && !f.Machine() {
		return misused("err.format", a.format, names([]present.Format{present.Text, present.JSON, present.JSONL}))
	}
	return nil
}

// document writes v for programs; nothing for people, who were told.
func (a *app) document(v any) error {
	if !present.Format(a.format).Machine() {
		return nil
	}
	return shown(a, present.WriteDocument(a.out, present.Format(a.format), v))
}
