package snapshot

import "fmt"

// The types of a value in an RDB.
const (
	typeString          = 0
	typeList            = 1
	typeSet             = 2
	typeZset            = 3
	typeHash            = 4
	typeZset2           = 5
	typeZipmap          = 9
	typeZiplist         = 10
	typeIntset          = 11
	typeZsetZiplist     = 12
	typeHashZiplist     = 13
	typeQuicklist       = 14
	typeStream          = 15
	typeHashListpack    = 16
	typeZsetListpack    = 17
	typeQuicklist2      = 18
	typeStream2         = 19
	typeSetListpack     = 20
	typeStream3         = 21
	typeHashFields      = 24 // with the expiry of fields
	typeHashFieldsSmall = 25
)

// value reads a value of a type, only to know where it ends.
func (r *reader) value(kind byte) error {
	switch kind {
	case typeString, typeZipmap, typeZiplist, typeIntset, typeZsetZiplist, typeHashZiplist, typeHashListpack, typeZsetListpack, typeSetListpack:
		return r.texts(1)
	case typeList, typeSet, typeQuicklist:
		return r.many(r.skip)
	case typeHash:
		return r.many(r.skip, r.skip)
	case typeZset:
		return r.many(r.skip, r.score)
	case typeZset2:
		return r.many(r.skip, r.bytes(8))
	case typeQuicklist2:
		return r.many(r.number, r.skip)
	case typeStream, typeStream2, typeStream3:
		return r.stream(kind)
	case typeHashFields:
		return inOrder(r.bytes(8), func() error { return r.many(r.number, r.skip, r.skip) })
	case typeHashFieldsSmall:
		return inOrder(r.bytes(8), r.skip)
	}
	return fmt.Errorf("%w: a value of type %d (a module's, or one of a newer Redis)", ErrUnknown, kind)
}

func inOrder(parts ...func() error) error {
	for _, part := range parts {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

// many reads a count and then, so often, the parts.
func (r *reader) many(parts ...func() error) error {
	n, err := r.count()
	if err != nil {
		return err
	}
	for range n {
		if err := inOrder(parts...); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) number() error { return r.counts(1) }

func (r *reader) bytes(n uint64) func() error {
	return func() error {
		_, err := r.take(n)
		return err
	}
}

// score is a score as text, as old versions wrote it: the length is a byte, and three of them are no lengths.
func (r *reader) score() error {
	n, err := r.byte()
	if err != nil || n >= 253 {
		return err
	}
	_, err = r.take(uint64(n))
	return err
}

// stream reads a stream: its entries, what it knows of itself, and its groups with what is pending.
func (r *reader) stream(kind byte) error {
	about := 3 // length, and the last id
	if kind >= typeStream2 {
		about += 5 // the first id, the greatest that was deleted, and how many were ever added
	}
	consumer := []func() error{r.skip, r.bytes(8)} // name, when it was seen
	if kind >= typeStream3 {
		consumer = append(consumer, r.bytes(8)) // when it was active
	}
	consumer = append(consumer, func() error { return r.many(r.bytes(16)) })
	group := []func() error{r.skip, r.number, r.number} // name and last id
	if kind >= typeStream2 {
		group = append(group, r.number) // entries read
	}
	group = append(group,
		func() error { return r.many(r.bytes(16), r.bytes(8), r.number) }, // pending: id, when, how often
		func() error { return r.many(consumer...) })
	return inOrder(
		func() error { return r.many(r.skip, r.skip) }, // nodes: first id, listpack
		func() error { return r.counts(about) },
		func() error { return r.many(group...) })
}
