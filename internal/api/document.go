package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keepwell/keepwell"
	"github.com/keepwell/keepwell/internal/access"
	"github.com/keepwell/keepwell/internal/msg"
	"github.com/keepwell/keepwell/internal/state"
)

// The document is made of the routes and their types, so that it cannot tell anything
// else than they do; a test holds real answers to it.

type object = map[string]any

// schemas makes schemas of types; those that are structs get a name.
type schemas struct {
	named map[reflect.Type]string
	made  object
}

// plain are the schemas of types that are no structs of ours.
func plain() map[reflect.Type]*jsonschema.Schema {
	word := func(values ...any) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Enum: values} }
	return map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[time.Time]():           {Type: "string", Format: "date-time"},
		reflect.TypeFor[json.RawMessage]():     {},
		reflect.TypeFor[msg.Reason]():          {Description: "a key with typed arguments, or the words"},
		reflect.TypeFor[access.Role]():         word("viewer", "operator", "admin"),
		reflect.TypeFor[state.Mode]():          word("observe", "active", "off"),
		reflect.TypeFor[state.IncidentState](): word("open", "resolved"),
		reflect.TypeFor[state.ApprovalState](): word("asked", "granted", "refused", "expired"),
		reflect.TypeFor[state.BreakerState]():  word("closed", "open", "half"),
		reflect.TypeFor[state.StepStatus]():    word("pending", "waiting", "intended", "done", "failed", "unknown", "skipped"),
		reflect.TypeFor[state.RunState]():      word("pending", "running", "waiting", "done", "failed", "cancelled", "human"),
		reflect.TypeFor[keepwell.Priority]():   word("P0", "P1", "P2", "P3", "P4"),
	}
}

// ref names the schema of a struct and makes it where it is not made yet.
func (s *schemas) ref(t reflect.Type) (object, error) {
	name, ok := s.named[t]
	if !ok {
		name = nameOf(t)
		s.named[t] = name
		types := plain()
		for _, inner := range inside(t) {
			if _, err := s.ref(inner); err != nil {
				return nil, err
			}
			types[inner] = &jsonschema.Schema{Ref: "#/components/schemas/" + s.named[inner]}
		}
		made, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: types})
		if err != nil {
			return nil, fmt.Errorf("api: describing %s: %w", t, err)
		}
		if _, taken := s.made[name]; taken {
			return nil, fmt.Errorf("api: two types are called %s", name)
		}
		s.made[name] = made
	}
	return object{"$ref": "#/components/schemas/" + name}, nil
}

// inside lists the structs of ours in the fields of t. The fields of embedded ones are
// t's own.
func inside(t reflect.Type) (all []reflect.Type) {
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous && f.IsExported() {
			all = append(all, structs(f.Type)...)
		}
	}
	return all
}

// structs is the struct of ours that a type holds.
func structs(t reflect.Type) (all []reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return structs(t.Elem())
	case reflect.Struct:
		if _, known := plain()[t]; !known && strings.Contains(t.PkgPath(), "/keepwell") {
			return []reflect.Type{t}
		}
	default:
	}
	return nil
}

// nameOf is a type's name in the document: Run, IncidentList.
func nameOf(t reflect.Type) string {
	name, of, ok := strings.Cut(t.Name(), "[")
	if ok {
		of = strings.TrimSuffix(of[strings.LastIndexAny(of, "./")+1:], "]")
		name = title(of) + title(name)
	}
	return title(name)
}

func title(s string) string {
	r := []rune(s)
	r[0] = unicode.ToUpper(r[0])
	return string(r)
}

// describe makes the document.
func (a *api) describe() ([]byte, error) {
	s := &schemas{named: map[reflect.Type]string{}, made: object{}}
	problem, err := s.ref(reflect.TypeFor[access.Refusal]())
	if err != nil {
		return nil, err
	}
	paths := object{}
	for _, rt := range a.routes {
		op, err := s.operation(rt)
		if err != nil {
			return nil, err
		}
		path := strings.ReplaceAll(rt.path, "...}", "}")
		item, ok := paths[path].(object)
		if !ok {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(rt.method)] = op
	}
	version := a.Version
	if version == "" {
		version = "0"
	}
	return json.Marshal(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "keepwell", "version": version,
			"description": "Times are RFC 3339 in UTC. Lists go on with the cursor that `next` names. What is refused is a problem document (RFC 9457) with a `code` that does not change; its words are in the language of Accept-Language (en, zh).",
		},
		"paths":    paths,
		"security": []object{{"token": []string{}}, {"session": []string{}}},
		"components": object{
			"schemas":   s.made,
			"responses": object{"Problem": object{"description": "What is wrong, in words", "content": object{"application/problem+json": object{"schema": problem}}}},
			"securitySchemes": object{
				"token":   object{"type": "http", "scheme": "bearer", "description": "A token, kw_…, with the scope api"},
				"session": object{"type": "apiKey", "in": "cookie", "name": "keepwell-session", "description": "A person who is logged in; over TLS the name begins with __Host-"},
			},
		},
	})
}

// operation describes one route.
func (s *schemas) operation(rt route) (object, error) {
	status, good := http.StatusNoContent, object{"description": "Done"}
	switch {
	case rt.text != "":
		status, good["content"] = http.StatusOK, object{rt.text: object{}}
	case rt.reply != nil:
		ref, err := s.ref(typeOf(rt.reply))
		if err != nil {
			return nil, err
		}
		status, good["content"] = http.StatusOK, object{"application/json": object{"schema": ref}}
		if rt.made {
			status = http.StatusCreated
		}
	}
	op := object{
		"operationId": rt.id, "summary": rt.what,
		"responses": object{strconv.Itoa(status): good, "default": object{"$ref": "#/components/responses/Problem"}},
	}
	if rt.public {
		op["security"] = []object{}
	} else {
		op["x-role"] = string(rt.role)
	}
	if rt.person {
		op["security"] = []object{{"session": []string{}}}
	}
	if list := parameters(rt); len(list) > 0 {
		op["parameters"] = list
	}
	if rt.body != nil {
		ref, err := s.ref(typeOf(rt.body))
		if err != nil {
			return nil, err
		}
		op["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": ref}}}
	}
	return op, nil
}

func parameters(rt route) (all []object) {
	for part := range strings.SplitSeq(rt.path, "/") {
		name, ok := strings.CutPrefix(part, "{")
		if !ok {
			continue
		}
		name = strings.TrimSuffix(strings.TrimSuffix(name, "}"), "...")
		kind := "string"
		if name == "id" || name == "seq" || name == "attempt" {
			kind = "integer"
		}
		all = append(all, object{"name": name, "in": "path", "required": true, "schema": object{"type": kind}})
	}
	for _, p := range rt.query {
		schema := object{"type": "string"}
		if p.number {
			schema = object{"type": "integer", "minimum": 0}
		}
		if len(p.values) > 0 {
			schema["enum"] = p.values
		}
		all = append(all, object{"name": p.name, "in": "query", "description": p.what, "schema": schema})
	}
	if rt.id == "changeUser" {
		all = append(all, object{"name": "If-Match", "in": "header", "required": true, "schema": object{"type": "string"}})
	}
	if rt.id == "streamEvents" {
		all = append(all, object{"name": "Last-Event-ID", "in": "header", "schema": object{"type": "integer"}})
	}
	return all
}
