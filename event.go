package keepwell

// Event is one message of the stream in which a command reports: [Started],
// then any number of [Progressed] and [Found], then [Finished]. Output formats
// are handlers of this one stream.
type Event interface{ event() }

// Started opens the stream.
type Started struct {
	Command string `json:"command"` // "explain", "doctor", …
	Target  Target `json:"target"`
}

// Progressed says how far a long look has come.
type Progressed struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"` // 0 where the end is not known
}

// Found reports one finding. The first of a stream is the root cause; those of
// severity info come last.
type Found struct {
	Finding Finding `json:"finding"`
}

// Finished closes the stream. Target repeats Started's with its measures filled.
type Finished struct {
	Target Target `json:"target"`
}

func (Started) event()    {}
func (Progressed) event() {}
func (Found) event()      {}
func (Finished) event()   {}

// Handler takes the events of one stream in order. An error of Handle is a
// failure to write and ends the stream.
type Handler interface {
	Handle(Event) error
}

// Document is the one JSON document that explain, doctor, trace, deps scan and
// inspect run print under --format json.
type Document struct {
	Command  string    `json:"command"`
	Target   Target    `json:"target"`
	Findings []Finding `json:"findings"`
}
