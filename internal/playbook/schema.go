package playbook

import (
	_ "embed"
	"encoding/json"
	"maps"

	"github.com/keepwell/keepwell"
)

// SchemaText is the JSON schema of the language for editors, as it lies in the tree.
//
//go:embed schema.json
var SchemaText string

type object = map[string]any

// Schema makes the JSON schema from the tables that Read goes by. It is looser than Read,
// which knows what a schema cannot say; what Read admits, it admits.
func Schema() ([]byte, error) {
	duration := object{"type": "string", "pattern": `^\s*([0-9]+d|([0-9.]+(ns|us|µs|ms|s|m|h))+)\s*$`}
	budget := object{"type": "string", "pattern": `^\s*[0-9]{1,6}\s*(/|per)\s*\S+\s*$`}
	scalar := object{"type": []string{"string", "number", "boolean"}}
	texts := object{"oneOf": []any{scalar, object{"type": "array", "minItems": 1, "items": scalar}}}
	pairs := object{"type": "object", "additionalProperties": scalar}
	only := func(props object, required ...string) object {
		return object{"type": "object", "additionalProperties": false, "properties": props, "required": append([]string{}, required...)}
	}
	kinds := object{}
	defs := object{"duration": duration, "budget": budget}
	for _, k := range Kinds() {
		defs[k.Name] = kindSchema(k, scalar, pairs)
		kinds[k.Name] = object{"$ref": "#/$defs/" + k.Name}
	}
	with := func(more object) object {
		props := maps.Clone(kinds)
		maps.Copy(props, more)
		return only(props)
	}
	ref := func(name string) object { return object{"$ref": "#/$defs/" + name} }
	verify := with(object{"delay": ref("duration"), "attempts": object{"type": "integer", "minimum": 1, "maximum": 100}, "every": ref("duration")})
	roles := object{"enum": []string{"operator", "admin"}}
	step := with(object{
		"name": scalar, "if": scalar, "if_severity": object{"type": "string", "pattern": `^\s*(>=|<=|==|!=|>|<)\s*P[0-4]\s*$`}, "vars": pairs, "timeout": ref("duration"),
		"retries":    object{"oneOf": []any{object{"type": "integer", "minimum": 0, "maximum": 20}, only(object{"count": object{"type": "integer"}, "backoff": ref("duration"), "max": ref("duration")})}},
		"idempotent": object{"type": "boolean"},
		"approval":   object{"oneOf": []any{roles, only(object{"by": roles, "within": ref("duration"), "on_expiry": object{"enum": []OnExpiry{ExpiryStop, ExpirySkip, ExpiryHuman}}})}},
		"verify":     verify, "undo": with(nil), "on_failure": object{"enum": []OnFailure{FailStop, FailContinue, FailUndo, FailHuman}},
	})
	defs["steps"] = object{"type": "array", "minItems": 1, "maxItems": maxSteps, "items": object{"oneOf": []any{step, object{"enum": kindNames(func(Kind) bool { return true })}}}}
	top := only(object{
		"name": object{"type": "string", "pattern": nameForm().String()}, "title": scalar, "title_zh": scalar, "trigger": texts,
		"match":    only(object{"labels": object{"type": "object", "additionalProperties": texts}, "if": scalar}),
		"severity": object{"enum": keepwell.Priorities()}, "vars": pairs, "actions": ref("steps"), "on_failure": ref("steps"),
		"cooldown": ref("duration"), "max_runs": ref("budget"), "blast_radius": ref("budget"),
		"concurrency": object{"oneOf": []any{object{"type": "integer", "minimum": 1}, only(object{"per_target": object{"type": "integer", "minimum": 1}, "global": object{"type": "integer", "minimum": 1}})}},
		"maintenance": object{"type": "array", "items": only(object{"cron": scalar, "duration": ref("duration"), "timezone": scalar}, "cron", "duration")},
		"mode":        object{"enum": []Mode{ModeObserve, ModeActive}},
	}, "trigger", "actions")
	top["$schema"], top["title"], top["$defs"] = "https://json-schema.org/draft/2020-12/schema", "keepwell playbook", defs
	text, err := json.MarshalIndent(top, "", "  ")
	return append(text, '\n'), err
}

func kindSchema(k Kind, scalar, pairs object) object {
	props, required := object{}, []string{}
	for _, p := range k.Params {
		var s object
		switch p.Type {
		case TypeText:
			s = maps.Clone(scalar)
			if p.Enum != nil {
				s = object{"enum": p.Enum}
			}
		case TypeTexts:
			s = object{"type": "array", "items": scalar}
		case TypePairs:
			s = maps.Clone(pairs)
		case TypeNumbers:
			s = object{"oneOf": []any{object{"type": "integer"}, object{"type": "array", "items": object{"type": "integer"}}}}
		case TypeNumber:
			s = object{"type": "integer", "minimum": p.Least, "maximum": p.Most}
		case TypeDuration:
			s = object{"$ref": "#/$defs/duration"}
		default:
			s = object{}
		}
		s["description"] = p.Doc.EN + " · " + p.Doc.ZH
		props[p.Name] = s
		if p.Required {
			required = append(required, p.Name)
		}
	}
	long := object{"type": "object", "additionalProperties": false, "properties": props, "required": required}
	forms := []any{long, scalar}
	if len(required) == 0 {
		forms = append(forms, object{"type": "null"})
	}
	return object{"description": k.Doc.EN + " · " + k.Doc.ZH, "oneOf": forms}
}
