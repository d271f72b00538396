package drill

import "slices"

// List are all drills, in the order in which they run: those that share a lab are together.
func List() []Drill {
	return slices.Concat(redisDrills(), applierDrills(), linkDrills(), dataDrills(), haltDrills(), mirrorDrills(), writerDrills(), edgeDrills(), automaticDrills(), adoptDrills(), crashDrills())
}
