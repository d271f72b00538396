package broker

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// Topic is the part of a KafkaTopic that decides what is made.
type Topic struct {
	manifest.Head
	Spec struct {
		TopicName  string         `json:"topicName"`
		Partitions int32          `json:"partitions"`
		Replicas   int16          `json:"replicas"`
		Config     map[string]any `json:"config"`
	} `json:"spec"`
}

// Topic is the name in Kafka.
func (t Topic) Topic() string {
	if t.Spec.TopicName != "" {
		return t.Spec.TopicName
	}
	return t.Metadata.Name
}

// User is the part of a KafkaUser that decides what is made.
type User struct {
	manifest.Head
	Spec struct {
		Authentication struct {
			Type     string `json:"type"`
			Password struct {
				ValueFrom struct {
					SecretKeyRef *SecretKey `json:"secretKeyRef"`
				} `json:"valueFrom"`
			} `json:"password"`
		} `json:"authentication"`
		Authorization *struct {
			Type string `json:"type"`
			ACLs []struct {
				Type     string `json:"type"`
				Resource struct {
					Type        string `json:"type"`
					Name        string `json:"name"`
					PatternType string `json:"patternType"`
				} `json:"resource"`
				Operations []string `json:"operations"`
				Host       string   `json:"host"`
			} `json:"acls"`
		} `json:"authorization"`
	} `json:"spec"`
}

// SecretKey points at one value of a Secret.
type SecretKey struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// DecodeTopic reads a KafkaTopic.
func DecodeTopic(o manifest.Object) (Topic, error) { return manifest.As[Topic](o) }

// DecodeUser reads a KafkaUser. Another kind of authentication or authorization than the lab has is an error.
func DecodeUser(o manifest.Object) (User, error) {
	u, err := manifest.As[User](o)
	if err != nil {
		return u, err
	}
	if got := u.Spec.Authentication.Type; got != "scram-sha-512" {
		return u, fmt.Errorf("%s: spec.authentication.type: %q: the lab knows scram-sha-512", u, got)
	}
	if a := u.Spec.Authorization; a != nil && a.Type != "simple" {
		return u, fmt.Errorf("%s: spec.authorization.type: %q: the lab knows simple", u, a.Type)
	}
	_, err = u.creations()
	return u, err
}

// creations are the ACLs, one per operation, as the User Operator makes them.
func (u User) creations() ([]kmsg.CreateACLsRequestCreation, error) {
	if u.Spec.Authorization == nil {
		return nil, nil
	}
	var out []kmsg.CreateACLsRequestCreation
	for i, acl := range u.Spec.Authorization.ACLs {
		bad := func(field, value string) error {
			return fmt.Errorf("%s: spec.authorization.acls[%d].%s: %q is not known", u, i, field, value)
		}
		c := kmsg.NewCreateACLsRequestCreation()
		c.Principal, c.Host = "User:"+u.Metadata.Name, "*"
		if acl.Host != "" {
			c.Host = acl.Host
		}
		switch acl.Type {
		case "", "allow":
			c.PermissionType = kmsg.ACLPermissionTypeAllow
		case "deny":
			c.PermissionType = kmsg.ACLPermissionTypeDeny
		default:
			return nil, bad("type", acl.Type)
		}
		c.ResourceName = acl.Resource.Name
		switch acl.Resource.Type {
		case "topic":
			c.ResourceType = kmsg.ACLResourceTypeTopic
		case "group":
			c.ResourceType = kmsg.ACLResourceTypeGroup
		case "transactionalId":
			c.ResourceType = kmsg.ACLResourceTypeTransactionalId
		case "cluster":
			c.ResourceType, c.ResourceName = kmsg.ACLResourceTypeCluster, "kafka-cluster"
		default:
			return nil, bad("resource.type", acl.Resource.Type)
		}
		switch acl.Resource.PatternType {
		case "", "literal":
			c.ResourcePatternType = kmsg.ACLResourcePatternTypeLiteral
		case "prefix":
			c.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
		default:
			return nil, bad("resource.patternType", acl.Resource.PatternType)
		}
		for _, name := range acl.Operations {
			op, err := kmsg.ParseACLOperation(strings.ToUpper(name))
			if err != nil {
				return nil, bad("operations", name)
			}
			c.Operation = op
			out = append(out, c)
		}
	}
	return out, nil
}
