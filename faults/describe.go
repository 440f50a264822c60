package faults

import (
	"slices"
	"strings"

	"github.com/keepwell/keepwell"
)

// Describe puts the catalogue's words for f.Code into f, in lang ("en" or "zh"):
// title, cause, whether a retry helps, remedies and rivals' words, filled with
// f.Facts. Severity and Owner are taken over only where f leaves them empty.
func Describe(f *keepwell.Finding, lang string) error {
	entry, err := Lookup(f.Code)
	if err != nil {
		return err
	}
	f.Title = prose(entry.Title, f, lang)
	f.Cause = prose(entry.Cause, f, lang)
	if f.Severity == "" {
		f.Severity = entry.Severity
	}
	if f.Owner == "" {
		f.Owner = entry.Owner
	}
	f.Retryable = entry.Retryable
	f.Remedies = make([]keepwell.Remedy, 0, len(entry.Remedies))
	for _, r := range forTool(entry.Remedies, f.Tool) {
		if strings.HasPrefix(r.Command, "getent ") && keepwell.ValidFact("address", f.Facts["host"]) {
			continue // an address needs no resolver
		}
		f.Remedies = append(f.Remedies, r.describe(f.Facts, lang))
	}
	for i, r := range f.Rivals {
		if f.Rivals[i], err = describeRival(entry, r.Code, f, lang); err != nil {
			return err
		}
	}
	return nil
}

// prose fills a sentence about f. What the catalogue's prose calls a module is a
// package to npm and pip; commands keep the two apart, since those for a module
// are go's.
func prose(text Text, f *keepwell.Finding, lang string) string {
	template := text.In(lang)
	if (f.Tool == "npm" || f.Tool == "pip") && f.Facts["module"] == "" {
		template = strings.ReplaceAll(template, "{module|", "{package|")
	}
	return Prose(template, f.Facts)
}

// forTool leaves out the remedies for tools other than the one that failed; all
// are kept where the tool is not known or none would be left.
func forTool(all []Remedy, tool string) []Remedy {
	if tool == "" {
		return all
	}
	fit := slices.DeleteFunc(slices.Clone(all), func(r Remedy) bool { return !isFor(r.Tools, tool) })
	if len(fit) == 0 {
		return all
	}
	return fit
}

// isFor reports whether what is for the given tools (none: for all) is for tool.
func isFor(tools []string, tool string) bool {
	return tool == "" || len(tools) == 0 || slices.Contains(tools, tool)
}

func (r Remedy) describe(facts keepwell.Facts, lang string) keepwell.Remedy {
	out := keepwell.Remedy{ID: r.ID, Title: Prose(r.Title.In(lang), facts), Safety: r.Safety}
	command, err := Command(r.Command, facts)
	if err != nil { // the text did not say enough to type it; the title still tells what to do
		out.Safety = keepwell.SafetyManual
		return out
	}
	out.Command = command
	if undo, err := Command(r.Undo, facts); err == nil {
		out.Undo = undo
	}
	return out
}

// asksAfter reports whether a probe asks after what the text is about: the answer of
// a host or for a module that only stands in for an unknown one tells nothing.
func asksAfter(probe string, facts keepwell.Facts) bool {
	for _, p := range Placeholders(probe) {
		switch p.Name {
		case "port", "version", "revision": // have a usual value
		default:
			if !keepwell.ValidFact(p.Name, fact(facts, p.Name)) {
				return false
			}
		}
	}
	return true
}

func describeRival(of *Fault, code keepwell.Code, f *keepwell.Finding, lang string) (keepwell.Rival, error) {
	entry, err := Lookup(code)
	if err != nil {
		return keepwell.Rival{}, err
	}
	out := keepwell.Rival{Code: code, Title: prose(entry.Title, f, lang)}
	for _, r := range of.Rivals {
		if r.Code != code || !isFor(r.Tools, f.Tool) {
			continue
		}
		if probe, err := Command(r.Probe, f.Facts); err == nil && asksAfter(r.Probe, f.Facts) {
			out.Probe, out.Tells = probe, prose(r.Tells, f, lang)
		}
	}
	return out, nil
}
