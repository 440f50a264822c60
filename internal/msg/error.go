package msg

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

func (e *Error) in(lang Lang) string { return Text(lang, e.Key, Words(lang, e.Args)...) }

// Cause is an error in a language, as far as it has words of its own there.
func Cause(lang Lang, err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // what wraps it has words of its own
		return e.in(lang)
	}
	return err.Error()
}

// Words are args with the errors among them in a language.
func Words(lang Lang, args []any) []any {
	said := make([]any, len(args))
	for i, a := range args {
		said[i] = a
		if e, ok := a.(*Error); ok {
			said[i] = e.in(lang)
		}
	}
	return said
}
