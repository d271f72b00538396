package judge

import "strings"

// storage: the class is there and fits, and Longhorn is set up.
func (r *rules) storage() {
	w := r.want
	if w.Storage.Class != "" {
		r.class()
	}
	if w.Storage.Longhorn == "" || !r.seen.exists(namespace(w.Storage.Longhorn)) {
		return
	}
	if o, ok := r.one(w.driver()); ok && o == nil {
		r.add("longhorn-driver", "CSIDriver "+longhornDriver, operatorOf(longhorn), "no volume can be made: the driver is not registered")
	}
	set := w.kubectl() + " -n " + w.Storage.Longhorn + " patch settings.longhorn.io " + nodeDown + " --type=merge -p '{\"value\":\"delete-statefulset-pod\"}'"
	if o, ok := r.one(w.nodeDown()); ok {
		switch got := o.Text("value"); got {
		case "delete-statefulset-pod", "delete-both-statefulset-and-deployment-pod":
		default:
			r.add("longhorn-node-down", "Setting "+qualified(w.Storage.Longhorn, nodeDown), set,
				"it is %s: the Redis pod of a lost node stays Terminating, and meanwhile the Redis operator looks away", orNothing(got))
		}
	}
	if !w.Storage.Backup {
		return
	}
	targets, ok := r.read(w.backupTargets())
	if !ok {
		return
	}
	why := "there is no BackupTarget"
	for _, t := range targets {
		switch {
		case t.Text("spec", "backupTargetURL") == "":
			why = t.String() + " has no address"
		case t.At("status", "available") != true:
			why = t.String() + " is not available"
			for _, c := range t.List("status", "conditions") {
				why += strings.TrimRight(": "+c.Text("message"), ": ")
			}
		default:
			return
		}
	}
	r.add("longhorn-backup-target", "storage.backup", "give Longhorn a target (backupTargetURL and credentialSecret of BackupTarget default), or leave storage.backup out", "%s: no backup would be made", why)
}

// class: what a class of somebody else's should be like.
func (r *rules) class() {
	w := r.want
	o, ok := r.one(w.class())
	if !ok {
		return
	}
	place := "StorageClass " + w.Storage.Class
	if o == nil {
		r.add("storage-class", place, "see which there are: "+w.kubectl()+" get storageclasses; then set storage.class.name, or storage.class.create for one of Longhorn's", "there is no class %s", w.Storage.Class)
		return
	}
	const other = "a class cannot be changed: create another one, and set storage.class.name"
	if got := o.Text("volumeBindingMode"); got != "WaitForFirstConsumer" {
		r.add("storage-binding", place, other+" (volumeBindingMode: WaitForFirstConsumer)", "a volume is bound before its pod has a node, and may be where the pod cannot go")
	}
	if got := o.Text("reclaimPolicy"); got != "Retain" {
		r.add("storage-reclaim", place, other+" (reclaimPolicy: Retain)", "who deletes a claim deletes the data")
	}
	if o.At("allowVolumeExpansion") != true {
		r.add("storage-expansion", place, w.kubectl()+" patch storageclass "+w.Storage.Class+" -p '{\"allowVolumeExpansion\":true}'", "redis.storage.size cannot be raised later")
	}
}
