package wal

import (
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
)

// HeaderObservation marks a record of the attest topic that is an [Observation]. It has no wal-local, so it stays at the site where it was appended.
const HeaderObservation = "wal-observation"

// ObservationVersion is the version of its format.
const ObservationVersion = 1

// observationPartition stands for the partition in the signature: an observation belongs to none.
const observationPartition = -2

// Observation is what somebody in some place has seen of a site. It is written down at the other site, where it may be the second place that an automatic takeover needs.
// Nothing about the log follows from it.
type Observation struct {
	Version int    `json:"v"`
	Place   string `json:"place"` // where it was looked from
	Site    string `json:"site"`  // that was looked at
	// Silent says that the site answered none of Looks looks between Since and Until; otherwise it answered the last one.
	Silent bool   `json:"silent"`
	Looks  int    `json:"looks"`
	Since  int64  `json:"since"` // ms since 1970, by the clock of Place
	Until  int64  `json:"until"`
	Why    string `json:"why"` // for people
}

func (o *Observation) complete() error {
	switch {
	case o.Version != ObservationVersion:
		return fmt.Errorf("version %d, this one knows %d", o.Version, ObservationVersion)
	case o.Place == "" || o.Site == "" || o.Looks < 1 || o.Since < 0 || o.Until < o.Since:
		return errors.New("place, site, looks, since and until are required")
	}
	return nil
}

// SignObservation makes the value and the headers of an observation on the attest topic.
func (s *Signer) SignObservation(o Observation) (value []byte, headers []Header, err error) {
	o.Version = ObservationVersion
	if err := o.complete(); err != nil {
		return nil, nil, fmt.Errorf("observation: %w", err)
	}
	if value, err = json.Marshal(o); err != nil {
		return nil, nil, fmt.Errorf("observation: %w", err)
	}
	return value, []Header{
		{HeaderLevel, fmt.Append(nil, Level)},
		{HeaderContentType, []byte(ContentTypeJSON)},
		{HeaderObservation, []byte("1")},
		{HeaderSignature, []byte(s.Sign(observationPartition, "observation", value))},
	}, nil
}

// OpenObservation verifies and reads an observation. Fields that this version does not know are ignored.
func (s *Signer) OpenObservation(value, signature []byte) (o Observation, err error) {
	if !hmac.Equal([]byte(s.Sign(observationPartition, "observation", value)), signature) {
		return o, errors.New("observation without a valid signature: somebody who does not have the signing key wrote it")
	}
	if err := json.Unmarshal(value, &o); err != nil {
		return o, fmt.Errorf("observation: %w", err)
	}
	if err := o.complete(); err != nil {
		return o, fmt.Errorf("observation: %w", err)
	}
	return o, nil
}
