package drill

func dataDrills() []Drill { return nil }
