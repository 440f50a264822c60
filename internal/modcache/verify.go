package modcache

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/sync/semaphore"
)

// Check says what Verify holds the cache to.
type Check struct {
	Cache Cache
	// Sums are the lines of go.sum files: "module version" and "module version/go.mod" to
	// the sum.
	Sums map[string]string
	// Database is the checksum database whose stored answers count, as in GOSUMDB; empty
	// or "off": none.
	Database string
	// Records is the file in which sums are kept for the next time; empty: none are.
	Records string
	// Full reads everything again, whatever was recorded.
	Full bool
	// Far, if set, is called now and then with how far it is.
	Far func(done, all int)
}

// Report is what Verify saw.
type Report struct {
	Versions int `json:"versions"`
	Archives int `json:"archives"`
	Trees    int `json:"directories"`
	// Recorded are versions of which nothing changed since they were last found sound.
	Recorded int `json:"recorded"`
	// Vouched are versions whose sums go.sum or the checksum database has.
	Vouched int `json:"vouched"`
	// Bytes were read.
	Bytes int64 `json:"bytes_read"`
	// Busy are versions that a running go is at; they were left out.
	Busy   []module.Version `json:"busy"`
	Faults []Fault          `json:"faults"`
}

// verifying is one run of Verify.
type verifying struct {
	Check
	database *database
	old, now *records
	began    time.Time

	mu     sync.Mutex
	report Report
	room   *semaphore.Weighted
	large  []*reader
	// owner is as in inventory.
	owner int
	bytes atomic.Int64
	done  atomic.Int64
}

// Verify looks at everything in the cache. It changes nothing but the file of records.
func Verify(ctx context.Context, check Check) (*Report, error) {
	v := &verifying{Check: check, began: time.Now(), old: readRecords(check.Records), now: newRecords(), room: semaphore.NewWeighted(mostHeld)}
	if check.Full {
		v.old = newRecords()
	}
	inv, err := takeInventory(ctx, check.Cache)
	if err != nil {
		return nil, err
	}
	v.owner = inv.owner
	v.database = openDatabase(check.Cache, check.Database)
	v.report = Report{Busy: []module.Version{}, Faults: inv.faults, Versions: len(inv.versions)}
	if err := v.versions(ctx, inv.list()); err != nil {
		return nil, err
	}
	for _, name := range inv.lists {
		v.list(name)
	}
	v.sumdb(inv)
	v.report.Bytes = v.bytes.Load()
	v.report.Faults = settled(v.report.Faults)
	slices.SortFunc(v.report.Busy, func(a, b module.Version) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Version, b.Version))
	})
	if check.Records != "" && stamps {
		if err := v.now.write(check.Records); err != nil {
			return &v.report, err
		}
	}
	return &v.report, nil
}

// settled sorts the faults, the gravest first, and drops what is said twice.
func settled(list []Fault) []Fault {
	rank := func(f Fault) int { return slices.Index([]string{"error", "warning", "info"}, string(f.Severity)) }
	slices.SortFunc(list, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Module, b.Module), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
	})
	list = slices.CompactFunc(list, func(a, b Fault) bool { return a.Path == b.Path && a.Kind == b.Kind })
	if list == nil {
		list = []Fault{}
	}
	return list
}

func (v *verifying) versions(ctx context.Context, list []*held) error {
	var next atomic.Int64
	var work sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		work.Go(func() {
			r := &reader{}
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) || ctx.Err() != nil {
					return
				}
				v.version(r, list[i]) //nolint:contextcheck // an archive that is being read is read to its end
				if v.Far != nil {
					v.Far(int(v.done.Add(1)), len(list))
				}
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// looking is the check of one version.
type looking struct {
	*verifying
	r *reader
	*held
	faults []Fault
	// tree are the files of the directory; nil where there is none, or none that counts.
	tree map[string]entry
	// zipH1 is the archive's sum, "" where there is no sound one; treeH1 the directory's.
	zipH1, treeH1, modH1 string
	// inner is the go.mod in the archive.
	inner []byte
}

func (l *looking) add(f Fault) {
	f.Module, f.Version = l.Path, l.Version.Version
	f.Severity = cmp.Or(f.Severity, severityOf(f.Kind))
	if f.Mends == nil {
		f.Mends = []Mend{}
	}
	l.faults = append(l.faults, f)
}

func (l *looking) path(ext string) string { return l.Cache.file(l.Version, ext) }
func (l *looking) root() string           { return l.Cache.tree(l.Version) }

// wanted is the sum that somebody vouches for, and who.
func (l *looking) wanted(suffix string) (sum, source string) {
	if sum = l.Sums[l.Path+" "+l.Version.Version+suffix]; sum != "" {
		return sum, "go.sum"
	}
	if sum = l.database.sum(l.Version, suffix); sum != "" {
		return sum, "sumdb"
	}
	return "", ""
}

func (v *verifying) version(r *reader, h *held) {
	l := &looking{verifying: v, r: r, held: h}
	l.openTree()
	l.lock()
	stamp, settledFor := l.stamp()
	key := h.Path + "@" + h.Version.Version
	known, ok := v.old.all[key]
	fromRecord := ok && known.stamp == stamp && l.agrees(known) && len(l.faults) == 0
	if fromRecord {
		l.zipH1, l.modH1 = known.zip, known.mod
	} else {
		l.readAll()
	}
	if len(l.faults) > 0 && heldByOther(l.path(extLock)) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.report.Busy = append(v.report.Busy, h.Version)
		return
	}
	zipWant, _ := l.wanted("")
	modWant, _ := l.wanted("/go.mod")
	v.mu.Lock()
	defer v.mu.Unlock()
	if h.has(extZip) {
		v.report.Archives++
	}
	if l.tree != nil {
		v.report.Trees++
	}
	if fromRecord {
		v.report.Recorded++
	}
	if (zipWant != "" || !h.has(extZip)) && (modWant != "" || !h.has(extMod)) {
		v.report.Vouched++
	}
	v.report.Faults = append(v.report.Faults, l.faults...)
	if len(l.faults) == 0 && settledFor {
		v.now.all[key] = record{stamp: stamp, zip: cmp.Or(l.zipH1, l.treeH1), mod: l.modH1}
	}
}

// agrees reports whether the recorded sums are those that are vouched for now.
func (l *looking) agrees(known record) bool {
	zip, _ := l.wanted("")
	mod, source := l.wanted("/go.mod")
	if source == "go.sum" && l.has(extZip) && !l.has(extMod) {
		return false // no fault for those who did not need it
	}
	return (zip == "" || known.zip == "" || zip == known.zip) && (mod == "" || known.mod == "" || mod == known.mod)
}

// openTree lists the directory, and what its permissions forbid.
func (l *looking) openTree() {
	if l.held.tree.name == "" {
		return
	}
	root := l.root()
	switch {
	case !l.held.tree.mode.IsDir():
		l.add(Fault{Kind: KindIrregular, Path: root, Detail: l.held.tree.mode.Type().String(), Mends: []Mend{{Action: ActByHand, Path: root}}})
		return
	case foreign(l.held.tree) && l.held.tree.owner != l.owner:
		l.add(Fault{Kind: KindOwner, Path: root, Mends: []Mend{{Action: ActByHand, Path: root}}})
	case l.has(extPartial):
		l.add(Fault{
			Kind: KindPartial, Path: l.path(extPartial),
			Mends: []Mend{{Action: ActRemoveDir, Path: root}, {Action: ActRemove, Path: l.path(extPartial)}}, Fetch: true,
		})
		return
	}
	tree, buf, err := treeFiles(root, l.r.entries)
	l.r.entries = buf
	l.tree = tree
	var closed []string
	if lacksRead(l.held.tree.mode) {
		closed = append(closed, "")
	}
	for name, e := range tree {
		if lacksRead(e.mode) && e.mode.Type() != fs.ModeSymlink {
			closed = append(closed, name)
		}
	}
	slices.Sort(closed)
	if len(closed) > 0 {
		f := Fault{Kind: KindPermission, Path: filepath.Join(root, filepath.FromSlash(closed[0])), Detail: closed[0]}
		for _, name := range closed {
			mode := l.held.tree.mode.Perm() | 0o500
			if name != "" {
				mode = tree[name].mode.Perm() | 0o400
			}
			if strings.HasSuffix(name, "/") {
				mode |= 0o500
			}
			f.Mends = append(f.Mends, Mend{Action: ActChmod, Path: filepath.Join(root, filepath.FromSlash(name)), Mode: mode})
		}
		l.add(f)
	}
	if err == nil {
		err = l.openable(root, tree)
	}
	if err != nil && len(closed) == 0 {
		l.add(Fault{Kind: KindUnreadable, Path: root, Detail: err.Error()})
	}
	if err != nil || len(closed) > 0 && me() > 0 {
		l.tree = nil // it cannot be compared before it can be read
	}
}

// openable tries the files of somebody else: whether they can be read is not only their
// owner's permissions' to say.
func (l *looking) openable(root string, tree map[string]entry) error {
	for name, e := range tree {
		if !foreign(e) || !e.mode.IsRegular() {
			continue
		}
		f, err := open(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		_ = f.Close()
	}
	return nil
}

// readAll reads what there is of the version and judges it.
func (l *looking) readAll() {
	if l.has(extPartial) && l.held.tree.name == "" {
		l.add(Fault{Kind: KindPartial, Path: l.path(extPartial), Mends: []Mend{{Action: ActRemove, Path: l.path(extPartial)}}})
	}
	if l.has(extZip) {
		l.readZip()
	} else {
		l.readHash()
	}
	l.readMod()
	l.readInfo()
}

// lock judges the file that go locks: an old one of nothing, or one that holds something.
func (l *looking) lock() {
	if e, ok := l.files[extLock]; ok && len(l.files) == 1 && l.held.tree.name == "" && time.Since(e.modified) > staleAfter {
		l.add(Fault{Kind: KindLock, Path: l.path(extLock), Mends: []Mend{{Action: ActRemove, Path: l.path(extLock)}}})
	}
	if e, ok := l.files[extLock]; ok && e.size > 0 && len(l.files) > 1 {
		l.add(Fault{Kind: KindLock, Path: l.path(extLock), Detail: "not empty", Mends: []Mend{{Action: ActRemove, Path: l.path(extLock)}}})
	}
}

// small reads a file of go's own that is never large.
func (l *looking) small(ext string, most int64) ([]byte, bool) {
	e, ok := l.files[ext]
	if !ok || e.size > most || lacksRead(e.mode) {
		return nil, false
	}
	data, err := slurp(l.path(ext), e.size, nil)
	if err != nil {
		l.add(Fault{Kind: KindUnreadable, Path: l.path(ext), Detail: err.Error()})
		return nil, false
	}
	l.bytes.Add(int64(len(data)))
	return data, true
}

func isH1(s string) bool { return strings.HasPrefix(s, "h1:") && len(s) == len("h1:")+44 }

// readZip judges the archive, the hash beside it and the directory together: two of
// them that agree are right, unless somebody vouches for other bytes.
func (l *looking) readZip() {
	name := l.path(extZip)
	if lacksRead(l.files[extZip].mode) {
		return // said with the inventory
	}
	noted, _ := l.small(extHash, 4<<10)
	hash := strings.TrimSpace(string(noted))
	want, source := l.wanted("")
	r, done := l.hold(l.files[extZip].size)
	c, err := r.archive(name, l.files[extZip].size, l.Version, l.root(), l.tree)
	done()
	l.bytes.Add(l.files[extZip].size)
	if errors.Is(err, fs.ErrPermission) { // that says nothing of what is in it
		l.add(Fault{Kind: KindUnreadable, Path: name, Detail: err.Error()})
		return
	}
	if err != nil {
		l.badZip(err, hash, want)
		return
	}
	l.zipH1, l.inner = c.h1, c.mod
	if want != "" && c.h1 != want || want == "" && isH1(hash) && hash != c.h1 && l.treeIs(hash) {
		l.wrongZip(c, hash, cmp.Or(want, hash), cmp.Or(source, ".ziphash"))
		return
	}
	switch {
	case !l.has(extHash):
		l.add(Fault{Kind: KindHashGone, Path: l.path(extHash), Want: c.h1, Source: "archive", Mends: []Mend{{Action: ActWrite, Path: l.path(extHash), Data: c.h1}}})
	case hash != c.h1 && (want != "" || !isH1(hash) || l.tree != nil && len(c.changed)+len(c.missing)+len(c.extra) == 0):
		l.add(Fault{
			Kind: KindHash, Path: l.path(extHash), Want: c.h1, Got: firstLine(noted), Source: cmp.Or(source, "archive"),
			Mends: []Mend{{Action: ActWrite, Path: l.path(extHash), Data: c.h1}},
		})
	case hash != c.h1: // nobody can say which of the two is right: go fetches both anew
		l.wrongZip(c, hash, hash, ".ziphash")
		return
	}
	l.judgeTree(c)
}

// mostHeld is how many bytes of archives are in memory at once, however many cores there
// are; one archive always may be. From largeArchive on, readers are shared.
const (
	mostHeld     = 256 << 20
	largeArchive = 16 << 20
)

// hold waits until an archive of a size may be read, and says by whom: the buffers for
// large ones must not be as many as there are cores.
func (l *looking) hold(size int64) (r *reader, done func()) {
	n := min(size, mostHeld)
	_ = l.room.Acquire(context.Background(), n) // others are done with theirs before long
	if size < largeArchive {
		return l.r, func() { l.room.Release(n) }
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r = &reader{}
	if last := len(l.large) - 1; last >= 0 {
		r, l.large = l.large[last], l.large[:last]
	}
	return r, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.large = append(l.large, r)
		l.room.Release(n)
	}
}

// treeIs reports whether the directory is what the sum is of.
func (l *looking) treeIs(sum string) bool {
	if l.tree == nil || l.Path == toolchain {
		return false
	}
	if l.treeH1 == "" {
		var err error
		if l.treeH1, err = l.r.hashTree(l.root(), l.Version, l.tree); err != nil {
			return false
		}
		for _, e := range l.tree {
			l.bytes.Add(e.size)
		}
	}
	return l.treeH1 == sum
}

// badZip: there is no archive that could be read.
func (l *looking) badZip(err error, hash, want string) {
	kind := KindZip
	if errors.Is(err, errContent) {
		kind = KindZipContent
	}
	detail := strings.TrimPrefix(err.Error(), errContent.Error()+": ")
	if data, err := slurp(l.path(extZip), min(64, l.files[extZip].size), nil); err == nil && isPage(data) {
		detail = firstLine(data)
	}
	f := Fault{Kind: kind, Path: l.path(extZip), Detail: detail, Mends: []Mend{{Action: ActRemove, Path: l.path(extZip)}}, Fetch: true}
	switch {
	case want != "" && l.treeIs(want):
		if hash != want {
			l.add(Fault{Kind: KindHash, Path: l.path(extHash), Want: want, Got: hash, Source: "go.sum", Mends: []Mend{{Action: ActWrite, Path: l.path(extHash), Data: want}}})
		}
	case want == "" && isH1(hash) && l.treeIs(hash): // the directory and the hash agree: builds go on
	default:
		f.Mends = append(f.Mends, l.withoutZip(want != "" && hash == want)...)
	}
	l.add(f)
}

// wrongZip: a whole archive, and not the one that is vouched for.
func (l *looking) wrongZip(c compared, hash, want, source string) {
	f := Fault{
		Kind: KindZipSum, Path: l.path(extZip), Want: want, Got: c.h1, Source: source,
		Mends: []Mend{{Action: ActRemove, Path: l.path(extZip)}}, Fetch: true,
	}
	l.zipH1, l.inner = "", nil
	if !l.treeIs(want) || hash != want {
		f.Mends = append(f.Mends, l.withoutZip(hash == want && source != ".ziphash")...)
	}
	l.add(f)
}

// withoutZip removes what came from an archive that is bad.
func (l *looking) withoutZip(hashIsRight bool) (out []Mend) {
	if l.held.tree.name != "" {
		out = append(out, l.removeTree()...)
	}
	if l.has(extHash) && !hashIsRight {
		out = append(out, Mend{Action: ActRemove, Path: l.path(extHash)})
	}
	return out
}

// removeTree removes the directory and what the build cache says of it.
func (l *looking) removeTree() []Mend {
	out := []Mend{{Action: ActRemoveDir, Path: l.root()}}
	if entry := l.Cache.index(l.root()); entry != "" {
		out = append(out, Mend{Action: ActRemove, Path: entry})
	}
	return out
}

// judgeTree reports how the directory differs from its archive, which is right.
func (l *looking) judgeTree(c compared) {
	for _, d := range []struct {
		kind  Kind
		files []string
	}{{KindTree, c.changed}, {KindTreeGone, c.missing}, {KindTreeMore, c.extra}} {
		if len(d.files) > 0 {
			l.add(Fault{Kind: d.kind, Path: filepath.Join(l.root(), filepath.FromSlash(d.files[0])), Detail: count(d.files), Mends: l.removeTree(), Fetch: true})
			return
		}
	}
}

// count names the first of several.
func count(files []string) string {
	if len(files) > 3 {
		files = append(slices.Clone(files[:3]), "...")
	}
	return strings.Join(files, ", ")
}

// readHash judges a directory without an archive: go needs only the hash beside it.
func (l *looking) readHash() {
	noted, has := l.small(extHash, 4<<10)
	hash := strings.TrimSpace(string(noted))
	want, source := l.wanted("")
	if l.tree == nil {
		if has && !isH1(hash) {
			l.add(Fault{Kind: KindHash, Path: l.path(extHash), Got: firstLine(noted), Mends: []Mend{{Action: ActRemove, Path: l.path(extHash)}}})
		}
		return
	}
	if l.Path == toolchain || l.Path == "golang.org/fips140" {
		return // go changed the one after unpacking, and made the other from GOROOT
	}
	sum := cmp.Or(want, hash)
	switch {
	case want != "" && l.treeIs(want):
		if hash != want {
			l.add(Fault{Kind: KindHash, Path: l.path(extHash), Want: want, Got: firstLine(noted), Source: source, Mends: []Mend{{Action: ActWrite, Path: l.path(extHash), Data: want}}})
		}
	case !has && want == "":
		l.add(Fault{Kind: KindTreeAlone, Path: l.root(), Mends: l.removeTree(), Fetch: true})
	case !l.treeIs(sum):
		f := Fault{Kind: KindTreeSum, Path: l.root(), Want: sum, Got: l.treeH1, Source: cmp.Or(source, ".ziphash"), Mends: l.removeTree(), Fetch: true}
		if has && hash != want {
			f.Mends = append(f.Mends, Mend{Action: ActRemove, Path: l.path(extHash)})
		}
		l.add(f)
	}
}

func isPage(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n\ufeff"), []byte("<"))
}

// firstLine is what a file begins with, in short.
func firstLine(data []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(data[:min(len(data), 200)]), []byte("\n"))
	return string(line[:min(len(line), 60)])
}

// readMod judges the .mod file, which go trusts as it finds it.
func (l *looking) readMod() {
	const most = 16 << 20
	remove := []Mend{{Action: ActRemove, Path: l.path(extMod)}}
	if !l.has(extMod) {
		// An archive that was only looked into for a package, and each toolchain, has come
		// without it; what a go.sum names, its builds read.
		if _, source := l.wanted("/go.mod"); l.has(extZip) && source == "go.sum" {
			l.add(Fault{Kind: KindModGone, Path: l.path(extMod), Fetch: true})
		}
		return
	}
	if e := l.files[extMod]; e.size > most {
		l.add(Fault{Kind: KindMod, Path: l.path(extMod), Detail: "larger than 16 MiB", Mends: remove, Fetch: true})
		return
	}
	data, ok := l.small(extMod, most)
	if !ok {
		return
	}
	l.modH1 = hashMod(data)
	want, source := l.wanted("/go.mod")
	if want == l.modH1 {
		return
	}
	switch fault := modFault(data); {
	case fault != "":
		l.add(Fault{Kind: KindMod, Path: l.path(extMod), Detail: fault, Mends: remove, Fetch: true})
	case want != "":
		l.add(Fault{Kind: KindModSum, Path: l.path(extMod), Want: want, Got: l.modH1, Source: source, Mends: remove, Fetch: true})
	case l.inner != nil && !bytes.Equal(l.inner, data) && !strings.HasSuffix(l.Version.Version, "+incompatible"):
		l.add(Fault{Kind: KindModSum, Path: l.path(extMod), Want: hashMod(l.inner), Got: l.modH1, Source: "archive", Mends: remove, Fetch: true})
	}
}

// modFault says why data is no go.mod; "" where it is one.
func modFault(data []byte) string {
	if isPage(data) {
		return firstLine(data)
	}
	f, err := modfile.ParseLax("go.mod", data, nil)
	switch {
	case err != nil:
		return err.Error()
	case f.Module == nil:
		return "missing module line"
	}
	return ""
}

// readInfo judges the .info file. go asks again for one that it cannot read.
func (l *looking) readInfo() {
	const most = 1 << 20
	data, ok := l.small(extInfo, most)
	if !ok && l.files[extInfo].size <= most {
		return
	}
	var info struct {
		Version string
		Time    time.Time // that it is one
	}
	detail := ""
	switch err := json.Unmarshal(data, &info); {
	case isPage(data):
		detail = firstLine(data)
	case err != nil:
		detail = err.Error()
	case info.Version != l.Version.Version && l.canonical():
		detail = info.Version
	}
	if detail != "" {
		l.add(Fault{Kind: KindInfo, Path: l.path(extInfo), Detail: detail, Mends: []Mend{{Action: ActRemove, Path: l.path(extInfo)}}, Fetch: true})
	}
}

// canonical reports whether the file is of a version, not of a branch or a commit that
// was asked for: those files name the version that it stands for.
func (l *looking) canonical() bool {
	return module.CanonicalVersion(l.Version.Version) == l.Version.Version
}

// list judges a list of versions.
func (v *verifying) list(name string) {
	e, err := lstat(name)
	if err != nil {
		return
	}
	data, err := slurp(name, min(e.size, 64<<10), nil)
	v.bytes.Add(int64(len(data)))
	if err == nil && (isPage(data) || bytes.IndexByte(data, 0) >= 0) {
		v.report.Faults = append(v.report.Faults, Fault{
			Kind: KindList, Severity: severityOf(KindList), Path: name, Detail: firstLine(data), Mends: []Mend{{Action: ActRemove, Path: name}}, Fetch: true,
		})
	}
}

// heldByOther reports whether a running go holds the lock of a version.
func heldByOther(name string) bool {
	if e, err := lstat(name); err != nil || !e.mode.IsRegular() {
		return false
	}
	l := flock.New(name, flock.SetFlag(os.O_RDWR))
	got, err := l.TryLock()
	if got {
		_ = l.Unlock()
	}
	return err == nil && !got
}

// sortedKeys are the names of a map, in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
