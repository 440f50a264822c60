package faults

import (
	"slices"

	"github.com/keepwell/keepwell"
)

// Describe puts the catalogue's words for f.Code into f, in lang ("en" or "zh"):
// title, cause, owner, remedies and rivals' words, filled with f.Facts. Severity,
// Retryable and Owner are taken over only where f leaves them empty or false.
func Describe(f *keepwell.Finding, lang string) error {
	entry, err := Lookup(f.Code)
	if err != nil {
		return err
	}
	f.Title = Prose(entry.Title.In(lang), f.Facts)
	f.Cause = Prose(entry.Cause.In(lang), f.Facts)
	if f.Severity == "" {
		f.Severity = entry.Severity
	}
	if f.Owner == "" {
		f.Owner = entry.Owner
	}
	f.Retryable = entry.Retryable
	f.Remedies = make([]keepwell.Remedy, 0, len(entry.Remedies))
	for _, r := range forTool(entry.Remedies, f.Tool) {
		f.Remedies = append(f.Remedies, r.describe(f.Facts, lang))
	}
	for i, r := range f.Rivals {
		if f.Rivals[i], err = describeRival(entry, r.Code, f.Facts, lang); err != nil {
			return err
		}
	}
	return nil
}

// forTool leaves out the remedies for tools other than the one that failed; all
// are kept where the tool is not known or none would be left.
func forTool(all []Remedy, tool string) []Remedy {
	if tool == "" {
		return all
	}
	fit := slices.DeleteFunc(slices.Clone(all), func(r Remedy) bool {
		return len(r.Tools) > 0 && !slices.Contains(r.Tools, tool)
	})
	if len(fit) == 0 {
		return all
	}
	return fit
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

func describeRival(of *Fault, code keepwell.Code, facts keepwell.Facts, lang string) (keepwell.Rival, error) {
	entry, err := Lookup(code)
	if err != nil {
		return keepwell.Rival{}, err
	}
	out := keepwell.Rival{Code: code, Title: Prose(entry.Title.In(lang), facts)}
	for _, r := range of.Rivals {
		if r.Code != code {
			continue
		}
		out.Tells = Prose(r.Tells.In(lang), facts)
		if probe, err := Command(r.Probe, facts); err == nil {
			out.Probe = probe
		}
	}
	return out, nil
}
