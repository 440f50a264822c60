package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keepwell/keepwell/internal/daemon"
	"github.com/keepwell/keepwell/internal/journal"
	"github.com/keepwell/keepwell/internal/mask"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/present"
	"github.com/keepwell/keepwell/internal/state"
)

// newServeJournal are the commands about the server's journal.
func newServeJournal(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "journal", Short: "Prove the journal, and its keys / 校验日志及其签名密钥", Args: cobra.NoArgs,
		Long: "The journal is a chain of hashes whose end each node signs with a key of its own (docs/serve.md).\n日志是一条哈希链，各节点用自己的密钥签名（见 docs/serve.zh-CN.md）。",
	}
	cmd.AddCommand(newJournalVerify(a), newJournalKeys(a), newJournalRotate(a))
	return cmd
}

// journalProof is what a verification found.
type journalProof struct {
	Fine bool `json:"fine"`
	journalReport
}

type journalReport struct {
	First       int64             `json:"first"`
	Last        int64             `json:"last"`
	Entries     int64             `json:"entries"`
	Checkpoints int64             `json:"checkpoints"`
	Signed      int64             `json:"signed"`
	Keys        []journal.KeyUse  `json:"keys"`
	Problems    []journal.Problem `json:"problems"`
}

func newJournalVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify [FILE]", Short: "Hold the journal, or an export of it, to its signatures / 校验日志或导出的日志", Args: atMostOne,
		Long: "Without --key, the keys that the journal itself names are trusted on first use. With it, only those, and keys that they vouch for.\n" +
			"不写 --key 时，日志自身登记的密钥首次使用即被信任；写了则只信任这些密钥及其背书的密钥。",
		Example: "  keepwell serve journal verify --data /var/lib/keepwell\n  keepwell serve journal verify keepwell-journal.jsonl --key 0f3c…",
	}
	keys := cmd.Flags().StringSlice("key", nil, "a public `KEY` that you know / 已知的公钥")
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t := journal.Trust{FirstUse: len(*keys) == 0}
		for _, text := range *keys {
			public, err := journal.ParseKey(text)
			if err != nil {
				return misused("journal.key", text)
			}
			t.Pinned = append(t.Pinned, public)
		}
		verify := func(ctx context.Context, s journal.Source) error {
			r, err := journal.Verify(ctx, s, t)
			if err != nil {
				return err
			}
			return a.tellProof(r.In(a.lang))
		}
		if len(args) == 1 {
			x, err := journal.OpenExport(args[0])
			if err != nil {
				return journalFailed(err)
			}
			return journalFailed(errors.Join(verify(cmd.Context(), x), x.Close()))
		}
		return a.atJournal(cmd.Context(), o, func(st *state.State, cfg *daemon.Config, dir string) error {
			if t.FirstUse { // no key was named: as the server does
				if err := pinLocal(&t, cfg, filepath.Join(dir, journal.KeyFile)); err != nil {
					return err
				}
			}
			return verify(cmd.Context(), st.Reader)
		})
	}
	return cmd
}

// pinLocal pins the keys of the configuration, and this node's own where it has one.
func pinLocal(t *journal.Trust, cfg *daemon.Config, path string) error {
	t.Pinned = append(t.Pinned, cfg.Journal.Pinned()...)
	t.FirstUse = len(t.Pinned) == 0
	if _, err := os.Stat(path); err != nil {
		return nil //nolint:nilerr // there is none: this is no node's directory, or it never started
	}
	own, err := journal.OpenKey(path)
	if err != nil {
		return err
	}
	t.Pinned = append(t.Pinned, own.Public())
	return nil
}

// tellProof tells what a verification found.
func (a *app) tellProof(r journal.Report) error {
	if present.Format(a.format).Machine() {
		doc := journalProof{len(r.Problems) == 0, journalReport{r.First, r.Last, r.Entries, r.Checkpoints, r.Signed, r.Keys, r.Problems}}
		if doc.Problems == nil {
			doc.Problems = []journal.Problem{}
		}
		if doc.Keys == nil {
			doc.Keys = []journal.KeyUse{}
		}
		return a.document(doc)
	}
	var lines []present.Line
	say := func(tone present.Tone, key string, args ...any) {
		lines = append(lines, present.Line{Text: msg.Text(a.lang, key, args...), Tone: tone})
	}
	switch {
	case len(r.Problems) > 0:
		a.exit = exitFaults
		say(present.Warning, "journal.bad", len(r.Problems))
		for _, p := range r.Problems {
			say("", "journal.problem", p.Seq, p.What)
		}
	case r.Last == 0 && r.Signed == 0:
		say(present.Bold, "journal.empty")
	default:
		say(present.Bold, "journal.good", r.First, r.Last, r.Checkpoints, r.Signed)
	}
	first := 0
	for _, k := range r.Keys {
		say("", "journal.keyline", k.ID, a.trusted(k.Trusted), k.Checkpoints, k.Last, k.Node)
		if k.Trusted == journal.TrustedFirstUse {
			first++
		}
	}
	if first > 0 {
		say("", "journal.trust", first)
	}
	if len(r.Keys) == 0 {
		say("", "journal.unsigned")
	}
	return shown(a, present.Outline(a.out, a.style(), lines))
}

func (a *app) trusted(t journal.Trusted) string {
	return msg.Text(a.lang, map[journal.Trusted]string{
		journal.TrustedPinned: "journal.trusted.pin", journal.TrustedVouched: "journal.trusted.vouch", journal.TrustedFirstUse: "journal.trusted.first", journal.TrustedNot: "journal.trusted.not",
	}[t])
}

func newJournalKeys(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "List the public keys that sign the journal / 列出为日志签名的公钥", Args: cobra.NoArgs}
	o := peopleFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.atJournal(cmd.Context(), o, func(st *state.State, _ *daemon.Config, _ string) error {
			keys, err := st.JournalKeys(cmd.Context())
			if err != nil {
				return err
			}
			uses := journal.Trust{FirstUse: true}.Judge(keys)
			if present.Format(a.format).Machine() {
				return a.document(map[string]any{"keys": uses})
			}
			for _, k := range uses {
				retired := ""
				if !k.Retired.IsZero() {
					retired = msg.Text(a.lang, "journal.retired", k.Retired.Format(time.DateOnly))
				}
				fmt.Fprintln(a.out, strings.TrimRight(fmt.Sprintf("%s  %s  %s  %s", k.PublicKey, k.Created.Format(time.DateOnly), present.Visible(k.Node, true), retired), " "))
			}
			if len(uses) == 0 {
				fmt.Fprintln(a.out, msg.Text(a.lang, "journal.none"))
			}
			return nil
		})
	}
	return cmd
}

func newJournalRotate(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new key, for the next start of this node / 更换签名密钥（下次启动生效）", Args: cobra.NoArgs,
		Long: "The key before vouches for the new one, and what it signed stays proved. Nothing is changed before the next start.\n原密钥为新密钥背书，其签名仍然有效。下次启动前不作任何改动。",
	}
	o := peopleFlags(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		cfg, err := daemon.Load(o.source())
		if err != nil {
			return a.badServeConfig(err)
		}
		where, err := daemon.StateOptions(cfg, os.Environ())
		if err != nil {
			return journalFailed(err)
		}
		k, err := journal.Rotate(filepath.Join(where.Dir, journal.KeyFile))
		if err != nil {
			return journalFailed(err)
		}
		if present.Format(a.format).Machine() {
			return a.document(map[string]string{"publicKey": publicHex(k.Public())})
		}
		_, err = fmt.Fprintf(a.out, "%s\n  %s\n", msg.Text(a.lang, "journal.rotated"), publicHex(k.Public()))
		return err
	}
	return cmd
}

func publicHex(k ed25519.PublicKey) string { return hex.EncodeToString(k) }

// atJournal opens the server's data, whether it runs or not.
func (a *app) atJournal(ctx context.Context, o *serveOptions, f func(st *state.State, cfg *daemon.Config, dir string) error) error {
	cfg, err := daemon.Load(o.source())
	if err != nil {
		return a.badServeConfig(err)
	}
	where, err := daemon.StateOptions(cfg, os.Environ())
	if err != nil {
		return journalFailed(err)
	}
	st, err := state.Open(ctx, where)
	if err != nil {
		return journalFailed(errors.New(mask.Text(err.Error())))
	}
	return journalFailed(errors.Join(f(st, cfg, where.Dir), st.Close()))
}

func journalFailed(err error) error {
	var told *failure
	if err == nil || errors.As(err, &told) {
		return err
	}
	return &failure{exit: exitError, key: "journal.failed", args: []any{err}, unwrapped: err}
}
