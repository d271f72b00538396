package judge

// Want is what a stack needs of its cluster, as plain data: package expect makes it of the program.
type Want struct {
	// Stack and Project are Pulumi's names.
	Stack, Project string
	// Context is the context of the kubeconfig by which the cluster is reached, for the commands of the remedies; empty = the current one.
	Context string
	// Namespace is where Redis, the appliers and the check run.
	Namespace string
	// Adopt says that the program takes over objects that exist already.
	Adopt bool
	// Objects are all that the program declares, in an order in which they can be created. Secret values are made up.
	Objects []Declared
	// Secrets must exist.
	Secrets []Secret
	// Kafka is this site's own.
	Kafka Kafka
	// Peer is the listener of the peer's Kafka.
	Peer Listener
	// Redis says what its operator must be.
	Redis Redis
	// Storage says what the volumes need.
	Storage Storage
	// DNS are the pods that the network policies take for the DNS servers; without policies its namespace is empty.
	DNS Pods
	// ApplierImage is the image that is reached with: it has the verb dial.
	ApplierImage string
	// PullSecrets are the names of the pull secrets in Namespace.
	PullSecrets []string
	// PriorityClass is that of Redis; empty = none.
	PriorityClass string
}

// Declared is an object that the program declares.
type Declared struct {
	Object
	// Kept says that it stays when the stack goes, so that nobody needs the right to delete it.
	Kept bool
	// Replaced says that a changed one is made anew, so that the one that is there says nothing about it.
	Replaced bool
}

// Secret is a Secret that must be there.
type Secret struct {
	// Namespace and Name say where it is.
	Namespace, Name string
	// Keys are its keys.
	Keys []string
	// About says what it holds.
	About string
}

// Listener are the addresses of a Kafka's listener.
type Listener struct {
	// Addresses are host:port.
	Addresses []string
	// TLS says whether it speaks TLS.
	TLS bool
	// CA are its certificates (PEM); empty = the system's.
	CA string
}

// Kafka is the site's own Kafka.
type Kafka struct {
	Listener
	// Namespace and Name are those of the Kafka resource.
	Namespace, Name string
	// Replicas is how many copies each partition has, and so how many brokers there must be.
	Replicas int
}

// Redis is what its operator must be.
type Redis struct {
	// Replicas is the number of Redis pods.
	Replicas int
	// Spread says that no two may share a node.
	Spread bool
	// OperatorNamespace is where the network policies take the operator to be.
	OperatorNamespace string
	// OperatorGroup is the group id of the maintained fork; empty = none.
	OperatorGroup string
}

// Storage is what the volumes need.
type Storage struct {
	// Class is the name of a class that must exist; empty if the program makes it, or the cluster's default counts.
	Class string
	// Longhorn is the namespace of Longhorn; empty if it is not needed.
	Longhorn string
	// Backup says that volumes are backed up by Longhorn.
	Backup bool
}

// Pods selects pods.
type Pods struct {
	// Namespace is their namespace.
	Namespace string
	// Labels are their labels.
	Labels map[string]string
}
