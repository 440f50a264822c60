package msg

import "slices"

// Error has its words in a table: people are told of it in their language, and logs in
// English.
type Error struct {
	Key  string
	Args []any
}

// NewError is an error with the words of key; args may be errors.
func NewError(key string, args ...any) *Error { return &Error{key, args} }

func (e *Error) Error() string { return e.in(EN) }

// Unwrap are the errors among the arguments.
func (e *Error) Unwrap() []error {
	var list []error
	for _, a := range e.Args {
		if err, ok := a.(error); ok {
			list = append(list, err)
		}
	}
	return list
}

func (e *Error) in(lang Lang) string { return Text(lang, e.Key, e.Args...) }

// Words are args with the errors and reasons among them in a language.
func Words(lang Lang, args []any) []any {
	said := slices.Clone(args)
	for i, a := range args {
		switch a := a.(type) {
		case error:
			said[i] = Cause(lang, a)
		case Reason:
			said[i] = a.In(lang)
		}
	}
	return said
}
