package msg_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keepwell/keepwell/internal/msg"
)

func TestReason(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	type name string
	for _, tt := range []struct {
		reason msg.Reason
		en, zh string
	}{
		{msg.Reason{}, "", ""},
		{msg.Said("it's Ann's"), "it's Ann's", "it's Ann's"},
		{msg.Said(`{"key":"why.ran"}`), `{"key":"why.ran"}`, `{"key":"why.ran"}`}, // a person who plays tricks
		{msg.Because("why.ran"), "it ran for this incident", "本次事件中已执行过"},
		{msg.Because("why.cooling", at, msg.Because("why.run", 7)), "cooling down until 2026-11-23 07:00:00 UTC: run 7", "冷却至 2026-11-23 07:00:00 UTC：运行 7"},
		{msg.Because("why.maxruns", int64(1), 90*time.Minute, 3), "1 run within 1 h 30 min, and 3 are allowed", "1 小时 30 分钟 内已执行 1 次，上限 3 次"},
		{msg.Because("why.check.failed", name("look"), errors.New("foreign text")), "the check look: foreign text", "验证 look：foreign text"},
		{msg.Because("reason.said", msg.List{msg.Because("why.ran"), msg.Said("x")}), "it ran for this incident; x", "本次事件中已执行过；x"},
		{msg.Because("why.ended", "a", msg.Word("why.step.done")), "a: done", "a：完成"},
		{msg.Because("of.a.newer.keepwell", "x", 5), "of.a.newer.keepwell x 5", "of.a.newer.keepwell x 5"},
	} {
		kept := msg.ParseReason(tt.reason.String())
		data, err := json.Marshal(tt.reason)
		if err != nil {
			t.Fatal(err)
		}
		var sent msg.Reason
		if err := json.Unmarshal(data, &sent); err != nil {
			t.Fatal(err)
		}
		for how, r := range map[string]msg.Reason{"made": tt.reason, "kept": kept, "sent": sent} {
			if diff := cmp.Diff([]string{tt.en, tt.zh}, []string{r.In(msg.EN), r.In(msg.ZH)}); diff != "" {
				t.Errorf("%s: %s", how, diff)
			}
		}
	}
	for _, text := range []string{"old words", `{"key":`, `{"key":1}`, `{"key":"why.ran","args":5}`} {
		if got := msg.ParseReason(text).In(msg.ZH); got != text {
			t.Errorf("%s was read as %s", text, got)
		}
	}
}

// TestWrong: an error that is known by its key wraps what it is about, and is worded in the
// reader's language, also behind wrappers without words and after it was kept.
func TestWrong(t *testing.T) {
	t.Parallel()
	cause := errors.New("x509: expired")
	err := errors.Join(msg.Wrong("do.about.kind", "the secret place", msg.Wrong("do.cluster.login", cause), msg.Wrong("do.again")))
	if !errors.Is(err, cause) || err.Error() != "the secret place: the login to the cluster: x509: expired: a later attempt may succeed" {
		t.Error(err)
	}
	hidden := msg.Of(err).Map(func(s string) string { return strings.ReplaceAll(s, "secret", "***") })
	if got, want := msg.ParseReason(hidden.String()).In(msg.ZH), "the *** place：登录集群：x509: expired：稍后重试可能成功"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := msg.Of(fmt.Errorf("reading: %w", err)); got.Key != "" || got.Text != "reading: "+err.Error() {
		t.Errorf("%+v", got)
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration][2]string{
		300 * time.Millisecond: {"300ms", "300ms"}, time.Second: {"1 s", "1 秒"}, 26*time.Hour + 5*time.Second: {"1 d 2 h 5 s", "1 天 2 小时 5 秒"},
	} {
		if got := [2]string{msg.Span(msg.EN, d), msg.Span(msg.ZH, d)}; got != want {
			t.Errorf("%s: %q", d, got)
		}
	}
}

// TestEveryReasonHasWords walks all reasons that the program gives: each key is a literal,
// so that none is missed, and has words in both languages.
func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, k := range msg.Keys() {
		known[k] = true
	}
	used := map[string]bool{}
	check := func(fset *token.FileSet, at ast.Expr, place string) {
		lit, ok := at.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			if place != "Word" && fset.Position(at.Pos()).Filename != filepath.Join("..", "daemon", "wire", "program.go") { // reasoned, whose calls are looked at
				t.Errorf("%s: the key is no literal", fset.Position(at.Pos()))
			}
			return
		}
		key, err := strconv.Unquote(lit.Value)
		if err != nil || !known[key] {
			t.Errorf("%s: no words for %q", fset.Position(at.Pos()), key)
			return
		}
		used[key] = true
		en, zh := msg.Text(msg.EN, key), msg.Text(msg.ZH, key)
		if en == "" || zh == "" || en == zh && strings.ContainsAny(en, "abcdefghijklmnopqrtuvwxyz") {
			t.Errorf("%s: %q is not said in both languages: %q, %q", fset.Position(at.Pos()), key, en, zh)
		}
	}
	shape := regexp.MustCompile(`^why(\.[a-z]+)+$`)
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || filepath.Base(filepath.Dir(path)) == "msg" {
			return err
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 {
					if pkg, ok := f.X.(*ast.Ident); ok && pkg.Name == "msg" && (f.Sel.Name == "Because" || f.Sel.Name == "Wrong" || f.Sel.Name == "Word") {
						check(fset, n.Args[0], f.Sel.Name)
					}
				}
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "reasoned" {
					check(fset, n.Args[0], "Because")
				}
			case *ast.BasicLit: // what gets to Because by a constant
				if s, err := strconv.Unquote(n.Value); err == nil && shape.MatchString(s) {
					check(fset, n, "constant")
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(used) < 80 {
		t.Errorf("only %d keys were found", len(used))
	}
	for key := range known {
		if strings.HasPrefix(key, "why.") && !used[key] {
			t.Logf("%s is not used (journals may still hold it)", key)
		}
	}
}
