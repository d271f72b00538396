package wal

import "errors"

// Judge says of the records of one partition what they mean, by the rules that both sites share: it knows the log's name, its
// partition count and the signing key, and nothing of Redis, positions or time. One Judge is for one goroutine.
type Judge struct {
	Partition  int32
	Partitions int32
	Signer     *Signer
	// MirrorExactlyOnce says that mirrored records come in transactions (see [ReasonUnmarked]).
	MirrorExactlyOnce bool

	decoder Decoder
}

// Judged is what a record means. Either Control is set, or Exec says what Redis is to execute; of a repair and of a replay both are.
type Judged struct {
	Envelope
	Control *Control
	Exec    Executable
}

// Judge judges one record. The error is a *[PoisonError] or a *[HaltError]; the Envelope's Origin is set even then, as far as
// the headers tell it.
func (j *Judge) Judge(r *Record) (Judged, error) {
	var out Judged
	var err error
	if out.Envelope, err = r.Envelope(); err != nil {
		return out, err
	}
	e := &out.Envelope
	switch {
	case r.LogAppendTime:
		return out, &HaltError{
			Reason: "log-append-time",
			Remedy: "set message.timestamp.type=CreateTime on the topic at both sites",
			Err:    errors.New("the broker put its own time into the record, so relative expiries cannot be computed alike at both sites"),
		}
	case r.Timestamp < 0:
		return out, poison(ReasonNegativeTimestamp, "timestamp %d; set the record's time of creation in ms since 1970", r.Timestamp)
	case e.Origin == Mirrored && j.MirrorExactlyOnce && !r.Transactional:
		return out, poison(ReasonUnmarked, "neither header %s nor part of the mirror's transaction; producers must set %s", HeaderLocal, HeaderLocal)
	}
	if e.Control != nil {
		if out.Control, err = j.Signer.Control(r, e); err != nil {
			return out, err
		}
		switch c := out.Control; {
		case c.Repair != nil:
			out.Exec, err = j.repair(r, c.Repair)
		case c.Replay != nil:
			out.Exec, err = j.replay(r, c.Replay)
		}
		return out, err
	}
	if r.Key == nil {
		return out, poison(ReasonNullKey, "the Kafka key is null; set it to the op's routing key")
	}
	if len(r.Key)+len(r.Value) > MaxRecord {
		return out, poison(ReasonTooLarge, "key and value have %d bytes; at most %d are allowed, split the op", len(r.Key)+len(r.Value), MaxRecord)
	}
	if want := Partition(r.Key, j.Partitions); want != r.Partition {
		return out, poison(ReasonWrongPartition, "key %.64q belongs into partition %d of %d, not %d; use Kafka's default partitioner (murmur2)", r.Key, want, j.Partitions, r.Partition)
	}
	out.Exec, err = j.decoder.Decode(e.Rules, r.Key, r.Value, string(e.ContentType), r.Timestamp)
	return out, err
}

// repair is what a repair does at the other site.
func (j *Judge) repair(r *Record, p *Repair) (Executable, error) {
	if want := Partition(RoutingKey(p.Key), j.Partitions); want != r.Partition {
		return Executable{}, poison(ReasonMalformedControl, "repair of key %.64q, which belongs into partition %d of %d, not %d", p.Key, want, j.Partitions, r.Partition)
	}
	return Executable{Wire: p.Op().AppendRESP(nil), Commands: 1, ExpireAt: p.ExpireAt, Frees: p.Dump == nil}, nil
}

// replay is what a tail record does, judged by its own level and timestamp, as it was where it was applied.
func (j *Judge) replay(r *Record, p *Replay) (Executable, error) {
	if want := Partition(p.Key, j.Partitions); want != r.Partition {
		return Executable{}, poison(ReasonMalformedControl, "replay of key %.64q, which belongs into partition %d of %d, not %d", p.Key, want, j.Partitions, r.Partition)
	}
	return j.decoder.Decode(p.Level, p.Key, p.Value, p.ContentType, p.Timestamp)
}

// Reset gives back the memory of the executables that Judge returned since the last Reset. Call it when their batch is over.
func (j *Judge) Reset() { j.decoder.Reset() }
