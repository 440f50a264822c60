package inflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"testing"
)

// reference inflates with the standard library.
func reference(packed []byte, most int) ([]byte, bool) {
	data, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), int64(most)+1))
	return data, err == nil && len(data) <= most
}

func deflate(t testing.TB, data []byte, level int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// samples are texts of different kinds: of words, of noise, of runs with each distance.
func samples() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	list := [][]byte{nil, []byte("a"), []byte("ab"), bytes.Repeat([]byte("x"), 100000)}
	for d := 1; d < 20; d++ {
		list = append(list, bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz")[:d], 3000/d))
	}
	noise := make([]byte, 70000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	list = append(list, noise)
	var words, skewed bytes.Buffer
	for words.Len() < 300000 {
		words.WriteString([]string{"func ", "return ", "\t\t", "err != nil ", "{\n", "}\n", string(rune('a' + r.IntN(26)))}[r.IntN(7)])
	}
	for skewed.Len() < 300000 { // codes of 15 bits
		skewed.WriteByte(byte(r.ExpFloat64() * 12))
	}
	list = append(list, words.Bytes(), skewed.Bytes(), append(bytes.Clone(noise[:40000]), noise...))
	return list
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var d Decoder
	for i, data := range samples() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			packed := deflate(t, data, level)
			got, ok := d.Decode(packed, len(packed), len(data))
			if !ok || !bytes.Equal(got, data) {
				t.Fatalf("sample %d, level %d: ok %v, %d bytes of %d", i, level, ok, len(got), len(data))
			}
			if _, ok := d.Decode(packed, len(packed), len(data)-1); ok {
				t.Fatalf("sample %d, level %d: more than was allowed", i, level)
			}
			behind := append(bytes.Clone(packed), bytes.Repeat([]byte{0xff}, Ahead)...)
			if got, ok := d.Decode(behind, len(packed), 1<<20); !ok || !bytes.Equal(got, data) {
				t.Fatalf("sample %d, level %d: what lies behind the stream counts", i, level)
			}
		}
	}
}

// TestDecodeBroken cuts streams at each place and turns their bits: what is read is never
// other than what the standard library reads, and the end of a stream is not made up.
func TestDecodeBroken(t *testing.T) {
	t.Parallel()
	var d Decoder
	for _, data := range samples() {
		data = data[:min(len(data), 1000)]
		packed := deflate(t, data, flate.BestCompression)
		for n := range packed {
			if _, ok := d.Decode(packed, n, 1<<20); ok {
				t.Fatalf("%d of %d bytes do", n, len(packed))
			}
		}
		for bit := range 8 * min(len(packed), 150) {
			broken := bytes.Clone(packed)
			broken[bit/8] ^= 1 << (bit % 8)
			same(t, &d, broken, false)
		}
	}
}

// same holds Decode to the standard library. It may leave what is odd, and all that is
// broken; must says that it may not.
func same(t testing.TB, d *Decoder, packed []byte, must bool) {
	t.Helper()
	const most = 1 << 16
	want, whole := reference(packed, most)
	got, ok := d.Decode(packed, len(packed), most)
	if ok && (!whole || !bytes.Equal(got, want)) {
		t.Fatalf("%x: %d bytes, the standard library has %d (whole: %v)", packed, len(got), len(want), whole)
	}
	if must && whole && !ok {
		t.Fatalf("%x: left to others", packed)
	}
}

// TestDecodeSplit goes through one stream of every kind of block.
func TestDecodeSplit(t *testing.T) {
	t.Parallel()
	var b, plain bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range samples() {
		data = data[:min(len(data), 20000)]
		plain.Write(data)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil { // ends the block, and begins a byte
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var d Decoder
	if got, ok := d.Decode(b.Bytes(), b.Len(), plain.Len()); !ok || !bytes.Equal(got, plain.Bytes()) {
		t.Fatalf("ok %v, %d bytes of %d", ok, len(got), plain.Len())
	}
}

func FuzzDecode(f *testing.F) {
	for _, data := range samples() {
		f.Add(deflate(f, data[:min(len(data), 2000)], flate.BestCompression), false)
		f.Add(data[:min(len(data), 2000)], true)
	}
	f.Fuzz(func(t *testing.T, data []byte, pack bool) {
		var d Decoder
		if pack {
			data = deflate(t, data, flate.BestCompression)
		}
		same(t, &d, data, pack)
	})
}
