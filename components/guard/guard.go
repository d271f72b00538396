// Package guard refuses changes of a deployed site that would destroy or that nobody would carry out, in the preview
// already, with what to do instead.
//
// Without it some of them are ignored by an operator (the storage of a Redis), some delete what they have just made (another
// version of a custom resource), and some end in the engine's own words, which advise to take the protection off a database.
package guard

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/mirror"
	"github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/components/storage"
	"github.com/comptech-lab/redis-wal/components/topic"
)

// fixed is an input of a component that cannot change once the component is deployed.
type fixed struct {
	input string
	// remedy says what to do instead.
	remedy string
}

const (
	otherVersion = "the engine would take it for another object and delete the one that there is; " +
		"see docs/runbook.md, A new version of a custom resource"
	otherStorage = "a claim keeps its class for life, and the operator ignores changed storage of a Redis that runs; " +
		"see docs/runbook.md, Redis on another storage class"
	otherRedis = "that is another Redis, and this one would be deleted; change it back, and declare the other one beside it"
	otherTopic = "that is another topic, and this one would be left behind; see docs/runbook.md, Another log"
	otherCount = "the count is fixed for the life of a topic, for keys would move to other partitions; see docs/runbook.md, Another log"
)

// table says what is fixed, by the component's type token.
func table() map[string][]fixed {
	return map[string][]fixed{
		storage.TypeToken: {{"redis", otherRedis}, {"namespace", otherRedis}, {"class", otherStorage}},
		redis.TypeToken: {
			{"apiVersion", otherVersion}, {"name", otherRedis}, {"namespace", otherRedis}, {"storageClass", otherStorage}, {"claim", otherStorage},
		},
		topic.TypeToken:     {{"apiVersion", otherVersion}, {"topicName", otherTopic}, {"partitions", otherCount}},
		kafkauser.TypeToken: {{"apiVersion", otherVersion}},
		mirror.TypeToken:    {{"apiVersion", otherVersion}},
	}
}

// Changes is the option, for a Site or any component of this project, that refuses a changed input that is fixed: the update
// of that component fails, in a preview too. An input that the deployed version did not record is not compared. It is
// asked for once in a program, and needs an engine: the mocks of the SDK do not know resource hooks.
func Changes(ctx *pulumi.Context) (pulumi.ResourceOption, error) {
	hooks := map[string]*pulumi.ResourceHook{}
	for token, list := range table() {
		hook, err := ctx.RegisterResourceHook(token+" keeps what is fixed", func(args *pulumi.ResourceHookArgs) error {
			return refuse(args.Name, args.OldInputs, args.NewInputs, list)
		}, &pulumi.ResourceHookOptions{OnDryRun: true})
		if err != nil {
			return nil, fmt.Errorf("guard: %s: %w", token, err)
		}
		hooks[token] = hook
	}
	return pulumi.Transformations([]pulumi.ResourceTransformation{func(args *pulumi.ResourceTransformationArgs) *pulumi.ResourceTransformationResult {
		hook, ok := hooks[args.Type]
		if !ok {
			return nil
		}
		refuses := pulumi.ResourceHooks(&pulumi.ResourceHookBinding{BeforeUpdate: []*pulumi.ResourceHook{hook}})
		return &pulumi.ResourceTransformationResult{Props: args.Props, Opts: append(slices.Clone(args.Opts), refuses)}
	}}), nil
}

// refuse says which fixed inputs of a component differ.
func refuse(name string, before, after resource.PropertyMap, list []fixed) error {
	var errs []error
	for _, f := range list {
		old, known := before[resource.PropertyKey(f.input)]
		if changed := after[resource.PropertyKey(f.input)]; known && !old.DeepEquals(changed) {
			errs = append(errs, fmt.Errorf("%s: %s: is %v and cannot become %v: %s", name, f.input, shown(old), shown(changed), f.remedy))
		}
	}
	return errors.Join(errs...)
}

func shown(v resource.PropertyValue) any {
	if v.IsNull() {
		return "nothing"
	}
	return v.Mappable()
}
